"""
What reaches the bridge and what it answers, in this program's own types.

The edge takes bytes apart and says who calls; from here on nothing knows protobuf or TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.envelope import Signature, VerifyingKey
from exchange.errors import ExchangeError, Refusal, RefusalCode, Violation
from exchange.log import StoredProof
from exchange.ticket import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Whose signature it is: the organisation a valid signer certificate names, and its key."""

    organisation: str
    key: VerifyingKey
    #: DER certificates, the signer's own first.
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One envelope taken apart: a message, or why there is none."""

    #: RFC 9162 leaf hash of the header's bytes, or of the whole bytes where there is no header.
    digest: bytes
    #: The id the header claims; empty where it cannot be read.
    message_id: str = ""
    message: Message | None = None
    signature: Signature | None = None
    refusal: Refusal | None = None
    hops: tuple[str, ...] = ()
    #: Coded values that the site's code tables lack; its first bridge refuses it for them.
    miscoded: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A receiver's signed statement about one message, taken apart."""

    message_id: str
    message_digest: bytes
    organisation: str
    time: datetime
    local_number: str = ""
    #: The refusal's code; None where the message was written.
    code: RefusalCode | None = None
    #: Why the message was set aside; empty where it was not.
    set_aside: str = ""
    #: The exact signed bytes.
    statement: bytes
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What a further bridge's stored receipt says, taken apart; nothing of it is verified yet."""

    message_id: str
    proof: StoredProof
    #: The serialised ``StoredReceipt``.
    receipt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """An envelope that *caller* (an organisation code) pushed; *author* None: signer not trusted."""

    received: Received
    caller: str
    author: Author | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """
    What *caller* did with one delivery.

    A signed statement with its author; or the position of a delivered receipt that was noted; or, of
    a relay, what another bridge has by now; or a refusal where the acknowledgement is malformed.
    """

    caller: str
    statement: Statement | None = None
    author: Author | None = None
    receipt_position: int | None = None
    passed: Passed | None = None
    refusal: Refusal | None = None


Work = Pushed | Acknowledged


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The message is durable; *proof* is its leaf in the log."""

    message_id: str
    proof: StoredProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The answer is no; *statement* is signed by the bridge and recorded."""

    refusal: Refusal
    statement: bytes
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Nothing was decided about this one; it may be sent again."""

    error: ExchangeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The acknowledgement counts; *leaf_index* of written and set aside, None for other kinds."""

    leaf_index: int | None


Outcome = Stored | Refused | Retry | Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One leased delivery; exactly one of *envelope*, *written* and *refused* is given."""

    position: int
    lane: str
    attempt: int
    lease_expires: datetime
    message_id: str
    envelope: bytes = b""
    #: (statement, serialised signature) of a receipt for a message the recipient authored.
    written: tuple[bytes, bytes] | None = None
    refused: tuple[bytes, bytes] | None = None
    #: Whose mailbox it stood in.
    recipient: str = ""
    #: The field groups of the envelope that the recipient is not shown.
    withheld: frozenset[int] = frozenset()
