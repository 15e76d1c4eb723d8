"""The monkey: injects faults at random moments, alone or in pairs, and watches the town recover."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from tests.chaos.awake import looks
from tests.chaos.faults import Fault
from tests.chaos.place import POSTS
from tests.chaos.town import Town

#: Seconds after which the monkey no longer waits for a recovery, and says so.
LONGEST = 90.0
#: How often two faults come at once.
_PAIRS = 0.5


@dataclass(slots=True)
class Outcome:
    """What became of one kind of fault."""

    injected: int = 0
    #: Failures that the adapters noted meanwhile, by reason.
    seen: dict[str, int] = field(default_factory=dict)
    #: Seconds from the mend until every desk was answered again.
    recovered: list[float] = field(default_factory=list)
    never: int = 0
    skipped: str = ""


class Monkey:
    """Injects *faults* into a town until its time is over."""

    def __init__(
        self,
        town: Town,
        faults: Sequence[Fault],
        chance: Random,
        say: Callable[[str], None],
        *,
        longest: float = LONGEST,
    ) -> None:
        self.town = town
        self.outcomes = {fault.name: Outcome() for fault in faults}
        self._chance = chance
        self._say = say
        self._longest = longest
        self._faults: list[Fault] = []
        self._deck: list[Fault] = []
        for fault in faults:
            why = fault.missing(town)
            if why:
                self.outcomes[fault.name].skipped = why
                say(f"{fault.name}: skipped, {why}")
            else:
                self._faults.append(fault)

    def rage(self, seconds: float) -> None:
        """Go on for *seconds*; every fault has its turn before one has its second."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._faults:
                self._inject(self._draw())
            time.sleep(min(self._chance.uniform(0.2, 1.0), max(until - time.monotonic(), 0.0)))

    def each_once(self) -> None:
        """Inject every fault once, one after the other."""
        for fault in self._faults:
            self._inject([fault])

    def _draw(self) -> list[Fault]:
        if not self._deck:
            self._deck = self._chance.sample(self._faults, len(self._faults))
        found = [self._deck.pop()]
        if self._deck and self._chance.random() < _PAIRS and self._deck[-1].area != found[0].area:
            found.append(self._deck.pop())
        return found

    def _inject(self, faults: Sequence[Fault]) -> None:
        """Inject one fault, or two at once, and wait until everybody is answered again."""
        seen: set[str] = set()
        watching = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(seen, watching), daemon=True)
        watcher.start()
        failed: list[BaseException] = []
        # Each its own dice: what one draws does not depend on how long the other takes.
        works = [
            threading.Thread(
                target=self._work, args=(fault, Random(self._chance.random()), failed), daemon=True
            )
            for fault in faults
        ]
        for work in works:
            work.start()
        for work in works:
            work.join()
        mended = datetime.now(UTC)
        recovered = self._recover(mended)
        watching.set()
        watcher.join()
        if failed:
            raise failed[0]
        told = f"recovered after {recovered:.1f} s" if recovered is not None else "NOT recovered"
        reasons = f"; seen: {', '.join(sorted(seen))}" if seen else ""
        self._say(f"  {told}{reasons}")
        for fault in faults:
            outcome = self.outcomes[fault.name]
            outcome.injected += 1
            for reason in seen:
                outcome.seen[reason] = outcome.seen.get(reason, 0) + 1
            if recovered is None:
                outcome.never += 1
            else:
                outcome.recovered.append(recovered)

    def _work(self, fault: Fault, chance: Random, failed: list[BaseException]) -> None:
        try:
            self._say(f"{fault.name}: {fault.work(self.town, chance)}")
        except BaseException as error:  # noqa: BLE001 - raised again by the monkey's own thread
            failed.append(error)

    def _watch(self, seen: set[str], over: threading.Event) -> None:
        while not over.wait(0.2):
            seen |= self.town.troubles()

    def _recover(self, mended: datetime) -> float | None:
        waiting = list(POSTS)
        for lived in looks(self._longest, 0.1):
            self.town.check()
            waiting = [post for post in waiting if not self.town.answered_since(post, mended)]
            if not waiting:
                return lived
        names = ", ".join(post.name for post in waiting)
        self._say(f"  {names}: no answer for {self._longest:.0f} s")
        return None
