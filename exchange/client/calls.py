"""
One call to the bridge: a deadline, and again with jitter where that can help.

Every call of the contract is safe to repeat, so a call that ran out of time is repeated too.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.channel import as_error
from exchange.errors import BridgeUnavailable, ExchangeError
from exchange.text import Text
from exchange.tracing import TRACEPARENT, traceparent

Request = TypeVar("Request")
Response = TypeVar("Response")
T = TypeVar("T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    How long a call may take and how often it is tried; clock and sleep are the caller's to choose.

    A platform's spool waits for hours; these tries only bridge a hiccup.
    """

    deadline: timedelta = timedelta(seconds=20)
    attempts: int = 4
    first_wait: timedelta = timedelta(milliseconds=200)
    longest_wait: timedelta = timedelta(seconds=5)
    clock: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], None] = time.sleep


class Calls:
    """Makes calls to the bridge at *target*, which *file* names, with one kind of patience."""

    def __init__(self, target: str, patience: Patience, file: Path | None = None) -> None:
        self.target = target
        self.file = file
        self.patience = patience
        self._interrupted = threading.Event()
        self._waiting: set[grpc.Future[Any]] = set()

    def interrupt(self) -> None:
        """End the waiting calls, and let no other one wait: the program is about to stop."""
        self._interrupted.set()
        for call in tuple(self._waiting):
            call.cancel()

    def __call__(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        longer: timedelta = timedelta(0),
        trace: str = "",
    ) -> Response:
        """
        Return the answer to *request*; *longer* is added to the deadline, as for a long poll,
        which `interrupt` ends.  *trace* is the trace id that the call names, if any.

        Raises the `ExchangeError` that the bridge's status means, after the tries that could help.
        """
        timeout = (self.patience.deadline + longer).total_seconds()
        metadata = ((TRACEPARENT, traceparent(trace, os.urandom(8))),) if trace else None

        def once() -> Response:
            try:
                if longer:
                    answer = self._wait_for(method, request, timeout)
                else:
                    answer = method(request, timeout=timeout, metadata=metadata)
            except grpc.RpcError as failed:
                error, delay = as_error(failed, self.target, self.file)
                raise _Failed(error, delay) from failed
            if answer is None:  # what grpc makes of a call that ends well and says nothing
                raise _Failed(BridgeUnavailable(_NOTHING.fill(target=self.target)), timedelta(0))
            return answer

        try:
            return once()
        except _Failed as failed:
            first = [failed]

        def again() -> Response:
            if first:  # the first try is made: only what follows on a failure is tenacity's
                raise first.pop()
            return once()

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and error.again),
            stop=stop_after_attempt(self.patience.attempts),
            wait=self._wait,
            sleep=self.patience.sleep,
            reraise=True,
        )
        try:
            return retrying(again)
        except _Failed as failed:
            raise failed.error from failed.__cause__

    def _wait_for(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
    ) -> Response | None:
        call = method.future(request, timeout=timeout)
        self._waiting.add(call)
        try:
            if self._interrupted.is_set():
                call.cancel()  # type: ignore[no-untyped-call]
            return call.result()
        except grpc.FutureCancelledError as cancelled:
            raise _Failed(BridgeUnavailable(_INTERRUPTED), timedelta(0), last=True) from cancelled
        finally:
            self._waiting.discard(call)

    def _wait(self, state: RetryCallState) -> float:
        """Wait as long as the bridge asked, or exponentially longer; always with jitter."""
        asked = timedelta(0)
        failed = state.outcome.exception() if state.outcome else None
        if isinstance(failed, _Failed):
            asked = failed.delay
        if asked:
            return asked.total_seconds() * random.uniform(1.0, 1.25)  # noqa: S311 - only jitter
        backoff = wait_random_exponential(
            multiplier=self.patience.first_wait.total_seconds(),
            max=self.patience.longest_wait.total_seconds(),
        )
        return backoff(state)


class _Failed(Exception):
    """One try failed; *delay* is what the bridge asked to wait."""

    def __init__(self, error: ExchangeError, delay: timedelta, *, last: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay = delay
        self.again = error.retryable and not last


def as_many(outcomes: Iterable[T], asked: Sequence[object]) -> list[T]:
    """Return *outcomes*; raises `BridgeUnavailable` unless there is one for each thing asked."""
    found = list(outcomes)
    if len(found) != len(asked):
        raise BridgeUnavailable(_COUNT.fill(found=len(found), asked=len(asked)))
    return found


_RETRY_REASONS: dict[str, type[ExchangeError]] = {
    kind.reason: kind for kind in ExchangeError.__subclasses__() if kind.retryable
}


def retry_of(retry: pb.Retry) -> tuple[ExchangeError, timedelta]:
    """Return the failure of one message, and how long the bridge asks to wait."""
    kind = _RETRY_REASONS.get(retry.reason, BridgeUnavailable)
    text = Text(en=retry.text.en or retry.reason, zh=retry.text.zh or retry.reason)
    return kind(text), retry.delay.ToTimedelta()


_INTERRUPTED = Text(
    en="The call was ended because this program stops.",
    zh="程序停止，调用已结束。",
)
_NOTHING = Text(
    en="What answers at {target} ended the call without one answer, as no bridge does; the call may be repeated "
    "safely. Check that nothing between here and the bridge changes calls.",
    zh="{target} 结束调用时未给出唯一的应答，网桥不会如此；可放心重复调用。请检查本地与网桥之间有无改动调用的设备。",
)
_COUNT = Text(
    en="The bridge gave {found} outcomes for {asked} things asked; nothing of it is believed.",
    zh="网桥对 {asked} 项请求返回了 {found} 项结果，均不予采信。",
)
