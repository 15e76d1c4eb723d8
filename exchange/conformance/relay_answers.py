"""Cases of a relay: receipts and refusals come home, each as its signer made it."""

from __future__ import annotations

from collections.abc import Sequence

from exchange._proto.v1 import receipt_pb2
from exchange.client.messages import IncomingReceipt, OutgoingMessage
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import acknowledged_as, ids_of, statements
from exchange.conformance.edge import Call
from exchange.conformance.ground import DESKS
from exchange.conformance.matter import new_matter, renamed
from exchange.conformance.party import Party, digest_of
from exchange.conformance.relay_stage import RelayStage, Side, brings, passes
from exchange.conformance.stage import Delivered, settle
from exchange.errors import RefusalCode


def passed(stage: RelayStage) -> None:
    """The upper bridge's stored receipt is brought back as it is, and ends the waiting."""
    _, sealed = stage.offer()
    ids = ids_of(sealed)
    got = stage.got(stage.hotline, ids)
    stage.wait(
        lambda: all(_is_passed(stage.lower, one) for one in ids),
        "The lower bridge was never told that a message was passed on",
        "始终未向下级网桥说明消息已转递",
    )
    given = _stored(stage.upper)
    for one, _ in stage.lower.acknowledged():
        if one.WhichOneof("acknowledgement") == "passed" and one.passed.message_id in ids:
            require(
                one.passed.SerializeToString(deterministic=True) in given,
                "What the lower bridge was told is not the receipt that the upper one had given.",
                "向下级网桥送交的回执并非上级网桥所给。",
            )
    stage.left_behind(ids)
    settle(stage.hotline, [one.delivery for one in got])


def _is_passed(side: Side, message_id: str) -> bool:
    return any(
        call.answer is not None and passes(call, message_id)
        for call in side.calls("AcknowledgeMessages")
    )


def _stored(side: Side) -> set[bytes]:
    return {
        outcome.stored.SerializeToString(deterministic=True)
        for call in side.calls("PushMessages")
        if call.answer is not None
        for outcome in call.answer.outcomes
        if outcome.WhichOneof("outcome") == "stored"
    }


def written(stage: RelayStage) -> None:
    """The receiver's own words that it wrote reach the author, to the byte, in both directions."""
    _, up = stage.offer()
    matter = new_matter("police")
    down = stage.hotline.seal(matter.opening, matter.offer)
    stage.push(stage.hotline, down)
    arrivals = (
        (stage.police, stage.hotline, stage.got(stage.hotline, ids_of(up))),
        (stage.hotline, stage.police, stage.got(stage.police, ids_of(down))),
    )
    for author, receiver, got in arrivals:
        said = _say_written(receiver, got)
        for receipt in stage.got(author, list(said), receipts=True):
            require(
                receipt.delivery.receipt.written.SerializeToString(deterministic=True)
                == said[receipt.message_id],
                f"{author.name} did not get the receiver's 'written' as {receiver.name} had signed it.",
                f"{author.name} 收到的“已写入”与 {receiver.name} 所签不同。",
            )


def _say_written(party: Party, got: Sequence[Delivered]) -> dict[str, bytes]:
    said = {
        one.message_id: party.written(one.message_id, digest_of(one.delivery.envelope))
        for one in got
    }
    party.acknowledge(list(said.values()))
    return {k: one.written.SerializeToString(deterministic=True) for k, one in said.items()}


def kept(stage: RelayStage) -> None:
    """A receipt that the author's bridge did not take yet is not settled at the receiver's."""
    times = 0
    settled_early = False
    _, sealed = stage.offer()
    ids = ids_of(sealed)

    def hook(call: Call) -> None:
        nonlocal times
        about = {s.message_id for s in statements(call)} if _acknowledges(call) else set()
        if about & set(ids) and times < 2:
            times += 1
            call.answer = acknowledged_as(call, "STORE_UNAVAILABLE")

    def noted(call: Call) -> None:
        nonlocal settled_early
        if _acknowledges(call) and times < 2:
            settled_early |= bool(_positions(call) & _places(stage.upper, ids))

    stage.lower.edge.asking.append(hook)
    stage.upper.edge.asking.append(noted)
    stage.arrived(stage.hotline, ids)
    stage.got(stage.police, ids, receipts=True)
    require(
        not settled_early,
        "The relay settled a receipt before the author's bridge had recorded it.",
        "作者所在网桥尚未记录，中继即注销了回执。",
    )


def noted(stage: RelayStage) -> None:
    """A receipt that was brought home is noted where it came from, so that it does not come for ever."""
    _, sealed = stage.offer()
    ids = ids_of(sealed)
    stage.arrived(stage.hotline, ids)
    stage.got(stage.police, ids, receipts=True)

    def all_noted() -> bool:
        places = _places(stage.upper, ids)
        said = {p for call in stage.upper.calls("AcknowledgeMessages") for p in _positions(call)}
        return bool(places) and places <= said

    stage.wait(
        all_noted,
        "Receipts that were brought home were not noted where they came from",
        "已送达的回执未在来源网桥注销",
    )


def _acknowledges(call: Call) -> bool:
    return call.method == "AcknowledgeMessages"


def _positions(call: Call) -> set[int]:
    return {
        one.receipt_position
        for one in call.request.acknowledgements
        if one.WhichOneof("acknowledgement") == "receipt_position"
    }


def _places(side: Side, ids: Sequence[str]) -> set[int]:
    """Return the places of the receipts about *ids* that the relay was given at *side*."""
    return {
        d.position
        for call in side.calls("PullMessages")
        if call.answer is not None
        for d in call.answer.deliveries
        if d.WhichOneof("content") == "receipt"
        and receipt_pb2.WrittenStatement.FromString(d.receipt.written.statement).message_id in ids
    }


def refused_by_receiver(stage: RelayStage) -> None:
    """What the receiver can never write it refuses, and the author gets that as it was signed."""
    _, sealed = stage.offer()
    opening = stage.got(stage.hotline, ids_of(sealed))[0]
    said = stage.hotline.declined(opening.message_id, digest_of(opening.delivery.envelope))
    stage.hotline.acknowledge([said])
    (receipt,) = stage.got(stage.police, [opening.message_id], receipts=True)
    require(
        receipt.delivery.receipt.refused.SerializeToString(deterministic=True)
        == said.refused.SerializeToString(deterministic=True),
        "The author did not get the receiver's refusal as it had signed it.",
        "作者收到的拒收与接收方所签不同。",
    )


def refused_by_bridge(stage: RelayStage) -> None:
    """What the upper bridge refuses, its author learns; a neighbour is passed on."""
    bad = _of_the_county()
    sealed = stage.county.seal(*bad)
    good = new_matter("hotline")
    neighbours = stage.police.seal(good.opening, good.offer)
    with stage.held(stage.lower):
        stage.push(stage.county, sealed)
        stage.push(stage.police, neighbours)
    stage.arrived(stage.hotline, ids_of(neighbours))
    for receipt in stage.got(stage.county, ids_of(sealed)[:1], receipts=True):
        told = receipt.item
        require(
            isinstance(told, IncomingReceipt)
            and told.refusal is not None
            and told.refusal.code is RefusalCode.AUTHOR_MISMATCH
            and told.organisation == stage.upper.origin,
            "The author of a message that the upper bridge refused did not get that refusal.",
            "被上级网桥拒绝的消息，其作者未收到该拒绝。",
        )


def _of_the_county() -> list[OutgoingMessage]:
    matter, county = new_matter("hotline"), DESKS["county"]
    opening = renamed(
        matter.opening,
        act={**matter.opening.act, "region": county.region, "first_receiver": county.organisation},
    )
    return [opening, matter.offer]


def forged_receipt(stage: RelayStage) -> None:
    """A receipt that proves nothing ends no waiting: the message is brought again."""
    matter = new_matter("hotline")
    sealed = stage.police.seal(matter.opening, matter.offer)
    about = sealed[0].message_id
    forged = False

    def hook(call: Call) -> None:
        nonlocal forged
        if forged or not brings(call, about):
            return
        forged = True
        for outcome in call.answer.outcomes:
            if outcome.WhichOneof("outcome") == "stored":
                outcome.stored.leaf_index += 1

    stage.upper.edge.answering.append(hook)
    stage.push(stage.police, sealed)
    got = stage.got(stage.hotline, ids_of(sealed))
    stage.left_behind(ids_of(sealed))
    settle(stage.hotline, [one.delivery for one in got])


def bridge_away(stage: RelayStage) -> None:
    """A bridge that does not answer the acknowledge for a while is told again."""
    matter = new_matter("hotline")
    sealed = stage.police.seal(matter.opening, matter.offer)
    ids = ids_of(sealed)
    stage.fail(
        stage.lower, "AcknowledgeMessages", 2, when=lambda call: any(passes(call, i) for i in ids)
    )
    stage.push(stage.police, sealed)
    got = stage.got(stage.hotline, ids)
    stage.left_behind(ids)
    stage.fail(
        stage.lower,
        "AcknowledgeMessages",
        2,
        when=lambda call: any(one.message_id in ids for one in statements(call)),
    )
    settle(stage.hotline, [one.delivery for one in got])
    stage.got(stage.police, ids, receipts=True)
