"""
The part of a bridge that hands out where several share a database: its leases stand there.

It answers as `exchange.bridge.mailboxes.Mailboxes` does, which keeps leases in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from exchange.bridge.ledger import Drained
from exchange.bridge.mailboxes import delivered
from exchange.bridge.masks import Masks
from exchange.bridge.reconcile import Reconciled
from exchange.store import Waiting
from exchange.store.leasing import LeasingOutbox
from exchange.submission import Delivered, Work

#: Looks whose leases can still be given back; a call that was given up is told of at once.
_LOOKS = 1024


class SharedMailboxes:
    """What waits in a database that several bridges hand out; `pull` is called by one thread."""

    def __init__(self, outbox: LeasingOutbox, *, checkpoint: bytes = b"") -> None:
        self._outbox = outbox
        self._masks = Masks(outbox)
        #: The newest signed checkpoint of this bridge's log.
        self.checkpoint = checkpoint
        self._looks: deque[tuple[str, frozenset[int], str]] = deque(maxlen=_LOOKS)
        self._next: dict[str, datetime | None] = {}
        self._out: dict[str, int] = {}
        #: With which of its mailboxes each relay's next look begins.
        self._first: dict[str, int] = {}

    def pull(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        behind: Sequence[str] = (),
        *,
        least: int = 0,
    ) -> list[Delivered]:
        """
        Lease up to *limit* of what waits for *organisation*: urgent lanes first, then oldest.

        Only lanes of the urgency *least* or more count.  *fitting* says how many of what was found are taken, from the first on.  A relay also empties
        the mailboxes of those *behind* it: one a call, the next one first the next time.
        """
        boxes = (organisation, *behind)
        first = self._first.get(organisation, 0) % len(boxes)
        for place in range(first, first + len(boxes)):
            found = self._look(boxes[place % len(boxes)], limit, now, fitting, least)
            if found:
                self._first[organisation] = place + 1
                return found
        return []

    def _look(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int],
        least: int,
    ) -> list[Delivered]:
        look = self._outbox.lease(organisation, limit, fitting, least)
        free = look.next_free
        self._next[organisation] = None if free is None else now + timedelta(seconds=free)
        self._out[organisation] = look.out
        if look.leased:
            positions = frozenset(one.waiting.position for one in look.leased)
            self._looks.append((organisation, positions, look.leased[0].token))
        return self._masks.put_on(
            [
                delivered(
                    one.waiting, organisation, one.attempt, now + timedelta(seconds=one.seconds)
                )
                for one in look.leased
            ]
        )

    def read_on(
        self,
        recipients: Collection[str],
        limit: int,
        after: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
    ) -> list[Delivered]:
        """Return what stands behind the place *after* for *recipients*, as `Mailboxes.read_on`."""
        rows = self._outbox.waiting_for_any(recipients, limit, behind=after)
        found = [delivered(row, row.recipient, 1, now) for row in rows[: fitting(rows)]]
        return self._masks.put_on(found)

    def give_back(
        self, organisation: str, positions: Iterable[int], behind: Collection[str] = ()
    ) -> None:
        """End the leases of deliveries that nobody took."""
        given = frozenset(positions)
        for box in (organisation, *behind):
            tokens = [token for who, held, token in self._looks if who == box and held & given]
            if tokens:
                self._outbox.give_back(box, tokens)

    def offers(self, ticket_id: str) -> list[bytes]:
        """Return the envelopes of a ticket's offers, as `Mailboxes.offers`."""
        return self._outbox.offers(ticket_id)

    def next_expiry(self, organisation: str, behind: Collection[str] = ()) -> datetime | None:
        """Return when the first lease of these mailboxes ends, as of the last looks; None if none is out."""
        ends = [self._next.get(box) for box in (organisation, *behind)]
        return min((end for end in ends if end is not None), default=None)

    def leased(self) -> int:
        """Return how many lanes are out, as of the last look into each mailbox."""
        return sum(self._out.copy().values())

    # -- what was written meanwhile

    def heard(
        self,
        organisation: str,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
        fitting: Callable[[Sequence[Waiting]], int] = len,  # noqa: ARG002
        least: int = 0,  # noqa: ARG002
    ) -> list[Delivered] | None:
        """Return None: only a look can tell what the other bridges wrote and handed out."""
        return None

    def took(self, drained: Drained, work: Sequence[Work]) -> None:
        """Hear what a drain came to: the mailboxes themselves tell what is out no more."""
        self._masks.learn(work, drained.outcomes)
        self.checkpoint = drained.checkpoint or self.checkpoint

    def lost(self) -> None:
        """Hear that nobody knows what a drain came to: whoever looks will see."""

    def reconciled(self, organisation: str, found: Reconciled) -> None:
        """Hear what a comparison took out of *organisation*'s mailbox; likewise."""

    def close(self) -> None:
        """Close the connections."""
        self._outbox.close()
