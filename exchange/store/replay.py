"""
Telling a ticket's messages once more: how it and its hand-offs must stand after them.

What is due, and who assesses, is reckoned again by the rules that the log has (`exchange.store.reckoned`).
Of what was accepted before a bridge said its rules, only what messages state can be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from exchange import lifecycle
from exchange.acts import Kind, OpenTicket
from exchange.deadlines import extension
from exchange.errors import PredecessorUnknown, Refusal
from exchange.reckoning import Rules
from exchange.records import Standing
from exchange.text import Text
from exchange.ticket import TERMINAL_STATES, Handoff, Message, State, Ticket

#: What of a hand-off is reckoned: columns of its row, and its rows of table ``deadline``.
FURTHER = "further"
_STEP = frozenset({"due", "remind"})


@dataclass(slots=True, kw_only=True)
class Replay:
    """
    One ticket, message by message, by the life cycle's table alone.

    Guards are not asked again: profiles and catalogues may have changed since.
    """

    ticket: Ticket | None = None
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    #: When each hand-off's state last changed.
    moved: dict[str, datetime] = field(default_factory=dict)
    #: What of each hand-off cannot be told, of all that is reckoned.
    unsaid: dict[str, frozenset[str]] = field(default_factory=dict)
    _standings: dict[str, Standing] = field(default_factory=dict)
    #: How often something was said of a hand-off.
    _said: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    _known: set[bytes] = field(default_factory=set)

    def tell(self, message: Message, time: datetime, rules: Rules | None = None) -> Text | None:
        """
        Go on with *message*, accepted at *time*; return why it does not follow, or None.

        *rules* are those that its bridge reckoned by; None where nobody said.
        """
        why = self._tell(message, time, rules)
        self._known.add(message.digest)
        self._said[message.handoff_id, message.kind] += 1
        if self.ticket is not None and message.classification > self.ticket.classification:
            self.ticket = replace(self.ticket, classification=message.classification)
        return why

    def after(self, message: Message) -> tuple[int, str]:
        """Return state (0 for ticket kinds) and answerer of *message*'s hand-off."""
        handoff = self.handoffs.get(message.handoff_id)
        return (0, "") if handoff is None else (int(handoff.state), lifecycle.answers(handoff))

    def standings(self) -> Iterator[tuple[Standing, datetime]]:
        """Yield each hand-off as it stands, and when its state last changed."""
        for handoff_id, standing in self._standings.items():
            yield standing, self.moved[handoff_id]

    def _tell(self, message: Message, time: datetime, rules: Rules | None) -> Text | None:
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
                self._stands(handoff, self.ticket, message, time, rules)
        return None

    def _change(self, message: Message, ticket: Ticket) -> lifecycle.Change | Refusal:
        if message.kind is Kind.OFFER:
            return lifecycle.open_handoff(message, ticket, first=False)
        handoff = self.handoffs.get(message.handoff_id)
        if handoff is None:
            raise PredecessorUnknown(lifecycle.AWAITED, handoff=message.handoff_id)
        known = self._known.__contains__
        return lifecycle.advance(handoff, message, known=known, first=False)

    def _stands(
        self,
        handoff: Handoff,
        ticket: Ticket,
        message: Message,
        time: datetime,
        rules: Rules | None,
    ) -> None:
        before = self._standings.get(handoff.id)
        unsaid = self.unsaid.get(handoff.id, frozenset())
        moved = before is None or before.handoff.head != handoff.head
        self.handoffs[handoff.id] = handoff
        if moved:
            self.moved[handoff.id] = time
        if rules is None:
            standing, unsaid = _as_said(handoff, message, before, unsaid, moved=moved)
        else:
            if moved or extension(handoff, message) is not None or handoff.taken_over:
                unsaid -= _STEP
            if handoff.taken_over or handoff.state is State.RETURNED:
                unsaid -= {FURTHER}
            standing = rules.standing(
                handoff,
                ticket,
                message,
                before,
                now=time,
                visited=lambda: self._visited(handoff.id),
            )
        if before is not None:  # it is written when the hand-off begins, and stays
            standing = replace(standing, assessed_by=before.assessed_by)
        self._standings[handoff.id], self.unsaid[handoff.id] = standing, unsaid

    def _visited(self, handoff_id: str) -> bool:
        """Return whether the citizen was asked as often as this hand-off came to a result."""
        said = self._said
        return said[handoff_id, Kind.VISIT] > said[handoff_id, Kind.REOPEN]


def _as_said(
    handoff: Handoff,
    message: Message,
    before: Standing | None,
    unsaid: frozenset[str],
    *,
    moved: bool,
) -> tuple[Standing, frozenset[str]]:
    """Return how *handoff* stands as far as messages say, and what they do not."""
    due, remind = (None, None) if before is None else (before.due, before.remind)
    unsaid |= {FURTHER} | ({"assessed_by"} if before is None else frozenset())
    if moved:
        remind = None
        stated = {
            State.OFFERED: handoff.offer.take_due,
            State.TAKEN: handoff.offer.result_due,
        }.get(handoff.state)
        if handoff.state in TERMINAL_STATES:
            due, unsaid = None, unsaid - _STEP
        else:
            due, unsaid = (
                stated,
                (unsaid | _STEP) - ({"due"} if stated is not None else frozenset()),
            )
    elif (granted := extension(handoff, message)) is not None:
        due, remind, unsaid = granted, None, (unsaid | _STEP) - {"due"}
    if handoff.taken_over:
        unsaid |= _STEP  # a version before this one let it stand
    standing = Standing(
        handoff=handoff,
        answers=lifecycle.answers(handoff),
        decides=lifecycle.decides(handoff),
        due=due,
        remind=remind,
    )
    return standing, unsaid


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
