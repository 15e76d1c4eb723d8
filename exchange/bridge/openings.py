"""What messages may begin: the tickets and hand-offs that a drain has to know, or may take to be new."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.acts import Kind, Offer
from exchange.submission import Pushed, Work
from exchange.ticket import Message, own_duty_id

#: The kinds that may open their sender's own duty, besides an offer with a parallel duty.
_OPENING_KINDS = frozenset({Kind.AGREE, Kind.RULE, Kind.TAKE_OVER})


def opens_only(work: Sequence[Work]) -> bool:
    """Return whether *work* is nothing but tickets and their own first offers."""
    opened: set[str] = set()
    for piece in work:
        message = piece.received.message if isinstance(piece, Pushed) else None
        if message is None:
            return False
        if message.kind is Kind.OPEN_TICKET:
            opened.add(message.ticket_id)
        elif (
            not isinstance(message.act, Offer)
            or message.act.onward_of
            or message.ticket_id not in opened
        ):
            return False
    return bool(opened)


def handoff_ids_of(messages: Sequence[Message]) -> set[str]:
    """Return the ids of the hand-offs that *messages* are about or may open."""
    handoff_ids = {m.handoff_id for m in messages}
    for m in messages:
        if m.kind in _OPENING_KINDS:
            handoff_ids.add(own_duty_id(m.handoff_id, m.digest))
        elif isinstance(m.act, Offer):
            handoff_ids.add(m.act.onward_of)
            if m.act.parallel_duty:
                handoff_ids.add(own_duty_id(m.handoff_id, m.digest))
    handoff_ids.discard("")
    return handoff_ids
