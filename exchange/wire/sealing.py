"""
Field groups that are sealed, opened, masked or handed on: what travels beside a header, rewritten.

The header's bytes and the signature are never touched; see `exchange.sealing` for what binds what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from google.protobuf.message import DecodeError

from exchange._proto.v1 import message_pb2 as pb
from exchange._proto.v1 import sealing_pb2 as sealing_pb
from exchange.acts import Group
from exchange.envelope import Signature, group_digest, message_digest
from exchange.errors import VerificationError
from exchange.sealing import (
    Place,
    PublicKey,
    WrappedKey,
    close_group,
    group_key,
    open_group,
    wrapped_for,
)
from exchange.text import Text
from exchange.wire.attachments import sealed_files
from exchange.wire.content import group_name
from exchange.wire.fields import field_violations
from exchange.wire.headers import (
    signature_from_proto,
    signature_to_proto,
    time_from_proto,
    time_to_proto,
)

#: Returns the keys that the wrapped ones for us hold; none where none is for us.  Raises `VerificationError`
#: where some are for us and none of them can be unwrapped.
Unwrap = Callable[[Place, Sequence[WrappedKey]], Sequence[bytes]]


def group_keys(raw: bytes) -> dict[int, bytes]:
    """Return the keys of the groups that an envelope holds in clear, by group: whoever has them may pass them on."""
    envelope = pb.Envelope.FromString(raw)
    at = _place_of(envelope)
    return {one.group: group_key(at(one.group), one.salt) for one in envelope.groups}


def seal_groups(
    raw: bytes,
    groups: Collection[int],
    readers: Sequence[PublicKey],
    also: Mapping[int, Sequence[PublicKey]] = MappingProxyType({}),
) -> bytes:
    """Return an envelope with those of its *groups* that it holds in clear sealed to *readers*, and some *also*."""
    envelope = pb.Envelope.FromString(raw)
    at = _place_of(envelope)
    clear = [one for one in envelope.groups if one.group not in groups]
    for one in envelope.groups:
        if one.group not in groups:
            continue
        place = at(one.group)
        key = group_key(place, one.salt)
        salted = one.SerializeToString(deterministic=True)
        sealed = envelope.sealed_groups.add(
            group=one.group, ciphertext=close_group(place, key, salted)
        )
        if int(one.group) == Group.ATTACHMENT:
            sealed.files.extend(sealed_files(one.content))
        each = [*readers, *also.get(one.group, ())]
        sealed.keys.extend(_key_to_proto(made) for made in wrapped_for(place, key, each))
    del envelope.groups[:]
    envelope.groups.extend(clear)
    return envelope.SerializeToString(deterministic=True)


def is_sealed(raw: bytes) -> bool:
    """Whether an envelope holds sealed groups."""
    return bool(pb.Envelope.FromString(raw).sealed_groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An envelope after opening: what could be read stands in clear; *keys* are those of what was sealed."""

    envelope: bytes
    keys: Mapping[int, bytes]


def open_groups(raw: bytes, unwrap: Unwrap) -> Opened:
    """
    Return an envelope with every group opened whose key *unwrap* finds; the others stay as they are.

    Raises `VerificationError`, naming the group, where a key is ours and does not open what was
    signed: it was made for another recipient, ticket, message or group, or something was damaged.
    """
    envelope = pb.Envelope.FromString(raw)
    if not envelope.sealed_groups:
        return Opened(envelope=raw, keys={})
    bound = {one.group: one.digest for one in pb.Header.FromString(envelope.header).groups}
    at = _place_of(envelope)
    handed: dict[int, list[WrappedKey]] = {}
    for one in envelope.handed_keys:
        if one.message_digest == at(0).digest:
            handed.setdefault(one.group, []).append(_key_of(one.key))
    keys: dict[int, bytes] = {}
    left: list[pb.SealedGroup] = []
    for sealed in envelope.sealed_groups:
        wrapped = [*map(_key_of, sealed.keys), *handed.get(sealed.group, ())]
        try:
            ours = unwrap(at(sealed.group), wrapped)
            if not ours:
                left.append(sealed)
                continue
            digest = bound.get(sealed.group, b"")
            key, salted = _first_that_opens(at(sealed.group), ours, sealed.ciphertext, digest)
        except VerificationError as error:
            raise _at_group(sealed.group, error) from error
        keys[sealed.group] = key
        envelope.groups.append(salted)
    del envelope.sealed_groups[:]
    envelope.sealed_groups.extend(left)
    if not left:
        del envelope.handed_keys[:]
    return Opened(envelope=envelope.SerializeToString(deterministic=True), keys=keys)


def _first_that_opens(
    place: Place, keys: Sequence[bytes], ciphertext: bytes, digest: bytes
) -> tuple[bytes, pb.SaltedGroup]:
    """Return the key that opens what was signed, and the group: a bad key beside a good one spoils nothing."""
    failure = VerificationError(_NOT_SIGNED, rule="group.digest")
    for key in keys:
        try:
            salted = pb.SaltedGroup.FromString(open_group(place, key, ciphertext))
            if place.group == salted.group and digest == group_digest(
                salted.group, salted.salt, salted.content
            ):
                return key, salted
        except DecodeError:
            continue
        except VerificationError as error:
            failure = error
    raise failure


def show_only(raw: bytes, shows: Callable[[int], bool]) -> bytes:
    """Return an envelope without the groups, in clear or sealed, of which *shows* says no."""
    envelope = pb.Envelope.FromString(raw)
    changed = False
    for entries in (envelope.groups, envelope.sealed_groups, envelope.handed_keys):
        kept = [one for one in entries if shows(one.group)]
        if len(kept) < len(entries):
            changed = True
            del entries[:]
            entries.extend(kept)  # type: ignore[arg-type]  # each to its own list
    return envelope.SerializeToString() if changed else raw


def hand_on(raw: bytes, of: bytes, keys: Sequence[tuple[int, WrappedKey]]) -> bytes:
    """Return an envelope with *keys* to groups of the message with digest *of*, by group, put to it."""
    entries = [
        pb.HandedKey(message_digest=of, group=group, key=_key_to_proto(key))  # type: ignore[arg-type]
        for group, key in keys
    ]
    return raw + pb.Envelope(handed_keys=entries).SerializeToString()


def handed_with(raw: bytes, offers: Collection[bytes], to: Collection[str]) -> bytes:
    """Return an envelope with the keys to its groups that came with *offers* for the organisations *to*."""
    if not offers:
        return raw
    digest = message_digest(pb.Envelope.FromString(raw).header)
    entries = [
        one
        for offer in offers
        for one in pb.Envelope.FromString(offer).handed_keys
        if one.message_digest == digest and one.key.recipient in to
    ]
    return raw + pb.Envelope(handed_keys=entries).SerializeToString() if entries else raw


def key_to_offer(
    group: int, place: Place, key: bytes, readers: Sequence[PublicKey]
) -> list[tuple[int, WrappedKey]]:
    """Return a group's *key* for each of *readers*, as `hand_on` takes it."""
    return [(group, made) for made in wrapped_for(place, key, readers)]


# -- sealing keys


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatement:
    """What an organisation signed about its sealing key, not yet verified."""

    organisation: str
    suite: str
    public: bytes
    begins: datetime
    ends: datetime
    #: The exact signed bytes, the signature, and the signer's chain (DER, leaf first).
    statement: bytes
    signature: Signature
    chain: tuple[bytes, ...]


def key_statement(
    organisation: str, suite: str, public: bytes, begins: datetime, ends: datetime
) -> bytes:
    """Return the bytes that an organisation signs about its sealing key."""
    return sealing_pb.SealingKeyStatement(
        organisation=organisation,
        suite=suite,
        public_key=public,
        begin_time=time_to_proto(begins),
        end_time=time_to_proto(ends),
    ).SerializeToString(deterministic=True)


def signed_key(statement: bytes, signature: Signature, chain: Sequence[bytes]) -> bytes:
    """Return the file of a sealing key: the signed statement and the signer's certificates."""
    return sealing_pb.SealingKey(
        statement=statement,
        signature=signature_to_proto(signature),
        certificates=pb.CertificateChain(certificates=chain),
    ).SerializeToString(deterministic=True)


def read_key(raw: bytes) -> KeyStatement:
    """Return what the file of a sealing key says; raises `VerificationError` for other bytes."""
    try:
        key = sealing_pb.SealingKey.FromString(raw)
        said = sealing_pb.SealingKeyStatement.FromString(key.statement)
    except DecodeError as error:
        raise VerificationError(_NO_KEY) from error
    if field_violations(key) or field_violations(said):
        raise VerificationError(_NO_KEY)
    return KeyStatement(
        organisation=said.organisation,
        suite=said.suite,
        public=said.public_key,
        begins=time_from_proto(said.begin_time),
        ends=time_from_proto(said.end_time),
        statement=key.statement,
        signature=signature_from_proto(key.signature),
        chain=tuple(key.certificates.certificates),
    )


def _place_of(envelope: pb.Envelope) -> Callable[[int], Place]:
    digest = message_digest(envelope.header)
    ticket_id = pb.Header.FromString(envelope.header).ticket_id
    return lambda group: Place(digest=digest, ticket_id=ticket_id, group=group)


def _key_to_proto(key: WrappedKey) -> pb.SealedKey:
    return pb.SealedKey(recipient=key.recipient, key_id=key.key_id, wrapped=key.wrapped)


def _key_of(key: pb.SealedKey) -> WrappedKey:
    return WrappedKey(recipient=key.recipient, key_id=key.key_id, wrapped=key.wrapped)


def _at_group(group: int, error: VerificationError) -> VerificationError:
    name = group_name(group)
    text = Text(en=f"Group {name}: {error.text.en}", zh=f"字段组 {name}：{error.text.zh}")
    return VerificationError(text, **{"field": f"groups.{name}"} | error.facts)


_NOT_SIGNED = Text(
    en="What was sealed is not what its author signed.", zh="封装的内容与作者所签摘要不符。"
)
_NO_KEY = Text(
    en="These are no signed sealing key's bytes; make one with: exchange sealing make",
    zh="内容不是签名的封装公钥，请用 exchange sealing make 生成。",
)
