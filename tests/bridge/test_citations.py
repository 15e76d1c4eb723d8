"""What a message cites must have been said: disposals, requests, marks and predecessors."""

from __future__ import annotations

import base64
import uuid
from dataclasses import replace
from typing import Any

from exchange.acts import Kind
from exchange.client.messages import OutgoingMessage, SealedMessage
from exchange.errors import PredecessorUnknown, RefusalCode
from exchange.submission import Outcome, Retry
from exchange.ticket import own_duty_id
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    POLICE,
    Matter,
    World,
    refused,
    stored,
)

DONE = {"disposal": {"content": "已现场处置。"}}
MORE_TIME = {"extension": {"text": "需要会同其他部门。"}}
DUE = "2026-04-01T00:00:00Z"


def b64(digest: bytes) -> str:
    """Return bytes as the contract's JSON form has them."""
    return base64.b64encode(digest).decode()


class Talk:
    """Two sides of one hand-off that is taken; says one message after the other."""

    def __init__(self, world: World, sender: str, receiver: str, matter: Matter) -> None:
        self.world, self.sender, self.receiver, self.matter = world, sender, receiver, matter
        opening = self.seal(sender, world.opening(matter))
        self.offer = self.seal(sender, world.offer(matter, receiver))
        take = world.message(Kind.TAKE, matter, recipient=sender, previous=self.offer.digest)
        self.taken = self.seal(receiver, take)
        for one, author in ((opening, sender), (self.offer, sender), (self.taken, receiver)):
            stored(self.push(author, one))

    def seal(self, author: str, message: OutgoingMessage) -> SealedMessage:
        """Sign *message* as *author*."""
        return self.world.parties[author].seal(message)[0]

    def push(self, author: str, *sealed: SealedMessage) -> Outcome:
        """Push *sealed* in one drain; return the last outcome."""
        return self.world.drain(*self.world.parties[author].pushes(sealed))[-1]

    def say(self, author: str, kind: Kind, **fields: Any) -> tuple[SealedMessage, Outcome]:
        """Say one thing to the other side."""
        other = self.receiver if author == self.sender else self.sender
        message = self.world.message(kind, self.matter, recipient=other, **fields)
        sealed = self.seal(author, message)
        return sealed, self.push(author, sealed)


def test_an_extension_answers_a_request_of_this_hand_off(world: World) -> None:
    """An answer to a request that nobody made is awaited, one to another message refused."""
    talk = Talk(world, HOTLINE, POLICE, Matter())

    def grant(digest: bytes) -> Outcome:
        act = {"request_digest": b64(digest), "granted": True, "new_due_time": DUE}
        return talk.say(HOTLINE, Kind.GRANT_EXTENSION, act=act)[1]

    request, asked = talk.say(
        POLICE, Kind.REQUEST_EXTENSION, act={"new_due_time": DUE}, groups=MORE_TIME
    )

    stored(asked)
    unknown = grant(bytes(32))
    assert isinstance(unknown, Retry)
    assert isinstance(unknown.error, PredecessorUnknown)
    refusal = refused(grant(talk.taken.digest))
    assert refusal.violations[0].field == "header.grant_extension.request_digest"
    stored(grant(request.digest))


def test_danger_is_not_cleared_over_the_head_of_110(world: World) -> None:
    """While 110 stands in it and has not said what it did, only 110 says that it is over (R31)."""
    talk = Talk(world, HOTLINE, POLICE, Matter())
    mark, marked = talk.say(
        HOTLINE, Kind.MARK_DANGER, groups={"hazard": {"danger_continuing": True}}
    )
    stored(marked)
    over = {"act": {"mark_digest": b64(mark.digest)}, "groups": DONE}

    assert refused(talk.say(HOTLINE, Kind.CLEAR_DANGER, **over)[1]).code is (
        RefusalCode.DANGER_PRESENT
    )
    stored(talk.say(POLICE, Kind.CLEAR_DANGER, **over)[1])


def test_a_danger_marked_after_the_statement_is_stated_anew(world: World) -> None:
    """A return waits until every mark has its statement, as the bridge has stored it (R31)."""
    talk = Talk(world, HOTLINE, POLICE, Matter())
    why = {
        "grounds": {"text": "不属本单位职责。"},
        "measures": {"measures": [{"text": "已警戒。", "take_time": DUE}]},
    }

    def marked() -> bytes:
        groups = {"hazard": {"danger_continuing": True}}
        mark, outcome = talk.say(HOTLINE, Kind.MARK_DANGER, groups=groups)
        stored(outcome)
        return mark.digest

    def states(*digests: bytes) -> Outcome:
        act = {"mark_digests": [b64(digest) for digest in digests]}
        return talk.say(POLICE, Kind.PROGRESS, act=act, groups=DONE)[1]

    def returns() -> Outcome:
        act = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
        previous = talk.taken.digest
        return talk.say(POLICE, Kind.RETURN, previous=previous, act=act, groups=why)[1]

    first = marked()
    refusal = refused(states(first, talk.taken.digest))
    assert RefusalCode.WRONG_STATE is refusal.code
    assert "header.progress.mark_digests[1]" == refusal.violations[0].field
    assert RefusalCode.DANGER_PRESENT is refused(returns()).code
    stored(states(first))
    second = marked()
    assert RefusalCode.DANGER_PRESENT is refused(returns()).code
    stored(states(first, second))
    stored(returns())


def test_a_cited_disposal_must_be_one(world: World) -> None:
    """110's offer may rest on its own progress note of the same ticket, on nothing else (R13)."""
    talk = Talk(world, HOTLINE, POLICE, Matter())
    note, told = talk.say(POLICE, Kind.PROGRESS, groups=DONE)
    stored(told)
    dispute = Matter(item="XC.H.07.01", ticket_id=talk.matter.ticket_id)

    def offer(cited: str) -> Outcome:
        message = world.offer(
            dispute,
            DEPARTMENT,
            onward_of=talk.matter.handoff_id,
            prior_disposal_message_id=cited,
        )
        return talk.push(POLICE, talk.seal(POLICE, message))

    for wrong in (str(uuid.uuid4()), talk.taken.message_id):
        assert refused(offer(wrong)).code is RefusalCode.PRIOR_DISPOSAL_REQUIRED
    stored(offer(note.message_id))


def test_a_stale_move_on_an_own_duty_is_refused_not_awaited(world: World) -> None:
    """An own duty begins with a message of another hand-off; naming that again is superseded."""
    talk = Talk(world, HOTLINE, POLICE, Matter())
    over, taken = talk.say(HOTLINE, Kind.TAKE_OVER)
    stored(taken)
    duty = replace(talk.matter, handoff_id=own_duty_id(talk.matter.handoff_id, over.digest))

    def result() -> Outcome:
        message = world.message(
            Kind.RESULT,
            duty,
            recipient=HOTLINE,
            previous=over.digest,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups=DONE,
        )
        return talk.push(HOTLINE, talk.seal(HOTLINE, message))

    stored(result())
    assert refused(result()).code is RefusalCode.WRONG_STATE
