"""Hand-offs for the tests of the life cycle: one in any state, and an own duty."""

from __future__ import annotations

from dataclasses import replace

from exchange.acts import (
    Kind,
)
from exchange.lifecycle import (
    Change,
    advance,
)
from exchange.ticket import Handoff, State
from tests.unit.stories import (
    HOTLINE,
    OFFER,
    POLICE,
    opened,
    reply,
)

SENDER, RECEIVER = POLICE, HOTLINE


def in_state(state: State, **changes: object) -> Handoff:
    """Return a hand-off in *state* that has a danger mark, so that every note has its object."""
    base = opened(act=replace(OFFER, danger=True))
    return replace(base, state=state, **changes)  # type: ignore[arg-type]


def own_duty() -> Handoff:
    """Return the own duty of a sender that took an offered hand-off over."""
    handoff = opened(act=replace(OFFER, onward_of="", danger=True))
    change = advance(handoff, reply(Kind.TAKE_OVER, handoff, SENDER))
    assert isinstance(change, Change)
    assert change.opened is not None
    return change.opened
