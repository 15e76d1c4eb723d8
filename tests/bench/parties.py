"""The processes that take part: the bridge, a desk that pushes, a desk that receives."""

from __future__ import annotations

import asyncio
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

from exchange.client import ExchangeClient, IncomingMessage, SealedMessage, Written
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import MESSAGES, batches

#: Messages in one call, and calls under way at once.
CALL = 128
WINDOW = 4
#: Pulls of the receiver under way at once: one is answered while another is acknowledged.
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

    def answer(self) -> Any:
        """Return the answer; raises `EOFError` if the process ended, `TimeoutError` if it hangs."""
        if not self._ours.poll(_PATIENCE * 4):
            raise TimeoutError
        return self._ours.recv()

    def ask(self, *command: Any) -> Any:
        """Give a command and return its answer."""
        self.send(*command)
        return self.answer()

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
    finally:
        process.stop()


def _commands(connection: Connection) -> Iterator[tuple[Any, ...]]:
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
        for (command,) in _commands(connection):
            if command == "start":
                measured.start()
            connection.send(measured.read())
        os.kill(os.getpid(), 15)

    asyncio.run(serve(load_settings(settings), listen))


# -- the desk that pushes


def sender(
    connection: Connection, place: Place, port: int, messages: Sequence[SealedMessage]
) -> None:
    """Push ``(first, last)`` of *messages*; answer when it began and ended, and its CPU seconds."""
    with place.client(SENDER.organisation, port) as client, ThreadPoolExecutor(WINDOW) as window:
        for first, last in _commands(connection):
            calls = batches(messages[first:last], CALL)
            begun, used = time.monotonic(), time.process_time()
            for results in window.map(client.push_sealed, calls):
                bad = next((result for result in results if result.stored is None), None)
                if bad is not None:
                    raise RuntimeError(bad)
            connection.send((begun, time.monotonic(), time.process_time() - used))


# -- the desk that receives


def receiver(connection: Connection, place: Place, port: int) -> None:
    """Pull and acknowledge ``(count,)`` messages; answer when the first came, the end, its CPU."""
    with place.client(RECEIVER.organisation, port) as client:
        for (count,) in _commands(connection):
            used = time.process_time()
            connection.send((*_receive(client, count), time.process_time() - used))


def _receive(client: ExchangeClient, count: int) -> tuple[float, float]:
    left, lock = count, threading.Lock()
    came: list[float] = []
    ended: list[float] = []

    def pull_and_acknowledge() -> None:
        nonlocal left
        while left > 0:
            items = client.pull(CALL, timedelta(seconds=1))
            if not items:
                continue
            came.append(time.monotonic())
            results = client.acknowledge([_written(item) for item in items])
            bad = next((result for result in results if result.leaf_index is None), None)
            if bad is not None:
                raise RuntimeError(bad)
            with lock:
                left -= len(items)
                if left <= 0:
                    ended.append(time.monotonic())

    pullers = PULLERS if count > MESSAGES else 1
    with ThreadPoolExecutor(pullers) as threads:
        for done in [threads.submit(pull_and_acknowledge) for _ in range(pullers)]:
            done.result()
    return min(came), ended[0]


def _written(item: object) -> Written:
    if not isinstance(item, IncomingMessage):
        raise TypeError(item)
    return Written(
        message_id=item.message_id,
        digest=item.digest,
        local_number=f"JJ{item.position:010}",
        time=datetime.now(UTC),
    )
