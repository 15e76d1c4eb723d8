"""The processes that take part: the bridge, a desk that pushes, a desk that receives."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from exchange.acts import Urgency
from exchange.client import (
    ExchangeClient,
    IncomingMessage,
    PushResult,
    SealedMessage,
    Written,
)
from exchange.client.batches import CALL_MESSAGES
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import MESSAGES, batches

#: Messages in one call.
CALL = 128
#: By messages in a call (the first is one ticket, the last the contract's most), calls under way at once:
#: half of what a connection may have, 32, for a bridge under load counts a call a while longer than its caller.
WINDOWS = {MESSAGES: 16, 32: 8, CALL: 4, 512: 2}
#: Pulls of the receiver for everything under way at once: one is answered while another is acknowledged.
PULLERS = 2
_PATIENCE = 60.0

_SPAWN = multiprocessing.get_context("spawn")


class Process:
    """A process of ours that answers commands, one at a time."""

    def __init__(self, main: Callable[..., None], *arguments: Any) -> None:
        self._ours, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=main, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, *command: Any) -> None:
        """Give a command."""
        self._ours.send(command)

    def answer(self, patience: float = _PATIENCE * 4) -> Any:
        """Return the answer; raises `EOFError` if the process ended, `TimeoutError` if it hangs."""
        if not self._ours.poll(patience):
            raise TimeoutError
        return self._ours.recv()

    def ask(self, *command: Any) -> Any:
        """Give a command and return its answer."""
        self.send(*command)
        return self.answer()

    def spent(self) -> float:
        """Return the CPU seconds that it and its own child processes have used; of Linux's ``/proc``."""
        pid = str(self._process.pid)
        family = [pid]
        for thread in Path(f"/proc/{pid}/task").iterdir():  # a child is that thread's which made it
            with contextlib.suppress(OSError):  # one that has ended meanwhile
                family += (thread / "children").read_text("ascii").split()
        # What stands behind the name, which may hold blanks: user and system time are 14th and 15th.
        facts = (Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family)
        return sum(int(one[11]) + int(one[12]) for one in facts) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def stop(self) -> None:
        """Let it end."""
        self._ours.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def running(main: Callable[..., None], *arguments: Any) -> Iterator[Process]:
    """Run a process for the length of the block; it has answered once when the block begins."""
    process = Process(main, *arguments)
    try:
        process.answer()
        yield process
    except BaseException:
        process.kill()  # whatever it is at, nobody waits for it
        raise
    finally:
        process.stop()


def commands(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """Say that the process is ready, then yield each command until the other end hangs up."""
    # What it holds to push, thousands of tickets at once, no platform holds: the collector would walk
    # it again and again, a third of a desk's CPU time.
    gc.collect()
    gc.freeze()
    connection.send("ready")
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


# -- the bridge


def bridge(connection: Connection, settings: Path, spans: bool) -> None:
    """Serve as ``exchange serve`` does; ``start`` and ``read`` are answered where there are spans."""
    from exchange.config import load_settings  # noqa: PLC0415 (only this process is a bridge)
    from exchange.server.opening import serve  # noqa: PLC0415
    from tests.bench.spans import Spans  # noqa: PLC0415

    measured = Spans()
    if spans:
        measured.install()

    def listen(_port: int) -> None:
        threading.Thread(target=obey, daemon=True).start()

    def obey() -> None:
        for (command,) in commands(connection):
            if command == "start":
                measured.start()
            connection.send(measured.read())
        os.kill(os.getpid(), 15)

    asyncio.run(serve(load_settings(settings), listen))


# -- the desk that pushes


def sender(
    connection: Connection, place: Place, port: int, messages: Sequence[SealedMessage]
) -> None:
    """
    Push ``(first, last, size)`` of *messages*, *size* a call; answer when it began and ended, and
    its CPU seconds.
    """
    with place.client(SENDER.organisation, port) as client:
        for first, last, size in commands(connection):
            # Beyond its usual size the client would make several calls of one.
            push = client.push_sealed if size <= CALL_MESSAGES else client._push
            calls = batches(messages[first:last], size)
            with ThreadPoolExecutor(WINDOWS[size]) as window:
                begun, used = time.monotonic(), time.process_time()
                # One call alone is made as a platform makes it: by the thread that has the message.
                pushing = map if len(calls) == 1 else window.map
                for results in pushing(push, calls):
                    _require_stored(results)
                connection.send((begun, time.monotonic(), time.process_time() - used))


def urgent_sender(
    connection: Connection, place: Place, port: int, messages: Sequence[SealedMessage]
) -> None:
    """Push ``(count, gap)`` tickets, one every *gap* seconds; answer (ids, begun, confirmed) of each."""
    with place.client(SENDER.organisation, port) as client:
        for count, gap in commands(connection):
            said = []
            for ticket in batches(messages[: count * MESSAGES], MESSAGES):
                begun = time.monotonic()
                _require_stored(client.push_sealed(ticket))
                confirmed = time.monotonic()
                said.append(([message.message_id for message in ticket], begun, confirmed))
                time.sleep(max(begun + gap - confirmed, 0))
            connection.send(said)


def _require_stored(results: Sequence[PushResult]) -> None:
    bad = next((result for result in results if result.stored is None), None)
    if bad is not None:
        raise RuntimeError(bad)


# -- the desk that receives


def receiver(connection: Connection, place: Place, port: int) -> None:
    """
    Pull and acknowledge ``(count,)`` messages; answer when the first came, the end, its CPU, and
    when each urgent one came.
    """
    with place.client(RECEIVER.organisation, port) as client:
        for (count,) in commands(connection):
            used = time.process_time()
            came, ended, urgent = _receive(client, count)
            connection.send((came, ended, time.process_time() - used, urgent))


def _receive(client: ExchangeClient, count: int) -> tuple[float, float, dict[str, float]]:
    left, lock = count, threading.Lock()
    came: list[float] = []
    ended: list[float] = []
    urgent: dict[str, float] = {}

    def pull_and_acknowledge(least: Urgency | None = None) -> None:
        nonlocal left
        while left > 0:
            items = client.pull(CALL, timedelta(seconds=1), least=least)
            if not items:
                continue
            now = time.monotonic()
            came.append(now)
            results = client.acknowledge([_written(item) for item in items])
            bad = next((result for result in results if result.leaf_index is None), None)
            if bad is not None:
                raise RuntimeError(bad)
            with lock:
                urgent.update((item.message_id, now) for item in items if _is_urgent(item))
                left -= len(items)
                if left <= 0:
                    ended.append(time.monotonic())

    pullers: list[Urgency | None] = [None]
    if count > MESSAGES:  # as an adapter does, one of them for what is urgent
        pullers = [None] * PULLERS + [Urgency.URGENT]
    with ThreadPoolExecutor(len(pullers)) as threads:
        for done in [threads.submit(pull_and_acknowledge, least) for least in pullers]:
            done.result()
    return min(came), ended[0], urgent


def _is_urgent(item: object) -> bool:
    return isinstance(item, IncomingMessage) and item.message.urgency >= Urgency.URGENT


def _written(item: object) -> Written:
    if not isinstance(item, IncomingMessage):
        raise TypeError(item)
    return Written(
        message_id=item.message_id,
        digest=item.digest,
        local_number=f"JJ{item.position:010}",
        time=datetime.now(UTC),
    )
