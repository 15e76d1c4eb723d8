"""Cases of a bridge: what it hands out, and what it makes of an acknowledgement."""

from __future__ import annotations

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.acts import Urgency
from exchange.client.messages import IncomingReceipt
from exchange.conformance.cases import require, unmet
from exchange.conformance.matter import new_matter
from exchange.conformance.party import CallFailed, Party, digest_of
from exchange.conformance.stage import BridgeStage, Crossed, Delivered, recorded, settle


def exact_bytes(stage: BridgeStage) -> None:
    """Deliveries are the bytes that were pushed, with the signer's certificates."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    stage.write(stage.police, got)
    pushed = {one.message_id: one.envelope for one in crossed.sealed}
    changed = [d.message_id for d in got if d.delivery.envelope != pushed[d.message_id]]
    require(
        not changed,
        f"{', '.join(changed)} arrived with other bytes than were pushed.",
        f"{'、'.join(changed)} 到达时的字节与推送时不同。",
    )


def lane_order(stage: BridgeStage) -> None:
    """A lane keeps the order of acceptance."""
    crossed = stage.cross()
    to = stage.police.organisation
    sealed = [
        stage.hotline.seal(crossed.matter.progress(to, f"第 {n} 次催问。"))[0] for n in range(5)
    ]
    for message in sealed:
        stage.push_all(stage.hotline, [message])
    wanted = [*crossed.ids, *(one.message_id for one in sealed)]
    got = stage.get(stage.police, wanted)
    stage.write(stage.police, got)
    order = [one.message_id for one in got]
    require(
        order == wanted,
        f"The lane's messages came as {[wanted.index(one) for one in order]}.",
        f"该通道消息的到达顺序为 {[wanted.index(one) for one in order]}。",
    )
    positions = [one.delivery.position for one in got]
    require(
        positions == sorted(set(positions)),
        f"Positions do not grow: {positions}.",
        f"位置未递增：{positions}。",
    )


def urgent_first(stage: BridgeStage) -> None:
    """The more urgent lane comes first."""
    calm = stage.cross()
    urgent = stage.cross(new_matter(urgency=Urgency.IMMEDIATE))
    got = stage.get(stage.police, [*calm.ids, *urgent.ids])
    stage.write(stage.police, got)
    order = [one.message_id in urgent.ids for one in got]
    require(
        order == sorted(order, reverse=True),
        "A routine lane was handed out before an immediate one that waited too.",
        "常规通道先于同时等待的立即通道被投递。",
    )


def urgent_alone(stage: BridgeStage) -> None:
    """A pull of urgent lanes gets these; the others stay for whoever wants everything."""
    calm = stage.cross()
    urgent = stage.cross(new_matter(urgency=Urgency.URGENT))
    both = [*calm.ids, *urgent.ids]
    got, others = stage.pull_once(stage.police, both, wait=5, least=Urgency.URGENT)
    left = [one for one in got if one.message_id in calm.ids]
    stage.write(stage.police, got)
    settle(stage.police, others)
    require(
        not left,
        "A pull of urgent lanes alone was given routine ones, too.",
        "仅拉取紧急通道时得到了常规通道的投递。",
    )
    require(
        [one.message_id for one in got] == list(urgent.ids),
        "A pull of urgent lanes alone was not given the whole lane that was urgent.",
        "仅拉取紧急通道时未得到该紧急通道的全部投递。",
    )
    stage.write(stage.police, stage.get(stage.police, calm.ids))


def lease(stage: BridgeStage) -> None:
    """A leased lane is not given twice, and comes again when the lease ends."""
    crossed = stage.cross()
    first = stage.get(stage.police, crossed.ids)
    doubled, others = stage.pull_once(stage.police, crossed.ids)
    require(
        not doubled,
        "A lane that is leased and not acknowledged was handed out once more at once.",
        "已租出且未确认的通道被立即再次投递。",
    )
    settle(stage.police, others)
    stage.end_leases()
    again = stage.get(stage.police, crossed.ids)
    stage.write(stage.police, again)
    require(
        [d.message_id for d in again] == [d.message_id for d in first],
        "After the lease had ended, the lane came in another order.",
        "租约到期后，该通道以不同顺序再次投递。",
    )
    require(
        all(a.delivery.attempt > f.delivery.attempt for a, f in zip(again, first, strict=True)),
        "A redelivery does not say that it is one: 'attempt' did not grow.",
        "重新投递未如实标明：attempt 未增加。",
    )


def given_up(stage: BridgeStage) -> None:
    """A pull that its caller gave up takes nothing with it."""
    police = stage.police
    stage.reset()
    try:
        police.pull(wait=30, timeout=-29.5)
    except CallFailed as failed:
        require(
            failed.code == "DEADLINE_EXCEEDED",
            f"A waiting pull ended with {failed.code} instead of its caller's deadline.",
            f"等待中的拉取以 {failed.code} 结束，而非到达调用方期限。",
        )
    else:
        raise unmet(
            "A pull with an empty mailbox and 30 s of patience returned at once.",
            "邮箱为空且等待 30 秒的拉取立即返回。",
        )
    crossed = stage.cross()
    got, others = stage.pull_once(police, crossed.ids, wait=1.0)
    settle(police, others)
    if not got:
        stage.end_leases()
        got = stage.get(police, crossed.ids)
    stage.write(police, got)
    require(
        {one.delivery.attempt for one in got} == {1},
        "What came after a pull was given up had been leased to it.",
        "放弃拉取之后到达的消息仍被租给了该次拉取。",
    )


def waiting_pull(stage: BridgeStage) -> None:
    """A waiting pull ends without anything when its wait is over."""
    stage.reset()
    answer = stage.police.pull(wait=0.5)
    require(
        not answer.deliveries,
        "An empty mailbox gave deliveries.",
        "空邮箱返回了投递。",
    )


# -- acknowledgements


def _receipts(stage: BridgeStage, crossed: Crossed) -> list[Delivered]:
    got = stage.get(stage.hotline, crossed.ids, receipts=True)
    stage.hotline.acknowledge(
        [pb.Acknowledgement(receipt_position=one.delivery.position) for one in got]
    )
    return got


def forwarded(stage: BridgeStage) -> None:
    """The receiver's signed 'written' reaches the author unchanged."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    said = [
        stage.police.written(one.message_id, digest_of(one.delivery.envelope), "J-17")
        for one in got
    ]
    leaves = [recorded(outcome) for outcome in stage.police.acknowledge(said)]
    require(
        len(set(leaves)) == len(leaves),
        f"Two receipts share the leaf: {leaves}.",
        f"两份回执共用日志条目：{leaves}。",
    )
    statements = {one.written.statement for one in said}
    for receipt in _receipts(stage, crossed):
        if not isinstance(receipt.item, IncomingReceipt):
            raise unmet("A receipt was no receipt.", "回执内容不符。")
        require(
            receipt.delivery.receipt.written.statement in statements,
            "The receiver's statement was changed on its way to the author.",
            "接收方的陈述在送达作者途中被改动。",
        )


def acknowledged_again(stage: BridgeStage) -> None:
    """The first acknowledgement wins; a repeat is recorded as before."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    first = stage.write(stage.police, got, "J-1")
    again = stage.write(stage.police, got, "J-2")
    require(
        first == again,
        f"Acknowledging again gave the leaves {again} instead of {first}.",
        f"再次确认得到日志条目 {again}，而非 {first}。",
    )
    numbers = {
        item.item.local_number
        for item in _receipts(stage, crossed)
        if isinstance(item.item, IncomingReceipt)
    }
    require(
        numbers == {"J-1"},
        f"The author was told the numbers {sorted(numbers)}; the first one counts.",
        f"作者收到的编号为 {sorted(numbers)}，应以首次为准。",
    )


def acknowledged_late(stage: BridgeStage) -> None:
    """An acknowledgement counts after its lease has ended."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    stage.end_leases()
    stage.write(stage.police, got)
    left, _ = stage.pull_once(stage.police, crossed.ids)
    require(
        not left,
        "What was acknowledged late was delivered once more.",
        "逾期确认之后仍再次投递。",
    )
    _receipts(stage, crossed)


def forged(stage: BridgeStage) -> None:
    """Only the recipient can say that it has written."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    hotline, police = stage.hotline, stage.police
    about = got[0]
    said = hotline.written(about.message_id, digest_of(about.delivery.envelope))
    (outcome,) = hotline.acknowledge([said])
    require(
        outcome.WhichOneof("outcome") == "refused",
        "The author itself acknowledged its message as written.",
        "作者自行将其消息确认为已写入。",
    )
    wrong = police.written(about.message_id, bytes(32))
    good = police.written(about.message_id, digest_of(about.delivery.envelope))
    outcomes = police.acknowledge([wrong, good])
    require(
        outcomes[0].WhichOneof("outcome") == "refused",
        "A statement about other bytes than were delivered was recorded.",
        "针对其他字节的陈述被记录。",
    )
    recorded(outcomes[1])
    stage.write(police, got[1:])


def quarantine(stage: BridgeStage) -> None:
    """A message that is refused stops only its lane, and reconciling frees it."""
    stopped, other = stage.cross(), stage.cross()
    police = stage.police
    got = stage.get(police, [*stopped.ids, *other.ids])
    bad = next(one for one in got if one.message_id == stopped.ids[0])
    (outcome,) = police.acknowledge(
        [police.declined(bad.message_id, digest_of(bad.delivery.envelope))]
    )
    require(
        outcome.WhichOneof("outcome") == "recorded",
        "The receiver's refusal was not recorded.",
        "接收方的拒收未被记录。",
    )
    stage.write(police, [one for one in got if one.message_id in other.ids])
    (note,) = stage.hotline.seal(other.matter.progress(police.organisation))
    (behind,) = stage.hotline.seal(stopped.matter.progress(police.organisation))
    stage.push_all(stage.hotline, [behind, note])
    stage.write(police, stage.get(police, [note.message_id]))
    stage.end_leases()
    left, _ = stage.pull_once(police, [*stopped.ids, behind.message_id])
    require(
        not left,
        "A lane with a message in quarantine went on.",
        "含隔离消息的通道仍在继续投递。",
    )
    receipt = stage.get(stage.hotline, [stopped.ids[0]], receipts=True)
    require(
        receipt[0].delivery.receipt.WhichOneof("receipt") == "refused",
        "The author did not get the receiver's signed refusal.",
        "作者未收到接收方签名的拒收。",
    )
    police.reconcile([pb.HandoffHead(handoff_id=stopped.matter.handoff)])
    wanted = [*stopped.ids, behind.message_id]
    again = stage.get(police, wanted)
    stage.write(police, again)
    require(
        [one.message_id for one in again] == wanted,
        "After reconciling, the lane did not go on where it had stopped.",
        "校核之后，该通道未从停止处继续。",
    )


def cut(stage: BridgeStage) -> None:
    """A connection that is cut in the middle of an acknowledge loses nothing and doubles nothing."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    said = [stage.police.written(d.message_id, digest_of(d.delivery.envelope)) for d in got]
    _cut_short(stage.police, said)
    leaves = [recorded(outcome) for outcome in stage.police.acknowledge(said)]
    again = [recorded(outcome) for outcome in stage.police.acknowledge(said)]
    require(
        leaves == again,
        f"After the cut, repeats were recorded as {leaves} and {again}.",
        f"中断之后，重复确认先后记录为 {leaves} 与 {again}。",
    )
    require(
        len(_receipts(stage, crossed)) == len(crossed.ids),
        "The author got a receipt twice.",
        "作者重复收到回执。",
    )


def restart(stage: BridgeStage) -> None:
    """A power cut in the middle of an acknowledge loses nothing and doubles nothing."""
    crossed = stage.cross()
    got = stage.get(stage.police, crossed.ids)
    said = [stage.police.written(d.message_id, digest_of(d.delivery.envelope)) for d in got]
    (first,) = stage.police.acknowledge(said[:1])
    leaf = recorded(first)
    _cut_short(stage.police, said)
    stage.restart()
    leaves = [recorded(outcome) for outcome in stage.police.acknowledge(said)]
    require(
        leaves[0] == leaf,
        f"The receipt that was recorded at {leaf} is at {leaves[0]} after the restart.",
        f"记录于 {leaf} 的回执在重启后位于 {leaves[0]}。",
    )
    left, _ = stage.pull_once(stage.police, crossed.ids)
    require(
        not left,
        "What was acknowledged was delivered again after the restart.",
        "已确认的消息在重启后再次投递。",
    )
    _receipts(stage, crossed)


def _cut_short(party: Party, said: list[pb.Acknowledgement]) -> None:
    """Begin an acknowledge and give it up before its answer can be there."""
    request = pb.AcknowledgeMessagesRequest(
        acknowledgements=said, certificates=[party.certificates]
    )
    call = party.begin("AcknowledgeMessages", request)
    call.cancel()
    party.hang_up()


def reconcile(stage: BridgeStage) -> None:
    """A platform that lost its database gets back what it has acknowledged (R50b)."""
    crossed = stage.cross()
    stage.write(stage.police, stage.get(stage.police, crossed.ids))
    answer = stage.police.reconcile([pb.HandoffHead(handoff_id=crossed.matter.handoff)])
    (finding,) = answer.findings
    require(
        finding.agreement == pb.HANDOFF_AGREEMENT_CALLER_BEHIND
        and finding.bridge_digest == crossed.head,
        "A caller who knows nothing of a hand-off was not found to be behind.",
        "对一无所知的一方，校核未判定其落后。",
    )
    again = stage.get(stage.police, crossed.ids)
    stage.write(stage.police, again)
    same = stage.police.reconcile(
        [pb.HandoffHead(handoff_id=crossed.matter.handoff, digest=crossed.head)]
    )
    require(
        same.findings[0].agreement == pb.HANDOFF_AGREEMENT_SAME,
        "Two equal copies were found to differ.",
        "一致的两份记录被判定为不一致。",
    )


def checkpoints(stage: BridgeStage) -> None:
    """The log only grows, under one name."""
    sizes, names = [], set()
    for _ in range(3):
        (sealed,) = stage.hotline.seal(new_matter().opening)
        (outcome,) = stage.hotline.push([sealed])
        receipt = stage.hotline.stored(outcome, sealed.digest)
        point = stage.hotline.check.logs.checkpoint(receipt.checkpoint.encode())
        sizes.append(point.size)
        names.add(point.origin)
    newest = stage.hotline.check.logs.checkpoint(stage.hotline.pull().checkpoint.encode())
    sizes.append(newest.size)
    require(
        sizes == sorted(sizes) and len(names | {newest.origin}) == 1,
        f"The checkpoints' sizes are {sizes}, of the logs {sorted(names)}.",
        f"检查点大小依次为 {sizes}，日志为 {sorted(names)}。",
    )
