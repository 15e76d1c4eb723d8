"""
The part of the bridge that hands out: what waits for an organisation is leased to it.

It reads the store and remembers leases; of what was written in between it hears by `took`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from exchange.bridge.ledger import Drained
from exchange.bridge.reconcile import Reconciled
from exchange.delivery import Leases
from exchange.store import Content, Outbox, Waiting
from exchange.submission import Delivered


class Mailboxes:
    """What waits in one store; `pull` is called by one thread at a time, all else by any."""

    def __init__(
        self, outbox: Outbox, *, checkpoint: bytes = b"", leases: Leases | None = None
    ) -> None:
        self._outbox = outbox
        self._leases = Leases() if leases is None else leases
        self._leasing = threading.Lock()
        #: The newest signed checkpoint of the log.
        self.checkpoint = checkpoint

    def pull(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
    ) -> list[Delivered]:
        """
        Lease up to *limit* of what waits for *organisation*: urgent lanes first, then oldest.

        *fitting* says how many of what was found are taken, from the first on.
        """
        with self._leasing:
            held = self._leases.begin(organisation, now)
        rows: list[Waiting] = []
        try:
            rows = self._outbox.waiting(organisation, limit, skip_lanes=held)
            rows = rows[: fitting(rows)]
        finally:
            with self._leasing:
                gone = self._leases.end(organisation)
                rows = [row for row in rows if row.position not in gone]
                taken = [self._leases.take(organisation, r.lane, r.position, now) for r in rows]
        delivered = []
        for row, (attempt, expires) in zip(rows, taken, strict=True):
            delivered.append(
                Delivered(
                    position=row.position,
                    lane=row.lane,
                    attempt=attempt,
                    lease_expires=expires,
                    message_id=row.message_id,
                    envelope=row.payload if row.content is Content.MESSAGE else b"",
                    written=(row.payload, row.signature)
                    if row.content is Content.WRITTEN
                    else None,
                    refused=(row.payload, row.signature)
                    if row.content is Content.REFUSED
                    else None,
                )
            )
        return delivered

    def give_back(self, organisation: str, positions: Iterable[int]) -> None:
        """End the leases of deliveries that nobody took."""
        with self._leasing:
            self._leases.release(organisation, positions)

    def next_expiry(self, organisation: str) -> datetime | None:
        """Return when the first lease of *organisation* ends; None if nothing is out."""
        with self._leasing:
            return self._leases.next_expiry(organisation)

    def leased(self) -> int:
        """Return how many lanes are out."""
        with self._leasing:
            return len(self._leases)

    # -- what was written meanwhile

    def took(self, drained: Drained) -> None:
        """Hear what a drain came to: what left the mailboxes is leased no more."""
        settled: dict[str, list[int]] = {}
        for recipient, position in drained.settled:
            settled.setdefault(recipient, []).append(position)
        with self._leasing:
            for recipient, positions in settled.items():
                self._leases.settle(recipient, positions)
            for recipient, lane in drained.stopped:
                self._leases.stop(recipient, lane)
        self.checkpoint = drained.checkpoint or self.checkpoint

    def reconciled(self, organisation: str, found: Reconciled) -> None:
        """Hear what a comparison took out of *organisation*'s mailbox."""
        with self._leasing:
            self._leases.settle(organisation, found.withdrawn)

    def close(self) -> None:
        """Close the connections."""
        self._outbox.close()
