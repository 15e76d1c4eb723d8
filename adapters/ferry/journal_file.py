"""The file that a ferry's journal is: durable, one process's at a time, of one version."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from exchange.causes import cause
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnavailable
from exchange.text import Text

_VERSION = 1
_SCHEMA = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE outgoing (
    sequence INTEGER PRIMARY KEY,
    signed BLOB NOT NULL,
    receipts TEXT NOT NULL,     -- places in the bridge's mailbox, to be noted once confirmed
    made TEXT NOT NULL,
    written TEXT,               -- when its file was last put out; null: not yet
    copies INTEGER NOT NULL     -- how often it was
);
CREATE TABLE answer (           -- what the bridge answered, for the bridge beyond
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    acknowledgement BLOB NOT NULL,
    bundle INTEGER              -- the outgoing bundle it is in
);
CREATE TABLE arrived (sequence INTEGER PRIMARY KEY, signed BLOB NOT NULL, time TEXT NOT NULL);
CREATE TABLE damaged (sequence INTEGER PRIMARY KEY);
CREATE TABLE undecided (        -- what arrived and the bridge could not decide yet
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope BLOB NOT NULL,
    acknowledgement BLOB NOT NULL,
    chain TEXT NOT NULL,
    since TEXT NOT NULL,
    why TEXT NOT NULL
);
CREATE TABLE seen (sequence INTEGER PRIMARY KEY, digest BLOB NOT NULL);
CREATE TABLE past (stream TEXT PRIMARY KEY);
"""


class JournalFile:
    """The file *path*; one process at a time has it.  Every method is one transaction."""

    def __init__(self, path: Path, *, create: bool = True, alone: bool = True) -> None:
        """
        Open it; *create* where it is not there, *alone* unless it is only looked at.

        Raises `ConfigurationError` where it is missing or another ferry has it, `StoreMismatch` for
        another version's.
        """
        if not create and not path.exists():
            raise ConfigurationError(_MISSING.fill(path=path), file=str(path))
        self._lock = threading.RLock()
        self._claim: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if alone:
                self._claim = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        except BlockingIOError as error:
            raise ConfigurationError(_TAKEN.fill(path=path), file=str(path)) from error
        except (OSError, sqlite3.Error) as error:
            raise _failure(error) from error
        version = self._one("PRAGMA user_version")[0]
        if version == 0:
            with self._writing():
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
                self._set(stream=str(uuid.uuid4()), sequence="0", cursor="0")
        elif version != _VERSION:
            raise StoreMismatch(_OTHER.fill(path=path, version=version))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give it up."""
        with self._lock:
            self._db.close()
            if self._claim is not None:
                os.close(self._claim)
                self._claim = None

    # -- facts

    def fact(self, name: str) -> str:
        """Return what is noted under *name*; empty if nothing is."""
        row = self._row("SELECT value FROM fact WHERE name = ?", name)
        return "" if row is None else str(row[0])

    def number(self, name: str) -> int:
        """Return the number noted under *name*, 0 if none is."""
        return int(self.fact(name) or 0)

    def note(self, **facts: str) -> None:
        """Note *facts*."""
        with self._writing():
            self._set(**facts)

    def _set(self, **facts: str) -> None:
        self._db.executemany(
            "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            facts.items(),
        )

    # -- transactions

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            nested = self._db.in_transaction
            try:
                if not nested:
                    self._db.execute("BEGIN IMMEDIATE")
                yield
                if not nested:
                    self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if not nested and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise _failure(error) from error
            except BaseException:
                if not nested and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise _failure(error) from error

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query, *values)), None)

    def _one(self, query: str) -> tuple[Any, ...]:
        return self._rows(query)[0]


def _failure(error: Exception) -> StoreUnavailable:
    why = cause(error) if isinstance(error, OSError) else Text(en=str(error), zh=str(error))
    return StoreUnavailable(
        Text(en=_FAILED.en.format(why=why.en), zh=_FAILED.zh.format(why=why.zh))
    )


_MISSING = Text(
    en="There is no journal {path}: no ferry has run with this configuration yet.",
    zh="没有日志文件 {path}：尚未以此配置运行过摆渡。",
)
_TAKEN = Text(
    en="Another ferry works with the journal {path}; one at a time may.",
    zh="已有摆渡进程正在使用 {path}，同一时间只能运行一个。",
)
_OTHER = Text(
    en="The journal {path} is of version {version}; update this program.",
    zh="日志文件 {path} 的版本为 {version}，请升级本程序。",
)
_FAILED = Text(
    en="The ferry's journal fails: {why}. Nothing is lost; it is tried again.",
    zh="摆渡日志文件故障：{why}。内容未丢失，将自动重试。",
)
