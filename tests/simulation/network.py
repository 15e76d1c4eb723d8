"""What becomes of a call on its way: the network between the desks and the bridge."""

from __future__ import annotations

import grpc

from tests.simulation.disk import Killed
from tests.simulation.places import Late, Places, Seat
from tests.simulation.wire import CallFailed


class Network(Places):
    """Carries calls, loses, doubles and delays them; others go on while somebody waits."""

    #: How often something breaks; 1 is usual.
    faults = 1.0

    def carry(self, seat: Seat, method: str, raw: bytes, timeout: float) -> bytes:
        """Carry one call of *seat*'s to the bridge, as well as the link is."""
        me = seat.process
        word = method.rpartition("/")[2]
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

    def _carried(self, seat: Seat, method: str, raw: bytes, timeout: float) -> bytes:
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

    def _send_late(self, due: float, seat: Seat, method: str, raw: bytes) -> None:
        self.late.append(Late(due=due, organisation=seat.organisation, method=method, raw=raw))

    def _wait_until(self, seat: Seat, moment: float) -> None:
        """Let others go on while *seat* waits for what does not come."""
        while self.net.chance(0.4) and self.depth < 2:
            self._meanwhile()
        self.seconds = max(self.seconds, moment)

    def _answered(self, seat: Seat, method: str, raw: bytes, deadline: float) -> bytes:
        process = self.bridge.process
        if process is None:
            self.seconds += 0.1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Connection refused")
        task = process.begin(seat.organisation, method, raw)
        while not task.done():
            if not self.calm and self.depth < 2 and self.net.chance(0.012):
                self._meanwhile()
            if self.bridge.process is not process:
                raise CallFailed(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            if self._bridge_step() or self.bridge.process is not process:
                continue
            timer = process.loop.next_timer()
            waits = deadline if timer is None else min(timer, deadline)
            if not self.calm and self.depth < 2 and self.net.chance(0.5):
                self._meanwhile()
                continue
            self.seconds = max(self.seconds, waits)
            if self.seconds >= deadline and not task.done():
                task.cancel()
                self._bridge_step()
                raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        try:
            answer = task.result()
        finally:
            self.seconds += 0.001
        self.ledger.leaves_bridge(seat.organisation, method, raw, answer, self._bridge_time())
        return answer

    def _deliver_late(self) -> None:
        """Let a late request arrive; nobody waits for its answer."""
        due = [one for one in self.late if one.due <= self.seconds]
        process = self.bridge.process
        if not due:
            return
        one = self.net.pick(due)
        self.late.remove(one)
        self.tell(
            f"a late {one.method.rpartition('/')[2]} of {self.seat_of(one.organisation).name}"
        )
        if process is None:
            return
        task = process.begin(one.organisation, one.method, one.raw)

        def answered(done: object) -> None:
            if not task.cancelled() and task.exception() is None:
                self.ledger.leaves_bridge(
                    one.organisation, one.method, one.raw, task.result(), self._bridge_time()
                )

        task.add_done_callback(answered)

    def _meanwhile(self) -> None:
        """Let something else happen."""
        raise NotImplementedError
