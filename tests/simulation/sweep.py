"""
Everything that can happen to a process, at every statement and at every await of one matter's way.

The matter is always the same: opened, offered, taken, answered, closed.  One thing befalls one process,
a place later each time, until the matter is through before its turn comes; then the invariants are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from adapters.sqlite_desk import Desk, Said
from exchange.acts import Kind
from exchange.ticket import State
from tests.pki import CITY_110
from tests.simulation.disk import Disk, Ill
from tests.simulation.places import BridgeSeat, Seat
from tests.simulation.run import Outcome, Run

#: Any; the script decides what happens, chance only what runs first.
_SEED = 4_912_345
#: Statements for which a full disk stays full.
_FULL_FOR = 2
#: What is said only where its turn has come: a desk keeps no rules.
_AFTER = {Kind.TAKE: State.OFFERED, Kind.RESULT: State.TAKEN, Kind.CLOSE: State.RESOLVED}
#: Where a statement can fail: the bridge's file and each desk's two.
PLACES = ("bridge", "hotline desk", "hotline spool", "police desk", "police spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What befalls *place*, at its *turn*; without an *ill* the bridge is killed at an await."""

    place: str
    turn: int
    ill: Ill | None = None

    def __str__(self) -> str:
        """Say it."""
        return f"{self.place}: {self.ill.value if self.ill else 'killed at an await'}, {self.turn}"


def _nothing(_: Desk) -> list[Said]:
    return []


class Swept(Run):
    """The matter's way, with one blow."""

    def __init__(self, blow: Blow) -> None:
        super().__init__(_SEED, faults=0)
        self.blow = blow
        self.befell = False
        self._steps = 0

    def live(self) -> None:
        """Go the way of one matter; whoever was killed is started again before its next step."""
        hotline, police, _ = self.seats
        for seat in self.seats:
            self._give_words(seat, _nothing)
        if self.blow.ill is not None:
            self._struck().arm(self.blow.ill, self.blow.turn, _FULL_FOR)
        self._say(hotline, self._open)
        self._cross(hotline, police)
        for sayer, kind in ((police, Kind.TAKE), (police, Kind.RESULT), (hotline, Kind.CLOSE)):
            self._say(sayer, lambda desk, kind=kind: self._move(desk, kind))
            self._cross(sayer, hotline if sayer is police else police)
        self.befell = self.befell or bool(
            self.blow.ill and self.counts[f"fault: {self._what()} {self.blow.ill.value}"]
        )

    def _what(self) -> str:
        return self.blow.place.rpartition(" ")[2]

    def _struck(self) -> Disk:
        name, _, which = self.blow.place.rpartition(" ")
        if not name:
            return self.bridge.disk
        return next(seat for seat in self.seats if seat.name == name).disks[which]

    def _cross(self, sayer: Seat, hearer: Seat) -> None:
        for seat, turn in ((sayer, self.turn_out), (hearer, self.turn_in), (sayer, self.turn_in)):
            self._start_again(seat)
            turn(seat)
            self.seconds += 1
            self._look()

    def _start_again(self, seat: Seat) -> None:
        if self.bridge.process is None:
            self.start_bridge(self.bridge)
        self._start_if_dead(seat)

    def _say(self, seat: Seat, words: object) -> None:
        self._start_again(seat)
        self._give_words(seat, words)
        self.person_acts(seat)
        self._give_words(
            seat, _nothing
        )  # chance may let somebody speak in the middle of another's words
        self._look()

    @staticmethod
    def _give_words(seat: Seat, words: object) -> None:
        seat.people.act = words  # type: ignore[method-assign, assignment]

    @staticmethod
    def _open(desk: Desk) -> list[Said]:
        opened = desk.open_ticket("示例事项", "示例内容。", matter="NM.P.01.02", region="140400")
        return [opened, desk.offer(opened.ticket_id, CITY_110.organisation, "属公安职责。")]

    @staticmethod
    def _move(desk: Desk, kind: Kind) -> list[Said]:
        query = "SELECT handoff_id FROM handoff WHERE state = ?"
        rows = desk.db.rows(query, int(_AFTER[kind]))
        return [desk.say(kind, row["handoff_id"], "说明情况。") for row in rows]

    def _bridge_step(self, bridge: BridgeSeat) -> bool:
        self._steps += not self.calm
        if self.blow.ill is None and self._steps > self.blow.turn and not self.befell:
            self.befell = True
            self.kill_bridge(bridge)
            return False
        return super()._bridge_step(bridge)


def blows(start: int = 0, step: int = 1) -> Iterator[tuple[Blow, Outcome]]:
    """Yield every *step*-th blow from the *start*-th place on, with what the matter came to."""
    kinds: list[tuple[str, Ill | None]] = [("bridge", None)]
    kinds += [(place, ill) for place in PLACES for ill in Ill]
    for place, ill in kinds:
        for turn in count(start, step):
            run = Swept(Blow(place=place, turn=turn, ill=ill))
            outcome = run.go()
            yield run.blow, outcome
            if not run.befell:
                break
