"""One hand-off and its neighbours: own duties, predecessors, danger, opening, what was handed on."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from exchange.acts import (
    ClearDanger,
    Kind,
    Offer,
    Progress,
    Release,
    RulingOutcome,
)
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode
from exchange.lifecycle import (
    Change,
    advance,
    answers,
    decides,
    may_close,
    open_handoff,
    ticket_answers,
)
from exchange.ticket import Handoff, State, own_duty_id
from tests.unit.handoffs import RECEIVER, SENDER, in_state, own_duty
from tests.unit.stories import (
    COUNTY,
    HOTLINE,
    OFFER,
    OUTSIDER,
    POLICE,
    accepted,
    digest_of,
    handoff_id,
    opened,
    reply,
    say,
    ticket,
)


def test_an_own_duty_is_born_taken_by_its_owner_on_both_sides() -> None:
    """It answers from its first instant, and its id and head come from the act that opened it."""
    handoff = opened()
    message = reply(Kind.TAKE_OVER, handoff, SENDER)
    change = advance(handoff, message)
    assert isinstance(change, Change)
    duty = change.opened
    assert duty is not None
    assert (duty.sender, duty.receiver, duty.state) == (SENDER, SENDER, State.TAKEN)
    assert duty.id == own_duty_id(handoff.id, message.digest)
    assert duty.head == message.digest
    assert (duty.offer, duty.first_receiver) == (handoff.offer, handoff.first_receiver)
    assert answers(duty) == decides(duty) == SENDER


def test_two_causes_open_two_own_duties() -> None:
    """A joint ruling and a later agreed return of one hand-off share no own duty."""
    handoff = replace(opened(), state=State.DISPUTED)
    joint = advance(handoff, reply(Kind.RULE, handoff, SENDER, outcome=RulingOutcome.JOINT))
    assert isinstance(joint, Change)
    back = accepted(advance(joint.handoff, reply(Kind.RETURN, joint.handoff, RECEIVER)))
    agreed = advance(back, reply(Kind.AGREE, back, SENDER))
    assert isinstance(agreed, Change)
    assert joint.opened is not None
    assert agreed.opened is not None
    assert joint.opened.id != agreed.opened.id


def test_an_immediate_kind_opens_the_senders_duty_with_the_offer() -> None:
    """R24: neither obligation waits for the other."""
    offer = say(Kind.OFFER, HOTLINE, POLICE, act=replace(OFFER, parallel_duty=True))
    change = open_handoff(offer, ticket(origin=HOTLINE))
    assert isinstance(change, Change)
    assert change.opened is not None
    assert change.opened.id == own_duty_id(change.handoff.id, offer.digest)
    assert ticket_answers(ticket(origin=HOTLINE), [change.handoff, change.opened]) == (HOTLINE,)


def test_an_unknown_predecessor_is_awaited_never_refused() -> None:
    """Whatever the state here, it may be another when the missing message has come."""
    for state, kind in product(State, [Kind.TAKE, Kind.RESULT, Kind.RETURN]):
        handoff = in_state(state)
        message = reply(kind, handoff, RECEIVER, previous=digest_of("not here yet"))
        with pytest.raises(PredecessorUnknown):
            advance(handoff, message)


def test_a_predecessor_that_was_followed_already_is_superseded() -> None:
    """A message said on an older state is refused, not applied to the newer one."""
    handoff = in_state(State.TAKEN)
    earlier = digest_of("an earlier message")
    message = reply(Kind.RESULT, handoff, RECEIVER, previous=earlier)
    answer = advance(handoff, message, known={earlier}.__contains__)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.SUPERSEDED


def test_a_release_names_a_take_over_that_happened() -> None:
    """One not heard of is awaited; a digest of something else is refused; the right one releases."""
    handoff = in_state(State.TAKEN)
    heard = digest_of("take-over")
    release = reply(Kind.RELEASE, handoff, RECEIVER, act=Release(take_over_digest=heard))
    with pytest.raises(PredecessorUnknown):
        advance(handoff, release)
    other = advance(handoff, release, known={heard}.__contains__)
    assert isinstance(other, Refusal)
    taken_over = replace(handoff, take_overs=frozenset({heard}))
    assert accepted(advance(taken_over, release)).state is State.RETURNED


def test_the_sides_of_a_message_are_the_sides_of_its_hand_off() -> None:
    """A wrong recipient, a wrong ticket or a kind that is the other side's to say are refused."""
    handoff = in_state(State.OFFERED)
    take = reply(Kind.TAKE, handoff, RECEIVER)
    for wrong, code in [
        (replace(take, recipient=RECEIVER), RefusalCode.NOT_A_PARTY),
        (replace(take, ticket_id=handoff_id(9)), RefusalCode.NOT_A_PARTY),
        (reply(Kind.TAKE, handoff, SENDER), RefusalCode.NOT_A_PARTY),
        (reply(Kind.TAKE_OVER, handoff, RECEIVER), RefusalCode.NOT_A_PARTY),
        (reply(Kind.RESULT, handoff, RECEIVER), RefusalCode.WRONG_STATE),
    ]:
        answer = advance(handoff, wrong)
        assert isinstance(answer, Refusal)
        assert answer.code is code


def test_danger_holds_until_every_mark_is_cleared() -> None:
    """Each clearing names one mark; the offer's own mark is its digest."""
    handoff = in_state(State.TAKEN)
    mark = reply(Kind.MARK_DANGER, handoff, SENDER)
    twice = accepted(advance(handoff, mark))
    assert len(twice.danger_marks) == 2
    clear = [
        reply(Kind.CLEAR_DANGER, twice, RECEIVER, act=ClearDanger(mark_digest=digest))
        for digest in sorted(twice.danger_marks)
    ]
    once = accepted(advance(twice, clear[0]))
    assert once.danger
    assert not accepted(advance(once, clear[1])).danger
    unknown = reply(Kind.CLEAR_DANGER, twice, RECEIVER, act=ClearDanger(mark_digest=b"?" * 32))
    answer = advance(twice, unknown)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.WRONG_STATE
    assert [v.rule for v in answer.violations] == ["known_mark"]


def test_a_disposal_is_stated_by_the_receiver_alone() -> None:
    """R31: the receiver's statement counts; the sender's does not, nor does a result."""
    handoff = in_state(State.TAKEN)
    (mark,) = handoff.danger_marks
    stated = Progress(mark_digests=(mark,))
    for author, expected in [(SENDER, frozenset()), (RECEIVER, frozenset({mark}))]:
        after = accepted(advance(handoff, reply(Kind.PROGRESS, handoff, author, act=stated)))
        assert after.danger_disposed == expected
        assert after.danger, "it is stated, not over"
    after = accepted(advance(handoff, reply(Kind.RESULT, handoff, RECEIVER)))
    assert after.danger_unattended == {mark}


def test_a_danger_marked_after_a_statement_needs_another() -> None:
    """R31: a statement is of the marks it names, never of what came later."""
    handoff = in_state(State.TAKEN)
    (old,) = handoff.danger_marks
    stated = accepted(
        advance(
            handoff,
            reply(Kind.PROGRESS, handoff, RECEIVER, act=Progress(mark_digests=(old,))),
        )
    )
    assert not stated.danger_unattended
    marked = accepted(advance(stated, mark := reply(Kind.MARK_DANGER, stated, SENDER)))
    assert marked.danger_unattended == {mark.digest}
    both = reply(
        Kind.PROGRESS, marked, RECEIVER, act=Progress(mark_digests=(old, mark.digest)), number=2
    )
    assert not accepted(advance(marked, both)).danger_unattended


def test_only_marks_of_the_hand_off_are_disposed_of() -> None:
    """The first bridge refuses a digest that is no mark there; a copy that learns late does not."""
    handoff = in_state(State.TAKEN)
    (mark,) = handoff.danger_marks
    act = Progress(mark_digests=(mark, b"?" * 32))
    message = reply(Kind.PROGRESS, handoff, RECEIVER, act=act)
    answer = advance(handoff, message)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.WRONG_STATE
    found = [(v.field, v.rule) for v in answer.violations]
    assert found == [("header.progress.mark_digests[1]", "known_mark")]
    assert accepted(advance(handoff, message, first=False)).danger_disposed == {mark, b"?" * 32}


# -- opening


def test_only_the_origin_or_who_holds_a_hand_off_may_offer() -> None:
    """An outsider cannot hang an obligation on another's ticket."""
    about = ticket(origin=COUNTY)
    onward = replace(OFFER, onward_of=handoff_id(1))
    parent = replace(opened(sender=COUNTY, receiver=POLICE), state=State.TAKEN)
    cases: list[tuple[str, Offer, Handoff | None, RefusalCode | None]] = [
        (COUNTY, OFFER, None, None),
        (POLICE, OFFER, None, RefusalCode.NOT_A_PARTY),
        (POLICE, onward, parent, None),
        (OUTSIDER, onward, parent, RefusalCode.NOT_A_PARTY),
        (POLICE, onward, replace(parent, state=State.OFFERED), RefusalCode.WRONG_STATE),
        (POLICE, onward, replace(parent, state=State.RESOLVED), RefusalCode.WRONG_STATE),
        (HOTLINE, OFFER, None, RefusalCode.NOT_A_PARTY),
    ]
    for author, act, at, code in cases:
        message = say(Kind.OFFER, author, HOTLINE, on=handoff_id(2), act=act)
        answer = open_handoff(message, about, parent=at)
        assert (answer.code if isinstance(answer, Refusal) else None) is code, (author, at)
    with pytest.raises(PredecessorUnknown):
        open_handoff(say(Kind.OFFER, POLICE, HOTLINE, act=onward), about)


def test_a_ruling_to_the_first_receiver_leads_back_along_the_line() -> None:
    """The city desk stands for the county desk that received first; a later receiver does not."""
    about = ticket(origin=COUNTY)
    onward = replace(OFFER, onward_of=handoff_id(1))
    change = open_handoff(say(Kind.OFFER, POLICE, HOTLINE, act=onward), about, first=False)
    assert accepted(change).first_receiver == POLICE
    first_below = ticket(origin=COUNTY, first_receiver=HOTLINE)
    change = open_handoff(say(Kind.OFFER, POLICE, HOTLINE, act=onward), first_below, first=False)
    assert accepted(change).first_receiver == HOTLINE


# -- several hand-offs


def onward(state: State, **changes: object) -> Handoff:
    """Return a hand-off that the receiver of hand-off 1 handed on, in *state*."""
    act = replace(OFFER, onward_of=handoff_id(1))
    child = opened(sender=HOTLINE, receiver=OUTSIDER, number=2, act=act)
    return replace(child, state=state, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("child", "result", "back"),
    [
        (onward(State.OFFERED), False, False),
        (onward(State.RESOLVED), False, False),
        (onward(State.CLOSED), True, True),
        (onward(State.RETURNED), True, True),
        (onward(State.TAKEN, take_overs=frozenset({b"t"})), True, True),
        (onward(State.TAKEN, receiver=HOTLINE, own_duty=True), False, True),
        (onward(State.CLOSED, receiver=HOTLINE, own_duty=True), True, True),
    ],
)
def test_what_was_handed_on_comes_back_first(child: Handoff, result: bool, back: bool) -> None:
    """No result while an onward hand-off or its own duty is open; copies do not judge it again."""
    handoff = in_state(State.TAKEN)
    for kind, allowed in [(Kind.RESULT, result), (Kind.RETURN, back)]:
        message = reply(kind, handoff, RECEIVER)
        answer = advance(handoff, message, children=[child])
        assert isinstance(answer, Change) is allowed
        if isinstance(answer, Refusal):
            assert answer.code is RefusalCode.ONWARD_OPEN
        assert isinstance(advance(handoff, message, children=[child], first=False), Change)


def test_a_ticket_closes_when_everything_on_it_is_done() -> None:
    """Only by its origin, once, and whatever hangs below a taken-over hand-off does not count."""
    about = ticket()
    done, gone = in_state(State.CLOSED), in_state(State.RETURNED)
    held = in_state(State.TAKEN)
    over = replace(held, take_overs=frozenset({b"t"}))
    duty = own_duty()
    cases: list[tuple[list[Handoff], bool]] = [
        ([], True),
        ([done], True),
        ([replace(gone, id=handoff_id(5)), done], True),
        ([held], False),
        ([over], True),
        ([over, duty], False),
        ([over, replace(duty, state=State.RESOLVED)], False),
        ([over, replace(duty, state=State.CLOSED)], True),
        ([over, onward(State.TAKEN)], True),
        ([held, onward(State.TAKEN, take_overs=frozenset({b"t"}))], False),
        ([done, onward(State.TAKEN)], False),
    ]
    for handoffs, allowed in cases:
        refusal = may_close(about, handoffs, about.origin)
        assert (refusal is None) is allowed, handoffs
        if refusal is not None:
            assert refusal.code is RefusalCode.HANDOFF_OPEN
    for wrong, code in [
        (may_close(about, [done], HOTLINE), RefusalCode.NOT_ORIGIN),
        (may_close(ticket(closed=True), [done], about.origin), RefusalCode.TICKET_CLOSED),
    ]:
        assert wrong is not None
        assert wrong.code is code


def test_somebody_answers_for_every_open_ticket() -> None:
    """Each organisation once; the origin where no hand-off is open; nobody after conclusion."""
    about = ticket()
    held, duty = in_state(State.TAKEN), own_duty()
    assert ticket_answers(about, []) == (POLICE,)
    assert ticket_answers(about, [in_state(State.CLOSED)]) == (POLICE,)
    assert ticket_answers(about, [held, duty, replace(duty, id=handoff_id(7))]) == (HOTLINE, POLICE)
    assert ticket_answers(ticket(closed=True), [held]) == ()
