"""
A channel that follows the files it was made from: a renewed certificate is used without a restart.

grpc's Python API reads a client's certificate once.  So a renewed one gets a channel of its own: new
calls go there, those under way end on the old one, and the last of them closes it.  Whatever is wrong
with the new files changes nothing: the old channel goes on, and `RenewingChannel.trouble` says why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from exchange.errors import ExchangeError

#: Seconds between two looks at the files, which a call takes before it is made.
LOOK = 1.0

_Stamp = tuple[int, int, int] | None


@dataclass(slots=True, eq=False)
class _Line:
    """One real channel, and how many calls are under way on it."""

    channel: grpc.Channel
    calls: int = 0
    retired: bool = False


class RenewingChannel(grpc.Channel):
    """
    Hands every call to the channel that *dial* made last; safe to use from several threads.

    *dial* reads *files*; it and *fit*, which is asked before a renewed channel, raise `ExchangeError`
    where they are wrong.
    """

    def __init__(
        self,
        dial: Callable[[], grpc.Channel],
        files: Sequence[Path],
        fit: Callable[[], None],
        *,
        look: float = LOOK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dial = dial
        self._files = files
        self._fit = fit
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._stamps = self._stamps_now()
        self._looked = clock()
        self._line = _Line(dial())
        self._closed = False
        #: Why the newest files are not used; None while they are.
        self.trouble: ExchangeError | None = None

    def _stamps_now(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._files]

    # -- calls

    def take(self) -> _Line:
        """Return the line for one call; `give_back` it when the call has ended."""
        with self._lock:
            now = self._clock()
            if now - self._looked >= self._look and not self._closed:
                self._looked = now
                self._renew()
            self._line.calls += 1
            return self._line

    def give_back(self, line: _Line) -> None:
        """Count one call as ended; the last one on an old line closes it."""
        with self._lock:
            line.calls -= 1
            drained = line.retired and not line.calls
        if drained:
            line.channel.close()

    def _renew(self) -> None:
        stamps = self._stamps_now()
        if stamps == self._stamps:
            self.trouble = None  # what was wrong was put back as it was
            return
        try:
            self._fit()
            new = _Line(self._dial())
        except ExchangeError as error:
            self.trouble = error  # looked at again: its key may come, its time may begin
            return
        if self._stamps_now() != stamps:
            new.channel.close()  # somebody is still writing: at the next look
            return
        old, self._line = self._line, new
        self.trouble, self._stamps = None, stamps
        old.retired = True
        if not old.calls:
            old.channel.close()

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls of *method*, each on the newest line."""
        return _Method(self, lambda channel: channel.unary_unary(method, *arguments, **options))

    # -- the rest of what a channel is; the contract has no streams

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls on the line that is the newest now."""
        return self._line.channel.unary_stream(*arguments, **options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls on the line that is the newest now."""
        return self._line.channel.stream_unary(*arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls on the line that is the newest now."""
        return self._line.channel.stream_stream(*arguments, **options)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Tell *callback* of the line that is the newest now."""
        self._line.channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Tell it no more."""
        self._line.channel.unsubscribe(callback)

    def close(self) -> None:
        """Hang up; calls under way on the newest line fail, those on an old one too."""
        with self._lock:
            self._closed = True
            line = self._line
        line.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Method(grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """One method; grpc's own callable of it is made for the line that the call goes on."""

    def __init__(self, channel: RenewingChannel, make: Callable[[grpc.Channel], Any]) -> None:
        self._channel = channel
        self._make = make
        self._made: tuple[_Line, Any] | None = None

    def _on(self, line: _Line) -> Any:
        made = self._made
        if made is None or made[0] is not line:
            made = self._made = line, self._make(line.channel)
        return made[1]

    def __call__(self, request: Any, *arguments: Any, **options: Any) -> Any:
        line = self._channel.take()
        try:
            return self._on(line)(request, *arguments, **options)
        finally:
            self._channel.give_back(line)

    def with_call(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Make the call; return its answer and the call."""
        line = self._channel.take()
        try:
            return self._on(line).with_call(request, *arguments, **options)
        finally:
            self._channel.give_back(line)

    def future(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Begin the call; its line is given back when it has ended."""
        line = self._channel.take()
        try:
            call = self._on(line).future(request, *arguments, **options)
        except BaseException:
            self._channel.give_back(line)
            raise
        call.add_done_callback(lambda _: self._channel.give_back(line))
        return call


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
