"""Cases of an adapter that receives: what does not hold, and what is not known to it yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from exchange._proto.v1 import message_pb2
from exchange.acts import Group
from exchange.client.files import read_certificates
from exchange.conformance.bridge_push import padded, with_the_unknown
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import (
    DeskStage,
    declined,
    ids_of,
)
from exchange.conformance.edge import Call, Hook
from exchange.conformance.ground import DESKS
from exchange.conformance.matter import new_matter, renamed
from exchange.conformance.party import id_of
from exchange.envelope import MESSAGE_TYPE, SigningKey, sign
from exchange.wire.headers import MAX_ENVELOPE, signature_to_proto


def _altered(bad: str, change: Callable[[message_pb2.Envelope], None]) -> Hook:
    def hook(call: Call) -> None:
        if call.method != "PullMessages" or call.answer is None:
            return
        for delivery in call.answer.deliveries:
            if delivery.WhichOneof("content") == "envelope" and id_of(delivery.envelope) == bad:
                envelope = message_pb2.Envelope.FromString(delivery.envelope)
                change(envelope)
                delivery.envelope = envelope.SerializeToString(deterministic=True)

    return hook


def _not_believed(
    stage: DeskStage, change: Callable[[message_pb2.Envelope], None], what: str, what_zh: str
) -> None:
    """Deliver one changed message beside a good one: only the good one may be written."""
    matter, good = new_matter("hotline"), new_matter("hotline")
    sealed = stage.peer.seal(matter.opening, matter.offer)
    neighbour = stage.peer.seal(good.opening, good.offer)
    bad = sealed[0].message_id
    stage.edge.answering.append(_altered(bad, change))
    stage.push([*sealed, *neighbour])
    stage.wait(lambda: stage.deliveries(bad) > 0, "The adapter pulled no more", "适配器不再拉取")
    stage.receipts(ids_of(neighbour))
    require(
        not stage.written(bad),
        f"A message {what} was acknowledged as written.",
        f"{what_zh}的消息被确认为“已写入”。",
    )
    require(
        not stage.written(sealed[1].message_id),
        f"The lane went on past a message {what}: what follows it was written before it.",
        f"通道越过{what_zh}的消息继续：其后消息先行写入。",
    )
    if stage.adapter.records:
        there = {record["message_id"] for record in stage.process.records()}
        require(
            bad not in there,
            f"A message {what} stands in the records.",
            f"{what_zh}的消息出现在记录中。",
        )


def changed_content(stage: DeskStage) -> None:
    """A group that was changed on the way is not written, and stops only its lane."""

    def change(envelope: message_pb2.Envelope) -> None:
        for group in envelope.groups:
            if group.group == int(Group.CONTENT):
                group.content = group.content.replace("示例".encode(), "例示".encode())

    _not_believed(stage, change, "whose content was changed on the way", "途中被改动")


def bad_signature(stage: DeskStage) -> None:
    """A message whose signature does not hold is not written, and stops only its lane."""

    def change(envelope: message_pb2.Envelope) -> None:
        value = envelope.signature.value
        envelope.signature.value = value[:-1] + bytes([value[-1] ^ 1])

    _not_believed(stage, change, "whose signature does not hold", "签名不成立")


def other_signer(stage: DeskStage) -> None:
    """A message that another organisation signed in its author's name is not written."""
    own = _own_signer(stage)

    def change(envelope: message_pb2.Envelope) -> None:
        envelope.signature.CopyFrom(own(envelope.header))

    _not_believed(stage, change, "that somebody else signed", "由他人签名")


def _own_signer(stage: DeskStage) -> Callable[[bytes], message_pb2.Signature]:
    """Sign as an organisation that the adapter trusts, and that is not the author."""
    home = stage.certificates / "desks" / DESKS["county"].organisation
    key = SigningKey.load(home / "signer.key", home / "signer.pem")
    chain = message_pb2.CertificateChain(certificates=read_certificates(home / "signer.pem"))

    def with_chain(call: Call) -> None:
        if call.method == "PullMessages" and call.answer is not None:
            call.answer.certificates.append(chain)

    stage.edge.answering.append(with_chain)

    def signed(header: bytes) -> message_pb2.Signature:
        (signature,) = sign(MESSAGE_TYPE, [header], key)
        return signature_to_proto(signature)

    return signed


def declines(stage: DeskStage) -> None:
    """What can never be written is refused with a signature, not left to come again for ever."""

    def change(envelope: message_pb2.Envelope) -> None:
        value = envelope.signature.value
        envelope.signature.value = value[:-1] + bytes([value[-1] ^ 1])

    _, sealed = stage.offer()
    stage.receipts(ids_of(sealed))
    matter = new_matter("hotline")
    again = stage.peer.seal(matter.opening, matter.offer)
    bad = again[0].message_id
    stage.edge.answering.append(_altered(bad, change))
    stage.push(again)
    stage.wait(
        lambda: any(bad in declined(call) for call in stage.calls("AcknowledgeMessages")),
        "A message whose signature does not hold was never refused",
        "签名不成立的消息始终未被拒收",
    )


def unknown_fields(stage: DeskStage) -> None:
    """What a later version of the contract may add hinders nothing."""
    matter = new_matter("hotline")
    (opening,) = stage.peer.seal(matter.opening)
    stage.push([opening])
    envelope = with_the_unknown(stage.peer, matter.offer)
    (outcome,) = stage.peer.push([envelope])
    require(
        outcome.WhichOneof("outcome") == "stored", "The kit's own bridge refused.", "自带网桥拒绝。"
    )
    ids = [opening.message_id, matter.offer.message_id]
    for receipt in stage.receipts(ids):
        require(
            receipt.delivery.receipt.WhichOneof("receipt") == "written",
            "A message with unknown fields, an unknown group and an unknown value was refused.",
            "含未知字段、未知字段组与未知枚举值的消息被拒收。",
        )


def withheld(stage: DeskStage) -> None:
    """A message of which a group is withheld is written."""
    matter, sealed = stage.offer()
    note = renamed(
        matter.progress(stage.organisation),
        groups={"disposal": {"content": "已核查。"}, "person": {"name": "来电人丙"}},
    )
    (whole,) = stage.peer.seal(note)
    envelope = message_pb2.Envelope.FromString(whole.envelope)
    kept = [group for group in envelope.groups if group.group != int(Group.PERSON)]
    del envelope.groups[:]
    envelope.groups.extend(kept)
    (outcome,) = stage.peer.push([envelope.SerializeToString()])
    require(
        outcome.WhichOneof("outcome") == "stored", "The kit's own bridge refused.", "自带网桥拒绝。"
    )
    for receipt in stage.receipts([*ids_of(sealed), whole.message_id]):
        require(
            receipt.delivery.receipt.WhichOneof("receipt") == "written",
            "A message of which a group is withheld was refused.",
            "隐去字段组的消息被拒收。",
        )


def clock_skew(stage: DeskStage) -> None:
    """An author's clock may be a day off."""
    for skew in (timedelta(days=-1), timedelta(days=1)):
        matter = new_matter("hotline", created=datetime.now(UTC) + skew)
        sealed = stage.peer.seal(matter.opening, matter.offer)
        stage.push(sealed)
        for receipt in stage.receipts(ids_of(sealed)):
            require(
                receipt.delivery.receipt.WhichOneof("receipt") == "written",
                f"A message dated {skew} off was refused.",
                f"时间偏差 {skew} 的消息被拒收。",
            )


def largest(stage: DeskStage) -> None:
    """The largest envelope, and a hundred at once, are written."""
    matter = new_matter("hotline")
    sealed = stage.peer.seal(matter.opening, matter.offer)
    (big,) = stage.peer.push([padded(sealed[0].envelope, MAX_ENVELOPE)])
    stage.peer.stored(big, sealed[0].digest)
    stage.push(sealed[1:])
    many = [new_matter("hotline") for _ in range(50)]
    crowd = stage.peer.seal(*(one for m in many for one in (m.opening, m.offer)))
    stage.push(crowd)
    stage.receipts([*ids_of(sealed), *ids_of(crowd)])
