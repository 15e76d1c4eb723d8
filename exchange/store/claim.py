"""
One bridge for one database: the claim that is taken before it serves, and that dies with it.

The tables hold one log (`exchange.tables`: a leaf index is a primary key), so the database itself is
what is claimed; tables that hold several logs would be claimed log by log.  The claim is the first
line: whoever comes second does not begin.  The second line is in every transaction: the log's head
moves by compare-and-set (`exchange.store.writer`).

SQLite: ``flock`` on a file beside the database, which the system releases when the process ends,
however it ends.  PostgreSQL: a session's advisory lock on the very connection that writes, so that
no write passes without it; when that connection is lost, the next one takes the lock again first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from exchange.errors import StoreUnusable
from exchange.store.engines import Engines, closed_on_failure, reading, translated
from exchange.store.faults import Fault, unusable
from exchange.text import Text

#: What the lock file's name ends with; the file stays, the lock on it does not.
SUFFIX = ".bridge-lock"

# The first number is ours by chance; the second is the table's: one PostgreSQL database may hold
# several bridges' tables in several schemas.
_CLASS = 4912345
_TRY = f"SELECT pg_try_advisory_lock(({_CLASS}::bigint << 32) + 'log'::regclass::oid::bigint)"
_WAIT = f"SELECT pg_advisory_lock(({_CLASS}::bigint << 32) + 'log'::regclass::oid::bigint)"
_HOLDER = (
    "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), '')"  # noqa: S608
    " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    f" AND l.classid = {_CLASS} AND l.objid = 'log'::regclass::oid"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
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
_BY = Text(en=" by {who}", zh="（{who}）")


class Claim:
    """The right to write one database's log; until `close`, or the end of the process."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Let others serve; PostgreSQL does so when the writing connection is closed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def claim(engines: Engines, pid: int | None = None) -> Claim:
    """
    Take the database for one bridge alone, before its first write; *pid* is its process, if not this.

    Raises `StoreUnusable` where another bridge serves it, naming process and machine where known.
    """
    if engines.file is not None:
        return _claim_file(engines, engines.file, pid or os.getpid())
    if engines.url.get_backend_name() == "postgresql":
        _claim_session(engines, pid or os.getpid())
    return Claim()


def served_by(engines: Engines) -> str | None:
    """Return who serves the database, empty if that is not known; None if nobody does."""
    file = engines.file
    if file is None:
        if engines.url.get_backend_name() != "postgresql":
            return None
        with reading(engines) as connection:
            holder = connection.execute(text(_HOLDER)).first()
        return None if holder is None else _who(*holder)
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


# -- PostgreSQL


def _claim_session(engines: Engines, pid: int) -> None:
    ours = f"exchange {pid}@{platform.node()[:_HOST]} {secrets.token_hex(4)}"

    @event.listens_for(engines.writer, "connect")
    def take(connection: Any, _record: Any) -> None:
        with closed_on_failure(connection), connection.cursor() as cursor:
            cursor.execute(_SESSION, (ours,))
            cursor.execute(_NEVER_IDLE)
            if not cursor.execute(_TRY).fetchone()[0]:
                _take_from_ourselves(engines, cursor, ours)
            connection.commit()

    engines.writer.dispose()  # what was connected before holds no lock
    with translated(engines), engines.writer.connect():
        pass


def _take_from_ourselves(engines: Engines, cursor: Any, ours: str) -> None:
    """Take the lock over from a connection that we have lost and the server has not yet missed."""
    holder = cursor.execute(_HOLDER).fetchone()
    if holder is not None and holder[1] != ours:
        raise _served(engines, _who(*holder))
    if holder is not None:
        cursor.execute("SELECT pg_terminate_backend(%s)", (holder[0],))
    cursor.execute(_WAIT)  # no longer than lock_timeout


def _who(backend: int, application: str | None, address: str) -> str:
    words = (application or "").split(" ")
    if words[0] == "exchange" and len(words) == 3:
        pid, _, host = words[1].partition("@")
        return f"PID {pid} @ {host}"
    return " ".join(filter(None, ("PostgreSQL", f"backend {backend}", application, address)))


def _served(engines: Engines, who: str) -> StoreUnusable:
    by = _BY.fill(who=who) if who else Text(en="", zh="")
    said = Text(
        en=_SERVED.en.format(place=engines.place, by=by.en),
        zh=_SERVED.zh.format(place=engines.place, by=by.zh),
    )
    return StoreUnusable(said, holder=who)
