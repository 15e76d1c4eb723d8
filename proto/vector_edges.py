"""
Envelopes that are refused for their bytes alone.

What is expected is written down here by hand, not taken from the program: code, fields, rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from vector_story import PHRASE, Story

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group
from exchange.envelope import group_digest


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An envelope that is refused for its bytes alone, before anybody asks who signed it."""

    name: str
    about: str
    code: str
    #: (field, rule) of the violations, in order.
    faults: tuple[tuple[str, str], ...]
    envelope: bytes


def at_the_edge() -> list[Edge]:
    """Return the envelopes that need no bridge to be refused."""
    whole = Story(name="edge").opened().envelope
    return [*_malformed(whole), *_unfit_fields(whole), *_unfit_groups(whole)]


def _malformed(whole: bytes) -> list[Edge]:
    latin = whole.replace(b"XC.P.01.01", b"XC.P.01.\xff\xfe")
    group = _group(whole, Group.CONTENT, b"\x0a\xff")
    return [
        Edge(
            name="truncated",
            about="The last byte is missing.",
            code="MALFORMED",
            faults=(),
            envelope=whole[:-1],
        ),
        Edge(
            name="not-utf8",
            about="A string of the header is not UTF-8.",
            code="MALFORMED",
            faults=(),
            envelope=latin,
        ),
        Edge(
            name="broken-group",
            about="The bytes of the content group are no ContentGroup, though the digest fits.",
            code="MALFORMED",
            faults=(("groups.content", "malformed"),),
            envelope=group,
        ),
        Edge(
            name="too-large",
            about="65,537 bytes, one more than the limit; the padding is an unknown field.",
            code="TOO_LARGE",
            faults=(("envelope", "max_bytes"),),
            envelope=whole + _padding(65_537 - len(whole)),
        ),
        Edge(
            name="unknown-kind",
            about="The act is field 99 of the header.",
            code="UNKNOWN_KIND",
            faults=(("header.act", "UNKNOWN_KIND"),),
            envelope=_header(
                whole, lambda header: header.ClearField("open_ticket"), b"\x9a\x06\x00"
            ),
        ),
    ]


def _padding(size: int) -> bytes:
    """Return an unknown field 1000 of *size* bytes in all: two of tag, three of length."""
    length = size - 5
    return (
        b"\xc2\x3e"
        + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
        + b"\x20" * length
    )


def _unfit_fields(whole: bytes) -> list[Edge]:
    def several(header: pb.Header) -> None:
        header.message_id = "not-a-uuid"
        header.marker = pb.Header().marker
        header.open_ticket.region = "14"
        header.previous = b"short"

    def impossible_time(header: pb.Header) -> None:
        header.open_ticket.receive_time.seconds = 253_402_300_800

    story = Story(name="edge-offer")
    story.opened()
    offer = story.offered().envelope
    return [
        Edge(
            name="several-fields",
            about="Four faults at once; all are named.",
            code="FIELD_INVALID",
            faults=(
                ("header.message_id", "string.pattern"),
                ("header.marker", "enum.not_in"),
                ("header.open_ticket.region", "string.pattern"),
                ("header.previous", "header.shape"),
            ),
            envelope=_header(whole, several),
        ),
        Edge(
            name="no-recipient",
            about="An offer names no recipient.",
            code="FIELD_INVALID",
            faults=(("header.recipient", "header.shape"),),
            envelope=_header(offer, lambda header: header.ClearField("recipient")),
        ),
        Edge(
            name="impossible-time",
            about="A time after the year 9999.",
            code="FIELD_INVALID",
            faults=(("header.open_ticket.receive_time", "timestamp.range"),),
            envelope=_header(whole, impossible_time),
        ),
        Edge(
            name="u0000",
            about="A string of the content group holds U+0000.",
            code="FIELD_INVALID",
            faults=(("content.content", "string.no_nul"),),
            envelope=_group(whole, Group.CONTENT, b"\x0a\x03a\x00b"),
        ),
        Edge(
            name="too-long",
            about="A title of 257 characters; 256 are allowed.",
            code="FIELD_INVALID",
            faults=(("matter.title", "string.max_len"),),
            envelope=_group(whole, Group.MATTER, b"\x0a\x83\x06" + "题".encode() * 257),
        ),
    ]


def _unfit_groups(whole: bytes) -> list[Edge]:
    envelope = pb.Envelope.FromString(whole)
    twice = pb.Envelope.FromString(whole)
    twice.groups.add().CopyFrom(envelope.groups[0])
    changed = pb.Envelope.FromString(whole)
    changed.groups[2].content = changed.groups[2].content.replace("市民".encode(), "群众".encode())
    unbound = pb.Envelope.FromString(whole)
    unbound.groups.add(group=Group.GROUNDS, salt=bytes(16), content=b"\x12\x01a")
    salt = pb.Envelope.FromString(whole)
    salt.groups[1].salt = b"short"
    return [
        Edge(
            name="group-twice",
            about="A group travels twice.",
            code="FIELD_INVALID",
            faults=(("envelope.groups[3].group", "group.unique"),),
            envelope=twice.SerializeToString(deterministic=True),
        ),
        Edge(
            name="short-salt",
            about="A salt of 5 bytes; 16 to 32 are needed.",
            code="FIELD_INVALID",
            faults=(("envelope.groups[1].salt", "bytes.min_len"),),
            envelope=salt.SerializeToString(deterministic=True),
        ),
        Edge(
            name="group-changed",
            about="A word of the content group was changed on the way.",
            code="GROUP_DIGEST_MISMATCH",
            faults=(("groups.content", "group.digest"),),
            envelope=changed.SerializeToString(deterministic=True),
        ),
        Edge(
            name="group-unbound",
            about="A group travels that the header does not bind.",
            code="GROUP_DIGEST_MISMATCH",
            faults=(("groups.grounds", "group.bound"),),
            envelope=unbound.SerializeToString(deterministic=True),
        ),
    ]


def _header(whole: bytes, change: Callable[[pb.Header], None], more: bytes = b"") -> bytes:
    """Return the envelope with a changed header; its signature fits no more, nobody gets to ask."""
    envelope = pb.Envelope.FromString(whole)
    header = pb.Header.FromString(envelope.header)
    change(header)
    envelope.header = header.SerializeToString(deterministic=True) + more
    return envelope.SerializeToString(deterministic=True)


def _group(whole: bytes, number: Group, content: bytes) -> bytes:
    """Return the envelope with another *content* of a group, and its digest in the header."""
    salt = sha256(f"{PHRASE}edge/{number.name}".encode()).digest()[:16]

    def bind(header: pb.Header) -> None:
        for bound in header.groups:
            if bound.group == number:
                bound.digest = group_digest(number, salt, content)

    envelope = pb.Envelope.FromString(_header(whole, bind))
    for salted in envelope.groups:
        if salted.group == number:
            salted.salt, salted.content = salt, content
    return envelope.SerializeToString(deterministic=True)
