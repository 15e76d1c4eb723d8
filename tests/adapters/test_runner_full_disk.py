"""The runner on a disk that takes nothing: both loops outlive it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.runner import Pace, Runner
from exchange.text import Text
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

#: Quick enough for a test: how it is paced is not what is tested.
PACE = Pace(
    look=timedelta(milliseconds=50),
    wait=timedelta(milliseconds=200),
    first_pause=timedelta(milliseconds=20),
    longest_pause=timedelta(milliseconds=50),
)


@dataclass
class Told:
    """What a runner told of the kinds of work that failed."""

    failed: dict[str, threading.Event] = field(
        default_factory=lambda: {"push": threading.Event(), "pull": threading.Event()}
    )

    def __call__(self, what: str, why: Text | None) -> None:
        """Hear of one kind of work."""
        if why is not None and what in self.failed:
            self.failed[what].set()


def test_both_loops_outlive_a_spool_that_cannot_even_note_its_failure(link: Link) -> None:
    """Once there is room again, messages leave and arrive as before."""
    hotline, told = link.desk(CITY_12345), Told()
    spool = link.spool(CITY_12345)
    runner = Runner(hotline, spool, link.client(CITY_12345), PACE, notice=told)
    police, other = link.linked(CITY_110)
    threads = [threading.Thread(target=one.run) for one in (runner, other)]
    for thread in threads:
        thread.start()
    try:
        ticket = hotline.open_ticket("噪声扰民", "楼上敲打。", matter="NM.P.01.02").ticket_id
        with spool._lock:
            spool._db.execute("PRAGMA query_only = ON")
        hotline.offer(ticket, CITY_110.organisation, "属公安职责。")
        assert told.failed["push"].wait(30)
        assert told.failed["pull"].wait(30)
        with spool._lock:
            spool._db.execute("PRAGMA query_only = OFF")
        query = "SELECT 1 FROM event WHERE kind = 'offer' AND answer = 'written'"
        assert hotline.wait_until(lambda: hotline.db.row(query) is not None, timedelta(seconds=30))
        assert [row["kind"] for row in police.events(ticket)] == ["open_ticket", "offer"]
    finally:
        for one in (runner, other):
            one.stop()
        for thread in threads:
            thread.join()
