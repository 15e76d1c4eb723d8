"""Cases of an adapter that sends: what its platform says arrives once, in order, whatever happens."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Any

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.acts import Kind
from exchange.client.messages import IncomingMessage
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import DeskStage, line, pushed_as
from exchange.conformance.edge import Aborted, Call, cut_power
from exchange.conformance.matter import Matter, new_matter, renamed
from exchange.conformance.party import id_of
from exchange.ticket import derived_id

#: So often a refused message may be pushed: once more where something before it was undecided.
_TWICE = 2


def _said(stage: DeskStage) -> tuple[Matter, list[str]]:
    """Let the adapter's platform open a ticket and offer it to the peer."""
    matter = new_matter("police")
    stage.process.say([line(matter.opening), line(matter.offer)])
    return matter, [matter.opening.message_id, matter.offer.message_id]


def stored(stage: DeskStage) -> None:
    """What its platform says is signed by its organisation and reaches the peer, field by field."""
    matter, ids = _said(stage)
    got = {one.message_id: one.item for one in stage.arrived(ids)}
    for said in (matter.opening, matter.offer):
        item = got[said.message_id]
        require(
            isinstance(item, IncomingMessage)
            and _holds(said.act, item.act)
            and all(_holds(said.groups[name], item.groups.get(name, {})) for name in said.groups),
            "A message arrived without something that the platform had said.",
            "到达的消息缺少平台所说的内容。",
        )


def _holds(said: Mapping[str, Any], arrived: Mapping[str, Any]) -> bool:
    return all(arrived.get(name) == value for name, value in said.items())


def repeated_alike(stage: DeskStage) -> None:
    """When the answer is lost, the very same bytes are pushed again."""
    lost = threading.Event()
    matter = new_matter("police")
    about = matter.opening.message_id

    def hook(call: Call) -> None:
        if call.method == "PushMessages" and not lost.is_set() and _pushes(call, about):
            lost.set()
            raise Aborted(grpc.StatusCode.UNAVAILABLE, "the answer was lost")

    stage.edge.answering.append(hook)
    stage.process.say([line(matter.opening), line(matter.offer)])
    _same_bytes(stage, about)
    stage.arrived([about, matter.offer.message_id])


def _pushes(call: Call, message_id: str) -> bool:
    return any(id_of(envelope) == message_id for envelope in call.request.envelopes)


def _same_bytes(stage: DeskStage, message_id: str) -> None:
    stage.wait(
        lambda: len(stage.pushed(message_id)) >= 2,
        "A message whose answer was lost was not pushed again",
        "答复丢失的消息未再次推送",
    )
    digests = set(stage.pushed(message_id))
    require(
        len(digests) == 1,
        "A repeat had other bytes: the bridge must refuse it as DIFFERENT_CONTENT.",
        "重复推送的字节不同，网桥将以 DIFFERENT_CONTENT 拒绝。",
    )


def tried_again(stage: DeskStage) -> None:
    """A message that is to be tried again is pushed again, and nothing overtakes it."""
    first = threading.Event()

    def hook(call: Call) -> None:
        ours = call.method == "PushMessages" and call.who == stage.organisation
        if ours and not first.is_set():
            first.set()
            call.answer = pushed_as(call, "PREDECESSOR_UNKNOWN")

    stage.edge.asking.append(hook)
    _, ids = _said(stage)
    stage.arrived(ids)


def unavailable(stage: DeskStage) -> None:
    """A bridge that is away is tried again."""
    stage.fail_once("PushMessages", grpc.StatusCode.UNAVAILABLE, times=3)
    _, ids = _said(stage)
    stage.arrived(ids)


def silent_bridge(stage: DeskStage) -> None:
    """A push that is never answered is given up at the adapter's own deadline, and repeated."""
    matter = new_matter("police")
    about = matter.opening.message_id
    first = threading.Event()

    def hook(call: Call) -> None:
        if call.method != "PushMessages" or first.is_set() or not _pushes(call, about):
            return
        first.set()
        stage.edge.wait_until(
            lambda: not call.is_active(), stage.adapter.deadline_seconds + stage.patience
        )
        raise Aborted(grpc.StatusCode.UNAVAILABLE, "never answered")

    stage.edge.asking.append(hook)
    stage.process.say([line(matter.opening), line(matter.offer)])
    _same_bytes(stage, about)
    stage.arrived([about, matter.offer.message_id])


def forged_receipt(stage: DeskStage) -> None:
    """A stored receipt whose proof does not hold is not believed: the message is pushed again."""
    matter = new_matter("police")
    about = matter.opening.message_id
    forged = threading.Event()

    def hook(call: Call) -> None:
        if call.method != "PushMessages" or forged.is_set() or not _pushes(call, about):
            return
        for outcome in call.answer.outcomes:
            outcome.stored.accept_time.seconds += 1
        forged.set()

    stage.edge.answering.append(hook)
    stage.process.say([line(matter.opening), line(matter.offer)])
    stage.wait(
        lambda: len(stage.pushed(about)) >= 2,
        "A stored receipt was believed though its proof does not hold",
        "证明不成立的存储回执仍被采信",
    )
    stage.arrived([about, matter.offer.message_id])


def other_log(stage: DeskStage) -> None:
    """A receipt of a log that the adapter was not given is not believed."""
    matter = new_matter("police")
    about = matter.opening.message_id
    forged = threading.Event()

    def hook(call: Call) -> None:
        if call.method != "PushMessages" or forged.is_set() or not _pushes(call, about):
            return
        for outcome in call.answer.outcomes:
            text, _, signature = outcome.stored.checkpoint.rpartition("\n\n")
            head, _, last = signature.rstrip("\n").rpartition(" ")
            swapped = last[:-8] + last[-8:-4].swapcase() + last[-4:]
            outcome.stored.checkpoint = f"{text}\n\n{head} {swapped}\n"
        forged.set()

    stage.edge.answering.append(hook)
    stage.process.say([line(matter.opening), line(matter.offer)])
    stage.wait(
        lambda: len(stage.pushed(about)) >= 2,
        "A stored receipt was believed though its log's signature does not hold",
        "日志签名不成立的存储回执仍被采信",
    )
    stage.arrived([about, matter.offer.message_id])


def too_few_outcomes(stage: DeskStage) -> None:
    """An answer with fewer outcomes than messages decides nothing."""
    matter = new_matter("police")
    about = matter.opening.message_id
    once = threading.Event()

    def hook(call: Call) -> None:
        if call.method != "PushMessages" or once.is_set() or not _pushes(call, about):
            return
        once.set()
        call.answer = pb.PushMessagesResponse()

    stage.edge.answering.append(hook)
    stage.process.say([line(matter.opening), line(matter.offer)])
    stage.wait(
        lambda: len(stage.pushed(about)) >= 2,
        "A push that was answered with no outcome was taken for done",
        "未返回任何结果的推送被视为完成",
    )
    stage.arrived([about, matter.offer.message_id])


def in_order(stage: DeskStage) -> None:
    """What was said about a hand-off arrives in the order in which it was said."""
    matter = new_matter("police")
    to = stage.peer.organisation
    notes = [matter.progress(to, f"第 {n} 次补充。") for n in range(4)]
    stage.process.say([line(one) for one in (matter.opening, matter.offer, *notes)])
    wanted = [one.message_id for one in (matter.opening, matter.offer, *notes)]
    order = [one.message_id for one in stage.arrived(wanted)]
    require(
        order == wanted,
        f"A hand-off's messages arrived as {[wanted.index(one) for one in order]}.",
        f"某移交的消息到达顺序为 {[wanted.index(one) for one in order]}。",
    )


def neighbours(stage: DeskStage) -> None:
    """A message that the bridge refuses keeps no other from going, and is not pushed for ever."""
    bad, good = new_matter("police"), new_matter("police")
    unfit = renamed(bad.opening, act={**bad.opening.act, "region": "999999"})
    stage.process.say([line(unfit), line(good.opening), line(good.offer)])
    stage.wait(lambda: bool(stage.pushed(unfit.message_id)), "It was never pushed", "始终未推送")
    stage.arrived([good.opening.message_id, good.offer.message_id])
    stage.edge.wait_until(lambda: len(stage.pushed(unfit.message_id)) > _TWICE, stage.watched)
    times = len(stage.pushed(unfit.message_id))
    require(
        times <= _TWICE,
        f"A refusal is an answer; the refused message was pushed {times} times.",
        f"拒绝即是答复；被拒消息仍被推送 {times} 次。",
    )


def power_cut_after_say(stage: DeskStage) -> None:
    """What its platform has said is sent after a power cut."""
    stage.process.kill()
    _, ids = _said(stage)
    stage.process.start()
    stage.arrived(ids)


def power_cut_at_the_answer(stage: DeskStage) -> None:
    """A power cut between commit and answer: the same bytes again, delivered once."""
    matter = new_matter("police")
    about = matter.opening.message_id

    def answers(call: Call) -> bool:
        return call.method == "PushMessages" and _pushes(call, about)

    killed = cut_power(stage.process.kill, stage.edge.answering, answers)
    stage.process.say([line(matter.opening), line(matter.offer)])
    stage.wait(killed.is_set, "It was never pushed", "始终未推送")
    stage.process.start()
    _same_bytes(stage, about)
    ids = [about, matter.offer.message_id]
    got = stage.arrived(ids)
    require(
        len(got) == len(ids),
        f"{len(ids)} messages arrived {len(got)} times.",
        f"{len(ids)} 条消息到达 {len(got)} 次。",
    )


def derived(stage: DeskStage) -> None:
    """An id is derived from organisation, record, revision and kind, so a record said again repeats."""
    matter = new_matter("police")
    record = f"W-{uuid.uuid4()}"
    opening = renamed(matter.opening, message_id="", record=record)
    stage.process.say([line(opening)])
    wanted = derived_id(stage.organisation, record, "", Kind.OPEN_TICKET.value)
    stage.wait(
        lambda: bool(stage.pushed(wanted)),
        f"No message with the id {wanted} was pushed, which follows from the record's number",
        f"未推送编号为 {wanted} 的消息（由记录号导出）",
    )


def receipts_noted(stage: DeskStage) -> None:
    """The peer's receipts are noted, so that they do not come for ever."""
    _, ids = _said(stage)
    stage.arrived(ids)
    wanted: set[int] = set()

    def came() -> bool:
        for call in stage.calls("PullMessages"):
            if call.answer is not None:
                wanted.update(
                    d.position
                    for d in call.answer.deliveries
                    if d.WhichOneof("content") == "receipt"
                )
        noted = {
            one.receipt_position
            for call in stage.calls("AcknowledgeMessages")
            for one in call.request.acknowledgements
            if one.WhichOneof("acknowledgement") == "receipt_position"
        }
        return len(wanted) >= len(ids) and wanted <= noted

    stage.wait(came, "The peer's receipts were not noted", "对方回执未被记下")


def predecessor(stage: DeskStage) -> None:
    """A take names the offer that it takes, which the adapter knows."""
    matter, sealed = stage.offer()
    stage.receipts([one.message_id for one in sealed])
    take = renamed(matter.take(stage.peer.organisation, b""), ticket_id=matter.ticket)
    stage.process.say([line(take)])
    stage.arrived([take.message_id])
    result = renamed(matter.result(stage.peer.organisation, b""), ticket_id=matter.ticket)
    stage.process.say([line(result)])
    stage.arrived([result.message_id])


def one_signature(stage: DeskStage) -> None:
    """A hundred messages said together arrive, whatever batches they were signed in."""
    matters = [new_matter("police") for _ in range(50)]
    stage.process.say([line(one) for m in matters for one in (m.opening, m.offer)])
    stage.arrived([one.message_id for m in matters for one in (m.opening, m.offer)])
