"""
What builds on what: a message that follows a refused one can never be accepted, and is dropped.

It makes no difference whether it waited already, or was said before its author heard of the refusal
and comes into the spool after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from adapters.spool_handoffs import KnownHandoffs
from adapters.spool_records import COLUMNS, refusal_json, refusal_of, sealed
from exchange.acts import Kind
from exchange.client import Cited, SealedMessage, cited
from exchange.errors import Refusal
from exchange.ticket import own_duty_id

#: The kinds that may cite something else than their predecessor (`exchange.client.cited`).
_CITING = frozenset({Kind.OFFER, Kind.RELEASE, Kind.GRANT_EXTENSION})
_NOTHING = Cited()


class Chains(KnownHandoffs):
    """What was decided of one organisation's messages, and of what builds on them."""

    def _decide(
        self,
        message: SealedMessage,
        state: str,
        now: datetime,
        *,
        receipt: bytes = b"",
        refusal: Refusal | None = None,
    ) -> None:
        self._db.execute(
            "UPDATE outgoing SET state = ?, decided = ?, receipt = ?, refusal = ?, told = 0 "
            "WHERE message_id = ? AND state = 'waiting'",
            (state, now.isoformat(), receipt, refusal_json(refusal), message.message_id),
        )

    def _refuse(
        self, message: SealedMessage, refusal: Refusal, now: datetime, receipt: bytes
    ) -> None:
        """Record a refusal, and drop what waits and builds on the refused message."""
        self._decide(message, "refused", now, receipt=receipt, refusal=refusal)
        self._step_back(message, message.previous)
        for follower in self._followers(message):
            self._drop(follower, refusal, message.previous, now)

    def _drop(self, message: SealedMessage, refusal: Refusal, head: bytes, now: datetime) -> None:
        """Record that *message* is never pushed; its hand-off stands at *head* again."""
        self._decide(message, "dropped", now, refusal=refusal)
        self._step_back(message, head)

    def _followers(self, refused: SealedMessage) -> Iterator[SealedMessage]:
        """Yield what waits and cannot be accepted without *refused*; decide each as it comes."""
        chained = [refused]
        while chained:
            lost = chained.pop()
            if lost.kind is Kind.OPEN_TICKET:
                more = self._waiting("ticket_id = ?", lost.ticket_id)
            else:  # what names it, its hand-off if it is an offer, and the own duty that it opens
                own = own_duty_id(lost.handoff_id, lost.digest)
                lane = lost.handoff_id if lost.kind is Kind.OFFER else own
                more = self._waiting("handoff_id IN (?, ?) OR previous = ?", lane, own, lost.digest)
                more += self._citing(lost, {lane, own}, more)
            yield from more
            chained += more

    def _citing(
        self, lost: SealedMessage, handoffs: set[str], known: list[SealedMessage]
    ) -> list[SealedMessage]:
        """Return what waits and cites *lost*, or one of *handoffs*, and is not *known* already."""
        marks = ", ".join("?" * len(_CITING))
        kinds = sorted(kind.value for kind in _CITING)
        found = self._waiting(f"ticket_id = ? AND kind IN ({marks})", lost.ticket_id, *kinds)
        return [
            one
            for one in found
            if one not in known
            and ((names := cited(one)).digest == lost.digest or names.handoff_id in handoffs)
        ]

    def _lost_before(self, message: SealedMessage) -> Refusal | None:
        """Return why something that *message* builds on was refused; None where nothing was."""
        rows = self._all(
            "SELECT kind, handoff_id, digest, state, refusal FROM outgoing "
            "WHERE ticket_id = ? AND message_id <> ? ORDER BY seq",
            message.ticket_id,
            message.message_id,
        )
        lost = [row for row in rows if row[3] in {"refused", "dropped"}]
        if not lost:
            return None
        # Said anew under another id, a ticket or hand-off is begun after all.
        begun = {row[:2] for row in rows if row[3] in {"waiting", "stored"}}
        names = cited(message) if message.kind in _CITING else _NOTHING
        for kind, handoff_id, digest, _, refusal in lost:
            opens_ticket, offers = kind == Kind.OPEN_TICKET.value, kind == Kind.OFFER.value
            begins = opens_ticket or (
                offers and handoff_id in {message.handoff_id, names.handoff_id}
            )
            anew = kind == message.kind.value and handoff_id == message.handoff_id
            if (
                (begins and not anew and (kind, handoff_id) not in begun)
                or digest in {message.previous, names.digest}
                or own_duty_id(handoff_id, digest) in {message.handoff_id, names.handoff_id}
            ):
                return refusal_of(refusal)
        return None

    def _waiting(self, where: str, *values: object) -> list[SealedMessage]:
        query = f"SELECT {COLUMNS} FROM outgoing WHERE state = 'waiting' AND ({where}) ORDER BY seq"  # noqa: S608
        return [sealed(row) for row in self._all(query, *values)]
