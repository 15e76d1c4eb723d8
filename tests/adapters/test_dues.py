"""What an organisation owes by a deadline reaches it: the bell of its own adapter rings, once each time."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from adapters.dues import EVERY, Dues
from adapters.reminder import Reminder
from adapters.runner import Pace, Runner
from exchange.acts import Kind, Urgency
from exchange.client import Owed, owed_by
from exchange.provisions import DEADLINE_TEXTS, DeadlineKind
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345


class Clock:
    """A gateway's clock, set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@pytest.fixture
def owing(link: Link) -> str:
    """Let 110 owe the hotline an answer since yesterday, and take a matter in a while; the hand-off."""
    (hotline, ours), (_, theirs) = link.linked(CITY_12345), link.linked(CITY_110)
    ticket = hotline.open_ticket("噪声扰民", "楼上深夜敲打。", matter="NM.P.01.02")
    offer = hotline.offer(
        ticket.ticket_id, CITY_110.organisation, "属公安职责。", urgency=Urgency.URGENT
    )
    exchange_once(ours, theirs)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    hotline.say(Kind.SUPERVISE, offer.handoff_id, "请尽快签收。", act={"due_time": yesterday})
    exchange_once(ours, theirs)
    return offer.handoff_id


def test_what_is_due_rings_once_and_again_when_it_is_over(link: Link, owing: str) -> None:
    """At once, not with every look, and never on the other side's desk."""
    clock, heard = Clock(), list[Owed]()
    dues = Dues(link.client(CITY_110), heard.append, clock)

    assert dues.look() == 1
    assert [(one.handoff_id, one.kind) for one in heard] == [(owing, "supervision")]
    assert dues.look() is None
    clock.now += EVERY
    assert dues.look() == 0, "it has rung"
    clock.now -= timedelta(hours=2)
    assert dues.look() == 0, "a clock that was set back holds nobody up"
    clock.now += timedelta(days=1)
    assert dues.look() == 1
    assert heard[-1].kind == "take"
    assert heard[-1].is_over(clock.now)
    assert list(owed_by(link.client(CITY_12345).tickets, CITY_12345.organisation, clock.now)) == []


def test_a_bell_that_fails_rings_again_and_stops_nothing(link: Link, owing: str) -> None:
    """What could not be rung is not taken as rung; the runner notes why, and goes on."""
    clock, heard = Clock(), list[str]()
    broken = [OSError("no bell")]

    def ring(one: Owed) -> None:
        if broken:
            raise broken.pop()
        heard.append(one.handoff_id)

    runner = Runner(
        link.desk(CITY_110),
        link.spool(CITY_110),
        link.client(CITY_110),
        Pace(clock=clock),
        ring=ring,
    )
    assert runner.remind() == 0
    assert "no bell" in runner.spool.noted("deadlines_error")
    clock.now += EVERY
    assert runner.remind() == 1
    assert (heard, runner.spool.noted("deadlines_error")) == ([owing], "")
    assert link.runner(CITY_12345, link.desk(CITY_12345)).remind() == 0, (
        "who has no bell asks nothing"
    )


def test_it_rings_as_for_what_arrives() -> None:
    """As loud as the matter is urgent; a command is told what, of which hand-off and until when."""
    due = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    owed = Owed(
        ticket_id="t", handoff_id="h", urgency=Urgency.URGENT, kind="supervision",
        what=DEADLINE_TEXTS[DeadlineKind.SUPERVISION], due=due,
    )  # fmt: skip
    stream = io.StringIO()
    Reminder(stream, language="zh").due(owed)
    told = "test $EXCHANGE_KIND$EXCHANGE_DUE = supervision2026-03-02T09:30:00Z"
    Reminder(None, command=["sh", "-c", told]).due(owed)

    assert stream.getvalue().count("\a") == 3
    assert "【紧急】" in stream.getvalue()
    assert "答复督办，单号 t" in stream.getvalue()
