"""Sealed groups: only who holds the key reads them, nowhere but at their place, and what is read was signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group
from exchange.errors import RefusalCode, VerificationError
from exchange.sealing import NEVER_SEALED, Place, PublicKey, WrappedKey, unwrap
from exchange.wire.content import GROUP_TYPES
from exchange.wire.headers import envelope_groups, read_envelope
from exchange.wire.sealing import (
    Unwrap,
    hand_on,
    handed_with,
    is_sealed,
    key_to_offer,
    open_groups,
    seal_groups,
    show_only,
)
from tests.bridge.world import DEPARTMENT, HOTLINE, POLICE, Matter, Party
from tests.unit.sealed import TOLD, opening

KEYS = {code: X25519PrivateKey.generate() for code in (HOTLINE, POLICE, DEPARTMENT)}
AUTHOR = Party(HOTLINE)
RAW = opening(AUTHOR, Matter())
HIDDEN = {Group.PERSON, Group.CONTENT}


def public(*codes: str) -> list[PublicKey]:
    """Return the public keys of some organisations."""
    return [PublicKey(organisation=code, public=KEYS[code].public_key()) for code in codes]


def held_by(code: str) -> Unwrap:
    """Return how *code* unwraps what is its own."""

    def mine(place: Place, keys: Sequence[WrappedKey]) -> list[bytes]:
        return [
            unwrap(place, key.wrapped, code, KEYS[code]) for key in keys if key.recipient == code
        ]

    return mine


def words(raw: bytes) -> set[str]:
    """Return the words of `TOLD` that stand in *raw*."""
    return {word for word in TOLD if word.encode() in raw}


def test_only_the_recipient_reads_and_everything_still_holds() -> None:
    """What the bridge gets is a sound message without a word of it; what the recipient opens is what was signed."""
    sealed = seal_groups(RAW, HIDDEN, public(POLICE))

    assert words(RAW) == set(TOLD)
    assert words(sealed) == set()
    received = read_envelope(sealed)
    assert received.message is not None
    assert received.digest == read_envelope(RAW).digest
    opened = open_groups(sealed, held_by(POLICE)).envelope
    assert sorted(envelope_groups(opened)) == sorted(envelope_groups(RAW))
    assert read_envelope(opened).message is not None
    left = open_groups(sealed, held_by(DEPARTMENT))
    assert is_sealed(left.envelope)
    assert not left.keys
    assert words(left.envelope) == set()


def test_sealing_again_gives_the_same_text() -> None:
    """A push is repeated; keys that were handed on in between open what was stored first."""
    first, again = (
        pb.Envelope.FromString(seal_groups(RAW, HIDDEN, public(POLICE))) for _ in range(2)
    )

    assert [one.ciphertext for one in first.sealed_groups] == [
        one.ciphertext for one in again.sealed_groups
    ]
    assert first.sealed_groups[0].keys != again.sealed_groups[0].keys


def _other_group(sealed: pb.Envelope, other: pb.Envelope) -> None:
    mine = sealed.sealed_groups
    mine[0].keys[0].wrapped, mine[1].keys[0].wrapped = (
        mine[1].keys[0].wrapped,
        mine[0].keys[0].wrapped,
    )


def _other_ticket(sealed: pb.Envelope, other: pb.Envelope) -> None:
    del sealed.sealed_groups[:]
    sealed.sealed_groups.extend(other.sealed_groups)


def _other_recipient(sealed: pb.Envelope, other: pb.Envelope) -> None:
    for one in sealed.sealed_groups:
        one.keys[0].recipient = DEPARTMENT


def _damaged_text(sealed: pb.Envelope, other: pb.Envelope) -> None:
    text = sealed.sealed_groups[0].ciphertext
    sealed.sealed_groups[0].ciphertext = bytes([text[0] ^ 1]) + text[1:]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_other_group, "sealed.binding"),
        (_other_ticket, "sealed.binding"),
        (_other_recipient, "sealed.binding"),
        (_damaged_text, "sealed.content"),
    ],
)
def test_what_was_moved_or_changed_is_a_named_fault(spoil: object, rule: str) -> None:
    """To another group, message or recipient, or by one bit: the fault names the group and what is wrong."""
    envelope = pb.Envelope.FromString(seal_groups(RAW, HIDDEN, public(POLICE)))
    other = pb.Envelope.FromString(seal_groups(opening(AUTHOR, Matter()), HIDDEN, public(POLICE)))
    spoil(envelope, other)  # type: ignore[operator]
    reader = DEPARTMENT if spoil is _other_recipient else POLICE

    with pytest.raises(VerificationError) as raised:
        open_groups(envelope.SerializeToString(), held_by(reader))

    assert raised.value.facts["rule"] == rule
    assert raised.value.facts["field"] in {"groups.person", "groups.content"}
    assert words(raised.value.text.en.encode() + raised.value.text.zh.encode()) == set()


def test_what_opens_and_was_not_signed_is_a_named_fault() -> None:
    """Its author signed one text and sealed another: the salted digest says so."""
    envelope = pb.Envelope.FromString(RAW)
    for one in envelope.groups:
        if int(one.group) == Group.CONTENT:
            one.content = one.content.replace(TOLD[-1].encode(), TOLD[-1][::-1].encode())
    sealed = seal_groups(envelope.SerializeToString(), {Group.CONTENT}, public(POLICE))

    with pytest.raises(VerificationError) as raised:
        open_groups(sealed, held_by(POLICE))

    assert raised.value.facts == {"field": "groups.content", "rule": "group.digest"}


@pytest.mark.parametrize("group", sorted(NEVER_SEALED))
def test_what_finds_times_and_shares_is_never_sealed(group: Group) -> None:
    """The refusal names the group; none of them has a field for words about persons."""
    sealed = seal_groups(RAW, {group}, public(POLICE))

    refusal = read_envelope(sealed).refusal

    assert refusal is not None
    assert refusal.code is RefusalCode.FIELD_INVALID
    assert [(one.field, one.rule) for one in refusal.violations] == [
        (f"groups.{group.name.lower()}", "group.sealed")
    ]
    assert not any(
        field.GetOptions().debug_redact for field in GROUP_TYPES[group].DESCRIPTOR.fields
    )


def test_a_group_is_in_clear_or_sealed_and_bound() -> None:
    """Both at once, twice, or without a digest in the header: refused by name."""
    sealed = pb.Envelope.FromString(seal_groups(RAW, {Group.PERSON}, public(POLICE)))
    twice = pb.Envelope.FromString(sealed.SerializeToString())
    twice.sealed_groups.append(twice.sealed_groups[0])
    both = pb.Envelope.FromString(sealed.SerializeToString())
    both.groups.extend(
        one for one in pb.Envelope.FromString(RAW).groups if int(one.group) == Group.PERSON
    )
    unbound = pb.Envelope.FromString(sealed.SerializeToString())
    unbound.sealed_groups[0].group = pb.SealedGroup(group=int(Group.PLACE)).group  # type: ignore[arg-type]  # its number

    codes = []
    for envelope in (twice, both, unbound):
        refusal = read_envelope(envelope.SerializeToString()).refusal
        assert refusal is not None
        codes.append((refusal.code, refusal.violations[0].rule))

    assert codes == [
        (RefusalCode.FIELD_INVALID, "group.unique"),
        (RefusalCode.FIELD_INVALID, "group.unique"),
        (RefusalCode.GROUP_DIGEST_MISMATCH, "group.bound"),
    ]


def test_a_key_that_was_handed_on_opens_and_a_bad_one_spoils_nothing() -> None:
    """Who was handed the matter opens the first author's words; keys for others are not given to it."""
    sealed = seal_groups(RAW, HIDDEN, public(POLICE))
    opened = open_groups(sealed, held_by(POLICE))
    received = read_envelope(sealed)
    assert received.message is not None
    digest, ticket = received.digest, received.message.ticket_id
    keys = [
        made
        for group, key in opened.keys.items()
        for made in key_to_offer(
            group,
            Place(digest=digest, ticket_id=ticket, group=group),
            key,
            public(DEPARTMENT, HOTLINE),
        )
    ]
    offer = hand_on(b"", digest, keys)
    elsewhere = hand_on(b"", bytes(32), keys)

    delivered = handed_with(sealed, [elsewhere, offer], {DEPARTMENT})

    assert {one.key.recipient for one in pb.Envelope.FromString(delivered).handed_keys} == {
        DEPARTMENT
    }
    assert len(pb.Envelope.FromString(delivered).handed_keys) == len(HIDDEN)
    assert words(delivered) == set()
    assert words(open_groups(delivered, held_by(DEPARTMENT)).envelope) == set(TOLD)
    spoilt = [(group, replace(key, wrapped=key.wrapped[::-1])) for group, key in keys]
    with pytest.raises(VerificationError):
        open_groups(
            handed_with(sealed, [hand_on(b"", digest, spoilt)], {DEPARTMENT}), held_by(DEPARTMENT)
        )


def test_a_mask_takes_groups_in_clear_and_sealed() -> None:
    """What is left holds: header, digest and signature are as they were."""
    for raw in (RAW, seal_groups(RAW, HIDDEN, public(POLICE))):
        masked = show_only(raw, lambda group: group != Group.PERSON)
        envelope = pb.Envelope.FromString(masked)

        left = {int(one.group) for one in envelope.groups}
        left |= {int(one.group) for one in envelope.sealed_groups}
        assert Group.PERSON not in left
        assert Group.CONTENT in left
        received = read_envelope(masked)
        assert received.message is not None
        assert received.digest == read_envelope(RAW).digest
        assert Group.PERSON in received.message.groups
