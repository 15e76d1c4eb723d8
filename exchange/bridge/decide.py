"""
Deciding one drain: what each message and acknowledgement comes to, given what is stored.

The working set holds what one transaction loaded and what earlier work of the same drain changed,
so that a ticket, its offer and its take may arrive together.  Nothing is written here.

The checks of a pushed message, in order; the first that fails is the answer:

1. the edge could read it (shape, field rules, group digests), and it does not come round in a loop;
2. it was not accepted before: the same content gets the stored receipt again, for ever;
3. it is signed, by a trusted signer, over these bytes; the author is the signer, and the caller is
   the author's gateway or its registered relay;
4. its id was not used for other content;
5. its coded values stand in the code tables that the site has loaded;
6. what it refers to has arrived (else: retry);
7. the numbered guards of profile and catalogue, and the life cycle's table (`exchange.rules`); of
   what a relay brings from another bridge, which has judged it, the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from exchange import rules
from exchange.acts import Kind, Offer, OpenTicket, Urgency
from exchange.bridge.authentic import authenticate
from exchange.bridge.awaiting import awaited_handoff, awaited_ticket, held_elsewhere
from exchange.bridge.later import beyond, judged_elsewhere
from exchange.bridge.openings import handoff_ids_of
from exchange.bridge.policy import Dues, Policy
from exchange.bridge.said import Sayings
from exchange.envelope import Verifier
from exchange.errors import (
    ExchangeError,
    PredecessorUnknown,
    Refusal,
    RefusalCode,
    StoreUnavailable,
    refuse,
)
from exchange.facts import Context
from exchange.lifecycle import Change
from exchange.making import maker
from exchange.store import Accepted, Delivery, Known, Standing, Writer
from exchange.submission import Pushed
from exchange.ticket import Handoff, Message, Ticket

_new_ticket, _new_delivery, _new_accepted = maker(Ticket), maker(Delivery), maker(Accepted)

_OPEN_TICKET, _CLOSE_TICKET, _OFFER = Kind.OPEN_TICKET, Kind.CLOSE_TICKET, Kind.OFFER  # `guards`

#: The kinds that are judged by all hand-offs of their ticket.
_WHOLE_KINDS = frozenset({Kind.OFFER, Kind.CLOSE_TICKET})

#: What a receiver does not say while a hand-off of its own is open.
_AFTER_ONWARD = frozenset({Kind.RESULT, Kind.RETURN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The same message was accepted before; its receipt is rebuilt from the log."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InDrain:
    """Accepted in this very drain, as the entry with this index."""

    message_id: str
    entry: int


class NotNew(Exception):
    """What was taken to be new is not accepted as such; what is stored has to be asked."""


Decision = Accepted | Repeat | InDrain | Refusal | ExchangeError


@dataclass(slots=True)
class Working:
    """What one drain knows: loaded once, changed by what it accepts."""

    writer: Writer
    policy: Policy
    now: datetime
    #: The tickets that another bridge holds: nothing is decided on them now.
    held: frozenset[str] = frozenset()
    verifier: Verifier = field(default_factory=Verifier)
    known: dict[str, Known] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    #: Every hand-off of the tickets that an offer or a closing is about.
    of_ticket: dict[str, dict[str, Handoff]] = field(default_factory=dict)
    children: dict[str, dict[str, Handoff]] = field(default_factory=dict)
    #: The id of the message that opened each ticket.
    openings: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    sayings: Sayings = field(init=False)
    dues: Dues = field(init=False)

    def __post_init__(self) -> None:
        self.sayings = Sayings(self.writer)
        self.dues = Dues(self.policy.calendar, self.now)

    def load(self, work: Sequence[Pushed]) -> None:
        """Load what these messages are about, in as few statements as there are tables."""
        messages = [m for pushed in work if (m := pushed.received.message) is not None]
        if not messages:
            return
        # Hand-offs also for tickets that are new: an id may be that of another ticket's hand-off.
        self.known, self.tickets, self.standings = self.writer.about(
            {m.id for m in messages}, {m.ticket_id for m in messages}, handoff_ids_of(messages)
        )
        fresh = [m for m in messages if m.id not in self.known]
        old = {m.ticket_id for m in fresh} & self.tickets.keys()
        self.handoffs = {key: standing.handoff for key, standing in self.standings.items()}
        whole = {m.ticket_id for m in fresh if m.kind in _WHOLE_KINDS} & old if old else set()
        if whole:
            self.of_ticket = {
                ticket_id: {h.id: h for h in handoffs}
                for ticket_id, handoffs in self.writer.handoffs_of_tickets(whole).items()
            }
            self.openings = {
                known.ticket_id: known.id
                for known in self.writer.digests(whole).values()
                if known.kind == Kind.OPEN_TICKET.value
            }
        # A result or return waits for what its author handed on, also in this very drain.
        self.children = {m.handoff_id: {} for m in fresh if m.kind in _AFTER_ONWARD}
        for parent, handoffs in self.writer.children(self.children.keys() & self.handoffs).items():
            self.children[parent] = {h.id: h for h in handoffs}

    def expect_new(self, work: Sequence[Pushed]) -> None:
        """Take *work*, of which `openings.opens_only` is true, to be new: nothing is loaded."""
        messages = [m for pushed in work if (m := pushed.received.message) is not None]
        self.writer.expect_new({m.ticket_id for m in messages}, handoff_ids_of(messages))

    def decide(self, pushed: Pushed, index: int) -> Decision:
        """Return what *pushed* comes to; if accepted, it is entry *index* of this drain."""
        message = pushed.received.message
        if message is None:
            return pushed.received.refusal or Refusal(code=RefusalCode.MALFORMED)
        hops = pushed.received.hops
        if hops and message.recipient and self.policy.origins.intersection(hops):
            # It left here for its recipient and has come back: nobody would ever deliver it.
            return refuse(RefusalCode.RELAY_LOOP, "envelope.hops")
        held = self.held_elsewhere(message.ticket_id)
        if held is not None:
            return held
        repeat = self._repeated(message)
        if isinstance(repeat, Repeat) and self.policy.may_repeat(pushed.caller, message.author):
            # It was authenticated when it was accepted; its signer may have expired since.
            return repeat
        refusal = authenticate(pushed, message, self.verifier, self.policy)
        if refusal is not None:
            return refusal
        if repeat is not None:
            return repeat
        first = not judged_elsewhere(pushed, message)
        if first and pushed.received.miscoded:
            return Refusal(code=RefusalCode.FIELD_INVALID, violations=pushed.received.miscoded)
        try:
            decision = self._judge(message, first=first)
        except PredecessorUnknown as error:
            return error
        if isinstance(decision, Accepted):
            self.accepted[message.id] = (message.digest, index)
            self.sayings.add(message)
        return decision

    def held_elsewhere(self, ticket_id: str) -> StoreUnavailable | None:
        """Return that another bridge has this ticket in hand, if one has."""
        return held_elsewhere(ticket_id) if ticket_id in self.held else None

    # -- (2), (4): accepted before?

    def _repeated(self, message: Message) -> Repeat | InDrain | Refusal | None:
        known = self.known.get(message.id)
        if known is not None:
            if known.digest == message.digest:
                return Repeat(message_id=message.id)
            return refuse(RefusalCode.DIFFERENT_CONTENT, "header.message_id")
        earlier = self.accepted.get(message.id)
        if earlier is None:
            return None
        if earlier[0] == message.digest:
            return InDrain(message_id=message.id, entry=earlier[1])
        return refuse(RefusalCode.DIFFERENT_CONTENT, "header.message_id")

    # -- (5), (6), (7): where it stands

    def _judge(self, message: Message, *, first: bool) -> Accepted | Refusal:
        if message.kind is _OPEN_TICKET:
            return self._open_ticket(message, first=first)
        ticket = self.tickets.get(message.ticket_id)
        if ticket is None:
            raise awaited_ticket(message.ticket_id)
        if message.kind is _CLOSE_TICKET:
            return self._close_ticket(message, ticket, first=first)
        if message.kind is _OFFER:
            return self._offer(message, ticket, first=first)
        return self._advance(message, ticket, first=first)

    def _open_ticket(self, message: Message, *, first: bool) -> Accepted | Refusal:
        act = message.act
        if not isinstance(act, OpenTicket):
            raise TypeError(f"not the act of open_ticket: {act}")
        ticket = _new_ticket(
            id=message.ticket_id,
            kind=act.kind,
            origin=message.author,
            first_receiver=act.first_receiver or message.author,
            region=act.region,
            matter=act.matter,
            marker=message.marker,
            classification=message.classification,
            urgency=message.urgency,
            opened=self.now,
            level=act.level,
            cites_ticket_id=act.cites_ticket_id,
        )
        exists = message.ticket_id in self.tickets
        decide = rules.decide_ticket if first else rules.follow_ticket
        refusal = decide(message, self._context(ticket), exists=exists)
        if refusal is not None:
            return refusal
        self.tickets[ticket.id] = ticket
        self.openings[ticket.id] = message.id
        self.of_ticket[ticket.id] = {}
        return _new_accepted(message=message, time=self.now, ticket=ticket)

    def _close_ticket(self, message: Message, ticket: Ticket, *, first: bool) -> Accepted | Refusal:
        handoffs = list(self.of_ticket.get(ticket.id, {}).values())
        decide = rules.decide_ticket if first else rules.follow_ticket
        refusal = decide(message, self._context(ticket, handoffs=handoffs))
        if refusal is not None:
            return refusal
        closed = replace(_at_least(ticket, message), closed=True)
        self.tickets[ticket.id] = closed
        # Each other party learns of the closing once, in the lane of its newest hand-off.
        lanes = {
            organisation: handoff.id
            for handoff in handoffs
            for organisation in (handoff.sender, handoff.receiver)
            if organisation != message.author
        }
        return Accepted(
            message=message,
            time=self.now,
            ticket=closed,
            deliveries=tuple(self._delivery(message, who, lane) for who, lane in lanes.items()),
        )

    def _offer(self, message: Message, ticket: Ticket, *, first: bool) -> Accepted | Refusal:
        act = message.act
        if not isinstance(act, Offer):
            raise TypeError(f"not the act of offer: {act}")
        siblings = self.of_ticket.setdefault(ticket.id, {})
        context = self._context(
            ticket,
            parent=self.handoffs.get(act.onward_of) if act.onward_of else None,
            handoffs=tuple(siblings.values()),
            disposal_cited=self.sayings.disposal_cited(act, ticket.id),
        )
        decide = rules.decide if first else rules.follow
        change = decide(message, context, exists=self.handoffs.__contains__)
        if isinstance(change, Refusal):
            return change
        recipient, lane = message.recipient, message.handoff_id
        delivery = self._delivery(message, recipient, lane)
        opening = self.openings.get(ticket.id)
        knows = self._knows_ticket(recipient, ticket, siblings)
        if opening is None or (knows and not self._may_overtake(message, recipient, ticket)):
            return self._changed(message, ticket, change, (delivery,))
        # The receiver's lane begins with the ticket itself, so that each lane alone gives a
        # whole copy of what its receiver has to do with.
        before = _new_delivery(
            recipient=recipient, lane=lane, urgency=delivery.urgency, message_id=opening
        )
        return self._changed(message, ticket, change, (before, delivery))

    @staticmethod
    def _knows_ticket(organisation: str, ticket: Ticket, siblings: dict[str, Handoff]) -> bool:
        return organisation == ticket.origin or any(
            organisation in (h.sender, h.receiver) for h in siblings.values()
        )

    @staticmethod
    def _may_overtake(message: Message, recipient: str, ticket: Ticket) -> bool:
        """Whether an urgent offer can reach *recipient* before the ticket does in an earlier lane."""
        return message.urgency >= Urgency.URGENT and recipient != ticket.origin

    def _advance(self, message: Message, ticket: Ticket, *, first: bool) -> Accepted | Refusal:
        handoff = self.handoffs.get(message.handoff_id)
        if handoff is None:
            raise awaited_handoff(message.handoff_id)
        refusal = self.sayings.request_cited(message)
        context = self._context(
            ticket, handoff=handoff, children=tuple(self.children.get(handoff.id, {}).values())
        )
        decide = rules.decide if first else rules.follow
        change = decide(
            message,
            context,
            known=lambda digest: self.sayings.by_digest(ticket.id, digest) is not None,
            exists=self.handoffs.__contains__,
        )
        if isinstance(change, Refusal):
            return change
        if refusal is not None:
            return refusal
        to = message.recipient
        if to == message.author:
            to = beyond(message, handoff, self) if self.policy.relays else ""
        deliveries = (self._delivery(message, to, handoff.id),) if to else ()
        return self._changed(message, ticket, change, deliveries)

    def _context(
        self,
        ticket: Ticket,
        *,
        handoff: Handoff | None = None,
        parent: Handoff | None = None,
        children: Sequence[Handoff] = (),
        handoffs: Sequence[Handoff] = (),
        disposal_cited: bool = False,
    ) -> Context:
        return Context(
            site=self.policy.site,
            now=self.now,
            ticket=ticket,
            handoff=handoff,
            parent=parent,
            children=children,
            handoffs=handoffs,
            disposal_cited=disposal_cited,
        )

    def _changed(
        self,
        message: Message,
        ticket: Ticket,
        change: Change,
        deliveries: tuple[Delivery, ...],
    ) -> Accepted:
        handoff = change.handoff
        stricter = _at_least(ticket, message)
        self.tickets[ticket.id] = stricter
        changed = [
            self.policy.standing(
                one,
                ticket,
                message,
                self.standings.get(one.id),
                self.dues,
                visited=partial(self.sayings.visited, one),
            )
            for one in (handoff, change.opened)
            if one is not None
        ]
        for standing in changed:
            one = standing.handoff
            self.standings[one.id] = standing
            self.handoffs[one.id] = one
            if one.ticket_id in self.of_ticket:
                self.of_ticket[one.ticket_id][one.id] = one
            if one.onward_of in self.children:
                self.children[one.onward_of][one.id] = one
        return _new_accepted(
            message=message,
            time=self.now,
            ticket=stricter if stricter is not ticket else None,
            handoffs=tuple(changed),
            state=int(handoff.state),
            answers=changed[0].answers,
            deliveries=deliveries,
        )

    @staticmethod
    def _delivery(message: Message, recipient: str, lane: str) -> Delivery:
        return _new_delivery(
            recipient=recipient, lane=lane, urgency=int(message.urgency), message_id=message.id
        )


def _at_least(ticket: Ticket, message: Message) -> Ticket:
    """Return *ticket*, from now on in *message*'s class where that is the stricter one."""
    if message.classification <= ticket.classification:
        return ticket
    return replace(ticket, classification=message.classification)
