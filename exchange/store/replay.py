"""Telling a ticket's messages once more: how it and its hand-offs must stand after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from exchange import lifecycle
from exchange.acts import Kind, OpenTicket
from exchange.deadlines import extension
from exchange.errors import PredecessorUnknown, Refusal
from exchange.records import Standing
from exchange.text import Text
from exchange.ticket import TERMINAL_STATES, Handoff, Message, State, Ticket


@dataclass(slots=True, kw_only=True)
class Replay:
    """
    One ticket, message by message, by the life cycle's table alone.

    Guards are not asked again: profiles and catalogues may have changed since.  So who assesses a
    hand-off is not told, and when its next step is due only where a message says it.
    """

    ticket: Ticket | None = None
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    #: When each hand-off's state last changed.
    moved: dict[str, datetime] = field(default_factory=dict)
    #: When the next step is due, by hand-off, as far as messages say.
    due: dict[str, datetime | None] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)

    def tell(self, message: Message, time: datetime) -> Text | None:
        """Go on with *message*, accepted at *time*; return why it does not follow, or None."""
        why = self._tell(message, time)
        self._known.add(message.digest)
        if self.ticket is not None and message.classification > self.ticket.classification:
            self.ticket = replace(self.ticket, classification=message.classification)
        return why

    def after(self, message: Message) -> tuple[int, str]:
        """Return state (0 for ticket kinds) and answerer of *message*'s hand-off."""
        handoff = self.handoffs.get(message.handoff_id)
        return (0, "") if handoff is None else (int(handoff.state), lifecycle.answers(handoff))

    def standings(self) -> Iterator[tuple[Standing, datetime]]:
        """Yield each hand-off as it stands, and when its state last changed."""
        for handoff in self.handoffs.values():
            standing = Standing(
                handoff=handoff,
                answers=lifecycle.answers(handoff),
                decides=lifecycle.decides(handoff),
                due=self.due.get(handoff.id),
            )
            yield standing, self.moved[handoff.id]

    def _tell(self, message: Message, time: datetime) -> Text | None:
        if isinstance(message.act, OpenTicket):
            self.ticket = _opened(message, message.act, time)
            return None
        if self.ticket is None:
            return _NO_TICKET
        if message.kind is Kind.CLOSE_TICKET:
            self.ticket = replace(self.ticket, closed=True)
            return None
        try:
            change = self._change(message, self.ticket)
        except PredecessorUnknown as unknown:
            return unknown.text
        if isinstance(change, Refusal):
            return change.text
        for handoff in (change.handoff, change.opened):
            if handoff is not None:
                self._stands(handoff, message, time)
        return None

    def _change(self, message: Message, ticket: Ticket) -> lifecycle.Change | Refusal:
        if message.kind is Kind.OFFER:
            return lifecycle.open_handoff(message, ticket, first=False)
        handoff = self.handoffs.get(message.handoff_id)
        if handoff is None:
            raise PredecessorUnknown(lifecycle.AWAITED, handoff=message.handoff_id)
        known = self._known.__contains__
        return lifecycle.advance(handoff, message, known=known, first=False)

    def _stands(self, handoff: Handoff, message: Message, time: datetime) -> None:
        before = self.handoffs.get(handoff.id)
        self.handoffs[handoff.id] = handoff
        granted = extension(handoff, message)
        if before is None or before.head != handoff.head:
            self.moved[handoff.id] = time
            self.due.pop(handoff.id, None)
            stated = {
                State.OFFERED: handoff.offer.take_due,
                State.TAKEN: handoff.offer.result_due,
            }.get(handoff.state)
            if stated is not None or handoff.state in TERMINAL_STATES:
                self.due[handoff.id] = stated
        elif granted is not None:
            self.due[handoff.id] = granted
        if handoff.taken_over:
            self.due.pop(handoff.id, None)  # a version before this one let it stand


def _opened(message: Message, act: OpenTicket, time: datetime) -> Ticket:
    return Ticket(
        id=message.ticket_id,
        kind=act.kind,
        origin=message.author,
        first_receiver=act.first_receiver or message.author,
        region=act.region,
        matter=act.matter,
        marker=message.marker,
        classification=message.classification,
        urgency=message.urgency,
        opened=time,
        level=act.level,
        cites_ticket_id=act.cites_ticket_id,
    )


_NO_TICKET = Text(en="No message has opened its ticket.", zh="没有开单消息。")
