"""Each kind of fault once on a town under a little load; `make chaos` goes on for longer."""

from __future__ import annotations

import time

import pytest

from tests.chaos.awake import looks
from tests.chaos.faults import FAULTS
from tests.chaos.run import run
from tests.postgres import PostgresUnavailable

#: A fixed selection: each way of breaking something, and none that only waits for long.
SHORT = {
    "sqlite": (
        "bridge-killed",
        "desk-killed",
        "link-torn",
        "link-namespace",
        "disk-full",
    ),
    "postgresql": (
        "database-fast",
        "database-process",
        "database-link-torn",
        "gateway-expired",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def test_a_town_outlives_each_fault_once(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing lost, doubled or out of order, somebody answers, everything verifies."""
    folder = tmp_path_factory.mktemp("chaos")
    said: list[str] = []
    begun = time.monotonic()

    def say(line: str) -> None:
        said.append(f"{time.monotonic() - begun:6.1f} s  {line}")

    # Damaged pages are `make chaos`'s: which page is hit depends on what the load has written.
    faults = [fault for fault in FAULTS if fault.name in SHORT[kind]]
    try:
        found = run(kind, folder, faults, seed="20261122", seconds=None, rate=1.0, say=say, pages=0)
    except PostgresUnavailable as unavailable:
        pytest.skip(str(unavailable))
    story = "\n".join(said)
    print(story)  # noqa: T201 - what pytest shows of a failure, with -s of any
    assert not found.broken, f"{found.broken}\n{story}"
    tried = [outcome for outcome in found.outcomes.values() if not outcome.skipped]
    assert all(outcome.injected and not outcome.never for outcome in tried), story


def test_minutes_in_which_everything_stands_still_are_nobodys_fault() -> None:
    """Who waits ten seconds looks as often as ever, though the machine stood still in the middle."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 90.0 if 4 < now < 5 else seconds

    often = len(list(looks(10.0, 0.5, clock=lambda: now, sleep=sleep)))

    assert 20 == often
    assert 99.5 == now
