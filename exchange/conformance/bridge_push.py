"""Cases of a bridge: what it answers to a push."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from exchange._proto.v1 import message_pb2
from exchange.acts import Group, Kind
from exchange.client.messages import OutgoingMessage, random_salts
from exchange.conformance.cases import require, unmet
from exchange.conformance.matter import new_matter, renamed
from exchange.conformance.party import CallFailed, Party, describe
from exchange.conformance.stage import BridgeStage
from exchange.envelope import MESSAGE_TYPE, group_digest, sign
from exchange.errors import RefusalCode
from exchange.ticket import own_duty_id
from exchange.wire.headers import (
    MAX_ENVELOPE,
    Draft,
    seal_envelope,
    time_from_proto,
    with_hop,
)


def stored(stage: BridgeStage) -> None:
    """A stored receipt proves the message."""
    (sealed,) = stage.hotline.seal(new_matter().opening)
    (outcome,) = stage.hotline.push([sealed])
    receipt = stage.hotline.stored(outcome, sealed.digest)
    require(
        receipt.message_id == sealed.message_id,
        f"The receipt names the message {receipt.message_id}, pushed was {sealed.message_id}.",
        f"回执所指消息为 {receipt.message_id}，推送的是 {sealed.message_id}。",
    )


def repeat(stage: BridgeStage) -> None:
    """A repeat gets the same bytes."""
    (sealed,) = stage.hotline.seal(new_matter().opening)
    first, again = (stage.hotline.push([sealed])[0] for _ in range(2))
    stage.hotline.stored(first, sealed.digest)
    require(
        first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True),
        f"The first push was answered with '{describe(first)}', the repeat with other bytes "
        f"('{describe(again)}').",
        f"首次推送得到“{describe(first)}”，重复推送的答复字节不同（“{describe(again)}”）。",
    )


def repeat_in_one_call(stage: BridgeStage) -> None:
    """A message twice in one call is one message."""
    crossed = new_matter()
    sealed = stage.hotline.seal(crossed.opening, crossed.offer)
    outcomes = stage.hotline.push([*sealed, *sealed])
    receipts = [
        stage.hotline.stored(outcome, message.digest).leaf_index
        for outcome, message in zip(outcomes, [*sealed, *sealed], strict=True)
    ]
    require(
        receipts[:2] == receipts[2:],
        f"The same two messages got the leaves {receipts[:2]} and {receipts[2:]}.",
        f"同样两条消息得到日志条目 {receipts[:2]} 与 {receipts[2:]}。",
    )
    got = stage.get(stage.police, [one.message_id for one in sealed])
    stage.write(stage.police, got)
    require(
        len(got) == len(sealed),
        f"Two messages, pushed twice, were delivered {len(got)} times.",
        f"两条消息重复推送后被投递 {len(got)} 次。",
    )


def other_content(stage: BridgeStage) -> None:
    """The id of a stored message takes no other content."""
    matter = new_matter()
    (sealed,) = stage.hotline.seal(matter.opening)
    stage.push_all(stage.hotline, [sealed])
    other = renamed(new_matter().opening, message_id=sealed.message_id)
    (outcome,) = stage.hotline.push(stage.hotline.seal(other))
    stage.hotline.refused(outcome, RefusalCode.DIFFERENT_CONTENT)
    stage.push_all(stage.hotline, [sealed])


def predecessor_unknown(stage: BridgeStage) -> None:
    """What comes before its predecessor is to be tried again, and then stored."""
    crossed = stage.cross()
    hotline, police = stage.hotline, stage.police
    (take,) = police.seal(crossed.matter.take(hotline.organisation, crossed.head))
    (result,) = police.seal(crossed.matter.result(hotline.organisation, take.digest))
    (early,) = police.push([result])
    require(
        early.WhichOneof("outcome") == "retry" and early.retry.reason == "PREDECESSOR_UNKNOWN",
        f"A result whose predecessor has not arrived got '{describe(early)}', not retry "
        "PREDECESSOR_UNKNOWN.",
        f"前序消息未到的反馈得到“{describe(early)}”，而非重试（PREDECESSOR_UNKNOWN）。",
    )
    stage.push_all(police, [take])
    stage.push_all(police, [result])


def ticket_unknown(stage: BridgeStage) -> None:
    """An offer before its ticket is to be tried again."""
    matter = new_matter()
    opening, offer = stage.hotline.seal(matter.opening, matter.offer)
    (early,) = stage.hotline.push([offer])
    require(
        early.WhichOneof("outcome") == "retry",
        f"An offer whose ticket has not arrived got '{describe(early)}', not retry.",
        f"所属单未到的移交得到“{describe(early)}”，而非重试。",
    )
    stage.push_all(stage.hotline, [opening, offer])


def neighbours(stage: BridgeStage) -> None:
    """One bad message fails no neighbour, and outcomes stand in request order."""
    first, last = new_matter(), new_matter()
    good = stage.hotline.seal(first.opening, last.opening)
    (unsound,) = stage.hotline.seal(new_matter().opening)
    broken = unsound.envelope[:-1]
    outcomes = stage.hotline.push([good[0], broken, good[1]])
    stage.hotline.stored(outcomes[0], good[0].digest)
    stage.hotline.refused(outcomes[1], RefusalCode.MALFORMED)
    stage.hotline.stored(outcomes[2], good[1].digest)


def batch(stage: BridgeStage) -> None:
    """A batch of five under one signature."""
    sealed = stage.hotline.seal(*(new_matter().opening for _ in range(5)))
    outcomes = stage.hotline.push(list(reversed(sealed)))
    for outcome, message in zip(outcomes, reversed(sealed), strict=True):
        stage.hotline.stored(outcome, message.digest)


def refused_again(stage: BridgeStage) -> None:
    """A refused id may be pushed again and is judged afresh."""
    matter = new_matter()
    (opening,) = stage.hotline.seal(matter.opening)
    stage.push_all(stage.hotline, [opening])
    bare = renamed(matter.offer, groups={})
    (no,) = stage.hotline.push(stage.hotline.seal(bare))
    stage.hotline.refused(no, RefusalCode.REASON_REQUIRED)
    (mended,) = stage.hotline.seal(matter.offer)
    stage.push_all(stage.hotline, [mended])


# -- size


def padded(envelope: bytes, size: int) -> bytes:
    """Return *envelope* with an unknown field behind it, *size* bytes in all."""
    fill = size - len(envelope) - 5
    length = bytes([fill & 127 | 128, fill >> 7 & 127 | 128, fill >> 14])
    return envelope + b"\xc2\x3e" + length + b"\x20" * fill


def largest(stage: BridgeStage) -> None:
    """65,536 bytes are taken, one more is refused, and its neighbour stored."""
    sealed = stage.hotline.seal(*(new_matter().opening for _ in range(3)))
    fits, over = (
        padded(s.envelope, MAX_ENVELOPE + more) for s, more in ((sealed[0], 0), (sealed[1], 1))
    )
    outcomes = stage.hotline.push([fits, over, sealed[2]])
    stage.hotline.stored(outcomes[0], sealed[0].digest)
    stage.hotline.refused(outcomes[1], RefusalCode.TOO_LARGE)
    stage.hotline.stored(outcomes[2], sealed[2].digest)


def too_many(stage: BridgeStage) -> None:
    """513 envelopes in one call fail as a whole, and none is stored."""
    (sealed,) = stage.hotline.seal(new_matter().opening)
    try:
        stage.hotline.push([sealed] * 513)
    except CallFailed as failed:
        require(
            failed.code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"},
            f"513 envelopes in one call were answered {failed.code}, not INVALID_ARGUMENT.",
            f"单次调用 513 个信封得到 {failed.code}，而非 INVALID_ARGUMENT。",
        )
    else:
        raise unmet(
            "513 envelopes in one call were taken; 512 are allowed.",
            "单次调用接受了 513 个信封，上限为 512。",
        )
    stage.push_all(stage.hotline, [sealed])


# -- what is not known


def unknown_fields(stage: BridgeStage) -> None:
    """Unknown fields, groups and descriptive values arrive byte for byte."""
    matter = new_matter()
    (opening,) = stage.hotline.seal(matter.opening)
    envelope = with_the_unknown(stage.hotline, matter.offer)
    stage.push_all(stage.hotline, [opening])
    (outcome,) = stage.hotline.push([envelope])
    require(
        outcome.WhichOneof("outcome") == "stored",
        f"An offer with unknown fields, an unknown group and an unknown channel got "
        f"'{describe(outcome)}'.",
        f"含未知字段、未知字段组与未知渠道值的移交得到“{describe(outcome)}”。",
    )
    got = stage.get(stage.police, [opening.message_id, matter.offer.message_id])
    arrived = next(d for d in got if d.message_id == matter.offer.message_id).delivery.envelope
    stage.write(stage.police, got)
    before, after = (message_pb2.Envelope.FromString(one) for one in (envelope, arrived))
    require(
        before.header == after.header
        and [g.content for g in before.groups] == [g.content for g in after.groups],
        "The header or a group arrived with other bytes than were pushed.",
        "报头或字段组到达时的字节与推送时不同。",
    )


#: A field number that no version of the contract has used: tag and the text ``later``.
UNKNOWN_FIELD = b"\xc2\x3e\x05later"
#: ``IntakeGroup.channel`` with a value that is not defined yet.
UNKNOWN_CHANNEL = b"\x08\xe7\x07"


def with_the_unknown(party: Party, message: OutgoingMessage) -> bytes:
    """Return *message* with what a later version of the contract may add, signed by *party*."""
    draft = party.sealer.draft(message)
    header = message_pb2.Header.FromString(draft.header)
    salt = random_salts(header.message_id)(16)
    groups = list(draft.groups)
    for number, content in ((int(Group.INTAKE), UNKNOWN_CHANNEL + UNKNOWN_FIELD), (99, b"later")):
        groups.append((number, salt, content))
        header.groups.add(group=number, digest=group_digest(number, salt, content))
    raw = header.SerializeToString(deterministic=True) + UNKNOWN_FIELD
    (signature,) = sign(MESSAGE_TYPE, [raw], party.signer)
    return seal_envelope(Draft(header=raw, groups=tuple(groups)), signature) + UNKNOWN_FIELD


def unknown_kind(stage: BridgeStage) -> None:
    """A kind that is not known is refused as such, not as malformed."""
    draft = stage.hotline.sealer.draft(new_matter().opening)
    header = message_pb2.Header.FromString(draft.header)
    header.ClearField("open_ticket")
    raw = header.SerializeToString(deterministic=True) + b"\x9a\x06\x00"
    (signature,) = sign(MESSAGE_TYPE, [raw], stage.hotline.signer)
    (outcome,) = stage.hotline.push(
        [seal_envelope(Draft(header=raw, groups=draft.groups), signature)]
    )
    stage.hotline.refused(outcome, RefusalCode.UNKNOWN_KIND)


def clock_skew(stage: BridgeStage) -> None:
    """The author's clock may be a day off; the time of acceptance is the bridge's."""
    now = datetime.now(UTC)
    for skew in (timedelta(days=-1), timedelta(days=1)):
        (sealed,) = stage.hotline.seal(new_matter(created=now + skew).opening)
        (outcome,) = stage.hotline.push([sealed])
        accepted = time_from_proto(stage.hotline.stored(outcome, sealed.digest).accept_time)
        require(
            abs(accepted - now) < timedelta(hours=1),
            f"A message dated {skew} off was accepted 'at {accepted}', by nobody's clock.",
            f"时间偏差 {skew} 的消息，其接受时间为 {accepted}，不是网桥时钟。",
        )


def withheld(stage: BridgeStage) -> None:
    """A group that is withheld breaks nothing; one that was changed does."""
    matter = new_matter()
    opening, offer = stage.hotline.seal(matter.opening, matter.offer)
    # A note needs no group that it binds, so it can be withheld.
    note = renamed(
        matter.progress(stage.police.organisation),
        groups={"disposal": {"content": "已核查。"}, "person": {"name": "来电人丙"}},
    )
    (sealed,) = stage.hotline.seal(note)
    envelope = message_pb2.Envelope.FromString(sealed.envelope)
    kept = [g for g in envelope.groups if g.group != int(Group.PERSON)]
    del envelope.groups[:]
    envelope.groups.extend(kept)
    stage.push_all(stage.hotline, [opening, offer])
    (outcome,) = stage.hotline.push([envelope.SerializeToString()])
    stage.hotline.stored(outcome, sealed.digest)
    (other,) = stage.hotline.seal(matter.progress(stage.police.organisation))
    changed = message_pb2.Envelope.FromString(other.envelope)
    changed.groups[0].content = changed.groups[0].content.replace("核".encode(), "检".encode())
    (outcome,) = stage.hotline.push([changed.SerializeToString()])
    stage.hotline.refused(outcome, RefusalCode.GROUP_DIGEST_MISMATCH)


def relay_loop(stage: BridgeStage) -> None:
    """A message whose hops name the bridge itself has gone round, unless it has no recipient."""
    matter = new_matter()
    opening, offer = stage.hotline.seal(matter.opening, matter.offer)
    (outcome,) = stage.hotline.push([opening])
    receipt = stage.hotline.stored(outcome, opening.digest)
    origin, now = receipt.checkpoint.partition("\n")[0], datetime.now(UTC)
    again, round_trip = stage.hotline.push(
        [with_hop(one.envelope, origin, now) for one in (opening, offer)]
    )
    stage.hotline.stored(again, opening.digest)
    stage.hotline.refused(round_trip, RefusalCode.RELAY_LOOP)


def restart(stage: BridgeStage) -> None:
    """What was stored is there after a power cut, with the same receipts."""
    crossed = stage.cross()
    before = stage.hotline.push(list(crossed.sealed))
    stage.restart()
    after = stage.hotline.push(list(crossed.sealed))
    require(
        [b.SerializeToString(deterministic=True) for b in before]
        == [a.SerializeToString(deterministic=True) for a in after],
        f"After the restart the same messages got '{', '.join(map(describe, after))}' or other "
        "receipts: what had been called stored was not.",
        f"重启后同样的消息得到“{'、'.join(map(describe, after))}”或不同回执：此前“已存储”并不属实。",
    )
    stage.write(stage.police, stage.get(stage.police, crossed.ids))


def take_over(stage: BridgeStage) -> None:
    """A silent peer never blocks: its sender takes over, does the matter itself and closes it (R20)."""
    crossed, hotline = stage.cross(), stage.hotline
    matter, own = crossed.matter, hotline.organisation
    note = matter.say(
        Kind.TAKE_OVER, stage.police.organisation, groups={"grounds": {"text": "对方未响应。"}}
    )
    (taken,) = hotline.seal(note)
    duty = own_duty_id(matter.handoff, taken.digest)
    (result,) = hotline.seal(renamed(matter.result(own, taken.digest), handoff_id=duty))
    (done,) = hotline.seal(renamed(matter.close(own, result.digest), handoff_id=duty))
    ending = renamed(matter.say(Kind.CLOSE_TICKET, ""), handoff_id="")
    for message in (taken, result, done, *hotline.seal(ending)):
        stage.push_all(hotline, [message])
