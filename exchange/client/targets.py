"""
One channel to several bridges that share a database: a call that does not reach one goes to the next.

Every call of the contract is safe to repeat, and what one bridge was told the others know, so it matters
to nobody which of them answers.  Who was reached last is asked first the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc


class Targets(grpc.Channel):
    """
    Channels to the same bridges by several addresses, in the order in which they are tried.

    It has the unary calls of the contract alone.
    """

    def __init__(self, channels: Sequence[grpc.Channel]) -> None:
        self._channels = tuple(channels)
        self._first = 0

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return a method that is asked of whichever can be reached."""
        methods = [channel.unary_unary(*arguments, **options) for channel in self._channels]
        return _Method(self, methods)

    def order(self) -> list[int]:
        """Return which are tried, one after the other."""
        count, first = len(self._channels), self._first
        return [(first + step) % count for step in range(count)]

    def lost(self, number: int) -> None:
        """Let the one after *number* be tried first, unless that was changed already."""
        if self._first == number:
            self._first = (number + 1) % len(self._channels)

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool | None = None,
    ) -> None:
        """Subscribe to the first one's connectivity."""
        self._channels[self._first].subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """End a subscription."""
        for channel in self._channels:
            channel.unsubscribe(callback)

    def unary_stream(self, *_arguments: Any, **_options: Any) -> Any:
        """Raise: the contract has no streams."""
        raise NotImplementedError

    stream_unary = unary_stream
    stream_stream = unary_stream

    def close(self) -> None:
        """Hang up everywhere."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.close()


class _Method:
    """One method at each of the targets."""

    def __init__(self, targets: Targets, methods: Sequence[Any]) -> None:
        self._targets = targets
        self._methods = methods

    def __call__(self, request: Any, **options: Any) -> Any:
        """Return the first answer; raises as the last one that could not be reached."""
        *others, last = self._targets.order()
        for number in others:
            try:
                return self._methods[number](request, **options)
            except grpc.RpcError as failed:
                if not _unreached(failed):
                    raise
                self._targets.lost(number)
        try:
            return self._methods[last](request, **options)
        except grpc.RpcError as failed:
            if _unreached(failed):
                self._targets.lost(last)
            raise

    def future(self, request: Any, **options: Any) -> Any:
        """Ask the first one; who asks again, when it cannot be reached, asks the next."""
        number = self._targets.order()[0]
        call = self._methods[number].future(request, **options)

        def ended(done: Any) -> None:
            if (
                not done.cancelled()
                and isinstance(done.exception(), grpc.RpcError)
                and _unreached(done.exception())
            ):
                self._targets.lost(number)

        call.add_done_callback(ended)
        return call


def _unreached(failed: grpc.RpcError) -> bool:
    """Return whether the call met nobody, or one that cannot answer now; a refusal is an answer."""
    return isinstance(failed, grpc.Call) and failed.code() is grpc.StatusCode.UNAVAILABLE
