"""One run on one database: load, monkey, rest, and the books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.faults import Fault
from tests.chaos.ledger import examine
from tests.chaos.monkey import LONGEST, Monkey, Outcome
from tests.chaos.pages import damage
from tests.chaos.town import town

#: The fault that comes last, when the books are closed.
PAGES = "pages-damaged"
#: Seconds in which everything must come to rest once nothing is broken any more.
REST = 150.0


@dataclass(slots=True)
class Run:
    """What one run showed; *broken* is empty where every invariant holds."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def run(
    kind: str,
    folder: Path,
    faults: Sequence[Fault],
    *,
    seed: str,
    seconds: float | None,
    rate: float,
    say: Callable[[str], None],
    pages: int = 3,
    longest: float = LONGEST,
) -> Run:
    """
    Run on a database of *kind*, for *seconds*; without them, each fault once.

    *rate* is the number of new tickets a second at each desk, *pages* how many pages are damaged.
    """
    chance, found = Random(seed), Run()
    with town(kind, folder, apart=True) as place:
        place.open(seed, rate)
        monkey = Monkey(place, faults, chance, say, longest=longest)
        found.outcomes = monkey.outcomes
        if seconds is None:
            monkey.each_once()
        else:
            monkey.rage(seconds)
        place.heal()
        say("everything is mended; people conclude what is open")
        if not place.quiet(REST):
            found.broken.append(f"it did not come to rest: {place.under_way()}")
        place.rest()
        for service in place.services():
            found.notes += [f"left over from {service.name}: {one}" for one in service.left_over]
        for driver in place.drivers.values():
            if driver.unwilling:
                told = sorted(set(driver.unwilling))
                found.notes.append(
                    f"{driver.post.name}'s platform would not {len(driver.unwilling)} times, "
                    f"e.g. {told[0][:160]}"
                )
        say("the books are checked")
        books = examine(place, chance)
        found.counts, found.broken = books.counts, [*found.broken, *books.broken]
        if pages:
            outcome = found.outcomes[PAGES] = Outcome()
            dice = Random(f"{seed}-pages")  # whatever else was drawn
            found.broken += damage(place, dice, pages, outcome, say)
    return found
