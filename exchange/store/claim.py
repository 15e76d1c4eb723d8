"""
One bridge for one log: the claim that is taken before it serves, and that dies with it.

Where a database has one log, its bridge claims the database alone.  Where several share it, each
claims its own log and shares the database: nobody can then serve it who takes himself for the only
one.  The claim is the first line: whoever comes second does not begin.  The second line is in every
transaction: the log's head moves by compare-and-set (`exchange.store.writer`).

SQLite: ``flock`` on a file beside the database, which the system releases when the process ends,
however it ends.  PostgreSQL: a session's advisory lock on the very connection that writes, so that
no write passes without it; when that connection is lost, the next one takes the lock again first.
MariaDB: a row that each of its drains passes (`exchange.store.mariadb_claim`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import event

from exchange.errors import StoreUnusable
from exchange.store.engines import (
    MARIADB,
    POSTGRESQL,
    Engines,
    closed_on_failure,
    reading,
    translated,
)
from exchange.store.faults import Fault, unusable
from exchange.text import Text

#: What makes the row of a log that joins on MariaDB.
NEW_ROW = "INSERT INTO claim (number, token, holder, beat) VALUES ({}, '', '', 0)"
#: What the lock file's name ends with; the file stays, the lock on it does not.
SUFFIX = ".bridge-lock"

# The class is ours by chance: it is the database's, and after it comes one for each log.  The other
# number is the table's: one PostgreSQL database may hold several bridges' tables in several schemas.
_CLASS = 4912345
_KEY = "((%s::bigint << 32) + 'log'::regclass::oid::bigint)"
_TRY = f"SELECT pg_try_advisory_lock({_KEY})"
_WAIT = f"SELECT pg_advisory_lock({_KEY})"
_TRY_SHARED = f"SELECT pg_try_advisory_lock_shared({_KEY})"
_WAIT_SHARED = f"SELECT pg_advisory_lock_shared({_KEY})"
_HOLDERS = (
    "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), '')"
    " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.classid = %s AND l.objid = 'log'::regclass::oid AND l.mode = ANY(%s)"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " ORDER BY a.backend_start, a.pid"
)
_ALONE, _SHARED = "ExclusiveLock", "ShareLock"
# One that stands still in the middle of a drain or a pull would keep the others from its tickets.
_SHARING = (
    "SELECT set_config('idle_in_transaction_session_timeout', '10000', false),"
    " set_config('lock_timeout', '2000', false)"
)
# The server shall notice within a minute that our machine is gone, and never end an idle session.
_SESSION = (
    "SELECT set_config('application_name', %s, false),"
    " set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
_NEVER_IDLE = (
    "SELECT set_config('idle_session_timeout', '0', false)"
    " FROM pg_settings WHERE name = 'idle_session_timeout'"  # PostgreSQL 14
)
# What PostgreSQL keeps of an application's name is 63 bytes.
_HOST = 28

_SERVED = Text(
    en="The database {place} is already served{by}. A database has one bridge: use that one, or stop "
    "it first. Nothing was changed.",
    zh="数据库 {place} 已有网桥在使用{by}。一个数据库只能由一个网桥使用：请使用该网桥，或先将其停止。"
    "未作改动。",
)
_LOG_SERVED = Text(
    en="This bridge's log in the database {place} is already served{by}. A log has one bridge: stop that "
    "one first, or give this one a log of its own (exchange log join). Nothing was changed.",
    zh="数据库 {place} 中本网桥的日志已有网桥在使用{by}。一份日志只能由一个网桥使用：请先将其停止，"
    "或为本网桥加入另一份日志（exchange log join）。未作改动。",
)
_BY = Text(en=" by {who}", zh="（{who}）")


class Closed(Protocol):
    """What is given back."""

    def close(self) -> None:
        """Give it back."""


class Claim:
    """The right to write one database's log; until `close`, or the end of the process."""

    def __init__(self, descriptor: int | None = None, row: Closed | None = None) -> None:
        self._descriptor = descriptor
        self._row = row

    def close(self) -> None:
        """Let others serve; PostgreSQL does so when the writing connection is closed."""
        if self._row is not None:
            self._row.close()
        self._row = None
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def claim(engines: Engines, pid: int | None = None, *, shared_by: int | None = None) -> Claim:
    """
    Take the database for one bridge, before its first write; *pid* is its process, if not this.

    *shared_by* is the number of its log where several share the database; without, it is taken for one
    alone.  Raises `StoreUnusable` where another bridge serves it, naming process and machine where
    known.
    """
    if engines.file is not None:
        return _claim_file(engines, engines.file, pid or os.getpid())
    if engines.url.get_backend_name() == MARIADB:
        return _claim_row(engines, pid or os.getpid(), shared_by)
    if engines.url.get_backend_name() == POSTGRESQL:
        _claim_session(engines, pid or os.getpid(), shared_by)
    return Claim()


def served_by(engines: Engines) -> str | None:
    """Return who serves the database, empty if that is not known; None if nobody does."""
    file = engines.file
    if file is None:
        if engines.url.get_backend_name() == MARIADB:
            from exchange.store import mariadb_claim  # noqa: PLC0415 (with an extra)

            found = mariadb_claim.standing(engines, mariadb_claim.look(engines))
            return "; ".join(mariadb_claim.who(one.holder) for one in found) if found else None
        if engines.url.get_backend_name() != POSTGRESQL:
            return None
        with reading(engines) as connection:
            asked = (_CLASS, [_ALONE, _SHARED])
            raw = connection.connection.dbapi_connection
            holders = raw.execute(_HOLDERS, asked).fetchall()  # type: ignore[union-attr]
        return "; ".join(_who(*holder) for holder in holders) if holders else None
    try:
        descriptor = os.open(_beside(file), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


# -- SQLite


def _beside(file: Path) -> Path:
    """Return the lock file of a database, the same by whatever name the database is called."""
    real = file.resolve()
    return real.with_name(real.name + SUFFIX)


def _claim_file(engines: Engines, file: Path, pid: int) -> Claim:
    path = _beside(file)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        why = Text(en="{path}: {why}", zh="{path}：{why}").fill(path=path, why=error.strerror)
        raise unusable(engines.place, Fault.READ_ONLY, why) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        who = _read(descriptor)
        os.close(descriptor)
        raise _served(engines, who) from error
    except OSError as error:
        os.close(descriptor)
        why = Text(en="{path} cannot be locked: {why}", zh="{path} 无法加锁：{why}")
        why = why.fill(path=path, why=error.strerror)
        raise unusable(engines.place, Fault.READ_ONLY, why) from error
    # On a full disk the lock holds all the same; the next one is merely not told whose it is.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": pid, "host": platform.node()}).encode(), 0)
    return Claim(descriptor)


def _read(descriptor: int) -> str:
    """Return who wrote the lock file; empty if it does not say."""
    try:
        found = json.loads(os.pread(descriptor, 1024, 0))
        return f"PID {int(found['pid'])} @ {found['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return ""


# -- MariaDB


def _claim_row(engines: Engines, pid: int, shared_by: int | None) -> Claim:
    from exchange.store.mariadb_claim import RowClaim  # noqa: PLC0415 (with an extra)

    if shared_by is None:
        return Claim(row=RowClaim(engines, pid, partial(_served, engines)))
    if shared_by < 0:  # where several logs are, nobody can have the database alone
        return Claim()
    served = partial(_served, engines, text=_LOG_SERVED)
    return Claim(row=RowClaim(engines, pid, served, shared_by=shared_by))


# -- PostgreSQL


def _claim_session(engines: Engines, pid: int, shared_by: int | None) -> None:
    ours = f"exchange {pid}@{platform.node()[:_HOST]} {secrets.token_hex(4)}"

    @event.listens_for(engines.writer, "connect")
    def take(connection: Any, _record: Any) -> None:
        with closed_on_failure(connection), connection.cursor() as cursor:
            cursor.execute(_SESSION, (ours,))
            cursor.execute(_NEVER_IDLE)
            if shared_by is None:
                _take(engines, cursor, ours, _Lock(_CLASS, _TRY, _WAIT, [_ALONE, _SHARED], _SERVED))
            else:
                cursor.execute(_SHARING)
                _take(
                    engines,
                    cursor,
                    ours,
                    _Lock(_CLASS, _TRY_SHARED, _WAIT_SHARED, [_ALONE], _SERVED),
                )
                if shared_by >= 0:
                    mine = _CLASS + 1 + shared_by
                    _take(engines, cursor, ours, _Lock(mine, _TRY, _WAIT, [_ALONE], _LOG_SERVED))
            connection.commit()

    engines.writer.dispose()  # what was connected before holds no lock
    with translated(engines), engines.writer.connect():
        pass


class _Lock(NamedTuple):
    """One advisory lock: how it is taken, in which modes it is in our way, and what is said then."""

    number: int
    attempt: str
    wait: str
    against: list[str]
    served: Text


def _take(engines: Engines, cursor: Any, ours: str, lock: _Lock) -> None:
    """Take a lock; also from a connection that we have lost and the server has not yet missed."""
    if cursor.execute(lock.attempt, (lock.number,)).fetchone()[0]:
        return
    holders = cursor.execute(_HOLDERS, (lock.number, lock.against)).fetchall()
    others = [holder for holder in holders if holder[1] != ours]
    if others:
        raise _served(engines, "; ".join(_who(*other) for other in others), lock.served)
    for holder in holders:
        cursor.execute("SELECT pg_terminate_backend(%s)", (holder[0],))
    cursor.execute(lock.wait, (lock.number,))  # no longer than lock_timeout


def _who(backend: int, application: str | None, address: str) -> str:
    words = (application or "").split(" ")
    if words[0] == "exchange" and len(words) == 3:
        pid, _, host = words[1].partition("@")
        return f"PID {pid} @ {host}"
    return " ".join(filter(None, ("PostgreSQL", f"backend {backend}", application, address)))


def _served(engines: Engines, who: str, text: Text = _SERVED) -> StoreUnusable:
    by = _BY.fill(who=who) if who else Text(en="", zh="")
    said = Text(
        en=text.en.format(place=engines.place, by=by.en),
        zh=text.zh.format(place=engines.place, by=by.zh),
    )
    return StoreUnusable(said, holder=who)
