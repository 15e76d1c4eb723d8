"""
The claim of the one bridge on MariaDB: a row that every transaction which writes passes.

GET_LOCK would be one node's, and Galera has no lock of its own.  So the row says whose the database is,
and counts: each drain adds one in its own transaction, and an idle bridge every two seconds.  Nobody's
clock counts: whoever finds another's claim looks whether its number still grows.  If it stood still for
ten seconds it may be taken over; on the same machine, as soon as its process is seen to be gone.

One that only stood still (a frozen machine, a cut cable) writes nothing more either: its next drain
finds the row changed, and the cluster lets no two transactions through that both changed it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, event

from exchange.errors import ExchangeError
from exchange.store.engines import Engines, translated
from exchange.store.mariadb import enter
from exchange.store.mariadb_driver import Mariadb

_log = logging.getLogger(__name__)

#: How often an idle bridge adds one.
_BEAT_SECONDS = 2.0
#: How long a claim must stand still before another may take it.
_PATIENCE_SECONDS = 10.0
#: How often who waits for that looks.
_LOOK_SECONDS = 0.25

_READ = "SELECT token, holder, beat FROM claim"
_TAKE = "UPDATE claim SET token = {}, holder = {}, beat = beat + 1 WHERE token = {} AND beat = {}"
#: A drain, and nobody else's: free it may be, where another one came and went meanwhile.
_ENTER = "UPDATE claim SET token = {}, holder = {}, beat = beat + 1 WHERE token IN ({}, '')"
_BEAT = "UPDATE claim SET beat = beat + 1 WHERE token = {}"
_GIVE_BACK = "UPDATE claim SET token = '', holder = '', beat = beat + 1 WHERE token = {}"

#: Makes the failure that names who serves.
Served = Callable[[str], ExchangeError]


class Seen(NamedTuple):
    """What stood in the row."""

    token: str
    holder: str
    beat: int


class RowClaim:
    """The right to write; until `close`, or until it stood still for long and another took it."""

    def __init__(self, engines: Engines, pid: int, served: Served) -> None:
        """Take it, or raise what *served* makes; *pid* is the process that others are told."""
        self._engines, self._served = engines, served
        self._token, self._holder = secrets.token_hex(16), _ourselves(pid)
        self._beaten = time.monotonic()
        self._closed = threading.Event()
        self._take()
        event.remove(engines.writer, "begin", enter)
        event.listen(engines.writer, "begin", self._enter)
        self._beating = threading.Thread(target=self._beat, name="claim", daemon=True)
        self._beating.start()

    def close(self) -> None:
        """Let others serve; where the database cannot be told, they wait for ten seconds."""
        self._closed.set()
        self._beating.join()
        try:
            _run(self._engines, _GIVE_BACK, self._token)
        except ExchangeError as error:
            _log.warning("The database could not be told that this bridge ends: %s", error)
        self._engines.close()

    def _take(self) -> None:
        while True:
            found = look(self._engines)
            if found.token and stands(self._engines, found):
                raise self._served(who(found.holder))
            if _run(self._engines, _TAKE, self._token, self._holder, found.token, found.beat):
                return

    def _enter(self, connection: Connection) -> None:
        mine = self._token, self._holder, self._token
        if not Mariadb().execute(connection, _ENTER, *mine):
            raise self._served(who(Mariadb().fetch(connection, _READ)[0][1]))
        self._beaten = time.monotonic()

    def _beat(self) -> None:
        told = False
        while not self._closed.wait(_BEAT_SECONDS):
            if time.monotonic() < self._beaten + _BEAT_SECONDS:
                continue  # a drain did it
            try:
                if _run(self._engines, _BEAT, self._token):
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
        found = look(self._engines)
        taken = found.token not in ("", self._token)
        if taken:
            _log.warning("%s", self._served(who(found.holder)).text.en)
        return taken


def look(engines: Engines) -> Seen:
    """Return what stands in the row."""
    with translated(engines), engines.asker.connect() as connection:
        return Seen(*Mariadb().fetch(connection, _READ)[0])


def stands(engines: Engines, found: Seen) -> bool:
    """Return whether the bridge that has the claim that was *found* still serves."""
    if _ended_here(found.holder):
        return False
    # Where its process is seen to live it may serve another database: this one may be a copy of that.
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        if look(engines) != found:
            return True
    return False


def who(holder: str) -> str:
    """Return the words for who has the claim; empty if it does not say."""
    try:
        found = json.loads(holder)
        return f"PID {int(found['pid'])} @ {found['host']}"
    except (ValueError, TypeError, KeyError):
        return ""


def _run(engines: Engines, statement: str, *parameters: Any) -> int:
    with translated(engines), engines.asker.connect() as connection:
        return Mariadb().execute(connection, statement, *parameters)


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
