"""
The bare limit: the rows that a real run wrote, written again by the database's own driver alone.

`record` runs the bridge once, in this process, over all tickets, and keeps every row by the
transaction it was written in.  `Bare` writes them into the same tables with the same indexes,
batch by batch, durable after each: nothing is parsed, checked, looked up, signed or answered.  No
program that stores these rows in these transactions through these drivers can be faster.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import Table, make_url

from exchange import tables
from exchange.store import migrate
from exchange.store.drivers import Sqlite, _postgresql_types
from exchange.store.engines import _SQLITE_PRAGMAS, SQLITE
from exchange.store.rows import Row, names
from tests.bridge.whole import Bridge

_CONTENT, _SOURCE = 4, 5
#: No journal and no waiting for the disk; the store turns the file to WAL again when it opens it.
_SQLITE_FILLING = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA cache_size = -262144",
)


@dataclass(slots=True)
class Batch:
    """One transaction: new rows by table, mailbox positions that go, and the log's new head."""

    inserts: list[tuple[Table, Sequence[Row]]] = field(default_factory=list)
    deletes: list[int] = field(default_factory=list)
    head: tuple[int, bytes, int] = (0, b"", 0)


class Recorder(Sqlite):
    """The driver of a real bridge, which also remembers what it was given to write."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._waiting: dict[int, int] = {}

    def insert(self, connection: Any, table: Table, rows: Sequence[Row]) -> None:
        """Remember and insert."""
        if table is tables.mailbox:
            self._waiting |= {row[_SOURCE]: row[0] for row in rows if row[_CONTENT] == "message"}
        self.batches[-1].inserts.append((table, list(rows)))
        super().insert(connection, table, rows)

    def upsert(
        self, connection: Any, table: Table, rows: Sequence[Row], changes: Sequence[str]
    ) -> None:
        """Remember and upsert; what a batch writes here is new."""
        if table is not tables.certificate:  # known from the first batch on
            self.batches[-1].inserts.append((table, list(rows)))
        super().upsert(connection, table, rows, changes)

    def execute(self, connection: Any, statement: str, *parameters: Any) -> int:
        """Remember what counts of it and run it."""
        if statement.startswith("UPDATE log"):
            self.batches[-1].head = (parameters[0], parameters[1], parameters[2])
        elif statement.startswith("DELETE FROM mailbox"):
            self.batches[-1].deletes += [self._waiting.pop(source) for source in parameters[1]]
        return super().execute(connection, statement, *parameters)


@contextmanager
def recording(bridge: Bridge) -> Iterator[Callable[[], Batch]]:
    """Record what *bridge* (on SQLite) writes; each call of the yielded function begins a batch."""
    recorder = Recorder()
    bridge.store._driver, before = recorder, bridge.store._driver

    def begin() -> Batch:
        recorder.batches.append(Batch())
        return recorder.batches[-1]

    try:
        yield begin
    finally:
        bridge.store._driver = before


class Bare(Protocol):
    """A database that is written to by its driver alone."""

    def write(self, batch: Batch) -> float:
        """Write one batch in one durable transaction; return the seconds that its commit took."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class BareSqlite:
    """
    Python's own driver: ``executemany``, WAL, ``synchronous=FULL``, the store's own pragmas.

    Where it is not to be *durable*, only closing it is: how a database is filled of which nothing is lost.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self._path = make_url(url).database or ""
        self._durable = durable
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        for pragma in (*_SQLITE_PRAGMAS, *(() if durable else _SQLITE_FILLING)):
            self._connection.execute(pragma)
        self._forms = {
            table.name: f"INSERT INTO {table.name} ({', '.join(names(table))})"
            f" VALUES ({', '.join('?' for _ in table.columns)})"
            for table in tables.metadata.sorted_tables
        }

    def write(self, batch: Batch) -> float:
        """Write one batch in one durable transaction; return the seconds that its commit took."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in batch.inserts:
            connection.executemany(self._forms[table.name], rows)
        if batch.deletes:
            gone = ((position,) for position in batch.deletes)
            connection.executemany("DELETE FROM mailbox WHERE position = ?", gone)
        connection.execute("UPDATE log SET size = ?, root = ?, position = ?", batch.head)
        begun = time.perf_counter()
        connection.execute("COMMIT")
        return time.perf_counter() - begun

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
        if not self._durable:
            with Path(self._path).open("rb") as file:
                os.fsync(file.fileno())


class BarePostgresql:
    """psycopg: one binary COPY a table, the fastest way in that it has; *durable* as `BareSqlite` has it."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._durable = durable
        self._connection = psycopg.connect(plain)
        if not durable:
            self._connection.execute("SET synchronous_commit = off")
            self._connection.commit()
        self._forms = {
            table.name: (
                f"COPY {table.name} ({', '.join(names(table))}) FROM STDIN (FORMAT BINARY)",
                _postgresql_types(table),
            )
            for table in tables.metadata.sorted_tables
        }

    def write(self, batch: Batch) -> float:
        """Write one batch in one durable transaction; return the seconds that its commit took."""
        with self._connection.cursor() as cursor:
            for table, rows in batch.inserts:
                form, types = self._forms[table.name]
                with cursor.copy(form.encode()) as copy:
                    copy.set_types(types)
                    for row in rows:
                        copy.write_row(row)
            if batch.deletes:
                gone = "DELETE FROM mailbox WHERE position = ANY(%s)"
                cursor.execute(gone, (batch.deletes,))
            cursor.execute("UPDATE log SET size = %s, root = %s, position = %s", batch.head)
        begun = time.perf_counter()
        self._connection.commit()
        return time.perf_counter() - begun

    def close(self) -> None:
        """Hang up."""
        if not self._durable:
            self._connection.autocommit = True
            self._connection.execute("CHECKPOINT")
        self._connection.close()


def bare(url: str) -> Bare:
    """Return the bare form of the empty database at *url*, its tables made and its log begun."""
    migrate(url)
    made: Bare = (
        BareSqlite(url) if make_url(url).get_backend_name() == SQLITE else BarePostgresql(url)
    )
    start: Row = ("bare", 0, bytes(32), 0, 0, "")
    made.write(Batch(inserts=[(tables.log, [start])], head=(0, bytes(32), 0)))
    return made


def time_batches(database: Bare, batches: Sequence[Batch], skip: int) -> float:
    """Return the seconds that writing *batches* took, from the one after the first *skip* on."""
    for batch in batches[:skip]:
        database.write(batch)
    begun = time.perf_counter()
    for batch in batches[skip:]:
        database.write(batch)
    return time.perf_counter() - begun
