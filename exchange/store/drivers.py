"""
The hot statements in each driver's own form, on the connection that SQLAlchemy keeps.

A drain is a handful of statements, each over many rows; SQLAlchemy's per-row work would cost as
much as the rest of the bridge together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from typing import Any, Protocol

from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy import Connection, Table

from exchange import tables
from exchange.store.engines import POSTGRESQL
from exchange.store.rows import Row, names

# Fewer rows than this are inserted one by one.
_COPY_FROM = 4


#: A statement and its parameters.
Query = tuple[str, *tuple[Any, ...]]


class Driver(Protocol):
    """
    The same few things on each database.

    In *statement*, ``{among}`` stands for "is one of these" (the next parameter is a collection of
    texts or numbers), ``{outside}`` for its opposite and ``{}`` for a plain parameter.
    """

    def fetch(self, connection: Connection, statement: str, *parameters: Any) -> list[Row]:
        """Return the rows that a query gives."""

    def fetch_all(self, connection: Connection, *queries: Query) -> list[list[Row]]:
        """Return the rows that each of some queries gives, asked together."""

    def execute(self, connection: Connection, statement: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""

    def piped(self, connection: Connection) -> AbstractContextManager[object]:
        """Run a block of few writes without waiting for each; it ends when all are done."""

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows*, complete and in the order of the table's columns."""

    def upsert(
        self, connection: Connection, table: Table, rows: Sequence[Row], changes: Sequence[str]
    ) -> None:
        """Insert *rows* or, where their first column is known, set the columns *changes* (maybe none)."""


class Sqlite:
    """SQLite through Python's own driver."""

    def fetch(self, connection: Connection, statement: str, *parameters: Any) -> list[Row]:
        """Return the rows that a query gives."""
        found = _raw(connection).execute(_sqlite_form(statement), _sqlite_parameters(parameters))
        return found.fetchall()  # type: ignore[no-any-return]

    def fetch_all(self, connection: Connection, *queries: Query) -> list[list[Row]]:
        """Return the rows that each of some queries gives; here one asks after the other."""
        return [self.fetch(connection, *query) for query in queries]

    def execute(self, connection: Connection, statement: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        done = _raw(connection).execute(_sqlite_form(statement), _sqlite_parameters(parameters))
        return done.rowcount  # type: ignore[no-any-return]

    def piped(self, connection: Connection) -> AbstractContextManager[object]:  # noqa: ARG002
        """Run a block of few writes; here there is nothing to wait for."""
        return nullcontext()

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows*, complete and in the order of the table's columns."""
        _raw(connection).executemany(_insert_form(table).replace("{}", "?"), rows)

    def upsert(
        self, connection: Connection, table: Table, rows: Sequence[Row], changes: Sequence[str]
    ) -> None:
        """Insert *rows* or, where their first column is known, set the columns *changes* (maybe none)."""
        form = _upsert_form(table, tuple(changes)).replace("{}", "?")
        _raw(connection).executemany(form, rows)


class Postgresql:
    """PostgreSQL through psycopg: values travel in binary form."""

    def fetch(self, connection: Connection, statement: str, *parameters: Any) -> list[Row]:
        """Return the rows that a query gives."""
        raw = _raw(connection)
        # The first statement of a transaction takes its BEGIN along.
        begins = raw.info.transaction_status == TransactionStatus.IDLE and not raw.autocommit
        with (
            raw.pipeline() if begins else nullcontext(),
            raw.cursor(binary=True) as cursor,
        ):
            cursor.execute(_postgresql_form(statement), _postgresql_parameters(parameters))
            return cursor.fetchall()  # type: ignore[no-any-return]

    def fetch_all(self, connection: Connection, *queries: Query) -> list[list[Row]]:
        """Return the rows that each of some queries gives, in one round trip."""
        raw = _raw(connection)
        with ExitStack() as stack:
            pipeline = stack.enter_context(raw.pipeline())
            cursors = [stack.enter_context(raw.cursor(binary=True)) for _ in queries]
            for cursor, (statement, *parameters) in zip(cursors, queries, strict=True):
                cursor.execute(_postgresql_form(statement), _postgresql_parameters(parameters))
            pipeline.sync()
            return [cursor.fetchall() for cursor in cursors]

    def execute(self, connection: Connection, statement: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        with _raw(connection).cursor() as cursor:
            cursor.execute(_postgresql_form(statement), _postgresql_parameters(parameters))
            return cursor.rowcount  # type: ignore[no-any-return]

    def piped(self, connection: Connection) -> AbstractContextManager[object]:
        """Run a block of few writes without waiting for each: one round trip, not ten."""
        return _raw(connection).pipeline()  # type: ignore[no-any-return]

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows*, complete and in the order of the table's columns."""
        raw = _raw(connection)
        with raw.cursor() as cursor:
            # A COPY has a round trip more, and none may stand between piped statements.
            if len(rows) < _COPY_FROM or raw.pgconn.pipeline_status != PipelineStatus.OFF:
                cursor.executemany(_insert_form(table).replace("{}", "%b"), rows)
                return
            columns = ", ".join(names(table))
            statement = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)"
            with cursor.copy(statement) as copy:
                copy.set_types(_postgresql_types(table))
                for row in rows:
                    copy.write_row(row)

    def upsert(
        self, connection: Connection, table: Table, rows: Sequence[Row], changes: Sequence[str]
    ) -> None:
        """Insert *rows* or, where their first column is known, set the columns *changes* (maybe none)."""
        # One statement over arrays: half the time of `executemany`, and one plan for any number.
        form = _many_form(table, tuple(changes))
        with _raw(connection).cursor() as cursor:
            cursor.execute(form, [list(column) for column in zip(*rows, strict=True)])


def driver_of(kind: str) -> Driver:
    """Return the driver for databases of this *kind* (`sqlalchemy.Dialect.name`)."""
    return Postgresql() if kind == POSTGRESQL else Sqlite()


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


@cache
def _sqlite_form(statement: str) -> str:
    return statement.format(
        "?", "?", "?", "?", "?", "?", "?", "?", "?", "?",
        among="IN (SELECT value FROM json_each(?))",
        outside="NOT IN (SELECT value FROM json_each(?))",
    )  # fmt: skip


@cache
def _postgresql_form(statement: str) -> str:
    return statement.format(
        "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s",
        among="= ANY(%s)",
        # Unlike `<> ALL`, hashed under every plan: it is asked of each row that waits.
        outside="NOT IN (SELECT unnest(%s::text[]))",
    )  # fmt: skip


def _is_many(parameter: Any) -> bool:
    return isinstance(parameter, Collection) and not isinstance(parameter, (str, bytes))


def _sqlite_parameters(parameters: Sequence[Any]) -> list[Any]:
    return [json.dumps(list(p)) if _is_many(p) else p for p in parameters]


def _postgresql_parameters(parameters: Sequence[Any]) -> list[Any]:
    return [list(p) if _is_many(p) else p for p in parameters]


@cache
def select_form(table: Table) -> str:
    """Return the query for all columns of *table*, in order; the caller adds what it needs."""
    return f"SELECT {', '.join(names(table))} FROM {table.name}"  # noqa: S608 (our own names)


@cache
def _insert_form(table: Table) -> str:
    columns = names(table)
    marks = ", ".join("{}" for _ in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 (our own names)


@cache
def _upsert_form(table: Table, changes: tuple[str, ...]) -> str:
    sets = [f"{name} = excluded.{name}" for name in changes]
    if table is tables.handoff:
        # `updated` is when the state last changed: a note leaves the head and the time alone.
        sets.append(
            "updated = CASE WHEN handoff.head = excluded.head THEN handoff.updated"
            " ELSE excluded.updated END"
        )
    then = f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
    return f"{_insert_form(table)} ON CONFLICT ({names(table)[0]}) DO {then}"


@cache
def _many_form(table: Table, changes: tuple[str, ...]) -> str:
    head, _, then = _upsert_form(table, changes).partition(" VALUES (")
    marks = ", ".join(f"%b::{kind}[]" for kind in _postgresql_types(table))
    return f"{head} SELECT * FROM unnest({marks}){then[then.index(')') + 1 :]}"  # noqa: S608 (our own names)


@cache
def _postgresql_types(table: Table) -> list[str]:
    words = {"SMALLINT": "int2", "BIGINT": "int8", "BOOLEAN": "bool", "BLOB": "bytea"}
    return [
        words.get(str(column.type).partition("(")[0].upper(), "text") for column in table.columns
    ]
