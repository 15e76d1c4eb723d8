"""Kinds of columns, and indexes of some rows: stored alike by every database."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, Index, String, TypeDecorator, text
from sqlalchemy.types import TypeEngine


@lru_cache(maxsize=256)
def stamp(moment: datetime) -> str:
    """Return the stored form of *moment*, which is aware; a drain asks again and again for one."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


@lru_cache(maxsize=256)
def moment_of(stored: str) -> datetime:
    """Return the time whose stored form is *stored*; the inverse of `stamp`."""
    return datetime.fromisoformat(stored)


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC, stored as `stamp` writes it."""

    impl = String
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(27)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Compare byte by byte on PostgreSQL."""
        return dialect.type_descriptor(plain(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the stored form."""
        return None if value is None else stamp(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time."""
        return None if value is None else moment_of(value)


def plain(length: int) -> String:
    """Return a text type for codes and ids, compared byte by byte whatever the city's locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def partial(name: str, *columns: str, where: str) -> Index:
    """Return an index of the rows for which the condition *where* holds, on each database."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))
