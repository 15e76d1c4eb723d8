"""What is due beside the next step, act by act, by limits in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from exchange import profile
from exchange.acts import Kind, Supervise
from exchange.deadlines import Deadline, Due, further, stated
from exchange.organisations import Direction
from exchange.provisions import DeadlineKind
from exchange.ticket import Handoff, State
from tests.unit.handoffs import RECEIVER, SENDER, in_state
from tests.unit.stories import NOW, reply

MINUTES = {kind: number for number, kind in enumerate(DeadlineKind, 1)}
AFTER = profile.load("national")
BEFORE = replace(AFTER, visit_after_close=False)


def limit(kind: DeadlineKind) -> Due:
    """Return a limit of as many minutes as the kind's place in the list."""
    return stated(AFTER, NOW, NOW + timedelta(minutes=MINUTES[kind]))


def after(
    kind: Kind,
    author: str,
    handoff: Handoff,
    before: Sequence[Deadline] = (),
    *,
    rules: profile.Profile = AFTER,
    visited: bool = False,
    act: Supervise | None = None,
) -> dict[str, str]:
    """Return what is due once *author* said *kind* and *handoff* stands so: who owes it, by kind."""
    message = reply(kind, handoff, author)
    found = further(
        before,
        handoff,
        message if act is None else replace(message, act=act),
        limit,
        now=NOW,
        profile=rules,
        direction=Direction.WITHIN,
        visited=lambda: visited,
    )
    for one in found:
        if act is None:
            assert one.due == NOW + timedelta(minutes=MINUTES[one.kind])
            assert NOW < (one.remind or one.due) < one.due
    return {one.kind.value: one.owes for one in found}


def running(*kinds: DeadlineKind) -> list[Deadline]:
    """Return deadlines of the receiver's that run."""
    return [
        Deadline(kind=kind, owes=RECEIVER, due=limit(kind).at, remind=limit(kind).remind_at)
        for kind in kinds
    ]


def test_taking_begins_feedback_and_the_time_to_return() -> None:
    """By whoever took it; an own duty, which nobody takes, begins neither."""
    assert after(Kind.TAKE, RECEIVER, in_state(State.TAKEN)) == {
        "first-feedback": RECEIVER,
        "return": RECEIVER,
    }


@pytest.mark.parametrize(
    ("kind", "author", "state", "left"),
    [
        (Kind.PROGRESS, RECEIVER, State.TAKEN, {"return"}),
        (Kind.PROGRESS, SENDER, State.TAKEN, {"first-feedback", "return", "supervision"}),
        (Kind.CALL, RECEIVER, State.TAKEN, {"first-feedback", "return", "supervision"}),
        (Kind.RESULT, RECEIVER, State.RESOLVED, set()),
        (Kind.RETURN, RECEIVER, State.RETURNING, {"return"}),
        (Kind.REFUSE, SENDER, State.DISPUTED, {"supervision"}),
        (Kind.AGREE, SENDER, State.RETURNED, set()),
        (Kind.RELEASE, RECEIVER, State.RETURNED, set()),
    ],
)
def test_each_ends_by_its_own_act(kind: Kind, author: str, state: State, left: set[str]) -> None:
    """First feedback by the receiver's word, an urging by that of who was urged, all by the end."""
    kinds = DeadlineKind.FIRST_FEEDBACK, DeadlineKind.RETURN, DeadlineKind.SUPERVISION

    assert set(after(kind, author, in_state(state), running(*kinds))) == left


def test_a_visit_after_the_closing_or_before_it() -> None:
    """As the profile has it; whoever was asked already, or is another's citizen, is not asked again."""
    resolved, closed = in_state(State.RESOLVED), in_state(State.CLOSED)
    onward = replace(closed, offer=replace(closed.offer, onward_of="another"))
    visit = {"visit": SENDER}

    assert after(Kind.CLOSE, SENDER, closed) == after(Kind.RESULT, RECEIVER, resolved, rules=BEFORE)
    assert after(Kind.CLOSE, SENDER, closed) == visit
    assert after(Kind.RESULT, RECEIVER, resolved) == after(Kind.CLOSE, SENDER, closed, rules=BEFORE)
    assert after(Kind.RESULT, RECEIVER, resolved) == {}
    assert after(Kind.CLOSE, SENDER, closed, visited=True) == {}
    assert after(Kind.CLOSE, SENDER, onward) == {}
    going = running(DeadlineKind.VISIT)
    assert after(Kind.CLOSE, SENDER, closed, going, rules=BEFORE) == {"visit": RECEIVER}
    assert after(Kind.REOPEN, SENDER, in_state(State.TAKEN), going, rules=BEFORE) == {}
    assert after(Kind.VISIT, SENDER, closed, going) == {}


def test_urgings_run_for_each_side_the_earliest_first() -> None:
    """Each is owed by who was urged; one that comes late to a closed hand-off begins nothing."""
    early = Supervise(due=NOW + timedelta(seconds=9))
    taken, going = in_state(State.TAKEN), running(DeadlineKind.SUPERVISION)

    assert after(Kind.SUPERVISE, SENDER, taken, act=early) == {"supervision": RECEIVER}
    assert after(Kind.SUPERVISE, RECEIVER, taken, act=early) == {"supervision": SENDER}
    (one,) = further(
        going, taken, replace(reply(Kind.SUPERVISE, taken, SENDER), act=early), limit,
        now=NOW, profile=AFTER, direction=Direction.WITHIN, visited=lambda: False,
    )  # fmt: skip
    assert one.due == early.due
    assert after(Kind.SUPERVISE, SENDER, in_state(State.CLOSED), act=early) == {}


def test_what_was_taken_over_is_due_from_nobody() -> None:
    """Whatever ran, and whatever is still said of it."""
    over = in_state(State.TAKEN, take_overs=frozenset({b"over"}))

    assert after(Kind.SUPERVISE, SENDER, over, running(DeadlineKind.FIRST_FEEDBACK)) == {}


def test_a_stated_time_that_has_passed_is_reminded_of_at_once() -> None:
    """And without a profile nobody knows when to remind before it."""
    past = NOW - timedelta(days=1)

    assert stated(AFTER, NOW, past) == Due(at=past, remind_at=past)
    assert stated(None, past, NOW) == Due(at=NOW, remind_at=NOW)
