"""What the read side gives back: frozen data, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.knowing import Shown
from exchange.log import StoredProof
from exchange.records import Standing, StoredReceipt
from exchange.ticket import State, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffView:
    """One hand-off as it stands; *updated* is when its state last changed."""

    standing: Standing
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketView:
    """One ticket as it stands, without personal data; its hand-offs oldest first."""

    ticket: Ticket
    #: When anything last happened to it.
    updated: datetime
    handoffs: tuple[HandoffView, ...]
    #: When what was said about it was last destroyed; None if it was not.
    erased: datetime | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        """
        Everyone who answers for it now; never empty while it is open.

        Where no hand-off has an answerer, it is the ticket's origin.  On a closed ticket they are
        those who still have a hand-off or own duty, below one that was taken over.
        """
        answering = {view.standing.answers for view in self.handoffs} - {""}
        if not answering and not self.ticket.closed:
            return (self.ticket.origin,)
        return tuple(sorted(answering))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    Which tickets to list; all conditions given must hold, an empty one holds always.

    *region* is a division (tickets of it or below it), *matter* a catalogue item or category,
    *organisation* the origin, a sender or a receiver, *answers* who answers now.  One deadline must
    be as the last three ask: *owes* names who owes it, *overdue_at* asks that it was due before that
    time, *reminded_at* that it was to be reminded of by then.
    """

    state: State | None = None
    region: str = ""
    matter: str = ""
    organisation: str = ""
    answers: str = ""
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    owes: str = ""
    overdue_at: datetime | None = None
    reminded_at: datetime | None = None
    open_only: bool = False


#: No condition at all.
EVERYTHING = Filters()


#: What somebody said itself, and what the operator's own tools read.
EVERY_GROUP = Shown(party=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One message that carries a ticket's content, as stored; only what is *shown* of it goes out."""

    envelope: bytes
    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """
    One thing that happened to a ticket: one leaf of the log, its proof, and who signed it.

    *receipt* is a written receipt's, or the refusal's that sets a message aside, *envelope* a message's;
    the other is empty.
    """

    leaf_index: int
    time: datetime
    ticket_id: str
    handoff_id: str
    kind: str
    message_id: str
    author: str
    recipient: str
    #: None for ticket kinds.
    state: State | None
    answers: str
    digest: bytes
    proof: StoredProof
    receipt: StoredReceipt | None = None
    #: Byte for byte as accepted; what of it a party may see, `Query.envelopes` says.
    envelope: bytes = b""
    #: The stored receipts of further bridges to which it was carried.
    onward: tuple[bytes, ...] = ()
    #: Whether what the message said was destroyed.
    erased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much an organisation answers for now."""

    organisation: str
    handoffs: int
    overdue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnteredAct:
    """One act in the log: the *number*-th of its *source*, when it was entered, and its leaf's proof."""

    source: str
    number: int
    line: bytes
    time: datetime
    proof: StoredProof
