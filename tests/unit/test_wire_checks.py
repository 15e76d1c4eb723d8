"""The quick checks pass nothing that protovalidate, which decides, refuses."""

from __future__ import annotations

from typing import Any

import protovalidate
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange._proto.buf.validate import validate_pb2
from exchange._proto.v1 import message_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.acts import Kind
from exchange.wire.checks import BytesCheck, bytes_check, surely_valid
from exchange.wire.content import GROUP_TYPES
from exchange.wire.fields import field_violations
from tests.unit.envelopes import groups_of, header_of, sealed

SAMPLES = [sealed(kind).SerializeToString() for kind in Kind]
VALIDATOR = protovalidate.Validator()


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return values of one field: near its limits as often as not."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.is_repeated and rules.repeated.HasField("items"):
        rules = rules.repeated.items
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.integers(0, 5) | st.integers(-(2**31), 2**31 - 1)
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return texts(field, rules)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return st.sampled_from([0.0, -0.0, 90.0, -90.1, 180.5, float("nan"), float("inf")])
    bits = 32 if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_INT32) else 63
    low = -(2**31) if field.type == FieldDescriptor.TYPE_INT32 else 0
    if field.type == FieldDescriptor.TYPE_INT64:
        low = -(2**63)
    high = 2**31 - 1 if low else 2**bits - 1
    limits = [0, 1, 9, 10, 4096, 4097, 10_000, 10_001, 999_999_999, 1_000_000, 1_000_001]
    return st.sampled_from(limits) | st.integers(low, high)


def texts(field: FieldDescriptor, rules: Any) -> st.SearchStrategy[Any]:
    """Return strings or bytes at, above and below the field's limits, and of its pattern."""
    limits = rules.string if field.type == FieldDescriptor.TYPE_STRING else rules.bytes
    sizes = [0, 1, *(size + step for size in lengths(limits) if size < 600 for step in (-1, 0, 1))]
    of_size = st.sampled_from([max(size, 0) for size in sizes])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return of_size.map(bytes)
    plain = st.tuples(st.sampled_from("a中𠀀\n"), of_size).map(lambda pair: pair[0] * pair[1])
    if not limits.pattern:
        return plain
    fit = st.from_regex(limits.pattern)
    return fit | fit.map(lambda text: text + "\n") | fit.map(lambda text: text[:-1]) | plain


def lengths(limits: Any) -> list[int]:
    """Return the lengths that a rule names."""
    return [
        getattr(limits, name) for name in ("len", "min_len", "max_len") if getattr(limits, name)
    ]


def messages(descriptor: Any) -> st.SearchStrategy[Message]:
    """Return messages of one type with some of their fields set."""
    if descriptor.full_name not in _STRATEGIES:
        _STRATEGIES[descriptor.full_name] = _messages(descriptor)
    return _STRATEGIES[descriptor.full_name]


_STRATEGIES: dict[str, st.SearchStrategy[Message]] = {}


@st.composite
def _messages(draw: st.DrawFn, descriptor: Any) -> Message:
    message: Message = descriptor._concrete_class()
    for field in descriptor.fields:
        if not draw(st.booleans()):
            continue
        if field.is_repeated:
            count = draw(st.sampled_from([1, 1, 1, 2]))
            for _ in range(count):
                place(message, field, draw(values(field)))
        else:
            place(message, field, draw(values(field)))
    return message


def place(message: Message, field: FieldDescriptor, value: Any) -> None:
    """Set or append *value*."""
    at = getattr(message, field.name)
    if field.is_repeated:
        at.append(value)
    elif field.message_type is not None:
        at.CopyFrom(value)
    else:
        setattr(message, field.name, value)


TYPES: list[type[Message]] = [
    pb.Envelope,
    receipt_pb2.WrittenStatement,
    receipt_pb2.RefusedStatement,
    *GROUP_TYPES.values(),
]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_quick_check_never_passes_what_protovalidate_refuses(
    kind: type[Message], data: st.DataObject
) -> None:
    """Valid here means valid there; and what holds there and has possible values holds here."""
    message = data.draw(messages(kind.DESCRIPTOR))

    agree(message)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_quick_check_of_headers(data: st.DataObject) -> None:
    """Headers likewise: an accepted one with some fields replaced."""
    header = pb.Header.FromString(header_of(data.draw(st.sampled_from(SAMPLES))))
    act = header.WhichOneof("act")
    for field in pb.Header.DESCRIPTOR.fields:
        if field.name != act and field.containing_oneof is not None:
            continue
        if data.draw(st.integers(0, 3)) == 0:
            header.ClearField(field.name)  # type: ignore[arg-type]
            place(header, field, data.draw(values(field)))

    agree(header)


def agree(message: Message) -> None:
    """Check the quick check and `field_violations` against protovalidate."""
    broken = VALIDATOR.collect_violations(message)
    found = field_violations(message)
    ours = {"string.no_nul", "timestamp.range", "duration.range"}

    if surely_valid(message):
        assert [] == broken
    theirs = [one.rule for one in found if one.rule not in ours]
    assert [one.proto.rule_id for one in broken][:32] == theirs
    if not broken and not found:
        parsed = type(message).FromString(message.SerializeToString())
        assert surely_valid(parsed) or has_negative_fraction(parsed)


CHECKS: dict[Any, BytesCheck] = {
    descriptor: bytes_check(descriptor)
    for descriptor in (pb.Header.DESCRIPTOR, *(kind.DESCRIPTOR for kind in TYPES))
}


def agree_on_bytes(message: Message, raw: bytes) -> bool:
    """Check that what the check of *raw* passes breaks no rule; return whether it passed."""
    passed = CHECKS[message.DESCRIPTOR](message, raw)
    if passed:
        assert [] == VALIDATOR.collect_violations(message)
        assert () == field_violations(message)
        assert surely_valid(message)
    return passed


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_check_of_bytes_never_passes_what_protovalidate_refuses(
    kind: type[Message], data: st.DataObject
) -> None:
    """However its tags are spelt; and in plain spelling it passes what the quick check passes."""
    message = data.draw(messages(kind.DESCRIPTOR))
    raw = message.SerializeToString()

    passed = agree_on_bytes(kind.FromString(raw), raw)
    longer = spelt_longer(raw, data.draw(st.integers(1, 3)))
    agree_on_bytes(kind.FromString(longer), longer)
    if surely_valid(message) and 0 not in raw:
        assert passed


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_the_check_of_mutated_bytes(sample: bytes, data: st.DataObject) -> None:
    """A group or header with bytes changed, put in or taken out never passes with a rule broken."""
    raws = [(pb.Header, header_of(sample))]
    raws += [(GROUP_TYPES[number], content) for number, _, content in groups_of(sample)]  # type: ignore[misc]
    kind, raw = data.draw(st.sampled_from(raws))
    mutated = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated)))
        end = min(len(mutated), at + data.draw(st.integers(0, 2)))
        mutated[at:end] = data.draw(st.binary(max_size=3))
    try:
        message = kind.FromString(bytes(mutated))
    except DecodeError:
        return

    agree_on_bytes(message, bytes(mutated))


def spelt_longer(raw: bytes, more: int) -> bytes:
    """Return the same message with every outer tag spelt in *more* bytes than it needs."""
    out, at = bytearray(), 0
    while at < len(raw):
        tag, begins = varint(raw, at)
        out += raw[at : begins - 1] + bytes([raw[begins - 1] | 0x80]) + b"\x80" * (more - 1) + b"\0"
        if tag & 7 == 2:
            size, content = varint(raw, begins)
            at = content + size
        else:
            at = {0: varint(raw, begins)[1], 1: begins + 8, 5: begins + 4}[tag & 7]
        out += raw[begins:at]
    return bytes(out)


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at *at*, and where it ends."""
    number = shift = 0
    while True:
        number |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if raw[at - 1] < 0x80:
            return number, at


def has_negative_fraction(message: Message) -> bool:
    """Whether a duration is one that the quick check leaves to protovalidate."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            if field.message_type is None:
                continue
            if field.message_type.full_name == "google.protobuf.Duration":
                if item.nanos < 0 or item.seconds >= 315_576_000_000 or item.nanos:
                    return True
            elif has_negative_fraction(item):
                return True
    return False
