"""What is done at the desks, and what breaks: the steps that a run is made of."""

from __future__ import annotations

from datetime import timedelta

from adapters.sqlite_desk import Said
from exchange.errors import ExchangeError
from exchange.ticket import own_duty_id
from tests.simulation.disk import Ill, Killed
from tests.simulation.ledger import Broken
from tests.simulation.network import Network
from tests.simulation.places import BridgeSeat, Seat
from tests.simulation.world import DeskProcess


class Deeds(Network):
    """The single steps, each at one seat."""

    @staticmethod
    def _has_something_to_say(seat: Seat) -> bool:
        return bool(
            seat.desk.rows("SELECT 1 FROM outbox LIMIT 1")
            or seat.spool.rows("SELECT 1 FROM outgoing WHERE state = 'waiting' LIMIT 1")
        )

    def _start_if_dead(self, seat: Seat) -> None:
        if seat.process is None:
            self.start_desk(seat)

    def person_acts(self, seat: Seat) -> None:
        """Let a desk's person say something."""
        process = seat.process
        if process is None:
            return
        try:
            said = seat.people.act(process.desk)
        except Killed:
            self.kill_desk(seat)
            return
        except ExchangeError as error:
            self.tell(f"{seat.name} cannot say it: {type(error).__name__}")
            return
        for one in said:
            self._entered(seat, one)
            if seat.people.nonsense:
                self.nonsense[one.message_id] = one.handoff_id
                self.strange.add(one.handoff_id)

    def _entered(self, seat: Seat, said: Said) -> None:
        rows = seat.desk.rows(
            "SELECT digest, kind FROM event WHERE message_id = ?", said.message_id
        )
        if not rows:
            raise Broken("written_is_written", f"{seat.name} was told that {said} is entered")
        self.ledger.said[seat.organisation, said.message_id] = bytes(rows[0][0])
        self.tell(f"{seat.name} says {rows[0][1]} {said.message_id[:8]} on {said.handoff_id[:8]}")

    def turn_out(self, seat: Seat) -> None:
        """Do a turn of a desk's outgoing loop."""
        self._turn(seat, "out")

    def turn_in(self, seat: Seat) -> None:
        """Do a turn of a desk's incoming loop."""
        self._turn(seat, "in")

    def _turn(self, seat: Seat, which: str) -> None:
        process = seat.process
        if process is None or which in seat.busy or (seat.silent > self.seconds and not self.calm):
            return
        if "out" in seat.busy:
            return  # a push under way is not interrupted by a pull: one of its two threads waits
        seat.busy.add(which)
        try:
            if seat.replay_from is not None:
                self._replay(seat, process)
            else:
                (process.out if which == "out" else process.take_in)()
        except Killed:
            if seat.process is process:
                self.kill_desk(seat)
        finally:
            seat.busy.discard(which)

    def _replay(self, seat: Seat, process: DeskProcess) -> None:
        assert seat.replay_from is not None
        try:
            process.replay(seat.replay_from)
        except ExchangeError:
            return
        self.tell(f"{seat.name} had everything sent again")
        seat.replay_from = None

    def _turn_bridge(self) -> None:
        bridge = self.some_bridge()
        for _ in range(1 + self.dice.number(6)):
            self._bridge_step(bridge)

    def operator_reconciles(self, seat: Seat) -> None:
        """Let an operator compare a desk's copy with the bridge's."""
        process = seat.process
        if process is None or seat.busy or seat.replay_from is not None:
            return
        seat.busy.add("out")
        try:
            process.runner.reconcile()
        except Killed:
            if seat.process is process:
                self.kill_desk(seat)
        except ExchangeError:
            pass
        finally:
            seat.busy.discard("out")

    # -- what breaks

    def harm_desk_disk(self, seat: Seat) -> None:
        """Let something happen to a desk's file while it does the next thing."""
        if seat.process is None or seat.busy:
            return
        disk = seat.disks[self.dice.pick(("desk", "spool"))]
        disk.arm(self.dice.pick(tuple(Ill)), self.dice.number(16), 1 + self.dice.number(4))
        self.dice.pick((self.person_acts, self.turn_out, self.turn_in, self.turn_in))(seat)

    def harm_bridge_disk(self, seat: Seat) -> None:
        """Let something happen to the bridge's file while it answers the next call."""
        seat.bridge.disk.arm(
            self.dice.pick(tuple(Ill)), self.dice.number(30), 1 + self.dice.number(4)
        )
        self.dice.pick((self.turn_out, self.turn_in))(seat)

    def clock_jumps(self, seat: Seat) -> None:
        """Set a clock forward or back."""
        either: tuple[Seat | BridgeSeat, ...] = (seat, seat.bridge, seat.bridge)
        whose = self.dice.pick(either)
        by = self.dice.pick((-86400.0 * 2, -3600.0, -31.0, 31.0, 3600.0, 86400.0 * 2))
        self.ledger.free(seat.bridge.name)
        whose.skew = max(-86400.0 * 5, min(86400.0 * 5, whose.skew + by))
        self.fault(f"clock {'forward' if by > 0 else 'back'}")

    def link_breaks(self, seat: Seat) -> None:
        """Let a desk's link be down for a while."""
        seat.link_down = self.seconds + self.dice.between(1, 40)
        self.fault("link down")

    def goes_silent(self, seat: Seat) -> None:
        """Let a desk do nothing for a while."""
        seat.silent = self.seconds + self.dice.between(5, 90)
        self.fault("silent peer")

    def take_backup(self, seat: Seat) -> None:
        """Copy a desk's files as a nightly backup does, with the desk stopped."""
        if seat.process is None or seat.busy or seat.replay_from is not None:
            return
        self._close_desk(seat, power_cut=False)
        copies = {name: disk.contents() for name, disk in seat.disks.items()}
        seat.backup = (self.true_time() + timedelta(seconds=seat.bridge.skew), copies)
        self.tell(f"{seat.name} is backed up")
        self.start_desk(seat)

    def restore_backup(self, seat: Seat) -> None:
        """Put last night's copy of a whole desk back; what came since is then asked for again."""
        if seat.backup is None or seat.busy or seat.restored:
            return
        if seat.process is not None:
            self._close_desk(seat, power_cut=False)
        when, copies = seat.backup
        before = seat.desk.rows(
            "SELECT message_id, ticket_id, handoff_id, digest, author FROM event"
        )
        seat.desk.close()
        seat.spool.close()
        for name, disk in seat.disks.items():
            disk.put_back(copies[name])
        kept = {row[0] for row in seat.desk.rows("SELECT message_id FROM event")}
        lost = [row for row in before if row[0] not in kept]
        for message_id, ticket_id, handoff_id, digest, author in lost:
            self.unsure.add(handoff_id)
            self.ledger.written.pop((seat.organisation, message_id), None)
            self.ledger.said.pop((seat.organisation, message_id), None)
            if author == seat.organisation:
                seat.forgotten.add(message_id)
                seat.strayed |= {ticket_id, handoff_id, own_duty_id(handoff_id, bytes(digest))}
        seat.restored = True
        # To put a backup back takes longer than any network holds up what was said before.
        self.late = [one for one in self.late if one.caller is not seat]
        # The bridge's clock may have been set back meanwhile: a moment early costs nothing.
        seat.replay_from = when - timedelta(days=11)
        self.fault("desk restored from backup")
        self.start_desk(seat)
