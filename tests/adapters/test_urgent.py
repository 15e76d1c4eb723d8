"""What is urgent comes by a pull of its own, and waits for no more than the record that is being written."""

from __future__ import annotations

import threading
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from adapters.runner import Pace, Runner
from adapters.sqlite_desk import Desk
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.acts import Urgency
from exchange.client import IncomingMessage
from exchange.settings import Limits
from tests.adapters.linked import Link, exchange_once
from tests.adapters.test_runner import Receiver, offered
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.holding import listening
from tests.server.running import calling


class Writing(Receiver):
    """A platform that is at its first record until something urgent stands at its door."""

    def __init__(self) -> None:
        super().__init__()
        self.runner: Runner | None = None
        self.writes = threading.Event()
        self.order: list[str] = []
        self._inside = threading.Lock()

    def deliver(self, item: IncomingMessage) -> str:
        """Note in which order things are written, one at a time."""
        assert self._inside.acquire(blocking=False)
        try:
            if not self.order:
                self.writes.set()
                assert self.runner is not None
                door, pause = self.runner._door, threading.Event()
                while not door.urgent:
                    pause.wait(0.005)
            self.order.append(item.lane)
            return super().deliver(item)
        finally:
            self._inside.release()


def test_an_urgent_matter_waits_for_one_record_alone(link: Link) -> None:
    """It comes by a pull of its own while a platform is still at the first of many others."""
    hotline, first = link.linked(CITY_12345)
    receiver = Writing()
    second = receiver.runner = link.runner(CITY_110, receiver)
    assert 0 == second.pull()
    routine = {_lane_of(hotline, offered(hotline)) for _ in range(8)}
    exchange_once(first)
    running = [threading.Thread(target=runner.run) for runner in (second, first)]
    try:
        running[0].start()
        assert receiver.writes.wait(60)
        urgent = _lane_of(hotline, offered(hotline, Urgency.IMMEDIATE))
        running[1].start()
        unwritten = "SELECT 1 FROM event WHERE kind = 'offer' AND answer <> 'written'"
        assert hotline.wait_until(lambda: not hotline.db.rows(unwritten), timedelta(seconds=60))
    finally:
        for runner, thread in zip((second, first), running, strict=True):
            runner.stop()
            if thread.ident is not None:
                thread.join(60)

    assert [urgent, urgent] == receiver.order[1:3]
    assert routine | {urgent} == set(receiver.order)


def test_the_urgent_pull_gives_way_where_too_many_wait(link: Link, pki: Pki) -> None:
    """It says so, stands back, and does not wait on the next one to find that there is room again."""
    runner = link.runner(CITY_110, Receiver(), Pace(longest_pause=timedelta(0)))
    assert 0 == runner.pull()
    places = Limits().waiting_pulls
    with calling(pki, link.bridge.port, CITY_110) as police:
        request = pb.PullMessagesRequest(wait=Duration(seconds=60))
        waiting = [police.exchange.PullMessages.future(request) for _ in range(places)]
        listening(link.bridge, places)
        runner._in_urgent()
        full = runner.spool.noted("urgent_error")
        for call in waiting:
            call.cancel()
        listening(link.bridge, 0)
    waits = [runner._waits("urgent")]
    runner._in_urgent()
    waits.append(runner._waits("urgent"))

    assert "waiting pulls" in full
    assert "" == runner.spool.noted("urgent_error")
    assert [timedelta(0), runner.pace.wait] == waits


def _lane_of(desk: Desk, message_id: str) -> str:
    row = desk.db.row("SELECT handoff_id FROM event WHERE message_id = ?", message_id)
    assert row is not None
    return str(row["handoff_id"])
