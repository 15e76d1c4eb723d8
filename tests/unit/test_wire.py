"""The edge between bytes and messages: what is read, what is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from exchange import acts
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group, Kind
from exchange.envelope import group_digest, message_digest
from exchange.errors import (
    RefusalCode,
)
from exchange.wire.content import decode_group, group_name
from exchange.wire.groups import MAX_GROUP, MAX_GROUP_SALT
from exchange.wire.headers import (
    MAX_ENVELOPE,
    draft_message,
    envelope_groups,
    header_fields,
    read_envelope,
    seal_envelope,
    time_from_proto,
    time_to_proto,
)
from tests.unit.envelopes import (
    NOW,
    SIGNATURE,
    faults,
    read,
    refusal,
    rules_of,
    sample,
    sealed,
    with_group,
)


class TestRoundTrip:
    @pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
    def test_every_kind_survives_the_way_out_and_in(self, kind: Kind) -> None:
        """Draft, seal, read: the same bytes each time, and every field that the rules look at."""
        header, groups = sample(kind)
        draft = draft_message(header, groups, salt=bytes)
        envelope = seal_envelope(draft, SIGNATURE)

        received = read_envelope(envelope)

        assert envelope == seal_envelope(draft_message(header, groups, salt=bytes), SIGNATURE)
        message = received.message
        assert message is not None, received.refusal
        assert (message.header, message.envelope) == (draft.header, envelope)
        assert message.digest == received.digest == message_digest(draft.header)
        assert kind is message.kind
        assert message.id == received.message_id == header["message_id"]
        assert message.handoff_id == header.get("handoff_id", "")
        assert message.recipient == header.get("recipient", "")
        assert message.previous == base64.b64decode(header.get("previous", ""))
        assert {group_name(number) for number in message.groups} == set(groups)
        assert SIGNATURE == received.signature
        assert header == {n: v for n, v in header_fields(draft.header).items() if n != "groups"}
        assert groups == {
            group_name(number): decode_group(number, content)
            for number, content in envelope_groups(envelope)
        }

    def test_the_acts_carry_what_the_rules_ask(self) -> None:
        """Times, digests and numbers of an act come out as types."""
        received = read(sealed(Kind.OFFER))

        assert received.message is not None
        act = received.message.act
        assert isinstance(act, acts.Offer)
        assert datetime(2026, 3, 2, 9, tzinfo=UTC) == act.take_due
        assert "national" == act.profile
        grant = read(sealed(Kind.GRANT_EXTENSION)).message
        assert grant is not None
        assert isinstance(grant.act, acts.GrantExtension)
        assert 32 == len(grant.act.request_digest)

    def test_hops_are_told(self) -> None:
        """The way through bridges stands outside the signed bytes and is handed on."""
        envelope = sealed()
        envelope.hops.add(by="bridge.example/a")
        envelope.hops.add(by="bridge.example/b")

        assert ("bridge.example/a", "bridge.example/b") == read(envelope).hops

    def test_no_signature_is_for_the_bridge_to_refuse(self) -> None:
        """The edge reads an unsigned message; UNSIGNED is the bridge's answer."""
        envelope = sealed()
        envelope.ClearField("signature")

        received = read(envelope)

        assert received.message is not None
        assert received.signature is None

    def test_times_keep_their_microseconds_over_the_whole_range(self) -> None:
        """Year 1 to year 9999, the rest of the nanoseconds cut off."""
        for time in (datetime(1, 1, 1, tzinfo=UTC), NOW, datetime.max.replace(tzinfo=UTC)):
            assert time == time_from_proto(time_to_proto(time))
        stamp = time_to_proto(NOW)
        stamp.nanos += 999
        assert NOW == time_from_proto(stamp)


class TestUnknown:
    def test_unknown_fields_are_carried(self) -> None:
        """A field of a later contract, in header, group or envelope, changes nothing."""
        envelope = with_group(Group.CONTENT, b"\x0a\x03abc" + b"\xc2\x3e\x01x")
        envelope.header += b"\xc2\x3e\x01x"
        raw = envelope.SerializeToString() + b"\xc2\x3e\x01x"

        received = read_envelope(raw)

        assert received.message is not None, received.refusal
        assert (raw, envelope.header) == (received.message.envelope, received.message.header)

    def test_a_descriptive_value_of_a_later_contract_is_carried(self) -> None:
        """An unknown form of hand-off or ground of a return is no fault."""
        envelope = sealed(Kind.RETURN)
        header = pb.Header.FromString(envelope.header)
        getattr(header, "return").ground = 77

        received = read(envelope, header)

        assert received.message is not None
        owner = getattr(header, "return").suggested_owner
        assert acts.Return(ground=77, suggested_owner=owner) == received.message.act

    def test_a_deciding_value_of_a_later_contract_is_refused(self) -> None:
        """An unknown marker would change what the bridge does."""
        header = pb.Header.FromString(sealed().header)
        header.marker = 9  # type: ignore[assignment]

        assert [("header.marker", "enum.defined_only")] == faults(read(sealed(), header))

    def test_a_group_of_a_later_contract_is_bound_and_carried(self) -> None:
        """Group 99 is held against its digest, and nothing else is asked of it."""
        received = read(with_group(99, b"\xff\x00 no protobuf"))

        assert received.message is not None
        assert 99 in received.message.groups

    def test_an_unknown_kind_is_refused_first(self) -> None:
        """Without a known act nothing else is judged; the id and digest are there all the same."""
        header = pb.Header.FromString(sealed().header)
        header.ClearField("open_ticket")
        header.marker = 9  # type: ignore[assignment]

        received = read(sealed(), header)

        assert RefusalCode.UNKNOWN_KIND is refusal(received).code
        assert header.message_id == received.message_id
        assert message_digest(header.SerializeToString()) == received.digest


class TestGroups:
    def test_a_withheld_group_is_no_fault(self) -> None:
        """What the header binds may stay away."""
        envelope = sealed()
        bound = len(envelope.groups)
        del envelope.groups[:]

        received = read(envelope)

        assert received.message is not None
        assert bound == len(received.message.groups)

    def test_a_group_bound_twice_is_named(self) -> None:
        """Which digest would count?"""
        header = pb.Header.FromString(sealed().header)
        header.groups.add().CopyFrom(header.groups[0])

        place = len(header.groups) - 1
        assert [(f"header.groups[{place}].group", "group.unique")] == faults(read(sealed(), header))

    @pytest.mark.parametrize("number", [0, -1])
    def test_a_group_without_a_number_is_named(self, number: int) -> None:
        """Zero and negative numbers name no group, on either side."""
        envelope = sealed()
        envelope.groups.add(group=number, salt=bytes(16))
        header = pb.Header.FromString(envelope.header)
        header.groups.add(group=number, digest=bytes(32))

        place = len(header.groups) - 1
        assert [
            (f"envelope.groups[{place}].group", "group.stated"),
            (f"header.groups[{place}].group", "group.stated"),
        ] == faults(read(envelope, header))

    def test_all_unfit_groups_are_named(self) -> None:
        """Two changed groups are two violations."""
        envelope = sealed()
        envelope.groups[0].salt = b"s" * 16
        envelope.groups[1].content += b"\xc2\x3e\x01x"

        received = read(envelope)

        assert RefusalCode.GROUP_DIGEST_MISMATCH is refusal(received).code
        assert [("groups.identity", "group.digest"), ("groups.intake", "group.digest")] == faults(
            received
        )

    def test_field_rules_go_before_digests(self) -> None:
        """FIELD_INVALID stands before GROUP_DIGEST_MISMATCH, whatever comes first in the bytes."""
        envelope = with_group(Group.GROUNDS, b"", kind=Kind.SUPPLEMENT)
        envelope.groups[0].salt = b"s" * 16

        received = read(envelope)

        assert RefusalCode.FIELD_INVALID is refusal(received).code
        assert [("grounds.text", "string.min_len")] == faults(received)

    def test_faults_of_header_and_groups_are_named_together(self) -> None:
        """A vendor mends all of them at once."""
        envelope = with_group(Group.GROUNDS, b"")
        header = pb.Header.FromString(envelope.header)
        header.author = "110"

        assert [
            ("header.author", "string.pattern"),
            ("grounds.text", "string.min_len"),
        ] == faults(read(envelope, header))

    def test_the_limits_of_salt_and_content_are_the_contracts(self) -> None:
        """What `exchange.wire.groups` checks by itself is what the annotations say."""
        envelope, header = pb.Envelope.DESCRIPTOR, pb.Header.DESCRIPTOR
        salted = rules_of(envelope.fields_by_name["groups"])
        bound = rules_of(header.fields_by_name["groups"])

        assert ["max_items: 32"] == [str(salted.repeated).strip()] == [str(bound.repeated).strip()]
        salt = pb.SaltedGroup.DESCRIPTOR.fields_by_name
        assert (16, MAX_GROUP_SALT) == (
            rules_of(salt["salt"]).bytes.min_len,
            rules_of(salt["salt"]).bytes.max_len,
        )
        assert MAX_GROUP == rules_of(salt["content"]).bytes.max_len
        assert 32 == rules_of(pb.GroupDigest.DESCRIPTOR.fields_by_name["digest"]).bytes.len
        assert not rules_of(salt["group"]).ListFields()

    @pytest.mark.parametrize("size", [15, 16, 32, 33])
    def test_salts_have_16_to_32_bytes(self, size: int) -> None:
        """One less or one more is named."""
        envelope = sealed(Kind.SUPPLEMENT)
        group, salt = envelope.groups[0], b"s" * size
        header = pb.Header.FromString(envelope.header)
        header.groups[0].digest = group_digest(group.group, salt.ljust(16), group.content)
        if size >= 16:
            header.groups[0].digest = group_digest(group.group, salt, group.content)
        group.salt = salt

        received = read(envelope, header)

        if size in (16, 32):
            assert received.message is not None
        else:
            rule = "bytes.min_len" if size < 16 else "bytes.max_len"
            assert [("envelope.groups[0].salt", rule)] == faults(received)


class TestShape:
    @pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
    def test_what_each_kind_names_and_leaves_empty(self, kind: Kind) -> None:
        """Hand-off, recipient and predecessor are asked for and forbidden as the life cycle has it."""
        on_handoff = kind not in acts.TICKET_KINDS
        follows = kind in acts.MOVING_KINDS - {Kind.OFFER}
        header = pb.Header.FromString(sealed(kind).header)
        for name, wanted, value in (
            ("handoff_id", on_handoff, header.message_id),
            ("recipient", on_handoff, header.author),
            ("previous", follows, bytes(32)),
        ):
            changed = pb.Header.FromString(sealed(kind).header)
            setattr(changed, name, type(value)() if wanted else value)

            received = read(sealed(kind), changed)

            assert [(f"header.{name}", "header.shape")] == faults(received)
            assert kind.value in refusal(received).text.zh

    def test_a_predecessor_has_32_bytes(self) -> None:
        """A digest that was cut is named."""
        header = pb.Header.FromString(sealed(Kind.TAKE).header)
        header.previous = header.previous[:31]

        assert [("header.previous", "bytes.len")] == faults(read(sealed(Kind.TAKE), header))


class TestSize:
    def padded(self, size: int) -> bytes:
        """Return an accepted envelope with an unknown field that makes it *size* bytes long."""
        raw = sealed().SerializeToString()
        length = size - len(raw) - 5
        return (
            raw
            + b"\xc2\x3e"
            + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
            + (b" " * length)
        )

    def test_the_limit_itself_is_allowed(self) -> None:
        """65,536 bytes pass."""
        assert MAX_ENVELOPE == len(self.padded(MAX_ENVELOPE))
        assert read_envelope(self.padded(MAX_ENVELOPE)).message is not None

    def test_one_byte_more_is_too_large(self) -> None:
        """65,537 bytes are refused, with both numbers said."""
        raw = self.padded(MAX_ENVELOPE + 1)
        received = read_envelope(raw)

        assert RefusalCode.TOO_LARGE is refusal(received).code
        assert "65537" in refusal(received).text.en
        assert message_digest(raw) == received.digest
        assert "" == received.message_id
