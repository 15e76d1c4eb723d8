"""Rates and counts, with a clock that the test turns."""

from __future__ import annotations

import pytest

from exchange.errors import LimitExceeded
from exchange.server.limits import Allowances, Bucket
from exchange.settings import Limits


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """After the burst, the wait is exactly the time until the tokens are there."""
    bucket = Bucket(10, 20, now=0)
    assert bucket.take(20, now=0) == 0
    assert bucket.take(5, now=0) == pytest.approx(0.5)
    assert bucket.take(5, now=0.5) == 0
    assert bucket.take(21, now=1000) > 0  # never more than the burst is kept


def test_the_rate_is_each_organisations_own(clock: Clock) -> None:
    """A mad peer is stopped and told how long; its neighbour and a later call pass."""
    allowances = Allowances(Limits(calls_per_second=1000), clock)
    for _ in range(2000):
        allowances.spend_call("mad")
    with pytest.raises(LimitExceeded) as raised:
        allowances.spend_call("mad")
    assert 0 < float(raised.value.facts["retry_after"]) <= 0.001
    allowances.spend_call("calm")
    clock.now += 0.1
    allowances.spend_call("mad")


def test_one_whole_batch_always_passes(clock: Clock) -> None:
    """However low the rate: a batch that could never pass would be a limit of size."""
    allowances = Allowances(Limits(messages_per_second=1), clock)
    allowances.spend_messages("a", 512)
    with pytest.raises(LimitExceeded):
        allowances.spend_messages("a", 1024)


def test_what_is_held_is_given_back(clock: Clock) -> None:
    """Messages and pulls count while they are inside, also when they end in a failure."""
    allowances = Allowances(Limits(messages_in_flight=512, waiting_pulls=1), clock)

    def fail_inside() -> None:
        with allowances.carrying("a", 512):
            with pytest.raises(LimitExceeded, match="512 messages"), allowances.carrying("a", 1):
                pass
            with allowances.carrying("b", 512), allowances.pulling("a"):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    with allowances.carrying("a", 512):
        pass
    assert not any(allowances._at_once.values())
