"""
The things the exchange speaks of: messages, tickets and hand-offs.

Frozen types, nothing else.  Rule 1: a `Message` carries the exact bytes it came in; nothing is
ever re-encoded from the parsed form.  Rule 2: what a type says of content is only which field
groups are there; personal data stays in the groups' bytes.  Rule 3: ids are lower-case UUID
strings, organisation codes are strings, times are aware and in UTC.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum

from exchange.acts import PLAIN, Act, Classification, Kind, Marker, Offer, TicketKind, Urgency
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """
    A file that a message cites and whose bytes travel as chunks; *root* is the tree's over them.

    Where it travels encrypted all of this is about the encrypted bytes, but for *clear*.
    """

    root: bytes
    sha256: bytes
    #: Bytes of the whole file.
    size: int
    chunk_count: int
    media_type: str
    #: What it is once it is opened, for who may read its group; None where it travels in clear.
    clear: ClearFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearFile:
    """A file that travels encrypted, as it is once it is opened with its *key*."""

    key: bytes = field(repr=False)
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One immutable statement about a ticket, parsed; `header` are the exact signed bytes."""

    id: str
    kind: Kind
    ticket_id: str
    handoff_id: str
    author: str
    recipient: str
    previous: bytes
    created: datetime
    marker: Marker
    classification: Classification
    urgency: Urgency
    act: Act = PLAIN
    #: The digest of each field group the header binds, by the contract's group number.
    groups: Mapping[int, bytes] = field(default_factory=dict)
    #: RFC 9162 leaf hash of `header`.
    digest: bytes
    header: bytes = b""
    #: The whole envelope as it came in.
    envelope: bytes = b""
    #: The files that it cites, each once.
    files: tuple[AttachedFile, ...] = ()


class State(IntEnum):
    """The state of a hand-off; the numbers are the contract's ``HandoffState`` numbers."""

    OFFERED = 1
    TAKEN = 2
    RETURNING = 3
    DISPUTED = 4
    RESOLVED = 5
    RETURNED = 6
    CLOSED = 7

    @property
    def text(self) -> Text:
        """The state for people."""
        return STATE_TEXTS[self]


STATE_TEXTS: dict[State, Text] = {
    State.OFFERED: Text(en="offered", zh="待签收"),
    State.TAKEN: Text(en="taken", zh="已签收办理中"),
    State.RETURNING: Text(en="return asked for", zh="退回待确认"),
    State.DISPUTED: Text(en="disputed", zh="争议协商中"),
    State.RESOLVED: Text(en="resolved", zh="已反馈待确认"),
    State.RETURNED: Text(en="returned", zh="已退回"),
    State.CLOSED: Text(en="closed", zh="已办结"),
}

#: The states from which nothing moves a hand-off any more.
TERMINAL_STATES = frozenset({State.RETURNED, State.CLOSED})


class Side(Enum):
    """The two sides of a hand-off."""

    SENDER = "sender"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """
    One hand-off as this copy knows it: an obligation with its own life cycle.

    Who answers and who decides are not stored here: they follow from `state` by the life-cycle
    table.  The frozensets hold message digests, so that learning notes in any order, or twice,
    gives the same value.
    """

    id: str
    ticket_id: str
    sender: str
    receiver: str
    state: State
    #: Digest of the newest state-moving message.
    head: bytes
    offer: Offer
    offered: datetime
    own_duty: bool = False
    #: The digests of accepted take_over notes; not empty means taken over.
    take_overs: frozenset[bytes] = frozenset()
    #: Danger marks and what cleared them; danger holds while a mark is not cleared.
    danger_marks: frozenset[bytes] = frozenset()
    danger_cleared: frozenset[bytes] = frozenset()
    #: The marks whose disposal the receiver has stated (R31).
    danger_disposed: frozenset[bytes] = frozenset()
    #: Grounds of the returns asked for so far (``ReturnGround`` numbers).
    return_grounds: frozenset[int] = frozenset()
    #: The receiver's positions: (digest of the note, outcome it agrees to).
    positions: frozenset[tuple[bytes, int]] = frozenset()
    #: The ticket's first receiver, which a FIRST_RECEIVER ruling looks at.
    first_receiver: str = ""

    @property
    def taken_over(self) -> bool:
        """Whether the sender took the matter back on itself."""
        return bool(self.take_overs)

    @property
    def danger(self) -> bool:
        """Whether danger is marked and not cleared (R31)."""
        return bool(self.danger_marks - self.danger_cleared)

    @property
    def danger_unattended(self) -> frozenset[bytes]:
        """The marks that are not cleared and whose disposal nobody has stated (R31)."""
        return self.danger_marks - self.danger_cleared - self.danger_disposed

    @property
    def onward_of(self) -> str:
        """The hand-off that this one passes on; empty if none."""
        return self.offer.onward_of

    def side_of(self, organisation: str) -> Side | None:
        """Return the side *organisation* stands on, the receiver's on an own duty; None if none."""
        if organisation == self.receiver:
            return Side.RECEIVER
        if organisation == self.sender:
            return Side.SENDER
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One ticket as this copy knows it."""

    id: str
    kind: TicketKind
    origin: str
    first_receiver: str
    region: str
    matter: str
    marker: Marker
    classification: Classification
    urgency: Urgency
    opened: datetime
    closed: bool = False
    level: int = 0
    cites_ticket_id: str = ""


def derived_id(*parts: str | bytes) -> str:
    """
    Return a version 8 UUID (RFC 9562) from SHA-256 over the length-prefixed *parts*.

    The same parts give the same id for ever: a platform's record that is pushed again, an own duty
    that two copies open independently, a timer that fires twice.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    raw = bytearray(digest.digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def own_duty_id(handoff_id: str, opened_by: bytes) -> str:
    """
    Return the id of the own duty that the message with digest *opened_by* opens on *handoff_id*.

    The opening message is part of the derivation: were one id shared by every cause, a duty done
    and closed early would leave a later return of the same hand-off with nobody to answer.
    """
    return derived_id("own-duty", handoff_id, opened_by)
