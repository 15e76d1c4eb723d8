"""
Calls that can be broken off while they wait, their answer taken off the wire by the thread that waits.

A future of grpc's own has a thread of its channel take the answer and wake whoever waits: on an idle
machine 0.5 to 0.8 ms of an urgent ticket's way, side by side.  A call with one answer and a stream with one
answer are the same on the wire, and grpc reads a stream on the caller's thread where the channel has
the option `OPTION`.  A grpc that does not know the option reads it on another thread, as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import grpc

#: What a channel needs for that (`grpc.experimental.ChannelOptions`); ignored where it is unknown, so by its own
#: name: a grpc without that module goes on, too.
OPTION: tuple[str, int] = ("SingleThreadedUnaryStream", 1)


class WaitingChannel(grpc.Channel):
    """A channel whose futures are moved by `Waiting.result` alone: nobody else takes their answers."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Take a channel that was made with `OPTION`."""
        self._channel = channel

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls of one method."""
        plain = self._channel.unary_unary(*arguments, **options)
        return _Method(plain, self._channel.unary_stream(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls of one method with a stream of answers."""
        return self._channel.unary_stream(*arguments, **options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls of one method with a stream of requests."""
        return self._channel.stream_unary(*arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes calls of one method with a stream of both."""
        return self._channel.stream_stream(*arguments, **options)

    def subscribe(self, callback: Any, try_to_connect: bool | None = None) -> None:
        """Tell *callback* of the connection's states."""
        self._channel.subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Any) -> None:
        """Tell it no more."""
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        """Hang up; calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Method(grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """One method: plain calls are grpc's own, futures are read as streams."""

    def __init__(self, plain: Any, stream: Any) -> None:
        self._plain = plain
        self._stream = stream

    def __call__(self, request: Any, *arguments: Any, **options: Any) -> Any:
        return self._plain(request, *arguments, **options)

    def with_call(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Make the call; return its answer and the call."""
        return self._plain.with_call(request, *arguments, **options)

    def future(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Begin the call; its answer is taken by `Waiting.result`."""
        return Waiting(self._stream(request, *arguments, **options))


class Waiting:
    """One call under way; `result` is called once, `cancel` by any thread."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ended: list[Callable[[Waiting], object]] = []
        self._failed: grpc.RpcError | None = None

    def result(self) -> Any:
        """
        Wait for the answer and return it; None where the call ended well without just one.

        Raises `grpc.FutureCancelledError` once it was broken off, else the `grpc.RpcError` it failed with.
        """
        try:
            answer = next(self._stream, None)
            # To its end, which the call's deadline bounds: grpc frees nothing of one that is left before.
            for _more in self._stream:
                answer = None
        except grpc.RpcError as failed:
            if self._stream.cancelled():
                raise grpc.FutureCancelledError from failed
            self._failed = failed
            raise
        else:
            return answer
        finally:
            for told in self._ended:
                told(self)

    def cancel(self) -> None:
        """Break it off: `result`, now or when it is called, raises."""
        self._stream.cancel()

    def cancelled(self) -> bool:
        """Return whether it was broken off here."""
        return bool(self._stream.cancelled())

    def exception(self) -> grpc.RpcError | None:
        """Return what it failed with; None before it ended, and where it did not fail."""
        return self._failed

    def trailing_metadata(self) -> Any:
        """Return what came behind the answer, once it was taken."""
        return self._stream.trailing_metadata()

    def add_done_callback(self, told: Callable[[Waiting], object]) -> None:
        """Call *told* with this when `result` has ended."""
        self._ended.append(told)
