"""
The timers of a gateway: what its region decides once the time is over, said without anybody at the platform.

Off unless ``at_deadline = true`` stands in the gateway's configuration.  A timer fires only after the platform has
written, or said, the message that it answers: what the spool knows as the hand-off's newest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from adapters.dues import EVERY
from adapters.spool import Spool
from exchange.client import ExchangeClient, due_decisions


class Timers:
    """Asks the bridge, once a minute, what is over, and puts the deciding messages into the spool."""

    def __init__(self, client: ExchangeClient, spool: Spool, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._spool = spool
        self._clock = clock
        self._looked: datetime | None = None
        #: What was said since the start: what the bridge refused is for a person, not for every minute.
        self._said: set[str] = set()

    def look(self) -> int:
        """Say what is to be said, if the last look is long enough ago; return how much."""
        client, now = self._client, self._clock()
        if not client.at_deadline:
            return 0
        if self._looked is not None and timedelta(0) <= now - self._looked < EVERY:
            return 0
        self._looked = now
        written, count = self._spool.heads(), 0
        for message in due_decisions(client.tickets, client.directory, client.organisation, now):
            message_id = message.id_for(client.organisation)
            if message_id in self._said or written.get(message.handoff_id) != message.previous:
                continue
            self._spool.put(client.sealer.seal([message]), now)
            self._said.add(message_id)  # now, not before: what failed is said at the next look
            count += 1
        return count
