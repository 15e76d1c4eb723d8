"""
The hot statements in MariaDB's form, through PyMySQL (`exchange.store.drivers` has the other two).

PyMySQL writes values into the statement's text, so a collection is a list of values there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count as counting
from typing import Any, TypeVar

import pymysql
from sqlalchemy import Connection, Table

from exchange import tables
from exchange.store.faults import is_lost
from exchange.store.rows import Row, names
from exchange.store.writes import Insert, NotMoved, Query, Run, Upsert, Write

T = TypeVar("T")

_PLACE = re.compile(r"\{(?:among|outside)?\}")
_WORDS = {"{}": "", "{among}": "IN ", "{outside}": "NOT IN "}
#: SQL has no word for a list of nothing: nothing is among it, and everything outside.
_NO_VALUES = "(SELECT NULL FROM DUAL WHERE FALSE)"
#: Types that values have already, since they stand in the text.
_CAST = re.compile(r"CAST\((\{\}) AS \w+(?:\(\d+\))?\)")
_NOTHING = re.compile(r"^(INSERT INTO (\w+) .*) ON CONFLICT \((\w+)[^)]*\) DO NOTHING$", re.DOTALL)


class Mariadb:
    """MariaDB through PyMySQL."""

    def fetch(self, connection: Connection, statement: str, *parameters: Any) -> list[Row]:
        """Return the rows that a query gives."""

        def run(cursor: Any) -> list[Row]:
            cursor.execute(*_prepared(statement, parameters))
            return list(cursor.fetchall())

        return _with_cursor(connection, run)

    def fetch_all(self, connection: Connection, *queries: Query) -> list[list[Row]]:
        """Return the rows that each of some queries gives; here one asks after the other."""
        return [self.fetch(connection, *query) for query in queries]

    def execute(self, connection: Connection, statement: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""

        def run(cursor: Any) -> int:
            return int(cursor.execute(*_prepared(statement, parameters)))

        return _with_cursor(connection, run)

    def write(
        self,
        connection: Connection,
        writes: Sequence[Write],
        *,
        commit: bool = False,  # noqa: ARG002
    ) -> None:
        """Run *writes* in order; the commit is the caller's."""
        for one in writes:
            match one:
                case Insert():
                    self.insert(connection, one.table, one.rows)
                case Upsert():
                    self.upsert(connection, one.table, one.rows, one.changes)
                case Run():
                    touched = self.execute(connection, one.statement, *one.parameters)
                    if one.one and touched != 1:
                        raise NotMoved

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows*, complete and in the order of the table's columns."""
        _with_cursor(connection, lambda cursor: cursor.executemany(_insert_form(table), rows))

    def upsert(
        self, connection: Connection, table: Table, rows: Sequence[Row], changes: Sequence[str]
    ) -> None:
        """Insert *rows* or, where their first column is known, set the columns *changes* (maybe none)."""
        form = _upsert_form(table, tuple(changes))
        _with_cursor(connection, lambda cursor: cursor.executemany(form, rows))


def _with_cursor(connection: Connection, run: Callable[[Any], T]) -> T:
    raw: Any = connection.connection.dbapi_connection
    with given_up(connection), raw.cursor() as cursor:
        return run(cursor)


@contextmanager
def given_up(connection: Connection) -> Iterator[None]:
    """
    Let the pool forget a *connection* over which nothing more can be had.

    A node that was cut off from its cluster keeps its connections and answers each statement with the
    same error: only a new connection can lead to another node.
    """
    try:
        yield
    except pymysql.Error as error:
        if is_lost(error):
            connection.invalidate(error)
        raise


def _prepared(statement: str, parameters: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return *statement* in MariaDB's form, and the values that stand in it."""
    many = [_is_many(one) for one in parameters]
    none = tuple(number for number, one in enumerate(parameters) if many[number] and not one)
    values = (tuple(one) if many[number] else one for number, one in enumerate(parameters))
    return _form(statement, none), tuple(
        value for number, value in enumerate(values) if number not in none
    )


def _is_many(parameter: Any) -> bool:
    return isinstance(parameter, Collection) and not isinstance(parameter, (str, bytes))


@cache
def _form(statement: str, none: tuple[int, ...]) -> str:
    found = _NOTHING.match(statement)
    if found:
        # Not INSERT IGNORE: that would let a text that is too long pass, cut off.
        head, table, column = found.groups()
        statement = f"{head} ON DUPLICATE KEY UPDATE {table}.{column} = {table}.{column}"
    plain = _CAST.sub(r"\1", statement.replace("%", "%%"))
    numbers = counting()

    def place(found: re.Match[str]) -> str:
        value = _NO_VALUES if next(numbers) in none else "%s"
        return f"{_WORDS[found[0]]}{value}"

    return _PLACE.sub(place, plain)


@cache
def _insert_form(table: Table) -> str:
    columns = names(table)
    marks = ", ".join("%s" for _ in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 (our own names)


@cache
def _upsert_form(table: Table, changes: tuple[str, ...]) -> str:
    sets = [f"{name} = VALUES({name})" for name in changes]
    if table is tables.handoff:
        # `updated` is when the state last changed: a note leaves the head and the time alone.  It comes
        # first: what stands further left has its new value already.
        sets.insert(0, "updated = IF(head = VALUES(head), updated, VALUES(updated))")
    first = names(table)[0]
    return (
        f"{_insert_form(table)} ON DUPLICATE KEY UPDATE {', '.join(sets) or f'{first} = {first}'}"
    )
