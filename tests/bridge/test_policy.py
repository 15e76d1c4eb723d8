"""What a drain finds out once is what would be found out anew for every message."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

from exchange import deadlines, profile
from exchange.bridge.policy import Dues
from exchange.organisations import Direction
from exchange.provisions import DeadlineKind
from exchange.workdays import calendar

FRIDAY = datetime(2026, 2, 27, 15, 30, tzinfo=UTC)


def test_a_deadline_found_once_is_that_of_every_message() -> None:
    """By profile, kind, direction, urgency and level, asked for twice and in any order."""
    dues = Dues(calendar(), FRIDAY)
    cases = product(
        profile.installed().values(), DeadlineKind, Direction, (1, 2, 3), (0, 1, 2, 3, 4)
    )
    asked = [*cases]
    for rules, kind, direction, urgency, level in [*asked, *reversed(asked)]:
        due = deadlines.due(
            rules,
            calendar(),
            kind,
            direction=direction,
            urgency=urgency,
            start=FRIDAY,
            level=level,
        )
        assert dues.of(rules, kind, direction, urgency, level) == due
