"""
One run: a seed decides what happens next, what becomes of every call, and what breaks.

First everything may happen (`Run.live`), then links are whole again and messages stop (`Run.settle`),
then the invariants are asked.  The same seed gives the same run, line by line of its trace.
"""

from __future__ import annotations

import hashlib
import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from exchange.ticket import State
from tests.simulation import invariants
from tests.simulation.dice import Dice
from tests.simulation.disk import Disk
from tests.simulation.haste import spare_the_collector
from tests.simulation.ledger import Broken, Ledger
from tests.simulation.places import Seat
from tests.simulation.relay import Relaying
from tests.simulation.world import program

#: Rounds after which messages must have stopped once every link is whole.
_ROUNDS = 60

#: How many of them ask every desk, whether there is something to do or not.
_FULL_ROUNDS = 2

#: Runs that lead to where others begin, and the seeds of these.
_STAGES, _STAGE_SEEDS = 16, 10_000_000
#: Two bridges' take twice as long to make.
_JOINED_STAGES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to; *broken* is the invariant that does not hold, if any."""

    seed: int
    trace: list[str]
    counts: Counter[str]
    broken: str = ""
    why: str = ""

    def brief(self) -> Outcome:
        """Return it without the trace where nothing is broken: there are many."""
        return self if self.broken else replace(self, trace=[])

    @property
    def digest(self) -> str:
        """Return a hash of everything that happened."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a run may begin: files, promises and time of one that went before without a fault."""

    files: dict[str, dict[str, bytes]]
    ledger: Ledger
    seconds: float
    opened: dict[str, int]
    states: str


class Run(Relaying):
    """One seed's world and what happened in it."""

    def __init__(
        self,
        seed: int,
        *,
        steps: int = 40,
        faults: float = 1.0,
        stage: Stage | None = None,
        joined: bool = False,
    ) -> None:
        super().__init__(seed, joined=joined)
        self.steps, self.faults = steps, faults
        self._seen: tuple[object, ...] = ()
        if stage is not None:
            self._begin_at(stage)
        for seat in self.seats:
            if self.dice.chance(0.5 * faults):  # last night's
                copies = {name: disk.contents() for name, disk in seat.disks.items()}
                seat.backup = (self.true_time(), copies)

    def _begin_at(self, stage: Stage) -> None:
        for name, disk in self._files().items():
            disk.put_back(stage.files[name])
        self.ledger = stage.ledger.copy(self.counts)
        self.seconds = stage.seconds
        for seat in self.seats:
            seat.people.opened = stage.opened[seat.organisation]
        self.tell(f"begins with {stage.states}")

    def _files(self) -> dict[str, Disk]:
        found = {bridge.name: bridge.disk for bridge in self.bridges}
        for seat in self.seats:
            found |= {f"{name} {seat.organisation}": disk for name, disk in seat.disks.items()}
        return found

    def stage(self) -> Stage:
        """Live and settle without asking; return what others may begin with."""
        random.seed(self.seed)
        with program(self.disks):
            self._start_all()
            self.live()
            self.settle()
            query = "SELECT state FROM handoff ORDER BY offered, id"
            rows = [row for bridge in self.bridges for row in bridge.rows(query)]
            states = ", ".join(State(row[0]).name for row in rows) or "nothing"
            self._end()
        return Stage(
            files={name: disk.contents() for name, disk in self._files().items()},
            ledger=self.ledger,
            seconds=self.seconds,
            opened={seat.organisation: seat.people.opened for seat in self.seats},
            states=states,
        )

    # -- the whole of it

    def go(self) -> Outcome:
        """Live, settle, and ask; a broken invariant is the outcome's."""
        random.seed(self.seed)  # tenacity's jitter
        broken = why = ""
        with program(self.disks):
            try:
                self._start_all()
                self.live()
                self.settle()
                for name in invariants.at_end(self):
                    self.counts[f"held: {name}"] += 1
                self._sum_up()
            except Broken as failure:
                broken, why = failure.invariant, str(failure)
                self.tell(f"BROKEN {failure}")
            except Exception as error:  # noqa: BLE001 - whatever escapes is told with its seed
                broken, why = "no_surprise", "".join(traceback.format_exception(error))
                self.tell(f"BROKEN {type(error).__name__}: {error}")
            finally:
                self._end()
        return Outcome(seed=self.seed, trace=self.trace, counts=self.counts, broken=broken, why=why)

    def _start_all(self) -> None:
        for bridge in self.bridges:
            self.start_bridge(bridge)
        for seat in self.seats:
            self.start_desk(seat)
        if self.relay is not None:
            self.start_relay(self.relay)

    def _sum_up(self) -> None:
        for bridge in self.bridges:
            for root, size in bridge.rows("SELECT root, size FROM log"):
                self.tell(f"log {size} {bytes(root).hex()}")
                self.counts["log entries"] += size
            for state, number in bridge.rows("SELECT state, count(*) FROM handoff GROUP BY state"):
                self.counts[f"state {state}"] += number
            for kind, number in bridge.rows("SELECT kind, count(*) FROM trail GROUP BY kind"):
                self.counts[f"kind {kind}"] += number
            (passed,) = bridge.rows("SELECT count(*) FROM passage")[0]
            self.counts[f"carried on from {bridge.name}"] += passed

    def _end(self) -> None:
        for bridge in self.bridges:
            if bridge.process is not None:
                bridge.process.kill(power_cut=False)
        for seat in self.seats:
            if seat.process is not None:
                seat.process.kill(power_cut=False)
            seat.desk.close()
            seat.spool.close()
        for bridge in self.bridges:
            bridge.watched.close()

    # -- what happens

    def live(self) -> None:
        """Let anything happen, for as many steps as the run has."""
        for _ in range(self.steps):
            self.seconds += self.dice.between(0.01, 4)
            self._something()
            self._look()

    def _meanwhile(self) -> None:
        self.depth += 1
        try:
            self._something()
        finally:
            self.depth -= 1

    def _look(self) -> None:
        """Ask what must hold at every moment, if anything changed."""
        now = (
            *(bridge.watched.version() for bridge in self.bridges),
            *(seat.desk.version() for seat in self.seats),
        )
        if now != self._seen:
            self._seen = now
            waiting = {
                row[0]
                for seat in self.seats
                if self.nonsense
                for row in seat.desk.rows("SELECT message_id FROM event WHERE answer = 'waiting'")
            }
            self.nonsense = {one: on for one, on in self.nonsense.items() if one in waiting}
            invariants.somebody_answers(self)

    def _something(self) -> None:
        dice, bad = self.dice, self.faults
        seat = dice.pick(self.seats)
        busy = [one for one in self.seats if self._has_something_to_say(one)]
        sayer = dice.pick(busy) if busy and dice.chance(0.8) else seat
        hearing = [one for one in self.seats if self._has_mail(one)]
        hearer = dice.pick(hearing) if hearing and dice.chance(0.8) else seat
        choices: list[tuple[float, Callable[[Seat], None]]] = [
            (26, self.person_acts),
            (22, lambda _: self.turn_out(sayer)),
            (22 if hearing else 6, lambda _: self.turn_in(hearer)),
            (3, lambda _: self._turn_bridge()),
            (6 if self.late else 0, lambda _: self._deliver_late()),
            (6 * bad, lambda s: self.harm_desk_disk(dice.pick((s, sayer, hearer)))),
            (4 * bad, lambda _: self.harm_bridge_disk(dice.pick((sayer, hearer)))),
            (1.2 * bad, lambda s: self.kill_desk(s, power_cut=dice.chance(0.4))),
            (
                1.2 * bad,
                lambda _: self.kill_bridge(self.some_bridge(), power_cut=dice.chance(0.4)),
            ),
            (0.5 * bad, lambda _: self.stop_bridge(self.some_bridge())),
            (2.0 * bad, self.clock_jumps),
            (0.8 * bad, self.link_breaks),
            (0.5 * bad, self.goes_silent),
            (1.5 * bad, self.take_backup),
            (1.2 * bad, self.restore_backup),
            (0.8, self.operator_reconciles),
        ]
        choices += [
            (15, lambda _, bridge=bridge: self.start_bridge(bridge))  # type: ignore[misc]
            for bridge in self.bridges
            if bridge.process is None
        ]
        if self.relay is not None:
            choices += self.with_relay(self.relay)
        if seat.process is None:
            choices.append((30, self._start_if_dead))
        dice.weighted(choices)(seat)

    # -- the end

    def settle(self) -> None:
        """Mend everything, and let messages stop."""
        self.tell("everything is mended")
        self.calm = True
        for disk in (
            *(b.disk for b in self.bridges),
            *(d for seat in self.seats for d in seat.disks.values()),
        ):
            disk.ill = None
        seen: tuple[object, ...] = ()
        for turn in range(_ROUNDS):
            for bridge in self.bridges:
                if bridge.process is None:
                    self.start_bridge(bridge)
            self._let_the_late_arrive()
            for seat in self.seats:
                if seat.process is None:
                    self.start_desk(seat)
                if turn < _FULL_ROUNDS or self._has_something_to_do(seat):
                    self.turn_out(seat)
                if turn < _FULL_ROUNDS or self._has_mail(seat):
                    self.turn_in(seat)
            if self.relay is not None:
                self.settle_relay(self.relay)
            self._look()
            self.seconds += 31 if turn % 3 == 1 else 1
            logs = (bridge.rows("SELECT size, position FROM log") for bridge in self.bridges)
            now = tuple(seat.desk.version() for seat in self.seats), tuple(map(tuple, logs))
            if now == seen and turn >= _FULL_ROUNDS and not self._owed():
                break
            seen = now
        self.unsure.clear()
        self.tell("messages have stopped")

    def _let_the_late_arrive(self) -> None:
        while self.late:
            self.seconds = max(self.seconds, self.late[0].due)
            self._deliver_late()
            for bridge in self.bridges:
                while self._bridge_step(bridge):
                    pass

    def _owed(self) -> bool:
        return any(
            self._has_something_to_do(seat) or self._has_mail(seat) for seat in self.seats
        ) or any(bridge.rows("SELECT 1 FROM mailbox LIMIT 1") for bridge in self.bridges)

    def _has_something_to_do(self, seat: Seat) -> bool:
        """Return whether something is to be said, acknowledged, or told to the platform."""
        return bool(
            seat.replay_from is not None
            or self._has_something_to_say(seat)
            or seat.spool.rows("SELECT 1 FROM incoming WHERE acknowledged = 0 LIMIT 1")
            or seat.spool.rows("SELECT 1 FROM outgoing WHERE told = 0 LIMIT 1")
        )

    def _has_mail(self, seat: Seat) -> bool:
        query = "SELECT 1 FROM mailbox WHERE recipient = ? LIMIT 1"
        return bool(seat.bridge.rows(query, seat.organisation))


@cache
def stages(*, joined: bool = False) -> tuple[Stage, ...]:
    """Return the stages that runs begin at; the first is the very beginning."""
    return tuple(
        Run(_STAGE_SEEDS + n, steps=30 + n, faults=0, joined=joined).stage()
        for n in range(_JOINED_STAGES if joined else _STAGES)
    )


def run(seed: int, *, steps: int = 40, faults: float = 1.0, joined: bool = False) -> Outcome:
    """Return what the run of *seed* came to; *joined*, with two bridges and a relay between them."""
    dice = Dice(seed, "stage")
    spare_the_collector()
    stage = dice.pick(stages(joined=joined)) if dice.chance(0.75) else None
    return Run(seed, steps=steps, faults=faults, stage=stage, joined=joined).go()
