"""What the read side gives back: frozen data, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.log import StoredProof
from exchange.store import Standing, StoredReceipt
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
    *organisation* the origin, a sender or a receiver, *answers* who answers now; *overdue_at* asks
    for a step that was due before that time.
    """

    state: State | None = None
    region: str = ""
    matter: str = ""
    organisation: str = ""
    answers: str = ""
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    overdue_at: datetime | None = None
    open_only: bool = False


#: No condition at all.
EVERYTHING = Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """
    One thing that happened to a ticket: one leaf of the log, its proof, and who signed it.

    *receipt* is a written receipt's, *envelope* a message's; the other is empty.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much an organisation answers for now."""

    organisation: str
    handoffs: int
    overdue: int
