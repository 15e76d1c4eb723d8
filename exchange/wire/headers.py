"""
Messages in and out.

Rule 1: the header's bytes are kept as they came; they alone are signed, digested and stored.
Rule 2: what is malformed becomes a `Refusal` of that one message, never an exception.
Rule 3: unknown fields and unknown descriptive values pass untouched; only an unknown kind is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from exchange import acts
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Act, Classification, Kind, Marker, Urgency
from exchange.envelope import Signature, group_digest, message_digest
from exchange.errors import InvalidRequest, Refusal, RefusalCode, refuse
from exchange.making import maker
from exchange.submission import Received
from exchange.text import Text
from exchange.ticket import Message
from exchange.wire.addressing import SHAPES, shape_violations
from exchange.wire.attachments import files_in
from exchange.wire.checks import quick_check
from exchange.wire.content import encode_group, require_base64
from exchange.wire.fields import MAX_VIOLATIONS, field_violations
from exchange.wire.groups import entry_violations, read_groups
from exchange.wire.scopes import scope_of

#: Bytes of one serialised envelope at most.
MAX_ENVELOPE = 65_536
#: Bytes of its hops at most, which do not count: 16, each of a name of 128 characters and a time.
MAX_HOPS = 16 * 576
#: Bytes of the keys that it is handed on with at most, which do not count either.
MAX_HANDED = 32_768

_KINDS = {kind.value: kind for kind in Kind}
_new_message = maker(Message)
_new_received = maker(Received)
_new_signature = maker(Signature)


def read_envelope(raw: bytes) -> Received:
    """
    Take one envelope apart and check its size, shape, field rules and group digests.

    Of several faults the first code in order of precedence is given, with every field at fault.
    """
    if len(raw) > MAX_ENVELOPE and len(raw) - _appended(raw) > MAX_ENVELOPE:
        text = _TOO_LARGE.fill(size=len(raw), limit=MAX_ENVELOPE)
        refusal = refuse(RefusalCode.TOO_LARGE, "envelope", "max_bytes", text)
        return Received(digest=message_digest(raw), refusal=refusal)
    try:
        envelope = pb.Envelope.FromString(raw)
        header = pb.Header.FromString(envelope.header)
    except DecodeError:
        return Received(digest=message_digest(raw), refusal=Refusal(code=RefusalCode.MALFORMED))
    digest = message_digest(envelope.header)
    message_id = header.message_id
    groups = read_groups(envelope, header)
    if isinstance(groups, Refusal):
        return _refused(digest, message_id, groups)
    word = header.WhichOneof("act")
    if word is None:
        return _refused(digest, message_id, refuse(RefusalCode.UNKNOWN_KIND, "header.act"))
    kind = _KINDS[word]
    shape = bool(header.handoff_id), bool(header.recipient), len(header.previous)
    if not (
        groups.sound
        and not groups.violations
        and shape == SHAPES[kind]
        and _sound_envelope(envelope)
        and _sound_header(header)
    ):
        violations = (
            *field_violations(envelope, "envelope."),
            *field_violations(header, "header."),
            *shape_violations(header, kind),
            *entry_violations(envelope, header),
            *groups.violations,
        )
        if violations:
            some = violations[:MAX_VIOLATIONS]
            refusal = Refusal(code=RefusalCode.FIELD_INVALID, violations=some)
            return _refused(digest, message_id, refusal)
    if envelope.handed_keys and kind not in _HANDED:
        refusal = refuse(RefusalCode.FIELD_INVALID, "envelope.handed_keys", "handed", _NOT_HANDED)
        return _refused(digest, message_id, refusal)
    if groups.unfit:
        refusal = Refusal(code=RefusalCode.GROUP_DIGEST_MISMATCH, violations=tuple(groups.unfit))
        return _refused(digest, message_id, refusal)
    return _new_received(
        digest=digest,
        message_id=message_id,
        message=_message(
            header, kind, word, raw=raw, header_bytes=envelope.header, digest=digest,
            groups=groups.digests, files=files_in(envelope, groups.digests),
        ),
        signature=_signature(envelope.signature) if envelope.HasField("signature") else None,
        hops=tuple([hop.by for hop in hops]) if (hops := envelope.hops) else (),
    )  # fmt: skip


def _appended(raw: bytes) -> int:
    """Return the bytes of *raw* that bridges and relays appended; 0 for what is too large whatever they are."""
    if len(raw) > MAX_ENVELOPE + MAX_HOPS + MAX_HANDED:
        return 0
    try:
        envelope = pb.Envelope.FromString(raw)
    except DecodeError:
        return 0
    hops = pb.Envelope(hops=envelope.hops).ByteSize()
    handed = pb.Envelope(handed_keys=envelope.handed_keys).ByteSize()
    return min(hops, MAX_HOPS) + min(handed, MAX_HANDED)


def with_hop(raw: bytes, by: str, time: datetime) -> bytes:
    """Return an envelope as it goes on from the bridge *by*: its bytes, and the hop behind them."""
    hop = pb.Hop(by=by, time=time_to_proto(time))
    return raw + pb.Envelope(hops=[hop]).SerializeToString()


def _refused(digest: bytes, message_id: str, refusal: Refusal) -> Received:
    # Nothing proves that this is an id; what is recorded of it fits the column and the database.
    return Received(digest=digest, message_id=message_id[:36].replace("\0", ""), refusal=refusal)


_TOO_LARGE = Text(
    en="The envelope has {size} bytes; the limit is {limit}.",
    zh="信封大小为 {size} 字节，上限为 {limit} 字节。",
)
_NOT_HANDED = Text(
    en="Keys are handed on with an offer, or with the opening that it delivers; leave them out here.",
    zh="密钥只随移交（offer）或其投递的开单消息转交，本消息请去掉。",
)
#: What may come with keys to sealed groups of the ticket's opening.
_HANDED = frozenset({Kind.OFFER, Kind.OPEN_TICKET})


# The entries of ``groups`` are checked where they are read.
_sound_envelope = quick_check(pb.Envelope.DESCRIPTOR, entries_apart="groups")
_sound_header = quick_check(pb.Header.DESCRIPTOR, entries_apart="groups")


def _signature(signature: pb.Signature) -> Signature:
    return _new_signature(
        suite=signature.suite,
        key_id=signature.key_id,
        value=signature.value,
        batch_size=signature.batch_size,
        batch_index=signature.batch_index,
        path=tuple(signature.path[:]),
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_from_proto(stamp: Timestamp) -> datetime:
    """
    Return *stamp*, whose field rules were checked, as an aware UTC time in whole microseconds.

    The rest of the nanoseconds is cut off.
    """
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)


def time_to_proto(time: datetime) -> Timestamp:
    """Return the contract's form of an aware *time*."""
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def _optional_time(act: Any, name: str) -> datetime | None:
    return time_from_proto(getattr(act, name)) if act.HasField(name) else None


_TICKET_KINDS = {int(kind): kind for kind in acts.TicketKind}
_new_opening = maker(acts.OpenTicket)
_new_offer = maker(acts.Offer)


def _open_ticket(act: Any) -> Act:
    return _new_opening(
        kind=_TICKET_KINDS[act.kind],
        region=act.region,
        matter=act.matter,
        catalogue_edition=act.catalogue_edition,
        first_receiver=act.first_receiver,
        cites_ticket_id=act.cites_ticket_id,
        level=act.level,
    )


def _offer(act: Any) -> Act:
    return _new_offer(
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
        parallel_duty=act.parallel_duty,
        scope=scope_of(act.scope) if act.HasField("scope") else acts.BOTH_SIDES,
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
    Kind.PROGRESS: lambda act: acts.Progress(phase=act.phase, mark_digests=tuple(act.mark_digests)),
    Kind.POSITION: lambda act: acts.Position(agrees_to=acts.RulingOutcome(act.agrees_to)),
    Kind.CLEAR_DANGER: lambda act: acts.ClearDanger(mark_digest=act.mark_digest),
    Kind.SUPERVISE: lambda act: acts.Supervise(due=_optional_time(act, "due_time")),
    Kind.GRANT_EXTENSION: lambda act: acts.GrantExtension(
        request_digest=act.request_digest,
        granted=act.granted,
        new_due=_optional_time(act, "new_due_time"),
    ),
    Kind.EVALUATE: lambda act: acts.Evaluate(assessed_by=act.assessed_by),
    Kind.EMERGENCY: lambda act: acts.Emergency(level=act.level),
}


_MARKERS = {int(marker): marker for marker in Marker}
_CLASSIFICATIONS = {int(classification): classification for classification in Classification}
_URGENCIES = {int(urgency): urgency for urgency in Urgency}


def _message(
    header: pb.Header,
    kind: Kind,
    word: str,
    *,
    raw: bytes,
    header_bytes: bytes,
    digest: bytes,
    groups: dict[int, bytes],
    files: tuple[Any, ...],
) -> Message:
    convert = _ACTS.get(kind)
    return _new_message(
        id=header.message_id,
        kind=kind,
        ticket_id=header.ticket_id,
        handoff_id=header.handoff_id,
        author=header.author,
        recipient=header.recipient,
        previous=header.previous,
        created=time_from_proto(header.create_time),
        marker=_MARKERS[header.marker],
        classification=_CLASSIFICATIONS[header.classification],
        urgency=_URGENCIES[header.urgency],
        act=convert(getattr(header, word)) if convert else acts.PLAIN,
        groups=groups,
        digest=digest,
        header=header_bytes,
        envelope=raw,
        files=files,
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
    require_base64(header, pb.Header.DESCRIPTOR, "header.")
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


def signed_anew(raw: bytes, signature: Signature) -> bytes:
    """Return an envelope with another signature; what it signs and carries stays."""
    envelope = pb.Envelope.FromString(raw)
    envelope.signature.CopyFrom(signature_to_proto(signature))
    return envelope.SerializeToString(deterministic=True)


def header_fields(header: bytes) -> dict[str, Any]:
    """Return a header as plain Python, in the contract's JSON shapes and proto names."""
    return MessageToDict(pb.Header.FromString(header), preserving_proto_field_name=True)


def envelope_groups(raw: bytes) -> list[tuple[int, bytes]]:
    """Return the (number, content) of each group that travels in an envelope."""
    return [(group.group, group.content) for group in pb.Envelope.FromString(raw).groups]
