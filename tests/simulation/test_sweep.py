"""One matter's way with one blow at one place; `make simulate ARGS=--every` takes every place."""

from __future__ import annotations

from tests.simulation.disk import Ill
from tests.simulation.sweep import PLACES, Blow, Swept, blows

#: One place in so many is the tests'; the command takes all of them.
_START, _APART = 3, 47


def test_whatever_befalls_a_process_at_a_place_every_promise_holds() -> None:
    """Killed at an await, or at a statement; a full disk; an fsync that fails: bridge, desks, spools."""
    seen = set()
    broken = []
    for blow, outcome in blows(_START, _APART):
        seen.add((blow.place, blow.ill))
        if outcome.broken:
            broken.append((str(blow), outcome.why))

    assert [] == broken
    assert {("bridge", None)} | {(place, ill) for place in PLACES for ill in Ill} == seen


def test_the_matter_goes_its_whole_way() -> None:
    """Else its later places were never struck."""
    run = Swept(Blow(place="bridge", turn=1_000_000))
    outcome = run.go()

    assert "" == outcome.broken
    assert not run.befell
    assert dict.fromkeys(("open_ticket", "offer", "take", "result", "close"), 1) == {
        name.removeprefix("kind "): number
        for name, number in outcome.counts.items()
        if name.startswith("kind ") and name not in {"kind written", "kind act"}
    }
