"""The table of the life cycle: who may say what in which state, and where it leads."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from exchange.acts import (
    NOTE_KINDS,
    TICKET_KINDS,
    ClearDanger,
    Kind,
    RulingOutcome,
)
from exchange.errors import Refusal, RefusalCode
from exchange.lifecycle import (
    Change,
    advance,
)
from exchange.states import NOTES, STATES, TABLE, Case, as_rows, mermaid
from exchange.ticket import TERMINAL_STATES, Side, State
from tests.unit.handoffs import RECEIVER, SENDER, in_state, own_duty
from tests.unit.stories import (
    OUTSIDER,
    act_for,
    digest_of,
    opened,
    reply,
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
