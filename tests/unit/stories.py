"""What the tests of the domain tell: tickets, messages, and copies of the truth that learn late."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exchange.acts import (
    MOVING_KINDS,
    PLAIN,
    Act,
    Classification,
    ClearDanger,
    GrantExtension,
    Group,
    Kind,
    Marker,
    Offer,
    Position,
    Progress,
    Release,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
    Urgency,
)
from exchange.errors import PredecessorUnknown, Refusal
from exchange.lifecycle import AWAITED, Change, advance, open_handoff
from exchange.ticket import Handoff, Message, Ticket

HOTLINE = "11000000MB00000000"
POLICE = "110000000000"
COUNTY = "110101000000"
OUTSIDER = "11000000MB99999999"
TICKET = "00000000-0000-4000-8000-000000000001"
NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)

OFFER = Offer(catalogue_edition="2026-1", profile="national", profile_edition="1")


def digest_of(*parts: object) -> bytes:
    """Return a digest that stands for the *parts*."""
    return hashlib.sha256(repr(parts).encode()).digest()


def handoff_id(number: int) -> str:
    """Return the id of the hand-off with this *number* in a story."""
    return f"00000000-0000-4000-8000-{number:012d}"


def ticket(
    *,
    origin: str = POLICE,
    first_receiver: str = "",
    closed: bool = False,
    marker: Marker = Marker.ACTUAL,
) -> Ticket:
    """Return a ticket that *origin* opened and received first, unless another did."""
    return Ticket(
        id=TICKET,
        kind=TicketKind.POLICE_TICKET,
        origin=origin,
        first_receiver=first_receiver or origin,
        region="110000",
        matter="",
        marker=marker,
        classification=Classification.ORDINARY,
        urgency=Urgency.ROUTINE,
        opened=NOW,
        closed=closed,
    )


def act_for(kind: Kind, handoff: Handoff, outcome: RulingOutcome | None = None) -> Act:
    """Return an act of *kind* that fits *handoff* as it is known here."""
    named = min(handoff.take_overs, default=b"\0" * 32)
    mark = min(handoff.danger_marks, default=b"\0" * 32)
    acts: dict[Kind, Act] = {
        Kind.RETURN: Return(ground=1),
        Kind.RULE: Rule(outcome=outcome or RulingOutcome.HANDLER_KEEPS),
        Kind.RELEASE: Release(take_over_digest=named),
        Kind.PROGRESS: Progress(mark_digests=tuple(sorted(handoff.danger_marks)[:1])),
        Kind.POSITION: Position(agrees_to=RulingOutcome.JOINT),
        Kind.CLEAR_DANGER: ClearDanger(mark_digest=mark),
        Kind.GRANT_EXTENSION: GrantExtension(request_digest=b"\0" * 32, granted=False),
    }
    return acts.get(kind, PLAIN)


def say(
    kind: Kind,
    author: str,
    recipient: str,
    *,
    on: str = "",
    previous: bytes = b"",
    act: Act = PLAIN,
    number: object = 0,
    groups: tuple[Group, ...] = (),
    urgency: Urgency = Urgency.ROUTINE,
    marker: Marker = Marker.ACTUAL,
    classification: Classification = Classification.ORDINARY,
) -> Message:
    """Return a message; *number* tells apart messages that say the same."""
    return Message(
        id=handoff_id(0),
        kind=kind,
        ticket_id=TICKET,
        handoff_id=on or handoff_id(1),
        author=author,
        recipient=recipient,
        previous=previous,
        created=NOW,
        marker=marker,
        classification=classification,
        urgency=urgency,
        act=act,
        groups=dict.fromkeys(groups, b"\x00" * 32),
        digest=digest_of(kind, author, recipient, on, previous, act, number),
    )


def reply(
    kind: Kind,
    handoff: Handoff,
    author: str,
    *,
    outcome: RulingOutcome | None = None,
    act: Act | None = None,
    previous: bytes | None = None,
    number: object = 0,
) -> Message:
    """Return what *author* says on *handoff* as its own copy knows it."""
    other = handoff.receiver if author == handoff.sender else handoff.sender
    moving = kind in MOVING_KINDS
    return say(
        kind,
        author,
        other,
        on=handoff.id,
        previous=(handoff.head if previous is None else previous) if moving else b"",
        act=act if act is not None else act_for(kind, handoff, outcome),
        number=number,
    )


def opened(
    *, sender: str = POLICE, receiver: str = HOTLINE, number: int = 1, act: Offer = OFFER
) -> Handoff:
    """Return a hand-off just offered by its ticket's origin."""
    offer = say(Kind.OFFER, sender, receiver, on=handoff_id(number), act=act)
    change = open_handoff(offer, ticket(origin=sender), first=False)
    assert isinstance(change, Change)
    return change.handoff


def accepted(outcome: Change | Refusal) -> Handoff:
    """Return the hand-off after a message that must have been accepted."""
    assert isinstance(outcome, Change), outcome
    return outcome.handoff


@dataclass
class Copy:
    """One copy of the truth: what a bridge does with messages, without its database."""

    ticket: Ticket
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    digests: set[bytes] = field(default_factory=set)

    def apply(self, message: Message, *, first: bool) -> Refusal | None:
        """Apply *message*; raises `PredecessorUnknown` where it came too early."""
        outcome: Change | Refusal
        if message.kind is Kind.OFFER:
            assert isinstance(message.act, Offer)
            parent = self.handoffs.get(message.act.onward_of)
            outcome = open_handoff(message, self.ticket, first=first, parent=parent)
        else:
            known = self.handoffs.get(message.handoff_id)
            if known is None:
                raise PredecessorUnknown(AWAITED)
            outcome = advance(
                known,
                message,
                known=self.digests.__contains__,
                first=first,
                children=[h for h in self.handoffs.values() if h.onward_of == known.id],
            )
        if isinstance(outcome, Refusal):
            return outcome
        self.digests.add(message.digest)
        self.handoffs[outcome.handoff.id] = outcome.handoff
        if outcome.opened is not None:
            self.handoffs.setdefault(outcome.opened.id, outcome.opened)
        return None


def learn(about: Ticket, messages: list[Message]) -> dict[str, Handoff]:
    """Return what a copy knows that learns *messages* in this order, trying early ones again."""
    copy = Copy(about)
    waiting = list(messages)
    while waiting:
        late: list[Message] = []
        for message in waiting:
            try:
                refusal = copy.apply(message, first=False)
            except PredecessorUnknown:
                late.append(message)
                continue
            assert refusal is None, (message.kind, refusal)
        assert len(late) < len(waiting), "nothing can be placed any more"
        waiting = late
    return copy.handoffs
