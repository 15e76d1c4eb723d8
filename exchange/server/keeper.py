"""
The keeper: the process beside the bridge's own that alone writes its database.

What takes bytes apart and what decides and records are each a core's work; in one process they would
take turns.  The serving process sends each drain's work over a socket pair and gets what came of it, in
order.  Whoever of the two ends, the other one notices: the keeper ends with its serving
process, after the drain it is at; a keeper that ended is replaced at the next drain, as a database
connection would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, Protocol

from exchange.bridge import Announced, Declared, Drained, Head, Ledger, Part, Reconciled, Since
from exchange.config import Settings
from exchange.errors import ExchangeError, StoreUnavailable, StoreUnusable
from exchange.server.crossing import pack, unpack
from exchange.server.journal import Journal, kind_of, open_journal, take_over_logging
from exchange.server.known import keep_what_is_loaded, open_directory, open_ledger
from exchange.submission import Work
from exchange.text import Text

#: Bytes before each thing that crosses: its length.
_LENGTH = 8
#: Seconds for which a keeper waits for the one of a bridge that was killed to end its last drain.
_PATIENCE = 30.0
# The same code as here, whatever folder the bridge was started in.
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from exchange.server.keeper import main; main(int(sys.argv[1]))"
)
_HOLDER = re.compile(r"PID (\d+) @ (.+)")

_ENDED = Text(
    en="The process that writes the database ended; whether this was stored is not known. It is "
    "started again at once; send the same again.",
    zh="写入数据库的进程已结束，本次内容是否已保存尚不确定。该进程将立即重启，请原样重发。",
)


class Keeper(Protocol):
    """What the server asks of the part that writes."""

    async def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """Decide and record all of *work* in one transaction; raises as `Ledger.drain`."""

    async def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None
    ) -> Reconciled:
        """Compare a copy of hand-offs, as `Ledger.reconcile`."""

    async def enter(self, act: Part | Declared, now: datetime) -> Announced:
        """Record what an authority or the bridge itself did, as `Ledger.enter`."""

    def process_id(self) -> int | None:
        """Return the process that it is, None where it is this one."""

    async def close(self) -> None:
        """Let it end what it is at, and end."""


class ThreadKeeper:
    """A keeper that is a thread of the serving process: less memory, and one core's work in all."""

    def __init__(self, ledger: Ledger, thread: Executor) -> None:
        self.ledger = ledger
        #: The log's newest checkpoint when the database was opened.
        self.checkpoint = ledger.store.checkpoint()
        self._thread = thread

    async def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """Decide and record all of *work* in one transaction; raises as `Ledger.drain`."""
        drained: Drained = await self._run(self.ledger.drain, work, now)
        return drained

    async def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None
    ) -> Reconciled:
        """Compare a copy of hand-offs, as `Ledger.reconcile`."""
        ask = self.ledger.reconcile
        found: Reconciled = await self._run(ask, organisation, heads, now, since)
        return found

    async def enter(self, act: Part | Declared, now: datetime) -> Announced:
        """Record what an authority or the bridge itself did, as `Ledger.enter`."""
        announced: Announced = await self._run(self.ledger.enter, act, now)
        return announced

    def process_id(self) -> int | None:
        """Return None: it is a thread of this process."""
        return None

    async def close(self) -> None:
        """Close the database; its thread has ended."""
        self.ledger.store.close()

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


class ProcessKeeper:
    """A keeper in a process of its own; made by `begin`.  What is asked is answered in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: _Line | None = None
        #: The log's newest checkpoint when the database was opened.
        self.checkpoint = b""

    @classmethod
    async def begin(cls, settings: Settings) -> ProcessKeeper:
        """
        Start the process and let it open the database.

        Raises `ConfigurationError`, `DataError` and the store's failures, as found there.
        """
        keeper = cls(settings)
        try:
            await keeper._started()
        except BaseException:
            await keeper.close()
            raise
        return keeper

    async def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """Decide and record all of *work* in one transaction; raises as `Ledger.drain`."""
        line = self._line or await self._started()
        drained: Drained = await line.ask(("drain", (work, now)))
        return drained

    async def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None
    ) -> Reconciled:
        """Compare a copy of hand-offs, as `Ledger.reconcile`."""
        line = self._line or await self._started()
        found: Reconciled = await line.ask(("reconcile", (organisation, heads, now, since)))
        return found

    async def enter(self, act: Part | Declared, now: datetime) -> Announced:
        """Record what an authority or the bridge itself did, as `Ledger.enter`."""
        line = self._line or await self._started()
        announced: Announced = await line.ask(("enter", (act, now)))
        return announced

    def process_id(self) -> int | None:
        """Return the process that it is, None before it was started."""
        return None if self._process is None else self._process.pid

    async def close(self) -> None:
        """Let it end what it is at, and end."""
        async with self._starting:
            if self._line is not None:
                await self._line.close()
            self._line = None
            if self._process is not None:
                await asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    async def _started(self) -> _Line:
        async with self._starting:
            if self._line is not None:
                return self._line
            loop = asyncio.get_running_loop()
            ours = await loop.run_in_executor(None, self._launch)
            line = _Line(*await asyncio.open_connection(sock=ours, limit=1 << 20), self._lost)
            try:
                self.checkpoint = await line.ask((self._settings, os.getpid()))
            except BaseException:
                await line.close()
                raise
            self._line = line
            return line

    def _launch(self) -> socket.socket:
        """Start the process, once the one before has ended; return our end of the line."""
        if self._process is not None:
            self._process.wait()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [
                sys.executable,
                "-P",
                "-c",
                _BEGIN,
                str(theirs.fileno()),
                json.dumps(sys.path),
            ]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        return ours

    def _lost(self) -> None:
        self._line = None


class _Line:
    """The line to one keeper; once it is lost, whoever waits is told, and *lost* is called."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lost = lost
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._answering = asyncio.create_task(self._answer(), name="keeper")

    async def ask(self, question: object) -> Any:
        """Return the answer, or raise it."""
        data = pack(question)
        if self._answering.done():
            raise StoreUnavailable(_ENDED)
        waiting = asyncio.get_running_loop().create_future()
        self._asked.append(waiting)
        # In one piece: two would wake the other process twice.
        self._writer.write(len(data).to_bytes(_LENGTH) + data)
        answer = await waiting
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Hang up: the keeper ends once it has answered what it was asked."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        await self._answering

    async def _answer(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(_LENGTH))
                answer = unpack(await self._reader.readexactly(size))
                waiting = self._asked.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it has ended, or was killed
        finally:
            self._lost()
            self._writer.close()
            for waiting in self._asked:
                if not waiting.done():
                    waiting.set_result(StoreUnavailable(_ENDED))


# -- the process itself


def main(descriptor: int) -> None:
    """Open the database and answer until the other end of the line is closed."""
    # What stops the bridge is for its serving process: it ends what is queued, then this line.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as line, contextlib.suppress(EOFError, OSError):
        settings, serving = _receive(line)
        journal = open_journal(sys.stderr, level=settings.journal)
        take_over_logging(journal)
        try:
            ledger = _open(settings, serving)
        except Exception as error:  # noqa: BLE001  # the serving process tells it
            _send(line, _tellable(error, journal))
            return
        try:
            _send(line, ledger.store.checkpoint())
            _Turns(line, ledger, journal).run()
        finally:
            ledger.store.close()


class _Turns:
    """
    Two threads that answer by turns: one works, the other takes the next question apart meanwhile.

    While the database waits for its disk, a core is free for that.  Whoever has read a question also
    answers it, so that an urgent one wakes no second thread.
    """

    def __init__(self, line: socket.socket, ledger: Ledger, journal: Journal) -> None:
        self._line = line
        self._known: dict[str, Callable[..., Any]] = {
            "drain": ledger.drain,
            "reconcile": ledger.reconcile,
            "enter": ledger.enter,
        }
        self._journal = journal
        self._reading = threading.Lock()
        self._working = threading.Lock()

    def run(self) -> None:
        """Answer until the other end of the line is closed."""
        other = threading.Thread(target=self._answer)
        other.start()
        self._answer()
        other.join()

    def _answer(self) -> None:
        try:
            while True:
                with self._reading:
                    name, arguments = _receive(self._line)
                    self._working.acquire()  # before anyone else may read: in the order asked
                try:
                    self._tell(name, arguments)
                finally:
                    self._working.release()
        except (EOFError, OSError):
            pass  # the bridge hung up, or was killed
        finally:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RD)  # the other one ends, too, after its answer

    def _tell(self, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            answer = self._known[name](*arguments)
        except Exception as error:  # noqa: BLE001  # the serving process tells it
            answer = _tellable(error, self._journal)
        _send(self._line, answer)


def _open(settings: Settings, serving: int) -> Ledger:
    known = open_directory(settings, datetime.now(UTC))
    patient_until = time.monotonic() + _PATIENCE
    while True:
        try:
            ledger = open_ledger(settings, known, claimed_by=serving)
        except StoreUnusable as error:
            # A bridge that was killed leaves a keeper that is still at its last drain.
            if not _is_gone(error.facts.get("holder", "")) or time.monotonic() > patient_until:
                raise
            time.sleep(0.05)
        else:
            keep_what_is_loaded()
            return ledger


def _is_gone(holder: str) -> bool:
    found = _HOLDER.fullmatch(holder)
    if found is None or found[2] != os.uname().nodename:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _tellable(error: Exception, journal: Journal) -> Exception:
    """Return *error*, or its kind where it is none of ours: a foreign one may not cross."""
    if isinstance(error, ExchangeError):
        return error
    journal.error("keeper-broke", exc_info=error)
    return RuntimeError(kind_of(error))


def _receive(line: socket.socket) -> Any:
    return unpack(_exactly(line, int.from_bytes(_exactly(line, _LENGTH))))


def _exactly(line: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        read = line.recv_into(view)
        if not read:
            raise EOFError
        view = view[read:]
    return bytes(data)


def _send(line: socket.socket, thing: object) -> None:
    data = pack(thing)
    line.sendall(len(data).to_bytes(_LENGTH) + data)
