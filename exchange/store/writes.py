"""What a transaction writes, whatever the database: the words between `exchange.store.writer` and a driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from exchange.store.rows import Row

#: A statement and its parameters.
Query = tuple[str, *tuple[Any, ...]]


class NotMoved(Exception):
    """A write that had to touch one row touched none; nothing was written."""


@dataclass(frozen=True, slots=True)
class Insert:
    """New *rows*, complete and in the order of the table's columns."""

    table: Table
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Upsert:
    """*rows* to insert or, where their first column is known, to change in *changes* (maybe none)."""

    table: Table
    rows: Sequence[Row]
    changes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Run:
    """A statement with its parameters; *one* says that it must touch exactly one row."""

    statement: str
    parameters: Sequence[Any]
    one: bool = False


Write = Insert | Upsert | Run
