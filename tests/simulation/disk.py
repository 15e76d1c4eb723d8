"""
The files of one process, and what can become of them: the seam is `sqlite3.connect`.

Every statement of a simulated file passes `Disk.before` and `Disk.after`, where a process is killed,
a disk is full, or an fsync fails.  SQLite ends the transaction then by itself, and so do we.  A power
cut takes what no fsync made durable: with ``synchronous = FULL`` that is nothing.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|COMMIT)", re.IGNORECASE)
_SYNCHRONOUS = re.compile(r"\s*PRAGMA\s+synchronous\s*=\s*(\w+)", re.IGNORECASE)
_DURABLE = {"FULL", "EXTRA", "2", "3"}
_connect = sqlite3.connect


class Killed(BaseException):
    """The process that runs this is dead; nothing may catch it."""


class Ill(Enum):
    """What can become of a file at a statement."""

    KILL_BEFORE = "killed before a statement"
    KILL_AFTER = "killed after a statement"
    FULL = "disk full"
    FSYNC_LOST = "fsync failed, commit lost"
    FSYNC_KEPT = "fsync failed, commit kept"


class Sort(NamedTuple):
    """What a statement is, as far as its fate depends on it."""

    reads: bool
    writes: bool
    commits: bool
    synchronous: str


@lru_cache(maxsize=4096)
def kind_of(statement: str) -> Sort:
    """Return what *statement* is."""
    first = statement.lstrip()[:8].upper()
    found = _SYNCHRONOUS.match(statement)
    return Sort(
        reads=first.startswith("SELECT"),
        writes=_WRITES.match(statement) is not None,
        commits=first.startswith("COMMIT"),
        synchronous=found[1].upper() if found else "",
    )


@dataclass
class Disk:
    """One file of one process; *ill* befalls it *countdown* statements from now."""

    path: Path
    ill: Ill | None = None
    countdown: int = 0
    #: Statements for which a full disk stays full.
    lasting: int = 1
    dead: bool = False
    #: Told of each ill that befell, and of each statement that only read.
    told: Callable[[Ill], None] = lambda _: None
    read: Callable[[], None] = lambda: None
    statements: int = 0
    #: Grows with everything that may change what others see in the file.
    changes: int = 0
    #: The files as of the last commit that was made durable, if a later one was not.
    unsynced: dict[str, bytes] | None = None
    connections: list[Connection] = field(default_factory=list)

    def arm(self, ill: Ill, countdown: int, lasting: int = 1) -> None:
        """Let *ill* befall it *countdown* statements from now; a full disk for *lasting* of them."""
        self.ill, self.countdown, self.lasting = ill, countdown, lasting

    def before(self, connection: Connection, statement: str) -> None:
        """Look at *statement* before it runs."""
        if self.dead:
            if statement.lstrip().upper().startswith("ROLLBACK"):
                return  # what unwinds ends the transaction, as the kill did
            raise Killed(str(self.path))
        self.statements += 1
        if statement.startswith("BEGIN"):
            connection.immediate = "IMMEDIATE" in statement
        kind = kind_of(statement)
        if kind.synchronous:
            connection.durable = kind.synchronous in _DURABLE
        commits = kind.commits
        self.changes += kind.writes
        if commits and not connection.durable and self.unsynced is None:
            self.unsynced = self.contents()
        if self.ill is None:
            return
        if self.ill is Ill.KILL_BEFORE and self._due():
            self.befall(Ill.KILL_BEFORE)
            self.dead = True
            raise Killed(str(self.path))
        if self.ill is Ill.FULL and kind.writes and self._due():
            self._fail(connection, "database or disk is full", sqlite3.SQLITE_FULL)
        if self.ill in {Ill.FSYNC_LOST, Ill.FSYNC_KEPT} and commits and self._due():
            if self.ill is Ill.FSYNC_KEPT:
                connection.really_commit()
            self._fail(connection, "disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)

    def after(self, connection: Connection, statement: str) -> None:
        """Look at *statement* after it ran."""
        if connection.durable and kind_of(statement).commits:
            self.unsynced = None  # one fsync takes along what others wrote before
        if self.ill is Ill.KILL_AFTER and self._due():
            self.befall(Ill.KILL_AFTER)
            self.dead = True
            raise Killed(str(self.path))
        if kind_of(statement).reads:
            self.read()

    def _due(self) -> bool:
        self.countdown -= 1
        return self.countdown < 0

    def befall(self, ill: Ill) -> None:
        """Tell that *ill* befell, and forget it; a full disk stays full for a few statements."""
        self.told(ill)
        if ill is Ill.FULL and self.countdown > -self.lasting:
            return
        self.ill = None

    def _fail(self, connection: Connection, words: str, code: int) -> None:
        assert self.ill is not None
        self.befall(self.ill)
        if connection.in_transaction:
            connection.really_roll_back()
        error = sqlite3.OperationalError(words)
        error.sqlite_errorcode = code
        error.sqlite_errorname = "SQLITE_FULL" if code == sqlite3.SQLITE_FULL else "SQLITE_IOERR"
        raise error

    def is_locked(self) -> bool:
        """Return whether somebody is writing: no other may begin to, and none would wait here."""
        return any(one.immediate and one.in_transaction for one in self.connections)

    # -- the files as such

    def files(self) -> list[Path]:
        """Return the file and what SQLite keeps beside it."""
        return [self.path, *(Path(f"{self.path}{end}") for end in ("-wal", "-shm"))]

    def contents(self) -> dict[str, bytes]:
        """Return what the files hold, as a copy of a running system's disk does."""
        return {path.name: path.read_bytes() for path in self.files()[:2] if path.exists()}

    def put_back(self, contents: dict[str, bytes]) -> None:
        """Let the files hold *contents*; nobody may have them open."""
        self.changes += 1
        for path in self.files():
            path.unlink(missing_ok=True)
        for name, content in contents.items():
            (self.path.parent / name).write_bytes(content)

    def close(self, *, power_cut: bool) -> None:
        """Close what a dead process had open; after a power cut, forget what was not synced."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        if power_cut and self.unsynced is not None:
            self.put_back(self.unsynced)
        self.unsynced = None


class Cursor(sqlite3.Cursor):
    """A cursor of a simulated file."""

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        """Run a statement."""
        connection: Any = self.connection
        connection.disk.before(connection, sql)
        super().execute(sql, parameters)
        connection.disk.after(connection, sql)
        return self

    def executemany(self, sql: str, parameters: Any) -> Cursor:
        """Run a statement over many rows."""
        connection: Any = self.connection
        connection.disk.before(connection, sql)
        super().executemany(sql, parameters)
        connection.disk.after(connection, sql)
        return self


class Connection(sqlite3.Connection):
    """A connection to a simulated file."""

    disk: Disk
    #: Without a PRAGMA it is FULL.
    durable = True
    #: Whether its newest transaction took the lock for writing.
    immediate = False

    def cursor(self, factory: Any = Cursor) -> Any:
        """Return a cursor that is looked at."""
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run a statement; some versions of Python do not ask for `cursor` by themselves."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Any:
        """Run a statement over many rows."""
        return self.cursor().executemany(sql, parameters)

    def close(self) -> None:
        """Close it; a closed one holds no lock."""
        self.immediate = False
        super().close()

    def commit(self) -> None:
        """Commit, as SQLAlchemy asks for it."""
        if self.in_transaction:
            self.disk.before(self, "COMMIT")
            super().commit()
            self.disk.after(self, "COMMIT")

    def really_commit(self) -> None:
        """Commit without being looked at."""
        super().commit()

    def really_roll_back(self) -> None:
        """Roll back without being looked at."""
        super().rollback()


class Watched:
    """A file as it lies on the disk, seen from outside; it changes nothing."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._open: sqlite3.Connection | None = None
        self._opened = 0
        self._seen = -1
        self._version = (0, 0)
        self._known: dict[tuple[object, ...], list[Any]] = {}

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = _connect(self._disk.path, isolation_level=None)
            self._open.execute("PRAGMA query_only = ON")
            self._opened += 1
        return self._open

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query; they are read once for each state of the file."""
        self._look()
        key = (query, *values)
        if key not in self._known:
            self._known[key] = self._connection().execute(query, values).fetchall()
        return self._known[key]

    def version(self) -> tuple[int, int]:
        """Return a number that changes when another connection has committed."""
        self._look()
        return self._version

    def _look(self) -> None:
        """Forget what was read, if the file may have changed since."""
        if self._open is not None and self._seen == self._disk.changes:
            return
        self._seen = self._disk.changes
        (version,) = self._connection().execute("PRAGMA data_version").fetchone()
        if (self._opened, version) != self._version:
            self._version = self._opened, version
            self._known.clear()

    def close(self) -> None:
        """Let go of the file, so that it can be put back."""
        if self._open is not None:
            self._open.close()
            self._open = None


class Disks:
    """The simulated files by path; others are opened as ever."""

    def __init__(self) -> None:
        self._disks: dict[str, Disk] = {}

    def add(self, disk: Disk) -> Disk:
        """Simulate a file from now on; a former process's is forgotten."""
        self._disks[str(disk.path)] = disk
        return disk

    def connect(self, database: Any, *args: Any, **options: Any) -> sqlite3.Connection:
        """Open a database in place of `sqlite3.connect`."""
        name = unquote(str(database).removeprefix("file:").partition("?")[0])
        disk = self._disks.get(name)
        if disk is None:
            elsewhere: sqlite3.Connection = _connect(database, *args, **options)
            return elsewhere
        if disk.dead:
            raise Killed(name)
        found = _connect(database, *args, factory=Connection, **options)
        assert isinstance(found, Connection)
        found.disk = disk
        disk.connections.append(found)
        return found

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Let the program open its files here for the length of the block."""
        sqlite3.connect = self.connect  # type: ignore[assignment]
        try:
            yield
        finally:
            sqlite3.connect = _connect


def copy_file(source: Path, target: Path) -> None:
    """Copy a database that nobody has open."""
    shutil.copyfile(source, target)
