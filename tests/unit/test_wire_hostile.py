"""Whatever arrives, the edge answers with a message or a refusal, and protovalidate agrees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import protovalidate
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange._proto.v1 import message_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.acts import Kind
from exchange.errors import RefusalCode
from exchange.submission import Received
from exchange.wire import receipts
from exchange.wire.content import GROUP_TYPES, group_name
from exchange.wire.fields import field_violations
from exchange.wire.headers import MAX_ENVELOPE, read_envelope
from tests.unit.envelopes import (
    NOW,
    SIGNATURE,
    groups_of,
    header_of,
    read,
    refusal,
    sealed,
    with_group,
)

SAMPLES = [sealed(kind).SerializeToString() for kind in Kind]
VALIDATOR = protovalidate.Validator()


def is_answer(received: Received) -> bool:
    """Whether there is exactly one of a message and a refusal, and both languages for it."""
    assert 32 == len(received.digest)
    assert (received.message is None) is (received.refusal is not None)
    assert len(received.message_id) <= 36
    assert "\0" not in received.message_id
    if received.refusal is not None:
        # What the bridge records of it must be a sound statement, whatever was in the bytes.
        statement = receipt_pb2.RefusedStatement.FromString(
            receipts.refused_statement(
                received.message_id, received.digest, "bridge", received.refusal, NOW
            )
        )
        assert () == field_violations(statement)
    return True


class TestBytes:
    @given(st.binary(max_size=400))
    def test_random_bytes(self, raw: bytes) -> None:
        """Noise is answered."""
        assert is_answer(read_envelope(raw))

    @given(st.sampled_from(SAMPLES), st.data())
    def test_truncated(self, sample: bytes, data: st.DataObject) -> None:
        """A message that breaks off is answered, and never taken for a whole signed one."""
        end = data.draw(st.integers(0, len(sample) - 1))

        assert is_answer(read_envelope(sample[:end]))

    @settings(max_examples=400)
    @given(st.sampled_from(SAMPLES), st.data())
    def test_a_flipped_bit(self, sample: bytes, data: st.DataObject) -> None:
        """One changed bit anywhere is answered; a group that was changed never passes as it was."""
        bit = data.draw(st.integers(0, 8 * len(sample) - 1))
        raw = bytearray(sample)
        raw[bit // 8] ^= 1 << bit % 8

        received = read_envelope(bytes(raw))

        assert is_answer(received)
        if received.message is not None and received.message.header == header_of(sample):
            assert set(groups_of(bytes(raw))) <= set(groups_of(sample))

    @given(st.sampled_from(SAMPLES), st.binary(min_size=1, max_size=40), st.data())
    def test_bytes_put_in(self, sample: bytes, more: bytes, data: st.DataObject) -> None:
        """Bytes inserted into the header or behind it are answered."""
        envelope = pb.Envelope.FromString(sample)
        place = data.draw(st.integers(0, len(envelope.header)))
        envelope.header = envelope.header[:place] + more + envelope.header[place:]

        assert is_answer(read(envelope))

    @given(st.sampled_from(sorted(GROUP_TYPES)), st.binary(max_size=200))
    def test_random_groups(self, number: int, content: bytes) -> None:
        """Noise as a group, properly bound and signed, is answered."""
        assert is_answer(read(with_group(number, content)))

    @given(st.integers(-(2**31), 2**31 - 1), st.binary(max_size=40), st.binary(max_size=40))
    def test_any_group_number_and_salt(self, number: int, salt: bytes, content: bytes) -> None:
        """Numbers and salts that the contract does not allow are answered."""
        envelope = sealed()
        envelope.groups.add(group=number, salt=salt, content=content)

        assert is_answer(read(envelope))

    def test_nesting_without_end(self) -> None:
        """Ten thousand levels of nested unknown groups are answered, not walked."""
        deep = b"\xc3\x3e" * 10_000
        for raw in (deep, SAMPLES[0] + deep):
            assert RefusalCode.MALFORMED is refusal(read_envelope(raw)).code
        assert RefusalCode.MALFORMED is refusal(read(with_group(6, deep))).code

    def test_a_flood_of_groups(self) -> None:
        """More groups than the contract allows are named as one fault, with no quadratic work."""
        envelope = sealed()
        for number in range(100, 1400):
            envelope.groups.add(group=number, salt=bytes(16))
        assert envelope.ByteSize() <= MAX_ENVELOPE

        received = read(envelope)

        assert is_answer(received)
        assert "envelope.groups" in {one.field for one in refusal(received).violations}

    @pytest.mark.parametrize(
        "text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"]
    )
    def test_what_is_not_utf8_is_malformed(self, text: bytes) -> None:
        """Stray bytes, an overlong U+0000 and a lone surrogate, in a header and in a group."""
        content = b"\x0a" + bytes([len(text)]) + text
        in_group = read(with_group(6, content))
        in_header = sealed()
        in_header.header = in_header.header + content

        for received in (in_group, read(in_header)):
            assert RefusalCode.MALFORMED is refusal(received).code


# -- U+0000


def text_fields(descriptor: Any, path: str = "") -> Iterator[tuple[str, list[FieldDescriptor]]]:
    """Yield each string position below a message type: its path, and the fields that lead there."""
    for field in descriptor.fields:
        name = f"{path}{field.name}" + ("[0]" if field.is_repeated else "")
        if field.type == FieldDescriptor.TYPE_STRING:
            yield name, [field]
        elif field.message_type is not None and not field.message_type.full_name.startswith(
            "google."
        ):
            for below, way in text_fields(field.message_type, f"{name}."):
                yield below, [field, *way]


def put(message: Any, way: list[FieldDescriptor], value: str) -> None:
    """Set the string at the end of *way* to *value*."""
    *through, last = way
    for field in through:
        at = getattr(message, field.name)
        message = at.add() if field.is_repeated else at
        message.SetInParent()
    if last.is_repeated:
        getattr(message, last.name).append(value)
    else:
        setattr(message, last.name, value)


@pytest.mark.parametrize("number", sorted(GROUP_TYPES), ids=group_name)
def test_u0000_is_found_in_every_string_of_every_group(number: int) -> None:
    """Wherever a string may stand, U+0000 in it is named by its path."""
    positions = list(text_fields(GROUP_TYPES[number].DESCRIPTOR))
    for path, way in positions:
        message = GROUP_TYPES[number]()
        put(message, way, "a\0b")

        received = read(with_group(number, message.SerializeToString()))

        named = {one.field for one in refusal(received).violations if one.rule == "string.no_nul"}
        assert {f"{group_name(number)}.{path}"} == named
    assert positions or number not in GROUP_TYPES


def test_u0000_is_found_in_every_string_of_header_and_envelope() -> None:
    """Also where the value is otherwise free: hops, suites, catalogue editions."""
    found = 0
    for kind in Kind:
        header_type = pb.Header.DESCRIPTOR
        for path, way in text_fields(header_type):
            if way[0].containing_oneof is not None and way[0].name != kind.value:
                continue
            header = pb.Header.FromString(sealed(kind).header)
            put(header, way, "a\0b")
            named = {
                (one.field, one.rule) for one in refusal(read(sealed(kind), header)).violations
            }
            assert (f"header.{path}", "string.no_nul") in named
            found += 1
    for path, way in text_fields(pb.Envelope.DESCRIPTOR):
        envelope = sealed()
        put(envelope, way, "a\0b")
        named = {(one.field, one.rule) for one in refusal(read(envelope)).violations}
        assert (f"envelope.{path}", "string.no_nul") in named
        found += 1
    assert found > 150


def test_zero_bytes_that_are_no_text_are_no_fault() -> None:
    """Numbers, digests and times may hold as many zero bytes as they like."""
    envelope = with_group(10, b"\x08\x00\x10\x00\x18\x00")  # HazardGroup: three fields present as 0
    envelope.signature.value = bytes(64)
    envelope.signature.key_id = bytes(32)
    header = pb.Header.FromString(sealed(Kind.TAKE).header)
    header.previous = bytes(32)

    assert read(envelope).message is not None
    assert read(sealed(Kind.TAKE), header).message is not None


# -- impossible times


@pytest.mark.parametrize(
    ("seconds", "nanos", "fits"),
    [
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 999_999_999, False),
        (253_402_300_799, 999_999_999, True),
        (253_402_300_800, 0, False),
        (0, 1_000_000_000, False),
        (0, -1, False),
        (2**63 - 1, 2**31 - 1, False),
        (-(2**63), -(2**31), False),
    ],
)
def test_times_outside_the_calendar_are_named(seconds: int, nanos: int, fits: bool) -> None:
    """In the header and in a group; what fits is carried to the microsecond."""
    header = pb.Header.FromString(sealed().header)
    header.create_time.seconds, header.create_time.nanos = seconds, nanos
    group = GROUP_TYPES[2]()
    group.receive_time.seconds, group.receive_time.nanos = seconds, nanos  # type: ignore[attr-defined]

    for path, received in (
        ("header.create_time", read(sealed(), header)),
        ("intake.receive_time", read(with_group(2, group.SerializeToString()))),
    ):
        if fits:
            assert received.message is not None
        else:
            found = [(one.field, one.rule) for one in refusal(received).violations]
            assert [(path, "timestamp.range")] == found


@pytest.mark.parametrize(
    ("seconds", "nanos", "rules"),
    [
        (0, 0, []),
        (315_576_000_000, 999_999_999, []),
        (315_576_000_001, 0, ["duration.range"]),
        (1, -1, ["duration.range"]),
        (0, 1_000_000_000, ["duration.range"]),
        (-1, 0, ["duration.gte"]),
        (0, -1, ["duration.gte"]),
    ],
)
def test_durations_outside_their_range_are_named(
    seconds: int, nanos: int, rules: list[str]
) -> None:
    """Too long, of two signs, or below the rule's limit."""
    group = GROUP_TYPES[2]()
    group.ring_duration.seconds, group.ring_duration.nanos = seconds, nanos  # type: ignore[attr-defined]

    received = read(with_group(2, group.SerializeToString()))

    if rules:
        assert rules == [one.rule for one in refusal(received).violations]
    else:
        assert received.message is not None


# -- receipts


@given(st.binary(max_size=300))
def test_random_receipts(raw: bytes) -> None:
    """Statements of noise are refused or read, never raised."""
    pairs: list[tuple[Any, Any]] = [
        (receipts.read_written, receipt_pb2.WrittenReceipt),
        (receipts.read_refused, receipt_pb2.RefusedReceipt),
    ]
    for read_one, kind in pairs:
        receipt = kind(statement=raw)
        read_one(receipt)
        receipt.signature.suite = SIGNATURE.suite
        read_one(receipt)
        try:
            read_one(kind.FromString(raw))
        except DecodeError:
            continue  # the server's own parser refuses such a call
