"""A bridge's copy of what an organisation takes part in, as its trails tell it: nothing is changed by that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange.acts import MOVING_KINDS
from exchange.client.tickets import Tickets
from exchange.errors import NotFound

#: The trail's word for a receiver's statement that it wrote a message.
_WRITTEN = "written"
#: And for its statement that it set one aside.
_SET_ASIDE = "set_aside"
_MOVING = frozenset(kind.value for kind in MOVING_KINDS)
#: How often a ticket that keeps moving while it is read is read again.
_AGAIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeMessage:
    """One message in the bridge's log; *recipient* is empty for the kinds about a whole ticket."""

    message_id: str
    kind: str
    ticket_id: str
    handoff_id: str
    author: str
    recipient: str
    digest: bytes
    #: Who has stated that it has written it.
    written_by: frozenset[str] = frozenset()
    #: Who has set it aside, whatever it did afterwards.
    set_aside_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeHandoff:
    """One hand-off as the bridge knows it; *state* is a number of `exchange.ticket.State`."""

    handoff_id: str
    ticket_id: str
    sender: str
    receiver: str
    state: int
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeCopy:
    """Some tickets of a bridge: their messages in the log's order, their hand-offs oldest first."""

    messages: Mapping[str, BridgeMessage]
    handoffs: Mapping[str, BridgeHandoff]
    #: The tickets looked at, also those that the bridge does not know.
    tickets: frozenset[str]


def read_copy(
    tickets: Tickets, organisation: str, since: datetime | None, known: Iterable[str]
) -> BridgeCopy:
    """
    Return the bridge's copy of *organisation*'s tickets, and of those *known* to it otherwise.

    With *since* (aware) only of those that were opened from then on, are open, or are *known*.
    """
    messages: dict[str, BridgeMessage] = {}
    handoffs: dict[str, BridgeHandoff] = {}
    looked: set[str] = set()
    for listed in _tickets(tickets, organisation, since, known, looked):
        ticket, trail = listed, _messages(tickets, listed.ticket_id)
        for _ in range(_AGAIN):
            if not _moved(ticket, trail):
                break
            ticket = tickets.get(listed.ticket_id).ticket
            trail = _messages(tickets, listed.ticket_id)
        for one in ticket.handoffs:
            handoffs[one.handoff_id] = BridgeHandoff(
                handoff_id=one.handoff_id,
                ticket_id=ticket.ticket_id,
                sender=one.sender.code,
                receiver=one.receiver.code,
                state=int(one.state),
                head=one.head_digest,
            )
        messages.update(trail)
    return BridgeCopy(messages=messages, handoffs=handoffs, tickets=frozenset(looked))


def _tickets(
    tickets: Tickets,
    organisation: str,
    since: datetime | None,
    known: Iterable[str],
    looked: set[str],
) -> Iterator[pb.TicketSummary]:
    """Yield each ticket once, and note in *looked* which; not those that the bridge does not know."""
    listed = [tickets.list(organisation=organisation, opened_from=since, page_size=500)]
    if since is not None:
        listed.append(tickets.list(organisation=organisation, open_only=True, page_size=500))
    for pages in listed:
        for ticket in pages:
            if ticket.ticket_id not in looked:
                looked.add(ticket.ticket_id)
                yield ticket
    for ticket_id in known:
        if ticket_id in looked:
            continue
        looked.add(ticket_id)
        try:
            yield tickets.get(ticket_id).ticket
        except NotFound:
            continue


def _moved(ticket: pb.TicketSummary, trail: Mapping[str, BridgeMessage]) -> bool:
    """Whether *trail*, read after *ticket*, tells of a move that is not in its hand-offs' states."""
    newest = {one.handoff_id: one.digest for one in trail.values() if one.kind in _MOVING}
    return any(
        newest.get(one.handoff_id, one.head_digest) != one.head_digest for one in ticket.handoffs
    )


def _messages(tickets: Tickets, ticket_id: str) -> dict[str, BridgeMessage]:
    said: dict[str, pb.TrailEntry] = {}
    written: dict[str, set[str]] = {}
    aside: dict[str, set[str]] = {}
    for entry in tickets.trail(ticket_id, page_size=500):
        if entry.kind == _WRITTEN:
            written.setdefault(entry.message_id, set()).add(entry.author.code)
        elif entry.kind == _SET_ASIDE:
            aside.setdefault(entry.message_id, set()).add(entry.author.code)
        else:
            said[entry.message_id] = entry
    return {
        name: BridgeMessage(
            message_id=name,
            kind=entry.kind,
            ticket_id=ticket_id,
            handoff_id=entry.handoff_id,
            author=entry.author.code,
            recipient=entry.recipient.code,
            digest=entry.digest,
            written_by=frozenset(written.get(name, ())),
            set_aside_by=frozenset(aside.get(name, ())),
        )
        for name, entry in said.items()
    }
