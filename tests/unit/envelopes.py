"""Envelopes for the tests of the edge: accepted messages, and what the edge makes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from exchange._proto.buf.validate import validate_pb2
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Kind
from exchange.envelope import Signature, group_digest
from exchange.errors import (
    Refusal,
)
from exchange.submission import Received
from exchange.wire.headers import (
    draft_message,
    read_envelope,
    seal_envelope,
)

MESSAGES = Path(__file__).resolve().parents[2] / "proto" / "vectors" / "messages"
NOW = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)
SIGNATURE = Signature(suite="p256-sha256", key_id=b"k" * 32, value=b"v" * 64)


def sample(kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the groups of an accepted message of *kind*, as plain Python."""
    told = json.loads((MESSAGES / f"{kind.value}.json").read_text("utf-8"))
    header = {name: value for name, value in told["header"].items() if name != "groups"}
    return header, {group["group"]: group["fields"] for group in told["groups"]}


def sealed(kind: Kind = Kind.OPEN_TICKET, **changes: Any) -> pb.Envelope:
    """Return the envelope of an accepted message, with *changes* to its header."""
    header, groups = sample(kind)
    draft = draft_message(header | changes, groups, salt=bytes)
    return pb.Envelope.FromString(seal_envelope(draft, SIGNATURE))


def read(envelope: pb.Envelope, header: pb.Header | None = None) -> Received:
    """Return what the edge makes of *envelope*, if given with another header."""
    if header is not None:
        envelope.header = header.SerializeToString()
    return read_envelope(envelope.SerializeToString())


def with_group(
    number: int, content: bytes, salt: bytes = bytes(16), kind: Kind = Kind.TAKE
) -> pb.Envelope:
    """Return an accepted message that carries one group more, bound by its header."""
    envelope = sealed(kind)
    header = pb.Header.FromString(envelope.header)
    envelope.groups.add(group=number, salt=salt, content=content)
    header.groups.add(group=number, digest=group_digest(number, salt, content))
    envelope.header = header.SerializeToString()
    return envelope


def refusal(received: Received) -> Refusal:
    """Return the refusal, which must be there."""
    assert received.message is None
    assert received.refusal is not None
    return received.refusal


def faults(received: Received) -> list[tuple[str, str]]:
    """Return the fields and rules of the violations."""
    return [(one.field, one.rule) for one in refusal(received).violations]


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """Return the annotations of one field."""
    rules: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return rules


def header_of(raw: bytes) -> bytes:
    """Return the header's bytes."""
    return pb.Envelope.FromString(raw).header


def groups_of(raw: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return number, salt and content of each group."""
    return [(one.group, one.salt, one.content) for one in pb.Envelope.FromString(raw).groups]
