"""
A bridge's claim of its log on MariaDB: a row that each of its drains passes.

GET_LOCK would be one node's, and Galera has no lock of its own.  So the row says whose the log is,
and counts: each drain adds one in its own transaction, and an idle bridge every two seconds.  Nobody's
clock counts: whoever finds another's claim looks whether its number still grows.  If it stood still for
ten seconds it may be taken over; on the same machine, as soon as its process is seen to be gone.

One that only stood still (a frozen machine, a cut cable) writes nothing more either: its next drain
finds the row changed, and the cluster lets no two transactions through that both changed it.

A database's first log has the row 0, and whoever is alone claims the database by it: a second log joins
under that very claim, and brings a row of its own.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, event

from exchange.errors import ExchangeError, StoreUnusable
from exchange.store.engines import Engines, closed_on_failure, insisting, translated
from exchange.store.mariadb import enter
from exchange.store.mariadb_driver import Mariadb
from exchange.text import Text

_log = logging.getLogger(__name__)

#: How often an idle bridge adds one.
_BEAT_SECONDS = 2.0
#: How long a claim must stand still before another may take it.
_PATIENCE_SECONDS = 10.0
#: How often who waits for that looks.
_LOOK_SECONDS = 0.25

_READ = "SELECT number, token, holder, beat FROM claim ORDER BY number"
_TAKE = (
    "UPDATE claim SET token = {}, holder = {}, beat = beat + 1"
    " WHERE number = {} AND token = {} AND beat = {}"
)
#: What a drain begins with, and an idle bridge does now and then.
_BEAT = "UPDATE claim SET beat = beat + 1 WHERE number = {} AND token = {}"
#: Free it may be, where another one came and went meanwhile.
_BACK = "UPDATE claim SET token = {}, holder = {}, beat = beat + 1 WHERE number = {} AND token = ''"
_GIVE_BACK = (
    "UPDATE claim SET token = '', holder = '', beat = beat + 1 WHERE number = {} AND token = {}"
)
# As on PostgreSQL: one that stands still in the middle of a drain would keep the others from its tickets.
_SHARING = "SET SESSION innodb_lock_wait_timeout = 2, idle_transaction_timeout = 10"

_JOINED = Text(
    en="Another log has joined the database {place} while this bridge stood still. Start the bridge again: "
    "it then shares the database.",
    zh="本网桥停顿期间，数据库 {place} 已有其他日志加入。请重新启动网桥，之后即与其共用数据库。",
)

#: Makes the failure that names who serves.
Served = Callable[[str], ExchangeError]


class Seen(NamedTuple):
    """What stood in a row."""

    number: int
    token: str
    holder: str
    beat: int


class RowClaim:
    """The right to write; until `close`, or until it stood still for long and another took it."""

    def __init__(
        self, engines: Engines, pid: int, served: Served, *, shared_by: int | None = None
    ) -> None:
        """
        Take it, or raise what *served* makes; *pid* is the process that others are told.

        *shared_by* is the log's number where several share the database; without, it is taken for one
        alone.
        """
        self._engines, self._served = engines, served
        self._number, self._alone = shared_by or 0, shared_by is None
        self._token, self._holder = secrets.token_hex(16), _ourselves(pid)
        self._beaten = time.monotonic()
        self._closed = threading.Event()
        self._take()
        event.remove(engines.writer, "begin", enter)
        event.listen(engines.writer, "begin", self._enter)
        if not self._alone:
            event.listen(engines.writer, "connect", _share)
            engines.writer.dispose()  # what was connected before waits for long
        self._beating = threading.Thread(target=self._beat, name="claim", daemon=True)
        self._beating.start()

    def close(self) -> None:
        """Let others serve; where the database cannot be told, they wait for ten seconds."""
        self._closed.set()
        self._beating.join()
        try:
            _run(self._engines, _GIVE_BACK, self._number, self._token)
        except ExchangeError as error:
            _log.warning("The database could not be told that this bridge ends: %s", error)
        self._engines.close()

    def _look(self) -> Seen:
        return next(one for one in look(self._engines) if one.number == self._number)

    def _take(self) -> None:
        while True:
            found = self._look()
            if standing(self._engines, [found]):
                raise self._served(who(found.holder))
            mine = self._token, self._holder, self._number
            if _run(self._engines, _TAKE, *mine, found.token, found.beat):
                return

    def _enter(self, connection: Connection) -> None:
        run = partial(Mariadb().execute, connection)
        if not run(_BEAT, self._number, self._token):
            taken = run(_BACK, self._token, self._holder, self._number)
            rows = {row[0]: Seen(*row) for row in Mariadb().fetch(connection, _READ)}
            if not taken:
                raise self._served(who(rows[self._number].holder))
            if self._alone and len(rows) > 1:
                raise StoreUnusable(_JOINED.fill(place=self._engines.place))
        self._beaten = time.monotonic()

    def _beat(self) -> None:
        told = False
        while not self._closed.wait(_BEAT_SECONDS):
            if time.monotonic() < self._beaten + _BEAT_SECONDS:
                continue  # a drain did it
            try:
                if _run(self._engines, _BEAT, self._number, self._token):
                    told = False
                elif not told:
                    told = self._tell_taken()
            except ExchangeError as error:
                # The next drain says the same to those who wait for it.
                if not told:
                    _log.warning("The claim on the database could not be renewed: %s", error)
                told = True

    def _tell_taken(self) -> bool:
        """Say that another bridge has the claim, and whether that was to be said."""
        found = self._look()
        taken = found.token not in ("", self._token)
        if taken:
            _log.warning("%s", self._served(who(found.holder)).text.en)
        return taken


def look(engines: Engines) -> list[Seen]:
    """Return what stands in the rows, log by log."""
    with translated(engines), engines.asker.connect() as connection:
        return [Seen(*row) for row in Mariadb().fetch(connection, _READ)]


def standing(engines: Engines, found: Sequence[Seen]) -> list[Seen]:
    """Return those of the claims that were *found* whose bridges still serve."""
    waiting = {one.number: one for one in found if one.token and not _ended_here(one.holder)}
    # Where its process is seen to live it may serve another database: this one may be a copy of that.
    end = time.monotonic() + _PATIENCE_SECONDS
    served: list[Seen] = []
    while waiting and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        moved = [one for one in look(engines) if waiting.get(one.number, one) != one]
        served += [waiting.pop(one.number) for one in moved]
    return sorted(served)


def who(holder: str) -> str:
    """Return the words for who has the claim; empty if it does not say."""
    try:
        found = json.loads(holder)
        return f"PID {int(found['pid'])} @ {found['host']}"
    except (ValueError, TypeError, KeyError):
        return ""


def _run(engines: Engines, statement: str, *parameters: Any) -> int:
    def run() -> int:
        with translated(engines), engines.asker.connect() as connection:
            return Mariadb().execute(connection, statement, *parameters)

    return insisting(run)


def _share(connection: Any, _record: Any) -> None:
    with closed_on_failure(connection), connection.cursor() as cursor:
        cursor.execute(_SHARING)


# -- processes


def _ourselves(pid: int) -> str:
    """Return who we are, as JSON: to be told, and so that on this machine our end can be seen."""
    here = {"pid": pid, "host": platform.node()[:64]}
    process = os.getpid()
    began, machine = _began(process), _machine()
    if began and machine:
        here |= {"process": process, "began": began, "machine": machine}
    return json.dumps(here)


def _ended_here(holder: str) -> bool:
    """Return whether the process that is named was one of this machine, and is no more."""
    try:
        found = json.loads(holder)
        process, began, machine = int(found["process"]), found["began"], found["machine"]
    except (ValueError, TypeError, KeyError):
        return False
    return bool(machine == _machine() and began != _began(process) and not _hidden(process))


def _hidden(process: int) -> bool:
    """Return whether a process lives of which /proc shows nothing: another user's (hidepid, ProtectProc)."""
    with suppress(OSError):
        Path(f"/proc/{process}/stat").read_bytes()
        return False
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True


def _machine() -> str:
    """Return what tells this start of this machine, and this container of it, from every other one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(process: int) -> str:
    """Return when a process of this machine began, in the system's ticks; empty if it is not alive."""
    try:
        said = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # After the name, which may hold anything: the state, and as the twentieth the beginning.
    state, *rest = said.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
