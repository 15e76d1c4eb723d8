"""The desk's own database: its tickets, the hand-offs it knows, and everything said about them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exchange.errors import StoreMismatch, StoreUnavailable
from exchange.text import Text

VERSION = 1

SCHEMA = (
    """
    CREATE TABLE ticket (
        ticket_id TEXT PRIMARY KEY,
        local_number TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        first_receiver TEXT NOT NULL,
        kind TEXT NOT NULL,
        region TEXT NOT NULL,
        matter TEXT NOT NULL,
        title TEXT NOT NULL,
        urgency INTEGER NOT NULL,
        marker INTEGER NOT NULL,
        classification INTEGER NOT NULL,
        closed INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE handoff (
        handoff_id TEXT PRIMARY KEY,
        ticket_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        receiver TEXT NOT NULL,
        state INTEGER NOT NULL,
        head BLOB NOT NULL,
        own_duty INTEGER NOT NULL DEFAULT 0,
        first_receiver TEXT NOT NULL,
        taken_over BLOB, -- digest of the take_over note
        extension BLOB,  -- digest of the newest request
        position BLOB    -- digest of the receiver's newest position
    )
    """,
    "CREATE INDEX handoff_ticket ON handoff (ticket_id)",
    # A message that came, or that was said here: its id stands beside what it changed.
    """
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        ticket_id TEXT NOT NULL,
        handoff_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        author TEXT NOT NULL,
        created TEXT NOT NULL,
        digest BLOB NOT NULL,
        previous BLOB NOT NULL,
        act TEXT NOT NULL,
        content TEXT NOT NULL, -- the field groups
        local_number TEXT NOT NULL,
        answer TEXT NOT NULL,  -- came, waiting, stored, refused, dropped, written, declined
        detail TEXT NOT NULL DEFAULT '',
        receipt BLOB,
        before TEXT            -- of what was said here: the hand-off as it was
    )
    """,
    "CREATE INDEX event_ticket ON event (ticket_id)",
    "CREATE INDEX event_digest ON event (digest)",
    # What was said here and the spool does not hold yet, in the same transaction as the event.
    """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        ticket_id TEXT NOT NULL,
        handoff_id TEXT NOT NULL,
        recipient TEXT NOT NULL,
        urgency INTEGER NOT NULL,
        previous BLOB NOT NULL,
        digest BLOB NOT NULL,
        envelope BLOB NOT NULL
    )
    """,
)

_VERSION = Text(
    en="The desk's database {path} is of version {found}, this program's is {own}.",
    zh="平台数据库 {path} 的版本为 {found}，本程序为 {own}。",
)
_BROKEN = Text(
    en="The desk's database {path} cannot be used: {why}.",
    zh="平台数据库 {path} 不可用：{why}。",
)


class DeskDatabase:
    """One SQLite file, used by one process; `changed` is notified after every transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        with self._failures():
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30.0
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                text = _VERSION.fill(path=path, found=version, own=VERSION)
                raise StoreMismatch(text)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query, each by column name."""
        with self._lock, self._failures():
            return [dict(row) for row in self._db.execute(query, values)]

    def row(self, query: str, *values: object) -> dict[str, Any] | None:
        """Return the first row of a query, None where there is none."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def run(self, statement: str, *values: object) -> None:
        """Change rows; inside `transaction`."""
        self._db.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside durably, or nothing of it; may not be nested."""
        with self._lock, self._failures():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            self.changed.notify_all()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreUnavailable(_BROKEN.fill(path=self.path, why=error)) from error
