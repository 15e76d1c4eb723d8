"""Cases of a relay: bridges that are away, slow or lie, power cuts, and who poses as a bridge."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.messages import SealedMessage
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import ids_of, pushed_as, statements
from exchange.conformance.edge import Aborted, Call, cut_power
from exchange.conformance.matter import new_matter
from exchange.conformance.relay_stage import RelayStage, brings, passes
from exchange.conformance.stage import Delivered, settle


def upper_away(stage: RelayStage) -> None:
    """While the bridge that it goes to is away nothing is lost; then all of it arrives, once."""
    sealed = _sealed(stage)
    first = sealed[0].message_id
    stage.fail(stage.upper, "PushMessages", 3, when=lambda call: brings(call, first))
    stage.push(stage.police, sealed)
    _arrive_once(stage, sealed)


def lower_away(stage: RelayStage) -> None:
    """Likewise the bridge that it comes from, after it was there."""
    stage.wait(
        lambda: any(call.answer is not None for call in stage.lower.calls("PullMessages")),
        "The relay did not pull",
        "中继未拉取",
    )
    stage.fail(stage.lower, "PullMessages", 3)
    _, sealed = stage.offer()
    _arrive_once(stage, sealed)


def silent(stage: RelayStage) -> None:
    """A push that is never answered is given up at the relay's own deadline, and repeated."""
    first = threading.Event()
    sealed = _sealed(stage)

    def hook(call: Call) -> None:
        if first.is_set() or not brings(call, sealed[0].message_id):
            return
        first.set()
        stage.upper.edge.wait_until(
            lambda: not call.is_active(), stage.deadline_seconds + stage.patience
        )
        raise Aborted(grpc.StatusCode.UNAVAILABLE, "never answered")

    stage.upper.edge.asking.append(hook)
    stage.push(stage.police, sealed)
    _arrive_once(stage, sealed)


def tried_again(stage: RelayStage) -> None:
    """What is to be tried again is brought again; neither bridge takes it for refused."""
    _first_push(stage, lambda call: pushed_as(call, "STORE_UNAVAILABLE"))


def too_few_outcomes(stage: RelayStage) -> None:
    """An answer with fewer outcomes than messages decides nothing."""
    _first_push(stage, lambda _: pb.PushMessagesResponse())


def _first_push(stage: RelayStage, answer: Callable[[Call], pb.PushMessagesResponse]) -> None:
    """Answer the first push of a matter by *answer* alone; it must arrive nevertheless, once."""
    once = threading.Event()
    sealed = _sealed(stage)

    def hook(call: Call) -> None:
        if not once.is_set() and brings(call, sealed[0].message_id):
            once.set()
            call.answer = answer(call)

    stage.upper.edge.asking.append(hook)
    stage.push(stage.police, sealed)
    _pass_once(stage, sealed)


def answer_lost(stage: RelayStage) -> None:
    """When the answer to a push is lost, the same is brought again, arrives once and is passed on."""
    lost = threading.Event()
    sealed = _sealed(stage)

    def hook(call: Call) -> None:
        if not lost.is_set() and brings(call, sealed[0].message_id):
            lost.set()
            raise Aborted(grpc.StatusCode.UNAVAILABLE, "the answer was lost")

    stage.upper.edge.answering.append(hook)
    stage.push(stage.police, sealed)
    _pass_once(stage, sealed)


def duplicates(stage: RelayStage) -> None:
    """What is given twice in one pull is one message, and its neighbours go on."""

    def hook(call: Call) -> None:
        if call.method == "PullMessages" and call.answer is not None:
            call.answer.deliveries.extend(list(call.answer.deliveries))

    stage.lower.edge.answering.append(hook)
    sealed = [*_sealed(stage), *_sealed(stage)]
    stage.push(stage.police, sealed)
    _pass_once(stage, sealed)


def cut_before_the_push(stage: RelayStage) -> None:
    """A power cut when a message is fetched and the upper bridge has not heard of it."""
    sealed = _sealed(stage)
    cut = cut_power(
        stage.process.kill, stage.upper.edge.asking, lambda call: brings(call, sealed[0].message_id)
    )
    stage.push(stage.police, sealed)
    stage.wait(cut.is_set, "The relay never brought the message", "中继始终未转送")
    stage.process.start()
    _arrive_once(stage, sealed)


def cut_at_the_push(stage: RelayStage) -> None:
    """A power cut after the upper bridge stored it and before the lower one was told."""
    sealed = _sealed(stage)
    cut = cut_power(
        stage.process.kill,
        stage.upper.edge.answering,
        lambda call: brings(call, sealed[0].message_id),
    )
    stage.push(stage.police, sealed)
    stage.wait(cut.is_set, "The relay never brought the message", "中继始终未转送")
    stage.process.start()
    _pass_once(stage, sealed)


def cut_at_the_acknowledge(stage: RelayStage) -> None:
    """A power cut in the middle of telling the lower bridge."""
    sealed = _sealed(stage)
    about = sealed[0].message_id
    cut = cut_power(stage.process.kill, stage.lower.edge.asking, lambda call: passes(call, about))
    stage.push(stage.police, sealed)
    stage.wait(cut.is_set, "The relay never said 'passed'", "中继始终未说明已转递")
    stage.process.start()
    _pass_once(stage, sealed)


def cut_at_the_receipt(stage: RelayStage) -> None:
    """A power cut in the middle of bringing the receiver's receipt."""
    _, sealed = stage.offer()
    ids = ids_of(sealed)
    cut = cut_power(
        stage.process.kill,
        stage.lower.edge.asking,
        lambda call: (
            call.method == "AcknowledgeMessages"
            and any(one.message_id in ids for one in statements(call))
        ),
    )
    stage.arrived(stage.hotline, ids)
    stage.wait(cut.is_set, "The relay never brought the receipt", "中继始终未送回回执")
    stage.process.start()
    stage.got(stage.police, ids, receipts=True)


def impostor(stage: RelayStage) -> None:
    """Who poses as a bridge with an unknown authority's certificate is told nothing, on either side."""
    stage.process.stop()
    with stage.impostors() as others:
        stage.process.start()
        for other, side in zip(others, stage.sides, strict=True):
            require(
                other.seen(stage.patience),
                f"The relay did not dial the {side.name} bridge at all.",
                f"中继始终未连接 {side.name} 网桥。",
            )
            require(
                not other.fooled,
                f"The relay spoke to a {side.name} bridge whose certificate is of an unknown authority.",
                f"中继与证书来自未知认证机构的 {side.name} “网桥”通信。",
            )
    _, sealed = stage.offer()
    stage.arrived(stage.hotline, ids_of(sealed))


def _sealed(stage: RelayStage) -> list[SealedMessage]:
    matter = new_matter("hotline")
    return stage.police.seal(matter.opening, matter.offer)


def _arrive_once(stage: RelayStage, sealed: Sequence[SealedMessage]) -> None:
    ids = ids_of(sealed)
    got = stage.arrived(stage.hotline, ids)
    _require_single(got, ids)


def _pass_once(stage: RelayStage, sealed: Sequence[SealedMessage]) -> None:
    """They arrive once, and leave the lower bridge's mailbox before their receiver has said a word."""
    ids = ids_of(sealed)
    got = stage.got(stage.hotline, ids)
    _require_single(got, ids)
    stage.left_behind(ids)
    settle(stage.hotline, [one.delivery for one in got])


def _require_single(got: Sequence[Delivered], ids: Sequence[str]) -> None:
    require(
        len(got) == len(ids),
        f"{len(ids)} messages arrived {len(got)} times.",
        f"{len(ids)} 条消息到达 {len(got)} 次。",
    )
