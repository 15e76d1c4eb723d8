"""What becomes of a call on its way: the network between the desks and the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from exchange.wire.headers import read_envelope
from tests.simulation.disk import Killed
from tests.simulation.places import Caller, Late, Places, Seat
from tests.simulation.wire import TYPES, CallFailed


class Network(Places):
    """Carries calls, loses, doubles and delays them; others go on while somebody waits."""

    #: How often something breaks; 1 is usual.
    faults = 1.0

    def carry(self, seat: Caller, method: str, raw: bytes, timeout: float) -> bytes:
        """Carry one call of *seat*'s to the bridge, as well as the link is."""
        me = seat.process
        word = method.rpartition("/")[2]
        if isinstance(seat, Seat):  # a relay says nothing of its own
            self.ledger.leaves_desk(seat.organisation, method, raw)
        try:
            answer = self._carried(seat, method, raw, timeout)
        except CallFailed as failed:
            self.tell(f"{seat.name} {word}: {failed.code().name}")
            raise
        finally:
            if seat.process is not me:
                raise Killed(seat.name)
        self.tell(f"{seat.name} {word}: {len(raw) > 0 and 'answered'}")
        return answer

    def _carried(self, seat: Caller, method: str, raw: bytes, timeout: float) -> bytes:
        deadline = self.seconds + timeout
        if seat.link_down > self.seconds and not self.calm:
            self.seconds += 0.2
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Connection refused")
        fate = "whole" if self.calm else self._fate()
        if fate != "whole":
            self.fault(f"network: {fate}")
        if fate == "request late":
            due = deadline + self.net.between(0, 60)
            self._send_late(due, seat, method, raw)
        if fate in {"request dropped", "request late"}:
            self._wait_until(seat, deadline)
            raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        if fate == "request cut":
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if fate == "request delayed":
            self._wait_until(seat, min(deadline, self.seconds + self.net.between(0, timeout)))
        if fate == "request doubled":
            self._send_late(self.seconds + self.net.between(0, 40), seat, method, raw)
        answer = self._answered(seat, method, raw, deadline)
        if fate == "answer lost (half-open)":
            self._wait_until(seat, deadline)
            raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        if fate == "answer cut":
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if fate == "answer delayed":
            self._wait_until(seat, min(deadline, self.seconds + self.net.between(0, timeout)))
        return answer

    def _fate(self) -> str:
        bad = 0.025 * self.faults
        return self.net.weighted(
            [
                (1 - 9 * bad, "whole"),
                (bad, "request dropped"),
                (bad, "request late"),
                (bad, "request cut"),
                (bad, "request doubled"),
                (bad, "request delayed"),
                (bad * 2, "answer lost (half-open)"),
                (bad, "answer cut"),
                (bad, "answer delayed"),
            ]
        )

    def _send_late(self, due: float, seat: Caller, method: str, raw: bytes) -> None:
        self.late.append(Late(due=due, caller=seat, method=method, raw=raw))

    def _wait_until(self, seat: Caller, moment: float) -> None:
        """Let others go on while *seat* waits for what does not come."""
        while self.net.chance(0.4) and self.depth < 2:
            self._meanwhile()
        self.seconds = max(self.seconds, moment)

    def _answered(self, seat: Caller, method: str, raw: bytes, deadline: float) -> bytes:
        bridge = seat.bridge
        process = bridge.process
        if process is None:
            self.seconds += 0.1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Connection refused")
        task = process.begin(seat.organisation, method, raw)
        note = self._noted_once(seat, method, raw, task)
        task.add_done_callback(note)  # when it leaves; its caller may go on much later
        while not task.done():
            if not self.calm and self.depth < 2 and self.net.chance(0.012):
                self._meanwhile()
            if bridge.process is not process:
                raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            if self._bridge_step(bridge) or bridge.process is not process:
                continue
            timer = process.loop.next_timer()
            waits = deadline if timer is None else min(timer, deadline)
            if not self.calm and self.depth < 2 and self.net.chance(0.5):
                self._meanwhile()
                continue
            self.seconds = max(self.seconds, waits)
            if self.seconds >= deadline and not task.done():
                task.cancel()
                self._bridge_step(bridge)
                raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        try:
            answer = task.result()
        finally:
            self.seconds += 0.001
        note(task)
        return answer

    def _deliver_late(self) -> None:
        """Let a late request arrive; nobody waits for its answer."""
        due = [one for one in self.late if one.due <= self.seconds]
        if not due:
            return
        one = self.net.pick(due)
        self.late.remove(one)
        bridge = one.caller.bridge
        process = bridge.process
        if self._was_refused(one):
            return
        self.tell(f"a late {one.method.rpartition('/')[2]} of {one.caller.name}")
        if process is None:
            return
        task = process.begin(one.caller.organisation, one.method, one.raw)
        task.add_done_callback(self._noted_once(one.caller, one.method, one.raw, task))

    def _noted_once(
        self, caller: Caller, method: str, raw: bytes, task: asyncio.Task[bytes]
    ) -> Callable[[object], None]:
        """Return what has the ledger note the answer of *task*, the first time it is called."""
        bridge, noted = caller.bridge, False

        def note(_: object) -> None:
            nonlocal noted
            if noted or task.cancelled() or task.exception() is not None:
                return
            noted = True
            now = self._bridge_time(bridge)
            self.ledger.leaves_bridge(
                bridge.name, caller.organisation, method, raw, task.result(), now=now
            )

        return note

    def _was_refused(self, late: Late) -> bool:
        """
        Return whether its author knows by now that something in a late push was refused.

        A bridge judges what was refused afresh whenever it comes, and cannot tell a copy that was held up
        on its way from one that was meant: the known limit in ARCHITECTURE.md.
        """
        if not late.method.endswith("PushMessages"):
            return False
        envelopes = TYPES[late.method][0].FromString(late.raw).envelopes
        ids = [read_envelope(envelope).message_id for envelope in envelopes]
        query = "SELECT message_id FROM outgoing WHERE state IN ('refused', 'dropped')"
        refused = {row[0] for seat in self.seats for row in seat.spool.rows(query)}
        return not refused.isdisjoint(ids)

    def _meanwhile(self) -> None:
        """Let something else happen."""
        raise NotImplementedError
