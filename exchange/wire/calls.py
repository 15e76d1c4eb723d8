"""Whole calls: taking a request apart once it is known who sends it, and the failures it can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from exchange._proto.v1 import message_pb2 as pb
from exchange.envelope import Signature
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.wire.checks import AnyDescriptor, Check, quick_check
from exchange.wire.conditions import UnknownRuleError
from exchange.wire.fields import field_violations
from exchange.wire.headers import signature_from_proto, signature_to_proto, time_from_proto

_Request = TypeVar("_Request", bound=Protobuf)

#: What is judged one by one, each with an outcome of its own, so that one never fails another.
_APART = "acknowledgements"
_ONE_BY_ONE = f"{_APART}["

_MALFORMED = Text(
    en="The bytes of the request are not a {name} of this contract; use the published schema.",
    zh="请求字节不是本接口的 {name}，请按公布的协议编码。",
)


def read_request(parse: Callable[[bytes], _Request], raw: bytes) -> _Request:
    """
    Return the request that *raw* is; *parse* is its type's ``FromString``.

    Raises `InvalidRequest`: with rule ``malformed`` for other bytes, else naming each field that
    breaks a rule of the contract (``field`` and ``rule`` facts: the first; the text: all).
    """
    try:
        request = parse(raw)
    except DecodeError as error:
        name = getattr(getattr(parse, "__self__", None), "__name__", "message")
        raise InvalidRequest(_MALFORMED.fill(name=name), rule="malformed") from error
    if _shell_holds(request):
        return request
    violations = [
        found for found in field_violations(request) if not found.field.startswith(_ONE_BY_ONE)
    ]
    if violations:
        raise InvalidRequest(
            Text(
                en=" ".join(violation.text.en for violation in violations),
                zh="".join(violation.text.zh for violation in violations),
            ),
            rule=violations[0].rule,
            field=violations[0].field,
        )
    return request


@cache
def _shell_check(descriptor: AnyDescriptor) -> Check:
    """Return the quick check of a request without what is judged one by one."""
    try:
        return quick_check(descriptor, entries_apart=_APART)
    except UnknownRuleError:
        return lambda _request: False


def _shell_holds(request: Protobuf) -> bool:
    return _shell_check(request.DESCRIPTOR)(request)


def envelope_key_id(envelope: bytes) -> bytes:
    """Return the key id that an accepted *envelope*'s signature names."""
    return pb.Envelope.FromString(envelope).signature.key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a bridge looks at of an envelope that it hands out."""

    key_id: bytes
    #: The ticket, where it is an opening with sealed groups; else empty.
    sealed_opening: str = ""


def look_at(envelope: bytes) -> Seen:
    """Return what a bridge looks at of an accepted *envelope*."""
    found = pb.Envelope.FromString(envelope)
    key_id = found.signature.key_id
    if not found.sealed_groups:
        return Seen(key_id=key_id)
    header = pb.Header.FromString(found.header)
    opening = header.HasField("open_ticket")
    return Seen(key_id=key_id, sealed_opening=header.ticket_id if opening else "")


def envelope_created(envelope: bytes) -> datetime:
    """Return when the author of an accepted *envelope* made the statement."""
    header = pb.Header.FromString(pb.Envelope.FromString(envelope).header)
    return time_from_proto(header.create_time)


def pack_signature(signature: Signature) -> bytes:
    """Return *signature* as the store keeps it."""
    return signature_to_proto(signature).SerializeToString(deterministic=True)


def unpack_signature(packed: bytes) -> Signature:
    """Return the signature that `pack_signature` packed."""
    return signature_from_proto(pb.Signature.FromString(packed))
