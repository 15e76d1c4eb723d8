"""What a spool knows of hand-offs: where each stands for this side, and which are open."""

from __future__ import annotations

from datetime import datetime

from adapters.spool_files import SpooledFiles
from adapters.spool_records import KnownHandoff
from exchange.acts import MOVING_KINDS, Kind
from exchange.client import SealedMessage
from exchange.ticket import Message, own_duty_id

#: The kinds that may open the author's own duty in the same act.
_OPENS_DUTY = frozenset({Kind.OFFER, Kind.AGREE, Kind.RULE, Kind.TAKE_OVER})


#: The kinds after which a hand-off is open no longer; a ruling may be one, the closing tells.
_ENDS = frozenset({Kind.AGREE, Kind.CLOSE, Kind.RELEASE})


class KnownHandoffs(SpooledFiles):
    """The hand-offs of one organisation's spool, each with its newest state-moving message."""

    def handoff(self, handoff_id: str) -> KnownHandoff | None:
        """Return what must be known to say something on a hand-off; None where it is unknown."""
        row = self._one(
            "SELECT handoff_id, ticket_id, peer, head FROM handoff WHERE handoff_id = ?",
            handoff_id,
        )
        if row is None:
            return None
        return KnownHandoff(handoff_id=row[0], ticket_id=row[1], peer=row[2], head=row[3])

    def heads(self) -> dict[str, bytes]:
        """Return the newest state-moving message of every open hand-off, for reconciling."""
        return dict(self._all("SELECT handoff_id, head FROM handoff WHERE ended IS NULL"))

    def _know(
        self, message: SealedMessage | Message, peer: str, head: bytes, now: datetime
    ) -> None:
        """Learn what *message* says of its hand-off, with *peer* on the other side."""
        handoff_id, ticket_id = message.handoff_id, message.ticket_id
        moves = message.kind in MOVING_KINDS
        if moves and not self._is_followed(message) and not self._was_left_behind(message):
            self._learn(handoff_id, ticket_id, peer, head, now if message.kind in _ENDS else None)
        if message.kind in _OPENS_DUTY and isinstance(message, SealedMessage):
            self._learn(own_duty_id(handoff_id, head), ticket_id, self.organisation, head, None)
        if message.kind is Kind.CLOSE_TICKET:
            self._end(ticket_id, now)

    def _is_followed(self, message: SealedMessage | Message) -> bool:
        """
        Return whether something was said here on *message*, which came once more, before this.

        A platform may have written it, and answered it, while the spool could not be written.
        """
        row = self._one(
            "SELECT 1 FROM outgoing WHERE previous = ? AND handoff_id = ? "
            "AND state IN ('waiting', 'stored') LIMIT 1",
            message.digest,
            message.handoff_id,
        )
        return isinstance(message, Message) and row is not None

    def _was_left_behind(self, message: SealedMessage | Message) -> bool:
        """Return whether *message* was set aside, and its hand-off has moved on without it since."""
        row = self._one(
            "SELECT h.head FROM aside AS a JOIN handoff AS h ON h.handoff_id = ? WHERE a.message_id = ?",
            message.handoff_id,
            message.id if isinstance(message, Message) else message.message_id,
        )
        return row is not None and row[0] not in (message.previous, message.digest)

    def _learn(
        self, handoff_id: str, ticket_id: str, peer: str, head: bytes, ended: datetime | None
    ) -> None:
        self._db.execute(
            "INSERT INTO handoff (handoff_id, ticket_id, peer, head, ended) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (handoff_id) DO UPDATE SET head = excluded.head, ended = excluded.ended",
            (handoff_id, ticket_id, peer, head, ended.isoformat() if ended else None),
        )

    def _end(self, ticket_id: str, now: datetime) -> None:
        """Note that nothing is open any more of a ticket that its origin has closed."""
        self._db.execute(
            "UPDATE handoff SET ended = ? WHERE ticket_id = ? AND ended IS NULL",
            (now.isoformat(), ticket_id),
        )

    def _step_back(self, undone: SealedMessage | Message, head: bytes) -> None:
        """Undo what was concluded from a message that will never be."""
        opened = []
        if undone.kind in _OPENS_DUTY:
            opened.append(own_duty_id(undone.handoff_id, undone.digest))
        if undone.kind is Kind.OFFER:
            opened.append(undone.handoff_id)
        for handoff_id in opened:
            self._db.execute("DELETE FROM handoff WHERE handoff_id = ?", (handoff_id,))
        self._db.execute(
            "UPDATE handoff SET head = ?, ended = NULL WHERE handoff_id = ? AND head = ?",
            (head, undone.handoff_id, undone.digest),
        )
        if undone.kind is Kind.CLOSE_TICKET:  # which of them had ended before is not known
            self._db.execute(
                "UPDATE handoff SET ended = NULL WHERE ticket_id = ?", (undone.ticket_id,)
            )
