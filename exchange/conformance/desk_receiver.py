"""Cases of an adapter that receives: what it writes, and when it says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.client.messages import IncomingReceipt
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import (
    DeskStage,
    acknowledged_as,
    ids_of,
    retry,
    statements,
)
from exchange.conformance.edge import Aborted, Call, cut_power
from exchange.conformance.matter import new_matter


def written(stage: DeskStage) -> None:
    """Its 'written' is signed, names the very bytes, and reaches the author."""
    _, sealed = stage.offer()
    digests = {one.message_id: one.digest for one in sealed}
    for receipt in stage.receipts(ids_of(sealed)):
        item = receipt.item
        require(
            isinstance(item, IncomingReceipt)
            and item.refusal is None
            and item.organisation == stage.organisation
            and item.digest == digests[receipt.message_id],
            "The receipt is no 'written' of the adapter's organisation about the bytes delivered.",
            "回执并非该适配器机构针对所投递字节的“已写入”。",
        )
    for one, digest in digests.items():
        require(
            {said.message_digest for said in stage.written(one)} == {digest},
            "It also said 'written' of bytes that were never delivered.",
            "它还针对从未投递的字节声明“已写入”。",
        )


def numbered(stage: DeskStage) -> None:
    """Every record has a number of its own database."""
    _, sealed = stage.offer()
    stage.receipts(ids_of(sealed))
    numbers = [s.local_number for one in ids_of(sealed) for s in stage.written(one)]
    require(
        all(numbers) and len(set(numbers)) == len(sealed),
        f"Two messages were written under the numbers {numbers}: each needs its own.",
        f"两条消息的记录号为 {numbers}：应各有其号。",
    )


def recorded(stage: DeskStage) -> None:
    """What was acknowledged stands in its records, once, in the order of the lane."""
    matter, sealed = stage.offer()
    to = stage.organisation
    notes = [stage.peer.seal(matter.progress(to, f"第 {n} 次补充。"))[0] for n in range(4)]
    stage.push(notes)
    wanted = [*ids_of(sealed), *ids_of(notes)]
    stage.receipts(wanted)
    found = [r["message_id"] for r in stage.process.records() if r["message_id"] in wanted]
    require(
        found == wanted,
        f"Of a lane's {len(wanted)} messages the records hold, in this order: "
        f"{[wanted.index(one) for one in found]}.",
        f"某通道 {len(wanted)} 条消息在记录中的顺序为 {[wanted.index(one) for one in found]}。",
    )


def _hold_back(stage: DeskStage, ids: Sequence[str], until: Callable[[], bool]) -> None:
    """Lose acknowledgements of *ids* until *until()*."""

    def hook(call: Call) -> None:
        if call.method != "AcknowledgeMessages" or call.who != stage.organisation:
            return
        if not until() and any(s.message_id in ids for s in statements(call)):
            raise Aborted(grpc.StatusCode.UNAVAILABLE, "the answer was lost")

    stage.edge.asking.append(hook)


def redelivered(stage: DeskStage) -> None:
    """A redelivery changes nothing: the same number again, one record."""
    box: list[str] = []
    _hold_back(stage, box, lambda: bool(box) and stage.deliveries(box[0]) >= 2)
    matter = new_matter("hotline")
    sealed = stage.peer.seal(matter.opening, matter.offer)
    box += ids_of(sealed)
    stage.push(sealed)
    stage.receipts(box)
    for one in box:
        numbers = {s.local_number for s in stage.written(one)}
        require(
            len(numbers) == 1,
            f"A message that was delivered twice was written under the numbers {sorted(numbers)}.",
            f"重复投递的消息以不同记录号写入：{sorted(numbers)}。",
        )
    if stage.adapter.records:
        found = [r["message_id"] for r in stage.process.records() if r["message_id"] in box]
        require(
            sorted(found) == sorted(box),
            f"{len(box)} messages, delivered twice, made {len(found)} records.",
            f"{len(box)} 条消息重复投递后产生 {len(found)} 条记录。",
        )


def written_before_acknowledged(stage: DeskStage) -> None:
    """When its acknowledge is on its way, the record is there: power cut in that very moment."""
    box: list[str] = []

    def says_written(call: Call) -> bool:
        told = statements(call) if call.method == "AcknowledgeMessages" else []
        return any(said.message_id in box for said in told)

    killed = cut_power(stage.process.kill, stage.edge.asking, says_written)
    matter = new_matter("hotline")
    sealed = stage.peer.seal(matter.opening, matter.offer)
    box += ids_of(sealed)
    stage.push(sealed)
    stage.wait(killed.is_set, "No acknowledge came", "未见确认")
    said = {s.message_id for one in box for s in stage.written(one)}
    there = {r["message_id"] for r in stage.process.records()}
    require(
        said <= there,
        f"{len(said - there)} of {len(said)} messages that were being acknowledged as written were in "
        "no record when the power was cut.",
        f"断电时，正被确认“已写入”的 {len(said)} 条消息中有 {len(said - there)} 条不在记录中。",
    )
    stage.process.start()
    stage.receipts(box)
    found = [r["message_id"] for r in stage.process.records() if r["message_id"] in box]
    require(
        sorted(found) == sorted(box),
        f"After the restart, {len(box)} messages are {len(found)} records.",
        f"重启后，{len(box)} 条消息对应 {len(found)} 条记录。",
    )


def not_recorded_yet(stage: DeskStage) -> None:
    """An acknowledgement that is to be tried again is said again."""
    done = threading.Event()
    box: list[str] = []

    def hook(call: Call) -> None:
        ours = call.method == "AcknowledgeMessages" and call.who == stage.organisation
        if ours and not done.is_set() and any(s.message_id in box for s in statements(call)):
            done.set()
            call.answer = acknowledged_as(call, "STORE_UNAVAILABLE")

    stage.edge.asking.append(hook)
    matter = new_matter("hotline")
    sealed = stage.peer.seal(matter.opening, matter.offer)
    box += ids_of(sealed)
    stage.push(sealed)
    stage.receipts(box)


def unavailable(stage: DeskStage) -> None:
    """A bridge that was there and is away is tried again."""
    stage.wait(
        lambda: any(call.answer is not None for call in stage.calls("PullMessages")),
        "The adapter did not pull",
        "适配器未拉取",
    )
    before = len(stage.calls("PullMessages"))
    stage.fail_once("PullMessages", grpc.StatusCode.UNAVAILABLE, times=3)
    stage.wait(
        lambda: len(stage.calls("PullMessages")) >= before + 3,
        "The adapter pulled no more",
        "适配器不再拉取",
    )
    _, sealed = stage.offer()
    stage.receipts(ids_of(sealed))


def silent_bridge(stage: DeskStage) -> None:
    """A call that is never answered is given up at the adapter's own deadline."""
    first, over = threading.Event(), threading.Event()

    def hook(call: Call) -> None:
        if call.method != "PullMessages" or call.who != stage.organisation or over.is_set():
            return
        first.set()
        # An adapter may wait in several pulls: none is answered before one was given up.
        stage.edge.wait_until(
            lambda: over.is_set() or not call.is_active(),
            stage.adapter.deadline_seconds + stage.patience,
        )
        over.set()
        raise Aborted(grpc.StatusCode.UNAVAILABLE, "never answered")

    def early(call: Call) -> None:
        # It was asked before the case began.
        if call.method == "PullMessages" and call.who == stage.organisation and not over.is_set():
            raise Aborted(grpc.StatusCode.UNAVAILABLE, "never answered")

    stage.edge.asking.append(hook)
    stage.edge.answering.append(early)
    stage.wait(first.is_set, "The adapter pulled no more", "适配器不再拉取")
    _, sealed = stage.offer()
    stage.receipts(ids_of(sealed))


def impostor(stage: DeskStage) -> None:
    """Who poses as the bridge is told nothing."""
    stage.process.stop()
    with stage.impostor() as other:
        stage.process.start()
        require(
            other.seen(stage.patience),
            "The adapter did not dial the bridge at all.",
            "适配器始终未连接网桥。",
        )
        require(
            not other.fooled,
            "The adapter spoke to a bridge whose certificate is of an unknown authority.",
            "适配器与证书来自未知认证机构的“网桥”通信。",
        )
    _, sealed = stage.offer()
    stage.receipts(ids_of(sealed))


def _about(one: pb.Acknowledgement) -> str:
    return receipt_pb2.WrittenStatement.FromString(one.written.statement).message_id


def neighbours_survive(stage: DeskStage) -> None:
    """One outcome that is to be tried again unsays no neighbour, and is not taken for one of them."""
    box: list[str] = []
    held: list[tuple[Call, int]] = []

    def hold(call: Call) -> None:
        if call.method != "AcknowledgeMessages" or call.who != stage.organisation or held:
            return
        place = next(
            (n for n, one in enumerate(call.request.acknowledgements) if box[:1] == [_about(one)]),
            None,
        )
        if place is not None:
            held.append((call, place))
            del call.request.acknowledgements[place]
            if not call.request.acknowledgements:
                call.answer = pb.AcknowledgeMessagesResponse()

    def answer(call: Call) -> None:
        for other, place in held:
            if call is other:
                outcomes = list(call.answer.outcomes)
                outcomes.insert(place, pb.AcknowledgeOutcome(retry=retry("STORE_UNAVAILABLE")))
                call.answer = pb.AcknowledgeMessagesResponse(outcomes=outcomes)

    stage.edge.asking.append(hold)
    stage.edge.answering.append(answer)
    first, second = new_matter("hotline"), new_matter("hotline")
    sealed = stage.peer.seal(first.opening, first.offer, second.opening, second.offer)
    box += ids_of(sealed)
    stage.push(sealed)
    stage.receipts(box)
