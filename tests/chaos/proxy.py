"""
A TCP proxy that misbehaves on demand: what netem would do, where a kernel has none.

One `FaultProxy` is one thread with an event loop; each of its `Link`s listens on a loopback port
and carries bytes to one target.  A link's `Mode` is looked at for every chunk, so that a change
hits connections in the middle of whatever they are saying.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CHUNK = 65_536
#: What a trickling link carries at once, and how often: about 5 KiB a second.
_DROP = 128
_DROP_EVERY = 0.025
#: Seconds after which a connection that was swallowed is reset, where it cannot just be forgotten.
_MISSED = 15.0
#: Linux's ``TCP_REPAIR``: a socket that is closed in it says nothing to the other side.
_TCP_REPAIR = 19
#: Linger "on, 0 seconds": the connection is closed by a reset.
_RESET = struct.pack("ii", 1, 0)


class Mode(Enum):
    """How a link treats what it carries."""

    PASS = "pass"
    #: Every chunk comes late.
    DELAY = "delay"
    #: A few bytes at a time.
    TRICKLE = "trickle"
    #: Nothing arrives and nobody is told: a firewall that forgot the connection.
    HALF_OPEN = "half-open"
    #: Questions arrive, answers do not.
    MUTE = "mute"
    #: New connections are closed at once.
    REFUSE = "refuse"


class _Connection:
    """One client's connection and the one to the target that belongs to it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        #: Bytes of it were swallowed: it can never be carried on, and says so on the next bytes.
        self.lost = False
        #: The next chunk is torn: half of it arrives, then the connection is reset.
        self.torn = False

    def forget(self) -> bool:
        """
        Close it without a word, as a machine that lost power; return whether we may.

        Whoever speaks on it afterwards, or asks whether it stands, is answered by a reset.
        """
        for writer in (self.near, self.far):
            found: socket.socket | None = writer.get_extra_info("socket")
            if found is None or found.fileno() < 0:
                continue
            try:
                found.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            except OSError:  # only root may
                return False
            writer.transport.abort()
        return True

    def reset(self) -> None:
        """Close it with a reset."""
        self.close(reset=True)

    def close(self, *, reset: bool) -> None:
        """Close it on both sides."""
        for writer in (self.near, self.far):
            if reset:
                found: socket.socket | None = writer.get_extra_info("socket")
                if found is not None and found.fileno() >= 0:
                    with contextlib.suppress(OSError):
                        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()


class Link:
    """One listening port of the proxy; its methods may be called from any thread."""

    def __init__(self, proxy: FaultProxy, name: str, target: tuple[str, int], host: str) -> None:
        self.name = name
        self.target = target
        self.host = host
        self.port = 0
        self.mode = Mode.PASS
        #: Seconds by which `Mode.DELAY` is late.
        self.latency = 0.3
        self._proxy = proxy
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin to listen; `port` is known afterwards."""
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    # -- what a monkey does

    def set(self, mode: Mode) -> int:
        """
        Treat everything so from now on; return how many connections stand.

        Those of which something was swallowed are lost when others pass again: nobody is told.
        """
        self.mode = mode
        count = len(self._connections)
        if mode is Mode.PASS:
            self._proxy.call(self._lose)
        return count

    def _lose(self) -> None:
        for connection in tuple(self._connections):
            if connection.lost and not connection.forget():
                asyncio.get_running_loop().call_later(_MISSED, connection.reset)

    def cut(self, *, reset: bool) -> int:
        """Close every connection, in good order or with a reset; return how many there were."""
        return self._proxy.call(lambda: self._cut(reset=reset))

    def tear(self) -> int:
        """Cut every connection in the middle of the next chunk it carries; return how many."""
        for connection in tuple(self._connections):
            connection.torn = True
        return len(self._connections)

    def _cut(self, *, reset: bool) -> int:
        found = tuple(self._connections)
        for connection in found:
            connection.close(reset=reset)
        return len(found)

    # -- carrying

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self.mode is Mode.REFUSE:
            near.transport.abort()
            return
        try:
            back, far = await asyncio.open_connection(*self.target)
        except OSError:
            near.transport.abort()
            return
        connection = _Connection(near, far)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._carry(connection, reader, far, answers=False),
                self._carry(connection, back, near, answers=True),
            )
        finally:
            self._connections.discard(connection)
            connection.close(reset=False)

    async def _carry(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                if not await self._pass(connection, chunk, writer, answers=answers):
                    return
            writer.write_eof()
        except (OSError, RuntimeError):  # one side is gone: so is the other
            connection.close(reset=True)

    async def _pass(
        self, connection: _Connection, chunk: bytes, writer: asyncio.StreamWriter, *, answers: bool
    ) -> bool:
        """Carry one chunk as the mode says; return whether the connection goes on."""
        mode = self.mode
        if mode is Mode.HALF_OPEN or (mode is Mode.MUTE and answers):
            connection.lost = True
            return True
        if connection.lost or connection.torn:
            if not connection.lost:
                writer.write(chunk[: len(chunk) // 2])
                with contextlib.suppress(OSError):
                    await writer.drain()
            connection.close(reset=True)
            return False
        if mode is Mode.DELAY:
            await asyncio.sleep(self.latency)
        if mode is Mode.TRICKLE:
            for start in range(0, len(chunk), _DROP):
                writer.write(chunk[start : start + _DROP])
                await writer.drain()
                if self.mode is Mode.TRICKLE:
                    await asyncio.sleep(_DROP_EVERY)
            return True
        writer.write(chunk)
        await writer.drain()
        return True


class FaultProxy:
    """The thread that carries; entered and left as a context."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        rest = asyncio.all_tasks(self._loop)
        for task in rest:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def link(self, name: str, target: tuple[str, int], host: str = "127.0.0.1") -> Link:
        """Return a new link that listens on *host* and carries to *target*."""
        found = Link(self, name, target, host)
        self._await(found.listen())
        return found

    def call(self, work: Callable[[], T]) -> T:
        """Return what *work* gives on the proxy's own thread."""

        async def called() -> T:
            return work()

        return self._await(called())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
