"""What is given to the store to record, and what it gives back: frozen data, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from exchange.deadlines import STEPS, Deadline
from exchange.ticket import Handoff, Message, Ticket


class Content(Enum):
    """What a mailbox row delivers."""

    MESSAGE = "message"
    #: The receiver's written receipt, to the message's author.
    WRITTEN = "written"
    #: The receiver's refusal, to the message's author.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    One thing to put into *recipient*'s mailbox, in lane *lane* (the hand-off's id).

    In an `Accepted` and in `Writer.record`'s *deliveries* it delivers the message *message_id*,
    accepted in this drain or earlier; in a `Written` or `Refused` it delivers that receipt.
    """

    recipient: str
    lane: str
    urgency: int
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A hand-off's new value, with what the caller derived from it (table, profile, clock)."""

    handoff: Handoff
    answers: str
    decides: str
    #: When the decider's next step is due, and when to remind of it; None without a limit.
    due: datetime | None = None
    remind: datetime | None = None
    #: What else is due on it.
    further: tuple[Deadline, ...] = ()
    #: Who assesses the work (R51): ``12345``, ``110``, ``both`` or ``none``.
    assessed_by: str = ""

    @property
    def deadlines(self) -> tuple[Deadline, ...]:
        """Everything that is due on it, the decider's next step first."""
        kind = STEPS.get(self.handoff.state)
        if kind is None or self.due is None:
            return self.further
        step = Deadline(kind=kind, owes=self.decides, due=self.due, remind=self.remind)
        return (step, *self.further)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One accepted message: a leaf, and all it changes."""

    message: Message
    time: datetime
    #: The ticket's new value; None if unchanged.
    ticket: Ticket | None = None
    #: The hand-offs it opened or changed.
    handoffs: tuple[Standing, ...] = ()
    #: The message's hand-off afterwards: its state (0 for ticket kinds) and who answers.
    state: int = 0
    answers: str = ""
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An accepted message, as far as the trail tells."""

    id: str
    digest: bytes
    leaf_index: int
    time: datetime
    kind: str
    ticket_id: str
    handoff_id: str
    author: str
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """
    A receiver's signed statement that it has written the message *of*: a leaf.

    It takes the message out of *organisation*'s mailbox; were the lane quarantined because of this
    message, it moves again.
    """

    of: Known
    organisation: str
    statement: bytes
    #: The serialised signature over *statement*.
    signature: bytes
    #: RFC 9162 leaf hash of *statement*.
    digest: bytes
    time: datetime
    #: The hand-off as it stands: its state (0 for ticket kinds) and who answers.
    state: int = 0
    answers: str = ""
    deliver: Delivery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """
    A relay carried the message *of* to another bridge, whose stored receipt proves it.

    It takes the message out of the mailbox of each organisation in *lanes* (organisation to the lane
    it waited in), whose written receipts are awaited from there.
    """

    of: Known
    lanes: Mapping[str, str]
    #: The other bridge's log.
    origin: str
    #: The serialised ``StoredReceipt``.
    receipt: bytes
    time: datetime
    #: Those of whom it is recorded already: the first receipt stands.
    recorded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """
    A signed refusal: recorded, not logged.

    With *of*, it is the receiver's of a message it was delivered: the message stays where it is,
    its lane stands still for that receiver, and *deliver* tells the author.  Where another bridge
    refused it, brought by a relay, *stops* names whose lanes stand still.
    """

    message_id: str
    digest: bytes
    #: The bridge's log origin or the receiver's organisation code.
    refused_by: str
    statement: bytes
    signature: bytes
    time: datetime
    of: Known | None = None
    deliver: Delivery | None = None
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """
    A receiver's signed refusal that sets the message aside: a leaf, and a refusal like any other.

    It takes the message out of *organisation*'s mailbox, and its lane out of quarantine; who answers
    stays as it is.  The refusal's *of* is the message, its *deliver* tells the author.
    """

    of: Known
    organisation: str
    #: The lane in which it waited.
    lane: str
    refused: Refused
    #: RFC 9162 leaf hash of the refusal's statement.
    digest: bytes
    time: datetime
    #: The hand-off as it stands: its state (0 for ticket kinds) and who answers.
    state: int = 0
    answers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An act of an authority's, or of the bridge's own: a leaf, and nobody's mail."""

    #: The network, or the log.
    source: str
    #: Its number in the source's chain, from 1.
    number: int
    #: The signed line (`exchange.chain`), and the RFC 9162 leaf hash of it.
    line: bytes
    digest: bytes
    time: datetime


Entry = Accepted | Written | SetAside | Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """*recipient* has noted the receipt at *position* of its mailbox."""

    recipient: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """
    *recipient* has acknowledged a message that it had written before.

    What still waits of the message leaves its mailbox, and with it a quarantine because of it.
    """

    recipient: str
    #: The message's place, and the leaf index in its log of the written receipt that counts.
    source: int
    receipt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """
    Lanes of *recipient* that are put in order anew.

    The messages at *positions* leave its mailbox before others are delivered; *released* lanes are
    in quarantine no longer.
    """

    recipient: str
    positions: tuple[int, ...] = ()
    released: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceipt:
    """A stored `Written`, as it was given."""

    message_id: str
    organisation: str
    leaf_index: int
    statement: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    One row of a mailbox.

    For a message, *payload* is its envelope and *signature* is empty; for a receipt they are its
    statement and the signature over it.
    """

    position: int
    lane: str
    urgency: int
    content: Content
    message_id: str
    payload: bytes
    signature: bytes = b""
    #: Whose mailbox, where several were read; else empty.
    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRow:
    """Where one message waits in a mailbox; *source* is its leaf index."""

    position: int
    lane: str
    source: int
    urgency: int


class Carried(NamedTuple):
    """Where a message waits, or waited, for somebody behind a relay; *source* is its leaf index."""

    recipient: str
    lane: str
    source: int
    #: Its place in the mailbox; -1 where it was passed on.
    position: int = -1
