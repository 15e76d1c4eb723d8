"""
Reminding of what this organisation owes by a deadline (R45, R52: 催办), as the bridge reckons it.

The bridge dials nobody, so the gateway asks: seldom, and only for what it owes itself.  Each thing
rings once when its time to remind has come and once when it is overdue; after a restart what is
still due rings again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from exchange.client import ExchangeClient, Owed, owed_by

#: How often the bridge is asked.
EVERY = timedelta(minutes=1)

Ring = Callable[[Owed], None]


class Dues:
    """Asks a bridge what *client*'s organisation owes, and rings."""

    def __init__(self, client: ExchangeClient, ring: Ring, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._ring = ring
        self._clock = clock
        self._looked: datetime | None = None
        self._rung: set[tuple[str, str, datetime, bool]] = set()

    def look(self) -> int | None:
        """Ring for what is new; return how often it rang, None where the last look is too short ago."""
        now = self._clock()
        # A clock set back must not make it longer.
        if self._looked is not None and timedelta(0) <= now - self._looked < EVERY:
            return None
        self._looked = now
        due = {
            (one.handoff_id, one.kind, one.due, one.is_over(now)): one
            for one in owed_by(self._client.tickets, self._client.organisation, now)
        }
        new = [one for key, one in due.items() if key not in self._rung]
        self._rung &= due.keys()
        for key, one in due.items():
            if key not in self._rung:
                self._ring(one)
                self._rung.add(key)
        return len(new)
