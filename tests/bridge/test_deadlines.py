"""Every kind of deadline begins and ends by its acts, is owed by one side, and is found by whoever asks."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from adapters.sqlite_desk.forms import act_for, groups_for
from exchange.acts import MOVING_KINDS, Kind, Urgency
from exchange.client.messages import OutgoingMessage
from exchange.deadlines import CHINA
from exchange.errors import RefusalCode
from exchange.query import Filters, Query
from exchange.query.duties import DutiesRoom
from exchange.store.audit import audit
from exchange.store.engines import connect
from exchange.store.reckoned import Reckoned
from exchange.submission import Outcome
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    LOG_KEY,
    POLICE,
    START,
    TO_HOTLINE,
    Matter,
    World,
    refused,
    stored,
)
from tests.store.test_audit import WorldReader


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Yield a world that says by which rules it reckons; whatever it reckoned, the audit reckons, too."""
    made = World(database_url, says_rules=True)
    yield made
    made.bridge.store.close()
    engines, reckoned = connect(database_url), Reckoned()
    found = list(audit(engines, LOG_KEY.verifier, WorldReader(made), reckoned=reckoned))
    engines.close()
    # A world's keys have no certificates.
    assert [] == [one.en for one in found if "table certificate" not in one.en]
    assert 0 == reckoned.unbound


#: By kind: who owes it, and until when in China.
Dues = dict[str, tuple[str, str]]


class Course:
    """One hand-off from *sender* to *receiver*, told message by message."""

    def __init__(
        self,
        world: World,
        sender: str = HOTLINE,
        receiver: str = POLICE,
        *,
        urgency: Urgency = Urgency.ROUTINE,
        matter: Matter | None = None,
        **offer: Any,
    ) -> None:
        self.world, self.sender, self.receiver = world, sender, receiver
        self.matter = matter or Matter()
        opening = world.opening(self.matter)
        (first,) = world.push(sender, replace(opening, urgency=urgency))
        stored(first)
        self.head = self._push(
            sender, replace(world.offer(self.matter, receiver, **offer), urgency=urgency)
        )

    def say(self, author: str, kind: Kind, act: Mapping[str, Any] | None = None) -> bytes:
        """Say *kind*, with the words that a desk would write; return its digest."""
        outcome, digest = self.try_to(author, kind, act)
        stored(outcome)
        if kind in MOVING_KINDS:
            self.head = digest
        return digest

    def try_to(
        self, author: str, kind: Kind, act: Mapping[str, Any] | None = None
    ) -> tuple[Outcome, bytes]:
        """Say *kind*, whatever becomes of it."""
        now = self.world.now
        message = self.world.message(
            kind,
            self.matter,
            recipient=self.receiver if author == self.sender else self.sender,
            previous=self.head if kind in MOVING_KINDS else b"",
            act={**act_for(kind, now, "J-1"), **(act or {})},
            groups=groups_for(kind, "说明。", now, "J-1"),
        )
        party = self.world.parties[author]
        (sealed,) = party.seal(message)
        (outcome,) = self.world.drain(*party.pushes([sealed]))
        return outcome, sealed.digest

    def _push(self, author: str, message: OutgoingMessage) -> bytes:
        party = self.world.parties[author]
        (sealed,) = party.seal(message)
        (outcome,) = self.world.drain(*party.pushes([sealed]))
        stored(outcome)
        return sealed.digest

    def due(self) -> Dues:
        """Return what is due on the hand-off."""
        query = Query.open(self.world.url)
        try:
            views = query.ticket(self.matter.ticket_id, None).handoffs
        finally:
            query.close()
        (standing,) = (
            one.standing for one in views if one.standing.handoff.id == self.matter.handoff_id
        )
        return {
            one.kind.value: (one.owes, f"{one.due.astimezone(CHINA):%m-%d %H:%M:%S}")
            for one in standing.deadlines
        }


def b64(digest: bytes) -> str:
    """Return bytes as the contract's JSON form has them."""
    return base64.b64encode(digest).decode()


def test_each_kind_from_its_beginning_to_its_end(world: World) -> None:
    """A routine matter on a Monday at 16:00, in hours and working days; every step of its life."""
    course = Course(world)
    assert course.due() == {"take": (POLICE, "03-02 17:00:02")}

    course.say(POLICE, Kind.TAKE)
    taken = {
        "result": (POLICE, "03-12 00:00:00"),
        "first-feedback": (POLICE, "03-04 00:00:00"),
        "return": (POLICE, "03-04 00:00:00"),
    }
    assert course.due() == taken

    course.say(HOTLINE, Kind.PROGRESS)
    assert course.due() == taken, "the sender's note is no feedback"
    course.say(POLICE, Kind.PROGRESS)
    del taken["first-feedback"]
    assert course.due() == taken

    # An urging with a time of its own, and one that leaves it to the profile: the earlier counts.
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": "2026-03-02T09:30:00Z"})
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": None})
    assert course.due() == taken | {"supervision": (POLICE, "03-02 17:30:00")}
    course.say(HOTLINE, Kind.PROGRESS)
    assert "supervision" in course.due(), "who urged does not answer it"
    course.say(POLICE, Kind.PROGRESS)
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": None})
    assert course.due() == taken | {"supervision": (POLICE, "03-04 00:00:00")}

    course.say(POLICE, Kind.RETURN)
    assert course.due() == {
        "answer-return": (HOTLINE, "03-02 20:00:11"),
        "return": (POLICE, "03-04 00:00:00"),
    }, "the move has answered the urging; by when it had to be asked for stays"
    course.say(HOTLINE, Kind.REFUSE)
    assert course.due() == {"ruling": (HOTLINE, "03-04 00:00:00")}
    agreed = course.say(POLICE, Kind.POSITION)
    course.say(
        HOTLINE,
        Kind.RULE,
        {"outcome": "RULING_OUTCOME_HANDLER_KEEPS", "position_digest": b64(agreed)},
    )
    assert course.due() == {"result": (POLICE, "03-12 00:00:00")}, "it was taken long ago"

    course.say(POLICE, Kind.RESULT)
    assert course.due() == {"close": (HOTLINE, "03-06 00:00:00")}
    course.say(HOTLINE, Kind.REOPEN)
    assert course.due() == {"result": (POLICE, "03-12 00:00:00")}
    course.say(POLICE, Kind.RESULT)
    course.say(HOTLINE, Kind.CLOSE)
    assert course.due() == {"visit": (HOTLINE, "03-10 00:00:00")}
    course.say(HOTLINE, Kind.VISIT)
    assert course.due() == {}


def test_natural_hours_run_through_the_night(world: World) -> None:
    """An urgent matter of Friday 22:00: minutes and hours from the instant, whatever the day."""
    world.now = datetime(2026, 3, 6, 22, tzinfo=CHINA) - timedelta(seconds=2)
    course = Course(world, urgency=Urgency.URGENT)
    assert course.due() == {"take": (POLICE, "03-06 22:30:00")}
    course.say(POLICE, Kind.TAKE)
    assert course.due() == {
        "result": (POLICE, "03-12 00:00:00"),
        "first-feedback": (POLICE, "03-07 02:00:01"),
        "return": (POLICE, "03-07 00:00:01"),
    }
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": None})
    assert course.due()["supervision"] == (POLICE, "03-07 02:00:02")
    course.say(POLICE, Kind.RETURN)
    assert course.due()["answer-return"] == (HOTLINE, "03-06 23:00:03")
    course.say(HOTLINE, Kind.REFUSE)
    assert course.due() == {"ruling": (HOTLINE, "03-07 00:00:04")}


def test_12345_visits_whoever_handed_it_the_matter_once(world: World) -> None:
    """The receiver's visit, where it is 12345; one before the closing is not asked for again."""
    matter = Matter(item=TO_HOTLINE)
    course = Course(world, POLICE, HOTLINE, matter=matter)
    course.say(HOTLINE, Kind.TAKE)
    course.say(HOTLINE, Kind.RESULT)
    course.say(POLICE, Kind.CLOSE)
    assert course.due() == {"visit": (HOTLINE, "03-10 00:00:00")}

    early = Course(world)
    early.say(POLICE, Kind.TAKE)
    early.say(POLICE, Kind.RESULT)
    early.say(HOTLINE, Kind.VISIT)
    early.say(HOTLINE, Kind.CLOSE)
    assert early.due() == {}


def test_a_granted_extension_moves_what_the_receiver_owes(world: World) -> None:
    """Taking, then the result; nothing of the sender's, and never without a time."""
    course, later = Course(world), "2026-04-01T00:00:00Z"

    def grant(**act: Any) -> Outcome:
        asked = course.say(POLICE, Kind.REQUEST_EXTENSION, {"new_due_time": later})
        given = {"request_digest": b64(asked), "new_due_time": later, **act}
        return course.try_to(HOTLINE, Kind.GRANT_EXTENSION, given)[0]

    stored(grant(granted=False))
    assert course.due() == {"take": (POLICE, "03-02 17:00:02")}
    refusal = refused(grant(new_due_time=None))
    assert refusal.code is RefusalCode.FIELD_INVALID
    assert refusal.violations[0].field == "header.grant_extension.new_due_time"
    stored(grant())
    assert course.due() == {"take": (POLICE, "04-01 08:00:00")}
    course.say(POLICE, Kind.TAKE)
    stored(grant())
    assert course.due()["result"] == (POLICE, "04-01 08:00:00")
    course.say(POLICE, Kind.RESULT)
    before = course.due()
    stored(grant())
    assert course.due() == before


def test_nobody_waits_for_what_was_taken_over(world: World) -> None:
    """The sender took it back: its own duty is due, the receiver's steps are not."""
    course = Course(world)
    course.say(POLICE, Kind.TAKE)
    course.say(HOTLINE, Kind.TAKE_OVER)

    assert course.due() == {}
    (owing,) = _owing(world, START + timedelta(days=30))
    assert owing == (HOTLINE, 1, 0)


@pytest.mark.parametrize(
    ("act", "level"),
    [({"level": "EMERGENCY_LEVEL_SUBSTANTIAL"}, "offer"), ({}, "ticket")],
)
def test_an_emergency_is_due_at_once_whoever_says_so(
    world: World, act: dict[str, str], level: str
) -> None:
    """The level of the offer or of its ticket, whichever is higher."""
    matter = Matter()
    opening = {} if level == "offer" else {"level": "EMERGENCY_LEVEL_SUBSTANTIAL"}
    stored(world.push(HOTLINE, world.opening(matter, **opening))[0])
    stored(world.push(HOTLINE, world.offer(matter, POLICE, **act))[0])
    query = Query.open(world.url)
    (view,) = query.ticket(matter.ticket_id, None).handoffs
    query.close()

    (take,) = view.standing.deadlines
    assert take.due == world.now + timedelta(minutes=5)
    assert take.remind == world.now + timedelta(minutes=4)


def _owing(world: World, now: datetime) -> list[tuple[str, int, int]]:
    room = DutiesRoom.open(world.url)
    try:
        return [(one.organisation, one.overdue, one.soon) for one in room.owing(now)]
    finally:
        room.close()


def test_who_owes_is_told_before_and_after(world: World) -> None:
    """Lists, figures and views find a deadline by who owes it, from its reminder on."""
    course = Course(world)
    course.say(POLICE, Kind.TAKE)
    course.say(POLICE, Kind.PROGRESS)
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": "2026-03-02T10:00:00Z"})
    query = Query.open(world.url)
    ours = [course.matter.ticket_id]

    def found(**filters: Any) -> list[str]:
        return [one.ticket.id for one in query.tickets(None, Filters(**filters))[0]]

    at = {
        hour: datetime.fromisoformat(f"2026-03-02T{hour}:00Z")
        for hour in ("09:00", "09:50", "10:01")
    }
    returned = datetime(2026, 3, 4, 1, tzinfo=CHINA)
    assert found(owes=POLICE) == ours
    assert found(owes=HOTLINE) == found(owes=DEPARTMENT) == []
    assert found(owes=POLICE, reminded_at=at["09:00"]) == []
    assert _owing(world, at["09:00"]) == []
    assert found(owes=POLICE, reminded_at=at["09:50"]) == found(reminded_at=at["09:50"]) == ours
    assert found(overdue_at=at["09:50"]) == []
    assert _owing(world, at["09:50"]) == [(POLICE, 0, 1)]
    assert found(overdue_at=at["10:01"]) == found(owes=POLICE, overdue_at=at["10:01"]) == ours
    assert found(owes=HOTLINE, overdue_at=at["10:01"]) == []
    assert _owing(world, at["10:01"]) == [(POLICE, 1, 0)]

    course.say(POLICE, Kind.PROGRESS)
    assert found(overdue_at=returned) == [], "a return that nobody asked for is no fault"
    assert _owing(world, returned - timedelta(hours=2)) == [(POLICE, 0, 1)]
    assert _owing(world, returned) == []
    query.close()


def test_the_views_tell_what_is_due(world: World) -> None:
    """For whoever queries with SQL: each deadline with who owes it, and what is overdue."""
    course = Course(world)
    course.say(POLICE, Kind.TAKE)
    course.say(HOTLINE, Kind.SUPERVISE, {"due_time": "2026-03-02T10:00:00Z"})
    far = Course(world, take_due_time="9999-01-01T00:00:00Z")
    far.say(HOTLINE, Kind.SUPERVISE, {"due_time": "2026-03-02T10:00:00Z"})
    engine = create_engine(world.url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT kind, owes, overdue FROM v_deadline WHERE handoff_id = :id ORDER BY kind"),
            {"id": course.matter.handoff_id},
        ).all()
        late = connection.execute(text("SELECT handoff_id FROM v_overdue")).scalars().all()
    engine.dispose()

    assert [tuple(row) for row in rows] == [
        ("first feedback 首次反馈", POLICE, 1),
        ("result 反馈办结", POLICE, 1),
        ("return 申请退回", POLICE, 0),
        ("supervision 答复督办", POLICE, 1),
    ]
    assert sorted(late) == sorted([course.matter.handoff_id, far.matter.handoff_id])
