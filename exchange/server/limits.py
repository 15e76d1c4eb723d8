"""
How much one organisation may ask for at a time, so that no peer starves another.

Everything here lives on the event loop's thread; time is an argument in seconds, of any clock that
only goes forward.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exchange.errors import LimitExceeded
from exchange.settings import Limits
from exchange.text import Text

_RATE = Text(
    en="More than {limit} {what} a second; wait {wait} s, then go on.",
    zh="每秒{what_zh}超过 {limit}，请等待 {wait} 秒后继续。",
)
_AT_ONCE = Text(
    en="More than {limit} {what} at once; wait for some to be answered.",
    zh="同时进行的{what_zh}超过 {limit}，请等待部分完成后再发。",
)
#: Seconds to wait where nothing tells when there will be room.
_SOON = 0.5

CALLS = Text(en="calls", zh="调用数")
MESSAGES = Text(en="messages", zh="消息数")
PULLS = Text(en="waiting pulls", zh="等待中的拉取")
WATCHES = Text(en="health watches", zh="健康监视")


class Bucket:
    """A token bucket: *rate* tokens a second, at most *burst* of them kept."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled = now

    def take(self, amount: float, now: float) -> float:
        """Take *amount* and return 0; or take nothing and return the seconds until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if amount <= self._tokens:
            self._tokens -= amount
            return 0.0
        return (amount - self._tokens) / self._rate


class Allowances:
    """What each organisation has used of its limits; methods raise `LimitExceeded`."""

    def __init__(self, limits: Limits, time: Callable[[], float]) -> None:
        self._limits = limits
        self._time = time
        self._calls: dict[str, Bucket] = {}
        self._messages: dict[str, Bucket] = {}
        self._at_once: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def spend_call(self, organisation: str) -> None:
        """Count one call against the rate of calls."""
        rate = self._limits.calls_per_second
        self._spend(self._calls, organisation, 1, rate, CALLS)

    def spend_messages(self, organisation: str, count: int) -> None:
        """Count *count* messages or acknowledgements against the rate of messages."""
        rate = self._limits.messages_per_second
        self._spend(self._messages, organisation, count, rate, MESSAGES)

    def _spend(
        self, buckets: dict[str, Bucket], organisation: str, amount: int, rate: int, what: Text
    ) -> None:
        now = self._time()
        bucket = buckets.get(organisation)
        if bucket is None:
            # Two seconds' worth may come at once, and always one whole call.
            bucket = buckets[organisation] = Bucket(rate, max(2 * rate, 1024), now)
        wait = bucket.take(amount, now)
        if wait:
            raise LimitExceeded(
                _RATE.fill(limit=rate, what=what.en, what_zh=what.zh, wait=f"{wait:.3f}"),
                limit=what.en,
                retry_after=f"{wait:.3f}",
            )

    @contextmanager
    def carrying(self, organisation: str, count: int) -> Iterator[None]:
        """Hold *count* messages in flight for the length of the block."""
        limit = self._limits.messages_in_flight
        with self._holding(organisation, count, limit, MESSAGES):
            yield

    @contextmanager
    def calling(self, organisation: str) -> Iterator[None]:
        """Hold one call, of whatever kind, for the length of the block."""
        with self._holding(organisation, 1, self._limits.calls_of_one, CALLS):
            yield

    @contextmanager
    def pulling(self, organisation: str) -> Iterator[None]:
        """Hold one waiting pull for the length of the block."""
        with self._holding(organisation, 1, self._limits.waiting_pulls, PULLS):
            yield

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold one watch of the health service, which anybody may open, for the block's length."""
        with self._holding("", 1, self._limits.health_watches, WATCHES):
            yield

    @contextmanager
    def _holding(self, organisation: str, count: int, limit: int, what: Text) -> Iterator[None]:
        held = self._at_once[what.en]
        if held[organisation] + count > limit:
            raise LimitExceeded(
                _AT_ONCE.fill(limit=limit, what=what.en, what_zh=what.zh),
                limit=what.en,
                retry_after=f"{_SOON}",
            )
        held[organisation] += count
        try:
            yield
        finally:
            held[organisation] -= count
            if not held[organisation]:
                del held[organisation]
