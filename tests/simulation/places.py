"""
The places of one run: the bridge's and each desk's, with the files and the process of the moment.

A process is started on its files and ends, well or badly; what it has promised is held against its
files whenever it starts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from certs.development import Desk as Office
from exchange.errors import ExchangeError, StoreUnavailable
from tests.simulation import invariants
from tests.simulation.dice import Dice
from tests.simulation.disk import Disk, Disks, Ill, Killed, Watched
from tests.simulation.ledger import Broken, Ledger
from tests.simulation.people import People
from tests.simulation.world import (
    START,
    BridgeProcess,
    DeskProcess,
    Site,
    begin_files,
    ground,
)

if TYPE_CHECKING:
    from tests.simulation.relay import RelaySeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A request on its way that nobody waits for any more."""

    due: float
    caller: Caller
    method: str
    raw: bytes


class BridgeSeat:
    """A bridge's place: its configuration, its file, and the process of the moment."""

    def __init__(self, site: Site, disk: Disk, dice: Dice) -> None:
        self.site, self.name = site, site.name
        self.disk = disk
        self.dice = dice
        self.watched = Watched(disk)
        self.process: BridgeProcess | None = None
        self.skew = 0.0

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Return rows of its database as it is on disk."""
        return self.watched.rows(query, *values)


class Caller:
    """Whoever dials a bridge: its link there, and the process of the moment."""

    def __init__(self, organisation: str, name: str, bridge: BridgeSeat) -> None:
        self.organisation, self.name, self.bridge = organisation, name, bridge
        self.process: object = None
        self.link_down = self.silent = 0.0


class Seat(Caller):
    """One desk's place: its files, its people, its link, and the process of the moment."""

    process: DeskProcess | None

    def __init__(
        self, office: Office, bridge: BridgeSeat, desk: Disk, spool: Disk, people: People
    ) -> None:
        super().__init__(office.organisation, "", bridge)
        self.office = office
        self.name = {"1": "police", "4": "county"}.get(self.organisation[0], "hotline")
        if self.organisation.startswith("11140400"):
            self.name = "hotline"
        elif self.organisation.startswith("11140421"):
            self.name = "county"
        self.disks = {"desk": desk, "spool": spool}
        self.desk, self.spool = Watched(desk), Watched(spool)
        self.people = people
        self.skew = 0.0
        self.busy: set[str] = set()
        self.reminded: Counter[str] = Counter()
        self.backup: tuple[datetime, dict[str, dict[str, bytes]]] | None = None
        #: When what was restored was copied; None once everything since was asked for again.
        self.replay_from: datetime | None = None
        self.restored = False
        #: Ids of its own messages that a restored copy does not have, and the hand-offs they moved.
        self.forgotten: set[str] = set()
        self.strayed: set[str] = set()


class Places:
    """One seed's world and what happened in it."""

    def __init__(self, seed: int, *, joined: bool = False) -> None:
        self.seed = seed
        self.ground = ground(joined=joined)
        self.dice = Dice(seed, "scheduler")
        self.net = Dice(seed, "network")
        self.seconds = 0.0
        self.calm = False
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.ledger = Ledger(counts=self.counts)
        self.late: list[Late] = []
        self.offices = self.ground.offices
        self.depth = 0
        self.disks = Disks()
        organisations = tuple(one.organisation for one in self.offices)
        most = {one: int(self.dice.chance(0.35)) for one in organisations}
        most[self.dice.pick(organisations[:2])] += 1
        files = begin_files(self.ground)
        self.bridges = [
            BridgeSeat(site, Disk(path=files[site.name]), Dice(seed, site.name))
            for site in self.ground.sites
        ]
        for bridge in self.bridges:
            self._disk(bridge.disk, bridge.name)
            bridge.disk.read = partial(self._preempt, bridge)
        by_site = {bridge.name: bridge for bridge in self.bridges}
        self.relay: RelaySeat | None = None
        self.seats = [
            Seat(
                office,
                by_site[self.ground.site_of(office).name],
                self._disk(Disk(path=files[f"desk {office.organisation}"]), "desk"),
                self._disk(Disk(path=files[f"spool {office.organisation}"]), "spool"),
                People(
                    Dice(seed, f"people {office.organisation}"),
                    office.organisation,
                    [one for one in organisations if one != office.organisation],
                    most_tickets=most[office.organisation],
                ),
            )
            for office in self.offices
        ]
        #: Hand-offs of which a restored copy says something older.
        self.unsure: set[str] = set()
        #: Messages that can never be decided, because what they build on was never pushed and is lost.
        self.hopeless: set[str] = set()
        #: Hand-offs by a message that no table allows, until the bridge has refused it: a desk keeps no
        #: rules, so its copy shows what was said there.
        self.nonsense: dict[str, str] = {}
        #: Hand-offs on which such a thing was ever said: a spool takes its head back too far.
        self.strange: set[str] = set()
        self._by_organisation = {seat.organisation: seat for seat in self.seats}
        self._seen: tuple[object, ...] = ()

    def _disk(self, disk: Disk, what: str) -> Disk:
        def told(ill: Ill) -> None:
            self.tell(f"{what}: {ill.value}")
            self.counts[f"fault: {what} {ill.value}"] += 1

        disk.told = told
        return self.disks.add(disk)

    @property
    def bridge(self) -> BridgeSeat:
        """Return the only bridge, or the first."""
        return self.bridges[0]

    def some_bridge(self) -> BridgeSeat:
        """Return one of the bridges."""
        return self.dice.pick(self.bridges) if len(self.bridges) > 1 else self.bridges[0]

    def seat_of(self, organisation: str) -> Seat:
        """Return an organisation's seat."""
        return self._by_organisation[organisation]

    def tell(self, line: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self.seconds:10.3f} {'  ' * self.depth}{line}")

    def fault(self, name: str) -> None:
        """Count and tell a fault."""
        self.counts[f"fault: {name}"] += 1
        self.tell(f"! {name}")

    def true_time(self) -> datetime:
        """Return the time that no clock need show."""
        return START + timedelta(seconds=self.seconds)

    def _bridge_time(self, bridge: BridgeSeat) -> datetime:
        return self.true_time() + timedelta(seconds=bridge.skew)

    # -- processes

    def start_bridge(self, seat: BridgeSeat) -> None:
        """Start a bridge on its files; it may find a full disk."""
        seat.disk.dead = False
        self.ledger.free(seat.name)
        try:
            seat.process = BridgeProcess(
                seat.site,
                self.ground,
                seat.disk,
                seat.dice,
                seconds=lambda: self.seconds,
                clock=lambda: self._bridge_time(seat),
            )
        except Killed:
            seat.disk.close(power_cut=False)
            return
        except ExchangeError as error:
            seat.disk.dead = True
            seat.disk.close(power_cut=False)
            self.tell(f"{seat.name} does not start: {type(error).__name__}")
            if not isinstance(error, StoreUnavailable):
                raise Broken("it_starts", f"{seat.name}: {error.text.en}") from error
            return
        self.tell(f"{seat.name} starts")
        invariants.stored_is_kept(self)

    def start_desk(self, seat: Seat) -> None:
        """Start a desk on its files; it may find a full disk."""
        for disk in seat.disks.values():
            disk.dead = False

        def clock() -> datetime:
            return self.true_time() + timedelta(seconds=seat.skew)

        try:
            seat.process = DeskProcess(
                self.ground,
                seat.office,
                seat.disks["desk"],
                seat.disks["spool"],
                lambda method, raw, timeout: self.carry(seat, method, raw, timeout),
                clock=clock,
                sleep=self._sleep,
                attempts=1 if self.dice.chance(0.8) else 2,
                notice=lambda what, text: self._noticed(seat, what, text.en if text else ""),
                remind=lambda message_id: seat.reminded.update([message_id]),
            )
        except Killed:
            self._close_desk(seat, power_cut=False)
            return
        except StoreUnavailable:
            self._close_desk(seat, power_cut=False)
            self.tell(f"{seat.name} does not start")
            return
        self.tell(f"{seat.name} starts")
        invariants.written_is_written(self, seat)

    def _noticed(self, seat: Seat, what: str, words: str) -> None:
        words = words.replace(str(self.ground.folder), "")
        self.tell(f"{seat.name} {what}: {words[:60] or 'works'}")
        name = words.partition(":")[0]
        if name.isidentifier() and name.endswith(("Error", "Exception")):
            raise Broken("no_surprise", f"{seat.name} {what}: {words}")
        if "constraint" in words:
            raise Broken("no_surprise", f"{seat.name} {what}: {words}")

    def _close_desk(self, seat: Seat, *, power_cut: bool) -> None:
        seat.desk.close()
        seat.spool.close()
        for disk in seat.disks.values():
            disk.dead = True
            disk.ill = None
            disk.close(power_cut=power_cut)
        seat.process = None

    def kill_desk(self, seat: Seat, *, power_cut: bool = False) -> None:
        """End a desk at once."""
        if seat.process is not None:
            self.fault(f"desk {'loses power' if power_cut else 'killed'}")
            self._close_desk(seat, power_cut=power_cut)

    def kill_bridge(self, bridge: BridgeSeat, *, power_cut: bool = False) -> None:
        """End a bridge at once."""
        process = bridge.process
        if process is None:
            return
        self.fault(f"{bridge.name} {'loses power' if power_cut else 'killed'}")
        bridge.process = None
        bridge.watched.close()
        bridge.disk.ill = None
        process.kill(power_cut=power_cut)

    def stop_bridge(self, bridge: BridgeSeat) -> None:
        """Stop a bridge as on SIGTERM."""
        process = bridge.process
        if process is None:
            return
        self.fault(f"{bridge.name} stopped gracefully")
        bridge.process = None
        bridge.watched.close()
        try:
            process.stop()
        except Killed:
            process.kill(power_cut=False)

    def _bridge_step(self, bridge: BridgeSeat) -> bool:
        """Let a bridge do one thing; False if it has nothing to do."""
        process = bridge.process
        if process is None:
            return False
        try:
            moved = process.loop.step()
        except Killed:
            self.kill_bridge(bridge)
            return False
        surprises = [
            one for one in process.journal.errors if one[0] in {"drain-broke", "unexpected"}
        ]
        if surprises:
            raise Broken("no_surprise", f"{bridge.name}: {surprises[0]}")
        return moved

    def _preempt(self, bridge: BridgeSeat) -> None:
        """Let another of the bridge's threads go on in the middle of one's statement."""
        process = bridge.process
        disk = bridge.disk
        if process is None or disk.dead or process.preempted or disk.is_locked():
            return
        if bridge.dice.chance(0.05):
            process.preempted = True
            try:
                if process.loop.run_other_job():
                    self.counts["threads interleaved"] += 1
            finally:
                process.preempted = False

    # -- what the layers above add

    def carry(self, seat: Caller, method: str, raw: bytes, timeout: float) -> bytes:
        """Carry one call of *seat*'s to the bridge."""
        raise NotImplementedError

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
