"""
Messages in and out.

Rule 1: the header's bytes are kept as they came; they alone are signed, digested and stored.
Rule 2: what is malformed becomes a `Refusal` of that one message, never an exception.
Rule 3: unknown fields and unknown descriptive values pass untouched; only an unknown kind is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from exchange import acts
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Act, Classification, Kind, Marker, Urgency
from exchange.envelope import Signature, group_digest, message_digest
from exchange.errors import InvalidRequest, Refusal, RefusalCode, Violation, refuse
from exchange.submission import Received
from exchange.text import Text
from exchange.ticket import Message
from exchange.wire.content import GROUP_TYPES, encode_group, group_name
from exchange.wire.fields import field_violations

#: Bytes of one serialised envelope at most.
MAX_ENVELOPE = 65_536

_KINDS = {kind.value: kind for kind in Kind}


def read_envelope(raw: bytes) -> Received:
    """Take one envelope apart and check its size, shape, field rules and group digests."""
    if len(raw) > MAX_ENVELOPE:
        text = _TOO_LARGE.fill(size=len(raw), limit=MAX_ENVELOPE)
        refusal = refuse(RefusalCode.TOO_LARGE, "envelope", "max_bytes", text)
        return Received(digest=message_digest(raw), refusal=refusal)
    try:
        envelope = pb.Envelope.FromString(raw)
        header = pb.Header.FromString(envelope.header)
    except DecodeError:
        return Received(digest=message_digest(raw), refusal=Refusal(code=RefusalCode.MALFORMED))
    digest = message_digest(envelope.header)
    found = Received(digest=digest, message_id=header.message_id[:36].replace("\0", ""))
    kind = header.WhichOneof("act")
    if kind is None:
        refusal = refuse(RefusalCode.UNKNOWN_KIND, "header.act")
        return _refused(found, refusal)
    violations = (
        *field_violations(envelope, b"", "envelope."),
        *field_violations(header, envelope.header, "header."),
        *_shape_violations(header, _KINDS[kind]),
    )
    if violations:
        return _refused(found, Refusal(code=RefusalCode.FIELD_INVALID, violations=violations))
    refusal_or_digests = _check_groups(envelope, header)
    if isinstance(refusal_or_digests, Refusal):
        return _refused(found, refusal_or_digests)
    signature = _signature(envelope.signature) if envelope.HasField("signature") else None
    try:
        message = _message(header, raw, envelope.header, digest, refusal_or_digests)
    except (ValueError, OverflowError):
        refusal = refuse(RefusalCode.FIELD_INVALID, "header", "timestamp.range", _BAD_TIME)
        return _refused(found, refusal)
    return Received(
        digest=digest,
        message_id=header.message_id,
        message=message,
        signature=signature,
        hops=tuple(hop.by for hop in envelope.hops),
    )


def _refused(found: Received, refusal: Refusal) -> Received:
    return Received(digest=found.digest, message_id=found.message_id, refusal=refusal)


_TOO_LARGE = Text(
    en="The envelope has {size} bytes; the limit is {limit}.",
    zh="信封大小为 {size} 字节，上限为 {limit} 字节。",
)
_BAD_TIME = Text(
    en="A time of the header lies outside the years 1 to 9999.",
    zh="报头中的时间超出公元 1 至 9999 年。",
)
_REQUIRED = Text(en="{field} is required for {kind}.", zh="{kind} 必须填写 {field}。")
_FORBIDDEN = Text(en="{field} must be empty for {kind}.", zh="{kind} 的 {field} 必须为空。")
_LENGTH = Text(en="{field} must have 32 bytes.", zh="{field} 必须为 32 字节。")


def _shape_violations(header: pb.Header, kind: Kind) -> Iterable[Violation]:
    """Yield what the kind asks of ``handoff_id``, ``recipient`` and ``previous``."""
    on_ticket = kind in acts.TICKET_KINDS
    follows = kind in acts.MOVING_KINDS and kind is not Kind.OFFER
    for name, wanted in (
        ("handoff_id", not on_ticket),
        ("recipient", not on_ticket),
        ("previous", follows),
    ):
        given = bool(getattr(header, name))
        if given == wanted:
            continue
        text = (_REQUIRED if wanted else _FORBIDDEN).fill(field=name, kind=kind.value)
        yield Violation(field=f"header.{name}", rule="header.shape", text=text)
    if follows and len(header.previous) not in (0, 32):
        yield Violation(
            field="header.previous", rule="bytes.len", text=_LENGTH.fill(field="previous")
        )


_UNBOUND = Text(
    en="Group {group} is not bound by the header.", zh="字段组 {group} 未在报头中登记摘要。"
)
_TWICE = Text(en="Group {group} occurs twice.", zh="字段组 {group} 重复出现。")
_BROKEN_GROUP = Text(
    en="Group {group} is not a message of its type.", zh="字段组 {group} 的内容不是该类型的消息。"
)


def _check_groups(envelope: pb.Envelope, header: pb.Header) -> Refusal | dict[int, bytes]:
    """Return the header's digests by group, or the refusal of the first thing wrong."""
    digests: dict[int, bytes] = {}
    for bound in header.groups:
        if bound.group in digests:
            return _group_refusal(RefusalCode.FIELD_INVALID, bound.group, _TWICE)
        digests[bound.group] = bound.digest
    seen: set[int] = set()
    violations: list[Violation] = []
    for salted in envelope.groups:
        number, content = salted.group, salted.content
        if number in seen:
            return _group_refusal(RefusalCode.FIELD_INVALID, number, _TWICE)
        seen.add(number)
        if digests.get(number) != group_digest(number, salted.salt, content):
            code = RefusalCode.GROUP_DIGEST_MISMATCH
            return _group_refusal(code, number, code.text if number in digests else _UNBOUND)
        group_type = GROUP_TYPES.get(number)
        if group_type is None:
            continue
        try:
            group = group_type.FromString(content)
        except DecodeError:
            return _group_refusal(RefusalCode.MALFORMED, number, _BROKEN_GROUP)
        violations += field_violations(group, content, f"{group_name(number)}.")
    if violations:
        return Refusal(code=RefusalCode.FIELD_INVALID, violations=tuple(violations))
    return digests


def _group_refusal(code: RefusalCode, group: int, text: Text) -> Refusal:
    name = group_name(group)
    return refuse(code, f"groups.{name}", code.name.lower(), text.fill(group=name))


def _signature(signature: pb.Signature) -> Signature:
    return Signature(
        suite=signature.suite,
        key_id=signature.key_id,
        value=signature.value,
        batch_size=signature.batch_size,
        batch_index=signature.batch_index,
        path=tuple(signature.path),
    )


signature_from_proto = _signature


def signature_to_proto(signature: Signature) -> pb.Signature:
    """Return the contract's form of *signature*."""
    return pb.Signature(
        suite=signature.suite,
        key_id=signature.key_id,
        value=signature.value,
        batch_size=signature.batch_size,
        batch_index=signature.batch_index,
        path=signature.path,
    )


def time_from_proto(stamp: Timestamp) -> datetime:
    """Return *stamp* as an aware UTC time, cut to whole microseconds."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def time_to_proto(time: datetime) -> Timestamp:
    """Return the contract's form of an aware *time*."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _optional_time(act: Any, name: str) -> datetime | None:
    return time_from_proto(getattr(act, name)) if act.HasField(name) else None


def _open_ticket(act: Any) -> Act:
    return acts.OpenTicket(
        kind=acts.TicketKind(act.kind),
        region=act.region,
        matter=act.matter,
        catalogue_edition=act.catalogue_edition,
        first_receiver=act.first_receiver,
        cites_ticket_id=act.cites_ticket_id,
        level=act.level,
    )


def _offer(act: Any) -> Act:
    return acts.Offer(
        form=act.form,
        matter=act.matter,
        catalogue_edition=act.catalogue_edition,
        profile=act.profile,
        profile_edition=act.profile_edition,
        onward_of=act.onward_of,
        cites_handoff_id=act.cites_handoff_id,
        danger=act.danger,
        case_opened=act.case_opened,
        level=act.level,
        take_due=_optional_time(act, "take_due_time"),
        result_due=_optional_time(act, "result_due_time"),
        prior_disposal_message_id=act.prior_disposal_message_id,
    )


#: How each act becomes a type; kinds not named here say everything by their kind alone.
_ACTS: dict[Kind, Callable[[Any], Act]] = {
    Kind.OPEN_TICKET: _open_ticket,
    Kind.OFFER: _offer,
    Kind.RETURN: lambda act: acts.Return(ground=act.ground, suggested_owner=act.suggested_owner),
    Kind.RULE: lambda act: acts.Rule(
        outcome=acts.RulingOutcome(act.outcome), position_digest=act.position_digest
    ),
    Kind.RELEASE: lambda act: acts.Release(take_over_digest=act.take_over_digest),
    Kind.PROGRESS: lambda act: acts.Progress(phase=act.phase, states_disposal=act.states_disposal),
    Kind.POSITION: lambda act: acts.Position(agrees_to=acts.RulingOutcome(act.agrees_to)),
    Kind.CLEAR_DANGER: lambda act: acts.ClearDanger(mark_digest=act.mark_digest),
    Kind.GRANT_EXTENSION: lambda act: acts.GrantExtension(
        request_digest=act.request_digest,
        granted=act.granted,
        new_due=_optional_time(act, "new_due_time"),
    ),
    Kind.EVALUATE: lambda act: acts.Evaluate(assessed_by=act.assessed_by),
    Kind.EMERGENCY: lambda act: acts.Emergency(level=act.level),
}


def _message(
    header: pb.Header, raw: bytes, header_bytes: bytes, digest: bytes, groups: dict[int, bytes]
) -> Message:
    kind = _KINDS[header.WhichOneof("act") or ""]
    convert = _ACTS.get(kind)
    return Message(
        id=header.message_id,
        kind=kind,
        ticket_id=header.ticket_id,
        handoff_id=header.handoff_id,
        author=header.author,
        recipient=header.recipient,
        previous=header.previous,
        created=time_from_proto(header.create_time),
        marker=Marker(header.marker),
        classification=Classification(header.classification),
        urgency=Urgency(header.urgency),
        act=convert(getattr(header, kind.value)) if convert else acts.PLAIN,
        groups=groups,
        digest=digest,
        header=header_bytes,
        envelope=raw,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message about to be signed: its header's bytes and the salted groups beside it."""

    header: bytes
    groups: tuple[tuple[int, bytes, bytes], ...] = ()


_UNFIT_HEADER = Text(en="The message cannot be encoded: {why}.", zh="消息无法编码：{why}。")


def draft_message(
    header: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Any]],
    *,
    salt: Callable[[int], bytes] = os.urandom,
) -> Draft:
    """
    Encode a message from plain Python in the contract's JSON shapes and proto names.

    *header* holds the fields of ``Header`` without ``groups``, the act under its kind's word; *groups*
    the fields of each group under the group's word.  Raises `InvalidRequest` naming what is wrong.
    """
    try:
        message = ParseDict(dict(header), pb.Header())
    except ParseError as error:
        raise InvalidRequest(_UNFIT_HEADER.fill(why=error)) from error
    salted = []
    for name, values in groups.items():
        number, content = encode_group(name, values)
        grain = salt(16)
        salted.append((int(number), grain, content))
        message.groups.add(group=int(number), digest=group_digest(number, grain, content))
    return Draft(header=message.SerializeToString(deterministic=True), groups=tuple(salted))


def seal_envelope(draft: Draft, signature: Signature | None) -> bytes:
    """Return the serialised envelope of a signed draft."""
    envelope = pb.Envelope(header=draft.header)
    for number, grain, content in draft.groups:
        envelope.groups.add(group=number, salt=grain, content=content)
    if signature is not None:
        envelope.signature.CopyFrom(signature_to_proto(signature))
    return envelope.SerializeToString(deterministic=True)


def header_fields(header: bytes) -> dict[str, Any]:
    """Return a header as plain Python, in the contract's JSON shapes and proto names."""
    return MessageToDict(pb.Header.FromString(header), preserving_proto_field_name=True)


def envelope_groups(raw: bytes) -> list[tuple[int, bytes]]:
    """Return the (number, content) of each group that travels in an envelope."""
    return [(group.group, group.content) for group in pb.Envelope.FromString(raw).groups]
