"""Tickets as the reading side of the contract shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.organisations import Register
from exchange.query import HandoffView
from exchange.store import Standing
from exchange.ticket import State
from exchange.wire.tickets import handoff_to_proto
from tests.unit.handoffs import RECEIVER, in_state

ONE, OTHER = b"1" * 32, b"2" * 32


@pytest.mark.parametrize(
    ("cleared", "disposed", "danger", "unattended"),
    [
        (set(), set(), True, True),
        (set(), {ONE}, True, True),
        ({OTHER}, {ONE}, True, False),
        (set(), {ONE, OTHER}, True, False),
        ({ONE, OTHER}, set(), False, False),
    ],
)
def test_danger_and_whether_somebody_has_seen_to_it(
    cleared: set[bytes], disposed: set[bytes], danger: bool, unattended: bool
) -> None:
    """A mark is there until it is cleared; it waits until its disposal is stated, too (R31)."""
    handoff = replace(
        in_state(State.TAKEN),
        danger_marks=frozenset({ONE, OTHER}),
        danger_cleared=frozenset(cleared),
        danger_disposed=frozenset(disposed),
    )
    view = HandoffView(
        standing=Standing(handoff=handoff, answers=RECEIVER, decides=RECEIVER),
        updated=handoff.offered,
    )

    shown = handoff_to_proto(view, Register(()))

    assert (shown.danger, shown.danger_unattended) == (danger, unattended)
