from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from exchange.acts import (
    NOTE_KINDS,
    TICKET_KINDS,
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
from exchange.states import NOTES, STATES, TABLE, Case, as_rows, mermaid
from exchange.ticket import TERMINAL_STATES, Handoff, Side, State, own_duty_id
from tests.unit.stories import (
    COUNTY,
    HOTLINE,
    OFFER,
    OUTSIDER,
    POLICE,
    accepted,
    act_for,
    digest_of,
    handoff_id,
    opened,
    reply,
    say,
    ticket,
)

# The design's table, written down a second time and in another shape: whoever changes a row changes
# both, or a test below names the row.  `+` opens the sender's own duty, `!` needs a take-over.
LAW = """
OFFERED   receiver sender    take>TAKEN release!>RETURNED
TAKEN     receiver receiver  result>RESOLVED return>RETURNING release!>RETURNED
RETURNING sender   receiver  agree+>RETURNED refuse>DISPUTED
DISPUTED  sender   receiver  rule:KEEPS>TAKEN rule:JOINT+>TAKEN rule:FIRST_S+>RETURNED rule:FIRST_R>TAKEN
RESOLVED  sender   receiver  reopen>TAKEN close>CLOSED
RETURNED  -        -
CLOSED    -        -
"""

# The rulings by what they come to: outcome, and whether the sender is the first receiver.
RULINGS = {
    "KEEPS": (RulingOutcome.HANDLER_KEEPS, True),
    "JOINT": (RulingOutcome.JOINT, True),
    "FIRST_S": (RulingOutcome.FIRST_RECEIVER, True),
    "FIRST_R": (RulingOutcome.FIRST_RECEIVER, False),
}

SENDER, RECEIVER = POLICE, HOTLINE
SIDES = {"sender": SENDER, "receiver": RECEIVER, "outsider": OUTSIDER}
HANDOFF_KINDS = [k for k in Kind if k is not Kind.OFFER and k not in TICKET_KINDS]

# Notes: who may say them, else both; and what is said of a closed hand-off.
ONE_SIDED = {
    Kind.TAKE_OVER: "sender",
    Kind.GRANT_EXTENSION: "sender",
    Kind.REQUEST_EXTENSION: "receiver",
}
AFTER_CLOSING = {Kind.VISIT, Kind.EVALUATE}
NOT_OF_AN_OWN_DUTY = {
    Kind.POSITION,
    Kind.SUPERVISE,
    Kind.TAKE_OVER,
    Kind.REQUEST_EXTENSION,
    Kind.GRANT_EXTENSION,
}


def law() -> dict[tuple[State, str], tuple[str, State, bool, bool]]:
    """Return LAW as (state, what is said) → (side, next state, opens, needs a take-over)."""
    moves = {}
    for line in LAW.strip().splitlines():
        state, decider, _, *said = line.split()
        for word in said:
            what, _, to = word.partition(">")
            moves[State[state], what.strip("+!")] = (decider, State[to], "+" in what, "!" in what)
    return moves


def in_state(state: State, **changes: object) -> Handoff:
    """Return a hand-off in *state* that has a danger mark, so that every note has its object."""
    base = opened(act=replace(OFFER, danger=True))
    return replace(base, state=state, **changes)  # type: ignore[arg-type]


ALL_SAID = [k.value for k in HANDOFF_KINDS if k is not Kind.RULE] + [f"rule:{r}" for r in RULINGS]


@pytest.mark.parametrize("state", State)
def test_every_state_kind_side_and_outcome_is_allowed_or_refused_as_the_law_says(
    state: State,
) -> None:
    """Nothing is allowed that the design's table does not name, and nothing it names is refused."""
    moves = law()
    for said, side, taken_over in product(ALL_SAID, SIDES, [False, True]):
        word, _, ruling = said.partition(":")
        kind = Kind(word)
        outcome, sender_is_first = RULINGS.get(ruling, (None, True))
        handoff = in_state(
            state,
            first_receiver=SENDER if sender_is_first else RECEIVER,
            take_overs=frozenset({digest_of("taken over")}) if taken_over else frozenset(),
        )
        # Known not to be a take-over, so that a release without one is refused, not awaited.
        message = reply(kind, handoff, SIDES[side], outcome=outcome)
        if side == "outsider":
            message = replace(message, recipient=SENDER)
        answer = advance(handoff, message, known=lambda _: True)
        where = f"{state.name} {said} by {side}, taken over: {taken_over}"

        if kind in NOTE_KINDS:
            allowed = side in {"sender", "receiver"} and ONE_SIDED.get(kind, side) == side
            allowed &= state not in TERMINAL_STATES or (
                state is State.CLOSED and kind in AFTER_CLOSING
            )
            allowed &= not (kind is Kind.TAKE_OVER and taken_over)
            opens, to = kind is Kind.TAKE_OVER, state
        else:
            decider, to, opens, needs = moves.get((state, said), ("nobody", state, False, False))
            allowed = side == decider and (taken_over or not needs)

        if allowed:
            assert isinstance(answer, Change), where
            assert answer.handoff.state is to, where
            assert (answer.opened is not None) is opens, where
        else:
            assert isinstance(answer, Refusal), where
            expected = {RefusalCode.NOT_A_PARTY, RefusalCode.WRONG_STATE}
            assert answer.code in ({RefusalCode.NOT_A_PARTY} if side == "outsider" else expected)


def test_the_columns_are_the_law() -> None:
    """Who decides and who answers stand as the design gives them."""
    for line in LAW.strip().splitlines():
        state, decider, answerer, *_ = line.split()
        standing = STATES[State[state]]
        assert (standing.decides.value if standing.decides else "-") == decider, state
        assert (standing.answers.value if standing.answers else "-") == answerer, state


def test_exactly_one_side_decides_in_every_open_state() -> None:
    """Every row of a state is said by its one decider, and terminal states have no rows."""
    for state, standing in STATES.items():
        said_by = {row.by for (at, _, _), row in TABLE.items() if at is state}
        assert said_by == ({standing.decides} if standing.decides else set()), state
        assert (standing.decides is None) is (state in TERMINAL_STATES)


def test_there_are_no_dead_ends_and_nothing_out_of_reach() -> None:
    """From every open state both ends can be reached, and every state from the offer."""

    def reach(start: State) -> set[State]:
        seen, todo = {start}, [start]
        while todo:
            at = todo.pop()
            new = {row.to for key, row in TABLE.items() if key[0] is at} - seen
            seen |= new
            todo += new
        return seen

    assert reach(State.OFFERED) == set(State)
    for state in set(State) - TERMINAL_STATES:
        assert reach(state) >= TERMINAL_STATES
        usual = {row.to for k, row in TABLE.items() if k[0] is state and not row.after_take_over}
        assert usual, f"{state.name} is left only after a take-over"


def test_terminal_means_terminal() -> None:
    """Nothing that is said moves a closed or returned hand-off, on the first bridge or a copy."""
    for state, kind, author, first in product(
        TERMINAL_STATES, HANDOFF_KINDS, [SENDER, RECEIVER], [True, False]
    ):
        handoff = in_state(state, take_overs=frozenset({digest_of("taken over")}))
        answer = advance(handoff, reply(kind, handoff, author), first=first)
        if isinstance(answer, Change):
            assert kind in NOTE_KINDS
            assert answer.handoff.state is state
            assert answer.handoff.head == handoff.head


def test_a_copy_accepts_every_note_that_its_first_bridge_accepted_in_any_state() -> None:
    """A note said while open may arrive when the copy knows that all is over."""
    for state, kind in product(State, NOTE_KINDS):
        handoff = in_state(state)
        author = RECEIVER if kind is Kind.REQUEST_EXTENSION else SENDER
        message = reply(kind, handoff, author)
        assert isinstance(advance(handoff, message, first=False), Change), (state, kind)


@pytest.mark.parametrize("state", [State.TAKEN, State.RESOLVED, State.CLOSED])
def test_an_own_duty_knows_result_reopen_close_and_the_notes_that_make_sense(state: State) -> None:
    """An own duty cannot be returned, released, argued over or taken over."""
    duty = replace(own_duty(), state=state)
    moves = {
        State.TAKEN: {Kind.RESULT},
        State.RESOLVED: {Kind.REOPEN, Kind.CLOSE},
        State.CLOSED: set[Kind](),
    }[state]
    notes = set(NOTE_KINDS) - NOT_OF_AN_OWN_DUTY
    if state is State.CLOSED:
        notes = AFTER_CLOSING
    for kind in HANDOFF_KINDS:
        act = ClearDanger(mark_digest=digest_of("mark")) if kind is Kind.CLEAR_DANGER else None
        marked = replace(duty, danger_marks=frozenset({digest_of("mark")}))
        answer = advance(marked, reply(kind, marked, SENDER, act=act), known=lambda _: True)
        assert isinstance(answer, Change) is (kind in moves | notes), kind


def own_duty() -> Handoff:
    """Return the own duty of a sender that took an offered hand-off over."""
    handoff = opened(act=replace(OFFER, onward_of="", danger=True))
    change = advance(handoff, reply(Kind.TAKE_OVER, handoff, SENDER))
    assert isinstance(change, Change)
    assert change.opened is not None
    return change.opened


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


def test_the_pictures_show_every_row() -> None:
    """The documents' table and diagram are drawn from the table itself."""
    rows, drawn = as_rows(), mermaid()
    assert [row[0] for row in rows] == [state.name for state in State]
    assert drawn.count("-->") == len(TABLE) + 4
    assert "    RETURNING --> RETURNED: agree (own duty opens)" in drawn
    assert f"rule ({Case.JOINT.value}, own duty opens)" in drawn
    assert sum(len(row[3].split(" · ")) for row in rows if row[3] != "terminal") == len(TABLE)


def test_every_kind_about_a_hand_off_is_a_row_or_a_note() -> None:
    """No kind of the contract is forgotten, and none stands in both tables."""
    moving = {kind for _, kind, _ in TABLE}
    assert moving | set(NOTES) | {Kind.OFFER} | TICKET_KINDS == set(Kind)
    assert not moving & set(NOTES)
    assert set(NOTES) == set(NOTE_KINDS)
    assert {Side.SENDER, Side.RECEIVER} == set(Side)
    assert act_for(Kind.TAKE, opened()) is not None
