"""Whatever arrives, the edge answers with a message or a refusal, and protovalidate agrees."""

from __future__ import annotations

from collections.abc import Iterator
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
from exchange.errors import RefusalCode
from exchange.submission import Received
from exchange.wire import receipts
from exchange.wire.checks import BytesCheck, bytes_check, surely_valid
from exchange.wire.content import GROUP_TYPES, group_name
from exchange.wire.fields import field_violations
from exchange.wire.headers import MAX_ENVELOPE, read_envelope
from tests.unit.envelopes import NOW, SIGNATURE, read, refusal, sealed, with_group

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


def header_of(raw: bytes) -> bytes:
    """Return the header's bytes."""
    return pb.Envelope.FromString(raw).header


def groups_of(raw: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return number, salt and content of each group."""
    return [(one.group, one.salt, one.content) for one in pb.Envelope.FromString(raw).groups]


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


# -- the quick checks against protovalidate, which decides


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
