"""The bridge, the links and the desk of the HTTP adapter's tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.adapters.conftest import link
from tests.adapters.http.desk import OUR_SECRET, OUR_TOKEN, SECRET, TOKEN, Desk, desk
from tests.pki import Pki, pki
from tests.server.running import Running, running

__all__ = ["link", "pki"]


class Clock:
    """The bridge's clock, which may be put forward until a lease has ended."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def lease_ends(self) -> None:
        """Put it forward by more than a lease."""
        self.ahead += timedelta(seconds=2)


@pytest.fixture
def clock() -> Clock:
    """The bridge's clock."""
    return Clock()


@pytest.fixture
def bridge(pki: Pki, clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge with an empty database and short leases."""
    with running(pki, tmp_path_factory.mktemp("bridge"), clock=clock, lease_seconds=1) as found:
        yield found


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the mapping's secrets are."""
    monkeypatch.setenv("TEST_DESK_TOKEN", TOKEN)
    monkeypatch.setenv("TEST_DESK_SECRET", SECRET)
    monkeypatch.setenv("TEST_OUR_TOKEN", OUR_TOKEN)
    monkeypatch.setenv("TEST_OUR_SECRET", OUR_SECRET)


@pytest.fixture
def platform() -> Iterator[Desk]:
    """A police desk with a JSON interface."""
    with desk() as found:
        yield found
