"""
What a platform says and hears, in plain Python.

An `OutgoingMessage` is written by the platform, sealed once by a `Sealer` and from then on sent as
the same bytes however often it is repeated.  What comes in is an `IncomingMessage`, an
`IncomingReceipt`, or, where it does not hold what it claims, an `IncomingFault`.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.envelope import MESSAGE_TYPE, SigningKey, message_digest, sign
from exchange.errors import ExchangeError, InvalidRequest, Refusal
from exchange.log import StoredProof
from exchange.text import Text
from exchange.ticket import Message, derived_id
from exchange.wire.content import decode_group, group_name
from exchange.wire.headers import (
    Draft,
    draft_message,
    envelope_groups,
    header_fields,
    read_envelope,
    seal_envelope,
    signed_anew,
)
from exchange.wire.misfits import misfit

#: Messages under one signature; more gain nothing, and a proof path grows with the batch.
SIGNED_TOGETHER = 128

#: Gives the salt generator of one message, by the message's id.
SaltSource = Callable[[str], Callable[[int], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """
    One statement a platform wants to make; the author is whoever seals it.

    *act* and *groups* have the contract's JSON shapes and proto names (``{"content": {"title":
    …}}``); bytes in them are base64.  The id is *message_id*, or derived from *record*, *revision*
    and the kind, so that a platform that says it again repeats itself instead of doubling.
    """

    kind: Kind
    ticket_id: str
    created: datetime
    handoff_id: str = ""
    recipient: str = ""
    #: Digest of the state-moving message before this one; empty for notes, tickets and offers.
    previous: bytes = b""
    urgency: Urgency = Urgency.ROUTINE
    marker: Marker = Marker.ACTUAL
    classification: Classification = Classification.ORDINARY
    act: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Attachment id to the file whose bytes travel: an adapter's runner keeps a copy, and fills in size,
    #: digests and number of chunks.
    files: Mapping[str, Path] = field(default_factory=dict)
    message_id: str = ""
    record: str = ""
    revision: str = ""

    def id_for(self, organisation: str) -> str:
        """Return the message's id; raises `InvalidRequest` where nothing identifies it."""
        if self.message_id:
            return self.message_id
        if not self.record:
            raise InvalidRequest(_NAMELESS)
        return derived_id(organisation, self.record, self.revision, self.kind.value)


_NAMELESS = Text(
    en="A message needs a message_id, or the platform's record (and revision) it is derived from.",
    zh="消息须有 message_id，或给出用于生成编号的平台记录号（及版本）。",
)


_FILES = Text(
    en="'files' is for who sends them behind the message: an adapter, or exchange push; nothing was sent.",
    zh="files 由适配器或 exchange push 在消息之后发送，本次未发送。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedMessage:
    """A signed message: the same bytes for ever, ready to be kept and pushed."""

    message_id: str
    kind: Kind
    ticket_id: str
    handoff_id: str
    recipient: str
    urgency: Urgency
    previous: bytes
    digest: bytes
    envelope: bytes


def random_salts(message_id: str) -> Callable[[int], bytes]:  # noqa: ARG001 - the shape of SaltSource
    """Give salts nobody can repeat: a message must then be kept as sealed."""
    return os.urandom


def derived_salts(secret: bytes) -> SaltSource:
    """
    Give salts that follow from *secret* (32 random bytes) and the message's id.

    A platform that lost its spool, but not the secret, then repeats byte for byte what it said.
    """

    def source(message_id: str) -> Callable[[int], bytes]:
        count = 0

        def salt(size: int) -> bytes:
            nonlocal count
            count += 1
            return hmac.digest(secret, f"{message_id}/{count}".encode(), sha256)[:size]

        return salt

    return source


class Sealer:
    """Signs what *organisation* says; needs no bridge, so it works while the link is down."""

    def __init__(
        self, organisation: str, signer: SigningKey, *, salts: SaltSource = random_salts
    ) -> None:
        self.organisation = organisation
        self.signer = signer
        self._salts = salts

    def draft(self, message: OutgoingMessage) -> Draft:
        """Return the bytes to sign; raises `InvalidRequest` naming the field that is wrong."""
        message_id = message.id_for(self.organisation)
        if message.files:
            raise InvalidRequest(_FILES, field="files")
        header: dict[str, Any] = {
            "message_id": message_id,
            "ticket_id": message.ticket_id,
            "handoff_id": message.handoff_id,
            "author": self.organisation,
            "recipient": message.recipient,
            "previous": base64.b64encode(message.previous).decode(),
            "create_time": message.created.isoformat(),
            "marker": int(message.marker),
            "classification": int(message.classification),
            "urgency": int(message.urgency),
            message.kind.value: dict(message.act),
        }
        try:
            return draft_message(header, message.groups, salt=self._salts(message_id))
        except InvalidRequest as error:
            plainer = misfit(message.kind.value, message.act, message.groups)
            if plainer is None:
                raise
            raise InvalidRequest(plainer, **error.facts) from error

    def file_key(self, digest: bytes, size: int, chunk_count: int) -> bytes:
        """
        Return the key under which a file travels that is cut so: 32 bytes.

        It follows from the sealer's secret and from what the file is, where its salts do: a file that is
        said again is encrypted to the same bytes, and no key ever encrypts two files.
        """
        return self._salts(f"file/{digest.hex()}/{size}/{chunk_count}")(32)

    def seal(self, messages: Sequence[OutgoingMessage]) -> list[SealedMessage]:
        """Sign *messages*, in their order; one signature serves up to 128 of them."""
        drafts = [self.draft(message) for message in messages]
        sealed = []
        for start in range(0, len(drafts), SIGNED_TOGETHER):
            batch = drafts[start : start + SIGNED_TOGETHER]
            signatures = sign(MESSAGE_TYPE, [draft.header for draft in batch], self.signer)
            for message, draft, signature in zip(messages[start:], batch, signatures, strict=False):
                sealed.append(self._sealed(message, draft, seal_envelope(draft, signature)))
        return sealed

    def sign_anew(self, message: SealedMessage) -> SealedMessage | None:
        """
        Return *message* under this signer's certificate of now; None where it is another author's.

        Header and digest stay as they were, so whatever names it still does.
        """
        received = read_envelope(message.envelope)
        said, before = received.message, received.signature
        if said is None or said.author != self.organisation:
            return None
        if before is not None and before.key_id == self.signer.public.key_id:
            return message
        (signature,) = sign(MESSAGE_TYPE, [said.header], self.signer)
        return replace(message, envelope=signed_anew(message.envelope, signature))

    def _sealed(self, message: OutgoingMessage, draft: Draft, envelope: bytes) -> SealedMessage:
        return SealedMessage(
            message_id=message.id_for(self.organisation),
            kind=message.kind,
            ticket_id=message.ticket_id,
            handoff_id=message.handoff_id,
            recipient=message.recipient,
            urgency=message.urgency,
            previous=message.previous,
            digest=message_digest(draft.header),
            envelope=envelope,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """
    What became of one pushed message; exactly one of *stored*, *refusal* and *failure* is given.

    *receipt* are the bytes to keep: a serialised ``Receipt`` of the contract.  After a *failure*
    nothing is decided; push it again after *delay*.
    """

    message_id: str
    digest: bytes
    stored: StoredProof | None = None
    accepted: datetime | None = None
    refusal: Refusal | None = None
    failure: ExchangeError | None = None
    delay: timedelta = timedelta(0)
    receipt: bytes = b""


@dataclass(frozen=True, kw_only=True)
class IncomingMessage:
    """
    A message for this organisation whose signature, author and groups have been checked.

    What it says is decoded when it is asked for: many receivers first keep the bytes.
    """

    position: int
    lane: str
    attempt: int
    lease_expires: datetime
    message: Message

    @cached_property
    def header(self) -> Mapping[str, Any]:
        """The header's fields in the contract's JSON shapes."""
        return header_fields(self.message.header)

    @cached_property
    def groups(self) -> Mapping[str, Mapping[str, Any]]:
        """The fields of each group that came with it, in the contract's JSON shapes."""
        return {
            group_name(number): decode_group(number, content)
            for number, content in envelope_groups(self.message.envelope)
        }

    @property
    def withheld(self) -> list[str]:
        """The groups that its author signed and that did not come: masked, or sealed to others."""
        return sorted(
            group_name(number)
            for number in self.message.groups
            if group_name(number) not in self.groups
        )

    @property
    def message_id(self) -> str:
        """The message's id."""
        return self.message.id

    @property
    def digest(self) -> bytes:
        """The message's digest."""
        return self.message.digest

    @property
    def act(self) -> Mapping[str, Any]:
        """The act's fields in the contract's JSON shapes."""
        act: Mapping[str, Any] = self.header.get(self.message.kind.value, {})
        return act


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingReceipt:
    """
    The other side's checked, signed answer to a message this organisation authored.

    *refusal* is None where the message was written, under *local_number*, at *time*.
    """

    position: int
    lane: str
    lease_expires: datetime
    message_id: str
    digest: bytes
    organisation: str
    time: datetime
    local_number: str = ""
    refusal: Refusal | None = None
    #: Why the receiver set the message aside, for good unless it says "written"; empty where it did not.
    set_aside: str = ""
    #: A serialised ``Receipt`` of the contract.
    receipt: bytes
    #: The signer's certificates (DER, leaf first), without which nobody can verify the receipt
    #: later; empty where the bridge itself refused, whose log key everybody has.
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingFault:
    """
    A delivery that does not hold what it claims.

    *refusal* is what to refuse it with; None where it is a receipt, or where this side's own trust
    settings lack the author's network: then leave it, it comes again.
    """

    position: int
    lane: str
    lease_expires: datetime
    message_id: str
    digest: bytes
    refusal: Refusal | None
    failure: ExchangeError
    raw: bytes


IncomingItem = IncomingMessage | IncomingReceipt | IncomingFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The message is durably in this organisation's own database, since *time*."""

    message_id: str
    digest: bytes
    local_number: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """
    This organisation cannot digest the message; its lane stops until somebody looks.

    With a reason in *set_aside* somebody has looked: the lane goes on without the message.
    """

    message_id: str
    digest: bytes
    refusal: Refusal
    time: datetime
    set_aside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The delivered receipt at *position* was noted."""

    position: int


Acknowledgement = Written | Declined | Noted


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeResult:
    """What became of one acknowledgement: recorded unless *refusal* or *failure* is given."""

    leaf_index: int | None = None
    refusal: Refusal | None = None
    failure: ExchangeError | None = None
    delay: timedelta = timedelta(0)


def with_previous(message: OutgoingMessage, previous: bytes) -> OutgoingMessage:
    """Return *message* following the state-moving message with digest *previous*."""
    return replace(message, previous=previous)
