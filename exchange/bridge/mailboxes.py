"""
The part of the bridge that hands out: what waits for an organisation is leased to it.

It reads the store and remembers leases; of what was written in between it hears by `took`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from exchange.bridge.heard import waiting
from exchange.bridge.ledger import Drained
from exchange.bridge.masks import Masks
from exchange.bridge.reconcile import Reconciled
from exchange.delivery import Leases
from exchange.making import maker
from exchange.store import Content, Outbox, Waiting
from exchange.submission import Delivered, Work

_MESSAGE, _WRITTEN, _REFUSED = Content.MESSAGE, Content.WRITTEN, Content.REFUSED
_new_delivered = maker(Delivered)


class Mailboxes:
    """What waits in one store; `pull` is called by one thread at a time, all else by any."""

    def __init__(
        self, outbox: Outbox, *, checkpoint: bytes = b"", leases: Leases | None = None
    ) -> None:
        self._outbox = outbox
        self._masks = Masks(outbox)
        self._leases = Leases() if leases is None else leases
        self._leasing = threading.Lock()
        #: All that waits for those who looked and found nothing, in lanes that are not out.
        self._heard: dict[str, list[Waiting]] = {}
        #: For whom somebody looks; what comes meanwhile that look may see, or may not.
        self._looking: set[str] = set()
        #: The newest signed checkpoint of the log.
        self.checkpoint = checkpoint

    def pull(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        behind: Collection[str] = (),
        *,
        least: int = 0,
    ) -> list[Delivered]:
        """
        Lease up to *limit* of what waits for *organisation*: urgent lanes first, then oldest.

        Only lanes of the urgency *least* or more count.  *fitting* says how many of what was found are taken, from the first on.  A relay also empties
        the mailboxes of those *behind* it.
        """
        recipients = (organisation, *behind)
        with self._leasing:
            held = frozenset[str]().union(*(self._leases.begin(one, now) for one in recipients))
            self._looking.update(recipients)
            for one in behind:
                self._heard.pop(one, None)
            if not least:  # a look at a part of it tells nothing of the rest
                self._heard[organisation] = []
        rows: list[Waiting] = []
        found = False
        try:
            if behind:
                rows = self._outbox.waiting_for_any(recipients, limit, skip_lanes=held, least=least)
            else:
                rows = self._outbox.waiting(organisation, limit, skip_lanes=held, least=least)
            found = not behind  # what comes for those behind it, a relay looks for each time
            rows = rows[: fitting(rows)]
        finally:
            with self._leasing:
                gone = set[int]().union(*(self._leases.end(one) for one in recipients))
                self._looking.difference_update(recipients)
                if rows or not found or (self._heard.get(organisation) and not least):
                    self._heard.pop(organisation, None)
                rows = [row for row in rows if row.position not in gone]
                taken = self._take(organisation, rows, now)
        return self._masks.put_on(taken)

    def heard(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        least: int = 0,
    ) -> list[Delivered] | None:
        """
        Lease what has come for *organisation* since a look found nothing, as `pull` does.

        Return None where only another look can tell.
        """
        with self._leasing:
            heard = self._heard.get(organisation)
            if heard is None or organisation in self._looking:
                return None
            if not self._leases.all_run(organisation, now):
                return None
            wanted = [row for row in heard if row.urgency >= least]
            rows = sorted(wanted, key=lambda row: (-row.urgency, row.position))[:limit]
            rows = rows[: fitting(rows)]
            if len(rows) < len(wanted):
                del self._heard[organisation]
            heard[:] = [row for row in heard if row.urgency < least]
            taken = self._take(organisation, rows, now)
        return self._masks.put_on(taken)

    def _take(self, organisation: str, rows: Sequence[Waiting], now: datetime) -> list[Delivered]:
        taken = [
            self._leases.take(r.recipient or organisation, r.lane, r.position, now) for r in rows
        ]
        return [
            delivered(row, row.recipient or organisation, *lease)
            for row, lease in zip(rows, taken, strict=True)
        ]

    def read_on(
        self,
        recipients: Collection[str],
        limit: int,
        after: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
    ) -> list[Delivered]:
        """
        Return up to *limit* of what stands behind the place *after* for *recipients*, oldest first.

        Nothing is leased, and leases hide nothing: for a ferry, whose answers come hours later.
        """
        rows = self._outbox.waiting_for_any(recipients, limit, behind=after)
        found = [delivered(row, row.recipient, 1, now) for row in rows[: fitting(rows)]]
        return self._masks.put_on(found)

    def give_back(
        self, organisation: str, positions: Collection[int], behind: Collection[str] = ()
    ) -> None:
        """End the leases of deliveries that nobody took."""
        with self._leasing:
            for recipient in (organisation, *behind):
                self._heard.pop(recipient, None)
                self._leases.release(recipient, positions)

    def offers(self, ticket_id: str) -> list[bytes]:
        """Return the envelopes of a ticket's offers, with which keys to what is sealed are handed on."""
        return self._outbox.offers(ticket_id)

    def next_expiry(self, organisation: str, behind: Collection[str] = ()) -> datetime | None:
        """Return when the first lease of these mailboxes ends; None if nothing is out."""
        with self._leasing:
            ends = [self._leases.next_expiry(one) for one in (organisation, *behind)]
        return min((end for end in ends if end is not None), default=None)

    def leased(self) -> int:
        """Return how many lanes are out."""
        with self._leasing:
            return len(self._leases)

    # -- what was written meanwhile

    def took(self, drained: Drained, work: Sequence[Work]) -> None:
        """Hear what a drain of *work* came to: what is new, and what is leased no more."""
        self._masks.learn(work, drained.outcomes)
        settled: dict[str, list[int]] = defaultdict(list)
        for recipient, position in drained.settled:
            settled[recipient].append(position)
        begun: dict[str, list[Waiting]] = defaultdict(list)
        for one in drained.begun:
            if one.recipient in self._heard:
                begun[one.recipient].append(waiting(one, work))
        # What leaves a mailbox may have kept back what is behind it, whatever begins beside it.
        moved = settled.keys() | {recipient for recipient, _ in drained.stopped}
        with self._leasing:
            for recipient in (drained.woken - begun.keys()) | moved:
                self._heard.pop(recipient, None)
            for recipient, rows in begun.items():
                if recipient in self._heard:
                    self._heard[recipient] += rows
            for recipient, positions in settled.items():
                self._leases.settle(recipient, positions)
            for recipient, lane in drained.stopped:
                self._leases.stop(recipient, lane)
        self.checkpoint = drained.checkpoint or self.checkpoint

    def lost(self) -> None:
        """Hear that nobody knows what a drain came to: only looking can tell what waits."""
        with self._leasing:
            self._heard.clear()

    def reconciled(self, organisation: str, found: Reconciled) -> None:
        """Hear what a comparison took out of *organisation*'s mailbox."""
        with self._leasing:
            self._heard.pop(organisation, None)
            self._leases.settle(organisation, found.withdrawn)

    def close(self) -> None:
        """Close the connections."""
        self._outbox.close()


def delivered(waiting: Waiting, recipient: str, attempt: int, lease_expires: datetime) -> Delivered:
    """Return what *waiting* is to its *recipient*, handed out for the *attempt*-th time."""
    content, payload = waiting.content, waiting.payload
    receipt = payload, waiting.signature
    return _new_delivered(
        position=waiting.position,
        lane=waiting.lane,
        attempt=attempt,
        lease_expires=lease_expires,
        message_id=waiting.message_id,
        envelope=payload if content is _MESSAGE else b"",
        written=receipt if content is _WRITTEN else None,
        refused=receipt if content is _REFUSED else None,
        recipient=recipient,
    )
