"""
The hot statements in each driver's own form, on the connection that SQLAlchemy keeps.

A drain is a handful of statements, each over many rows; SQLAlchemy's per-row work would cost as
much as the rest of the bridge together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from functools import cache
from itertools import chain
from itertools import count as counting
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection, Table

from exchange import tables
from exchange.store import together
from exchange.store.engines import MARIADB, POSTGRESQL
from exchange.store.rows import Row, names
from exchange.store.writes import Insert, NotMoved, Query, Run, Upsert, Write

__all__ = [
    "Driver",
    "Insert",
    "NotMoved",
    "Query",
    "Run",
    "Upsert",
    "Write",
    "driver_of",
    "select_form",
]

# Fewer rows than this are inserted one by one.
_COPY_FROM = 4

#: Up to so many rows of a transaction travel in one piece; beyond, a table's go by COPY.
FEW = 16

_PREPARED = "exchange.prepared"
_PLACE = re.compile(r"\{(?:among|outside)?\}")


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

    def write(
        self, connection: Connection, writes: Sequence[Write], *, commit: bool = False
    ) -> None:
        """
        Run *writes* in order; *commit* says that nothing follows in their transaction.

        Where that spares waiting, the transaction is then committed with them, and the caller's own
        commit finds nothing left to do.  Raises `NotMoved` if one that must touch a row does not.
        """

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

    def write(
        self,
        connection: Connection,
        writes: Sequence[Write],
        *,
        commit: bool = False,  # noqa: ARG002
    ) -> None:
        """Run *writes* in order; here nothing is gained by sending them together."""
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
        return self._ask(connection, [(statement, parameters)])[0][0]

    def fetch_all(self, connection: Connection, *queries: Query) -> list[list[Row]]:
        """Return the rows that each of some queries gives, in one round trip."""
        asked = [(statement, parameters) for statement, *parameters in queries]
        return [rows for rows, _ in self._ask(connection, asked)]

    def execute(self, connection: Connection, statement: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self._ask(connection, [(statement, parameters)])[0][1]

    def write(
        self, connection: Connection, writes: Sequence[Write], *, commit: bool = False
    ) -> None:
        """Run *writes* in order: in one round trip, but for tables with many rows, with the commit."""
        many = sum(1 if isinstance(one, Run) else len(one.rows) for one in writes) > FEW
        asked: list[tuple[str, Sequence[Any]]] = []
        try:
            for one in writes:
                if isinstance(one, Run) or not many or len(one.rows) < _COPY_FROM:
                    asked += _in_one_piece(one)
                    continue
                self._ask(connection, asked)
                asked = []
                if isinstance(one, Insert):
                    self.insert(connection, one.table, one.rows)
                else:
                    self.upsert(connection, one.table, one.rows, one.changes)
            whole = None if many else _as_one(writes)
            self._ask(connection, asked if whole is None else [whole], commit=commit)
        except psycopg.errors.DivisionByZero as error:
            raise NotMoved from error

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows*, complete and in the order of the table's columns."""
        if len(rows) < _COPY_FROM:
            self._ask(connection, [_insert_all(table, rows)])
            return
        with _raw(connection).cursor() as cursor:
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

    def _ask(
        self,
        connection: Connection,
        asked: Sequence[tuple[str, Sequence[Any]]],
        *,
        commit: bool = False,
    ) -> list[together.Given]:
        if not asked and not commit:
            return []
        names = connection.info.setdefault(_PREPARED, {})
        prepared = [(_postgresql_form(statement), values) for statement, values in asked]
        return together.ask(_raw(connection), names, prepared, commit=commit)


def driver_of(kind: str) -> Driver:
    """Return the driver for databases of this *kind* (`sqlalchemy.Dialect.name`)."""
    if kind == MARIADB:
        # Its library is an extra: who has another database need not have it.
        from exchange.store.mariadb_driver import Mariadb  # noqa: PLC0415

        return Mariadb()
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
    places = counting(1)
    forms = {
        "{}": "${}",
        "{among}": "= ANY(${})",
        # Unlike `<> ALL`, hashed under every plan: it is asked of each row that waits.
        "{outside}": "NOT IN (SELECT unnest(${}::text[]))",
    }
    return _PLACE.sub(lambda found: forms[found[0]].format(next(places)), statement)


def _in_one_piece(write: Write) -> list[tuple[str, Sequence[Any]]]:
    match write:
        case Insert():
            return [_insert_all(write.table, write.rows)]
        case Upsert():
            form = _upsert_form(write.table, tuple(write.changes))
            return [(form, row) for row in write.rows]
        case Run(one=False):
            return [(write.statement, write.parameters)]
    return [(_one_form(write.statement), write.parameters)]


def _as_one(writes: Sequence[Write]) -> tuple[str, Sequence[Any]] | None:
    """Return *writes* as one statement, at less cost than its parts; None where one may see another."""
    parts: list[str] = []
    parameters: list[Any] = []
    head = None
    for number, write in enumerate(writes):
        if isinstance(write, Insert):
            form, values = _insert_all(write.table, write.rows)
            parts.append(f"w{number} AS ({form})")
        elif isinstance(write, Run) and write.one and head is None:
            head, values = number, write.parameters
            parts.append(f"w{number} AS ({write.statement} RETURNING 1)")
        else:
            return None
        parameters += values
    if head is None:
        return None
    return f"WITH {', '.join(parts)} SELECT 1 / count(*) FROM w{head}", parameters  # noqa: S608 (our own)


@cache
def _one_form(statement: str) -> str:
    # The commit is under way before any answer is seen, so the statement itself must fail.
    return f"WITH moved AS ({statement} RETURNING 1) SELECT 1 / count(*) FROM moved"  # noqa: S608 (our own)


def _sqlite_parameters(parameters: Sequence[Any]) -> list[Any]:
    return [json.dumps(list(p)) if _is_many(p) else p for p in parameters]


def _is_many(parameter: Any) -> bool:
    return isinstance(parameter, Collection) and not isinstance(parameter, (str, bytes))


@cache
def select_form(table: Table) -> str:
    """Return the query for all columns of *table*, in order; the caller adds what it needs."""
    return f"SELECT {', '.join(names(table))} FROM {table.name}"  # noqa: S608 (our own names)


@cache
def _insert_form(table: Table, count: int = 1) -> str:
    columns = names(table)
    marks = ", ".join("{}" for _ in columns)
    rows = ", ".join([f"({marks})"] * count)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {rows}"  # noqa: S608 (our own names)


def _insert_all(table: Table, rows: Sequence[Row]) -> tuple[str, Sequence[Any]]:
    return _insert_form(table, len(rows)), list(chain.from_iterable(rows))


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
    words = {
        "SMALLINT": "int2", "INTEGER": "int4", "BIGINT": "int8", "BOOLEAN": "bool", "BLOB": "bytea",
    }  # fmt: skip
    return [
        words.get(str(column.type).partition("(")[0].upper(), "text") for column in table.columns
    ]
