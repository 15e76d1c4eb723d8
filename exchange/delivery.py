"""
Leases: what was handed out and not yet acknowledged.  Pure; *now* is an argument.

Order and lease belong to the lane (hand-off and recipient): while one delivery of a lane is out,
nothing more of that lane is handed out, so that a receiver cannot overtake itself.  Leases are
kept in memory on purpose: losing one, as at a restart, costs a redelivery and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: How long a receiver has to acknowledge before its lane is handed out again.  Long enough for
#: a platform that writes slowly, short enough that a crashed adapter is not waited for.
LEASE = timedelta(seconds=30)

#: Attempts remembered per recipient; a mailbox beyond that only forgets how often it tried.
MAX_ATTEMPTS_KEPT = 100_000


@dataclass(slots=True, kw_only=True)
class _Lane:
    expires: datetime
    positions: set[int]


class Leases:
    """The leases of one bridge process, by recipient and lane."""

    def __init__(self, length: timedelta = LEASE) -> None:
        self.length = length
        self._lanes: dict[str, dict[str, _Lane]] = {}
        self._attempts: dict[str, dict[int, int]] = {}

    def held(self, recipient: str, now: datetime) -> frozenset[str]:
        """Return the lanes of *recipient* that are out; forget those whose lease has ended."""
        lanes = self._lanes.get(recipient, {})
        for lane in [name for name, lease in lanes.items() if lease.expires <= now]:
            del lanes[lane]
        return frozenset(lanes)

    def take(self, recipient: str, lane: str, position: int, now: datetime) -> tuple[int, datetime]:
        """Lease one delivery; return how often it was tried, this time included, and the end."""
        lanes = self._lanes.setdefault(recipient, {})
        lease = lanes.setdefault(lane, _Lane(expires=now + self.length, positions=set()))
        lease.positions.add(position)
        attempts = self._attempts.setdefault(recipient, {})
        if len(attempts) >= MAX_ATTEMPTS_KEPT:
            attempts.clear()
        attempts[position] = attempts.get(position, 0) + 1
        return attempts[position], lease.expires

    def release(self, recipient: str, lane: str, positions: Iterable[int]) -> None:
        """Forget acknowledged deliveries; a lane with none left out may be handed out again."""
        lanes = self._lanes.get(recipient, {})
        attempts = self._attempts.get(recipient, {})
        lease = lanes.get(lane)
        for position in positions:
            attempts.pop(position, None)
            if lease is not None:
                lease.positions.discard(position)
        if lease is not None and not lease.positions:
            del lanes[lane]

    def next_expiry(self, recipient: str) -> datetime | None:
        """Return when the first lease of *recipient* ends; None if nothing is out."""
        return min(
            (lease.expires for lease in self._lanes.get(recipient, {}).values()), default=None
        )
