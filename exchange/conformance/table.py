"""All cases, in one table: what is asked, what it rests on, and how it is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exchange.conformance import bridge_identity as identity
from exchange.conformance import bridge_pull as pull
from exchange.conformance import bridge_push as push
from exchange.conformance import desk_receiver as receiver
from exchange.conformance import desk_sender as sender
from exchange.conformance import desk_unsound as unsound
from exchange.conformance import relay_answers as answers
from exchange.conformance import relay_carries as carries
from exchange.conformance import relay_faults as faults
from exchange.conformance.cases import Case
from exchange.conformance.scenes import refusal_cases
from exchange.text import Text


def _case(
    name: str, rests: str, en: str, zh: str, play: Callable[[Any], None], *needs: str
) -> Case:
    return Case(id=name, rests=rests, text=Text(en=en, zh=zh), play=play, needs=frozenset(needs))


_PUSH = "ExchangeService.PushMessages"
_PULL = "ExchangeService.PullMessages"
_ACK = "ExchangeService.AcknowledgeMessages"

# fmt: off
BRIDGE: tuple[Case, ...] = (
    _case("bridge.push.stored", "R50 · StoredReceipt", "A stored receipt proves that the very message is in the log: leaf, inclusion path, signed checkpoint.", "存储回执证明该消息已入日志：条目、包含路径、签名检查点均成立。", push.stored),
    _case("bridge.push.repeat", _PUSH, "A repeat gets the same receipt, byte for byte.", "重复推送得到逐字节相同的回执。", push.repeat),
    _case("bridge.push.repeat-in-one-call", _PUSH, "A message that stands twice in one call is one message, delivered once.", "同一调用中出现两次的消息只算一条，只投递一次。", push.repeat_in_one_call),
    _case("bridge.push.other-content", "RefusalCode DIFFERENT_CONTENT", "The id of a stored message takes no other content.", "已存储消息的编号不得用于其他内容。", push.other_content),
    _case("bridge.push.predecessor-unknown", "Retry PREDECESSOR_UNKNOWN", "What arrives before its predecessor is to be tried again, never refused, and is stored in its turn.", "先于前序到达的消息应重试而非拒绝，前序到达后即予存储。", push.predecessor_unknown),
    _case("bridge.push.ticket-unknown", "Retry PREDECESSOR_UNKNOWN", "An offer that arrives before its ticket is to be tried again, never refused.", "先于开单到达的移交应重试而非拒绝。", push.ticket_unknown),
    _case("bridge.push.neighbours", _PUSH, "One bad message fails no neighbour; outcomes stand in request order.", "一条坏消息不影响同批其他消息；结果按请求顺序排列。", push.neighbours),
    _case("bridge.push.batch", "Signature", "Messages under one batch signature are each taken by their path, in any order.", "同一批次签名下的消息凭各自路径被接受，顺序不限。", push.batch),
    _case("bridge.push.refused-again", _PUSH, "A refused id may be pushed again and is judged afresh.", "被拒编号可再次推送并重新判定。", push.refused_again),
    _case("bridge.push.largest", "Envelope · RefusalCode TOO_LARGE", "65,536 bytes are taken, one more is refused, and its neighbour is stored.", "65,536 字节可接受，多一字节即拒绝，相邻消息照常存储。", push.largest),
    _case("bridge.push.too-many", "PushMessagesRequest.envelopes", "513 envelopes in one call fail as a whole, and nothing of them is stored wrongly.", "单次调用 513 个信封整体失败，且不影响其后推送。", push.too_many),
    _case("bridge.push.unknown-fields", "CONTRIBUTING · Envelope", "Unknown fields, groups and descriptive values arrive byte for byte.", "未知字段、字段组与描述性枚举值逐字节送达。", push.unknown_fields),
    _case("bridge.push.unknown-kind", "RefusalCode UNKNOWN_KIND", "A kind that is not known is refused as such.", "未知消息种类按此拒绝。", push.unknown_kind),
    _case("bridge.push.withheld", "Envelope.groups · RefusalCode GROUP_DIGEST_MISMATCH", "A withheld group breaks nothing; a changed one is refused.", "隐去字段组不影响成立；改动字段组即拒绝。", push.withheld),
    _case("bridge.push.clock-skew", "Header.create_time · StoredReceipt.accept_time", "An author's clock may be a day off; the time of acceptance is the bridge's.", "作者时钟可偏差一天；接受时间以网桥为准。", push.clock_skew),
    _case("bridge.push.take-over", "R20 · TakeOver", "A silent peer never blocks: its sender may take over, and close the ticket without a word from it.", "对方无响应不得阻塞：移交方可收回自办，无须对方表态即可结案。", push.take_over),
    _case("bridge.push.relay-loop", "RefusalCode RELAY_LOOP", "What comes back to a bridge that it passed is refused; an opening is told once more that it is there.", "绕回已经过网桥的消息被拒绝；开单消息则再次得到存储回执。", push.relay_loop),
    _case("bridge.push.restart", "R50 · StoredReceipt", "What was called stored is there after a power cut, with the same receipt.", "“已存储”的消息断电后仍在，回执相同。", push.restart, "restart"),
    *identity.gateway_cases(),
    _case("bridge.identity.unregistered", "R50a · PERMISSION_DENIED", "An organisation of a trusted network that is in no register is turned away.", "受信任网络中未登记的机构被拒绝。", identity.unregistered, "party:outsider"),
    _case("bridge.identity.private", "R50 · NOT_FOUND", "Who is no party to a ticket does not learn that it exists.", "非当事机构无从得知该单存在。", identity.private, "party:stranger"),
    _case("bridge.signer.unsigned", "RefusalCode UNSIGNED", "A message without a signature is refused.", "未签名消息被拒绝。", identity.unsigned),
    _case("bridge.signer.bad-signature", "RefusalCode SIGNATURE_INVALID", "A signature over other bytes is refused, and the neighbour is stored.", "签名与内容不符即拒绝，相邻消息照常存储。", identity.bad_signature),
    _case("bridge.signer.bad-path", "RefusalCode SIGNATURE_INVALID", "A message that claims another's place in the batch is refused.", "冒用批次中他人位置的消息被拒绝。", identity.bad_path),
    _case("bridge.signer.other-author", "RefusalCode AUTHOR_MISMATCH", "Nobody pushes for another organisation.", "任何机构不得代他人推送。", identity.other_author),
    *identity.signer_cases(),
    _case("bridge.pull.exact-bytes", "Delivery.envelope", "A delivery is the pushed envelope, byte for byte, with its signer's certificates.", "投递内容与推送信封逐字节相同，并附签名证书。", pull.exact_bytes),
    _case("bridge.pull.lane-order", "R50 · Delivery.lane", "A lane keeps the order in which its messages were accepted; positions grow.", "通道内保持接受顺序，位置递增。", pull.lane_order),
    _case("bridge.pull.urgent-first", "R24 · " + _PULL, "Of lanes that wait, the most urgent comes first.", "同时等待的通道中，最紧急者先投递。", pull.urgent_first),
    _case("bridge.pull.urgent-alone", "R24 · PullMessagesRequest.least_urgency", "A pull of urgent lanes alone gets these, whole, and no other.", "仅拉取紧急通道时，只得到这些通道的全部投递。", pull.urgent_alone),
    _case("bridge.pull.lease", "Delivery.lease_expire_time", "A leased lane is given to nobody else, and comes again, marked as a repeat, when its lease ends.", "租出的通道不重复投递；租约到期后重新投递并标明次数。", pull.lease),
    _case("bridge.pull.given-up", _PULL, "A pull that its caller gave up takes nothing with it.", "调用方放弃的拉取不带走任何消息。", pull.given_up),
    _case("bridge.pull.waiting", "PullMessagesRequest.wait", "A pull from an empty mailbox ends with nothing when its wait is over.", "空邮箱的拉取在等待期满后空手返回。", pull.waiting_pull),
    _case("bridge.acknowledge.forwarded", "R50 · WrittenReceipt", "The receiver's signed 'written' is logged and reaches the author unchanged.", "接收方签名的“已写入”入日志并原样送达作者。", pull.forwarded),
    _case("bridge.acknowledge.again", _ACK, "The first acknowledgement wins; a repeat is recorded as before.", "首次确认为准；重复确认结果不变。", pull.acknowledged_again),
    _case("bridge.acknowledge.late", _ACK, "An acknowledgement counts after its lease has ended.", "租约到期后的确认仍然有效。", pull.acknowledged_late),
    _case("bridge.acknowledge.forged", "WrittenStatement", "Only the recipient acknowledges, and only the bytes that it got; the neighbour is recorded.", "只有接收方可确认，且须针对所收字节；相邻确认照常记录。", pull.forged),
    _case("bridge.acknowledge.quarantine", "R50b · Acknowledgement.refused", "A message that its receiver refuses stops only its lane; reconciling frees it.", "被接收方拒收的消息只停其所在通道；校核后恢复。", pull.quarantine),
    _case("bridge.acknowledge.cut", _ACK, "A connection cut in the middle of an acknowledge loses nothing and doubles nothing.", "确认途中断线不丢不重。", pull.cut),
    _case("bridge.acknowledge.restart", _ACK, "A power cut in the middle of an acknowledge loses nothing and doubles nothing.", "确认途中断电不丢不重。", pull.restart, "restart"),
    _case("bridge.reconcile.behind", "R50b · ReconcileHandoffs", "A platform that lost its database gets back what it had acknowledged.", "丢失数据库的平台可取回已确认的消息。", pull.reconcile),
    _case("bridge.log.grows", "StoredReceipt.checkpoint", "The log only grows, under one name.", "日志只增不减，名称不变。", pull.checkpoints),
    *refusal_cases(),
)
# fmt: on

_OWES = "adapters/README"

# fmt: off
RECEIVER: tuple[Case, ...] = (
    _case("receiver.written", "R50 · WrittenStatement", "Its 'written' is signed by its organisation, names the very bytes delivered and no others, and reaches the author.", "“已写入”由本机构签名，只针对所投递的字节，并送达作者。", receiver.written),
    _case("receiver.numbered", "WrittenStatement.local_number", "Every message gets a number of its own in the receiver's database.", "每条消息在接收方数据库中各有其号。", receiver.numbered),
    _case("receiver.recorded", f"R50 · {_OWES} 1, 4", "What was acknowledged stands in the records, once, in the order of the lane.", "已确认的消息按通道顺序各记录一次。", receiver.recorded, "records"),
    _case("receiver.redelivered", f"{_OWES} 2", "A redelivery changes nothing: the same number, one record.", "重复投递不产生变化：同号、一条记录。", receiver.redelivered),
    _case("receiver.written-before-acknowledged", f"R50 · {_OWES} 1", "The record is there before 'written' is said: the power is cut while the acknowledge is on its way.", "先落库后回执：确认途中断电，记录必须已在。", receiver.written_before_acknowledged, "records"),
    _case("receiver.acknowledged-again", "AcknowledgeOutcome.retry", "An acknowledgement that is to be tried again is said again.", "被要求重试的确认会再次发出。", receiver.not_recorded_yet),
    _case("receiver.neighbours", "ExchangeService.AcknowledgeMessages", "One outcome that is to be tried again does not unsay its neighbours.", "一项结果须重试不影响同批其他确认。", receiver.neighbours_survive),
    _case("receiver.bridge-away", "UNAVAILABLE", "A bridge that is away for a while is tried again.", "网桥暂不可用时会重试。", receiver.unavailable),
    _case("receiver.bridge-silent", "R50 · deadlines", "A call that is never answered is given up at the adapter's own deadline.", "始终无答复的调用在适配器自定期限内放弃。", receiver.silent_bridge, "deadline_seconds"),
    _case("receiver.changed-content", "Envelope.groups", "A group that was changed on the way is not written; only its lane stops, the neighbour is written.", "途中被改动的字段组不得写入；只停其通道，相邻照常。", unsound.changed_content),
    _case("receiver.bad-signature", "Envelope.signature", "A message whose signature does not hold is not written; only its lane stops, the neighbour is written.", "签名不成立的消息不得写入；只停其通道，相邻照常。", unsound.bad_signature),
    _case("receiver.other-signer", "Header.author", "A message that another organisation signed in the author's name is not written.", "他人冒作者之名签署的消息不得写入。", unsound.other_signer),
    _case("receiver.declines", "Acknowledgement.refused", "What can never be written is refused under the receiver's signature.", "永远无法写入的消息由接收方签名拒收。", unsound.declines),
    _case("receiver.unknown-fields", "CONTRIBUTING · Envelope", "Unknown fields, groups and descriptive values hinder nothing.", "未知字段、字段组与描述性枚举值不构成障碍。", unsound.unknown_fields),
    _case("receiver.withheld", "Envelope.groups", "A message of which a group is withheld is written.", "隐去字段组的消息照常写入。", unsound.withheld),
    _case("receiver.clock-skew", "Header.create_time", "An author's clock may be a day off.", "作者时钟可偏差一天。", unsound.clock_skew),
    _case("receiver.largest", "Envelope · PullMessagesRequest", "The largest envelope is written, and a hundred at once.", "最大信封与一次百条均可写入。", unsound.largest),
    _case("receiver.impostor", "R50a", "Who poses as the bridge with an unknown authority's certificate is told nothing.", "以未知认证机构证书冒充网桥者得不到任何内容。", receiver.impostor),
)

SENDER: tuple[Case, ...] = (
    _case("sender.stored", "R50 · Envelope", "What its platform says is signed by its organisation and arrives, field by field.", "平台所说由本机构签名，并逐字段送达。", sender.stored, "say"),
    _case("sender.repeated-alike", f"{_OWES} 3", "When the answer is lost, the very same bytes are pushed again.", "答复丢失时以相同字节再次推送。", sender.repeated_alike, "say"),
    _case("sender.tried-again", "PushOutcome.retry", "A message that is to be tried again is pushed again; a missing predecessor is no refusal.", "须重试的消息会再次推送；前序未到并非拒绝。", sender.tried_again, "say"),
    _case("sender.bridge-away", "UNAVAILABLE", "A bridge that is away for a while is tried again.", "网桥暂不可用时会重试。", sender.unavailable, "say"),
    _case("sender.bridge-silent", "R50 · deadlines", "A push that is never answered is given up at the adapter's own deadline, and repeated.", "始终无答复的推送在适配器自定期限内放弃并重发。", sender.silent_bridge, "say", "deadline_seconds"),
    _case("sender.forged-receipt", "StoredReceipt.path", "A stored receipt whose proof does not hold is not believed.", "证明不成立的存储回执不予采信。", sender.forged_receipt, "say"),
    _case("sender.other-log", "StoredReceipt.checkpoint", "A stored receipt whose log's signature does not hold is not believed.", "日志签名不成立的存储回执不予采信。", sender.other_log, "say"),
    _case("sender.too-few-outcomes", "PushMessagesResponse.outcomes", "An answer with fewer outcomes than messages decides nothing.", "结果少于消息数的答复不作数。", sender.too_few_outcomes, "say"),
    _case("sender.in-order", f"R50 · {_OWES} 4", "What was said about a hand-off arrives in the order in which it was said.", "同一移交先说先到。", sender.in_order, "say"),
    _case("sender.neighbours", f"{_OWES} 7", "A refusal is an answer: the refused message is not pushed for ever, and keeps no other from going.", "拒绝即是答复：不再反复推送，也不妨碍其他消息。", sender.neighbours, "say"),
    _case("sender.power-cut-after-say", _OWES, "What its platform has said is sent after a power cut.", "平台已说的内容断电后仍会发出。", sender.power_cut_after_say, "say"),
    _case("sender.power-cut-at-the-answer", f"{_OWES} 3", "A power cut between commit and answer: the same bytes again, delivered once.", "提交与答复之间断电：以相同字节重发，只投递一次。", sender.power_cut_at_the_answer, "say"),
    _case("sender.derived-id", "Header.message_id", "A message's id follows from organisation, record, revision and kind.", "消息编号由机构、记录号、版本与种类导出。", sender.derived, "say"),
    _case("sender.receipts-noted", "Acknowledgement.receipt_position", "The other side's receipts are noted, so that they do not come for ever.", "对方回执会被记下，不再反复投递。", sender.receipts_noted, "say"),
    _case("sender.predecessor", "Header.previous", "A state-moving message names its predecessor, which the adapter knows.", "改变状态的消息写明前序，由适配器补全。", sender.predecessor, "say", "heads"),
    _case("sender.many", "Signature", "A hundred messages said together arrive, whatever batches they were signed in.", "一次所说的百条消息均送达，不论如何分批签名。", sender.one_signature, "say"),
    _case("sender.impostor", "R50a", "Who poses as the bridge with an unknown authority's certificate is told nothing.", "以未知认证机构证书冒充网桥者得不到任何内容。", receiver.impostor),
)

_JOINS = "adapters/relay"

RELAY: tuple[Case, ...] = (
    _case("relay.up", f"R50a · Header.marker · {_JOINS}", "What waits at the lower bridge for a platform of the upper one arrives there, an exercise as well as what is real.", "下级网桥信箱中发往上级一侧平台的消息送达对方，演练与真实事项皆然。", carries.up),
    _case("relay.down", f"R50a · Header.marker · {_JOINS}", "What waits at the upper bridge for a platform of the lower one arrives there, an exercise as well as what is real.", "上级网桥信箱中发往下级一侧平台的消息送达对方，演练与真实事项皆然。", carries.down),
    _case("relay.untouched", "Envelope · R50", "The author's bytes, its signature and every field group arrive as they were; hops stand behind them.", "作者所签字节、签名与各字段组原样送达；轨迹只附于其后。", carries.untouched),
    _case("relay.unknown-fields", "Envelope", "What a later version of the contract may add is carried as it is.", "后续版本可能新增的内容原样转送。", carries.unknown_fields),
    _case("relay.hop", "Envelope.hops", "The bridge that a message came from is added to its way, with the time, outside the signed bytes.", "来源网桥及时间记入轨迹，位于签名字节之外。", carries.hop),
    _case("relay.hops-kept", "Envelope.hops", "Hops that were there stay, before the new one.", "已有轨迹保留在新轨迹之前。", carries.hops_kept),
    _case("relay.first-bridge-judges", "Envelope.hops · DESIGN 3", "What the first bridge judged by rules that the next one has not is taken there unjudged.", "首个网桥按其地区规则审核过的消息，后续网桥不再审核。", carries.first_bridge_judges),
    _case("relay.in-order", f"R50 · {_JOINS}", "A hand-off's messages arrive in the order in which they were said.", "同一移交先说先到。", carries.in_order),
    _case("relay.urgent-first", "R24 · ExchangeService.PullMessages", "Of lanes that wait, the most urgent is brought first.", "同时等待的通道中，最紧急者先转送。", carries.urgent_first),
    _case("relay.many", "Envelope · PushMessagesRequest", "The largest envelope, its hops not counted, and a hundred more at once arrive.", "最大信封（轨迹不计）与一次百条均送达。", carries.many),
    _case("relay.whole-life", "R50 · Acknowledgement", "A matter is offered, taken, resolved and closed across; nothing that the relay brings is its own.", "事项跨桥移交、签收、反馈、办结；中继所送内容均非其自身声明。", carries.whole_life),
    _case("relay.loop", "RefusalCode RELAY_LOOP", "A message that has been at the upper bridge already is refused there, and its author learns of it.", "已经过上级网桥又绕回的消息在该处被拒，作者得知。", carries.loop),
    _case("relay.passed", "Acknowledgement.passed", "The upper bridge's stored receipt is brought to the lower one as it is, and ends the waiting.", "上级网桥的存储回执原样送交下级网桥，消息离开其信箱。", answers.passed),
    _case("relay.written", "R50 · WrittenReceipt", "The receiver's signed 'written' reaches the author to the byte, in both directions.", "接收方签名的“已写入”逐字节送达作者，双向皆然。", answers.written),
    _case("relay.receipt-kept", f"R50 · {_JOINS}", "A receipt that the author's bridge has not recorded yet is not noted at the receiver's.", "作者所在网桥尚未记录的回执，不得在来源网桥注销。", answers.kept),
    _case("relay.receipts-noted", "Acknowledgement.receipt_position", "A receipt that was brought home is noted where it came from.", "已送达的回执在来源网桥注销。", answers.noted),
    _case("relay.refused-by-receiver", "R50b · Acknowledgement.refused", "The receiver's signed refusal reaches the author to the byte.", "接收方签名的拒收逐字节送达作者。", answers.refused_by_receiver),
    _case("relay.refused-by-bridge", "RefusedReceipt", "What the upper bridge refuses its author learns, signed by that bridge; a neighbour is passed on.", "上级网桥的签名拒绝送达作者；相邻消息照常转递。", answers.refused_by_bridge, "party:county"),
    _case("relay.forged-receipt", "StoredReceipt.path", "A stored receipt whose proof does not hold ends no waiting: the message is brought again.", "证明不成立的存储回执不使消息离开信箱，消息再次转送。", answers.forged_receipt),
    _case("relay.acknowledged-again", "UNAVAILABLE", "A bridge that is away while it is told is told again.", "说明与回执送交时网桥不可用，须再次送交。", answers.bridge_away),
    _case("relay.upper-away", "UNAVAILABLE", "While the bridge that it brings to is away nothing is lost, and then all of it arrives, once.", "目的网桥不可用期间不丢失，恢复后各到达一次。", faults.upper_away),
    _case("relay.lower-away", "UNAVAILABLE", "While the bridge that it fetches from is away nothing is lost, and then all of it arrives, once.", "来源网桥不可用期间不丢失，恢复后各到达一次。", faults.lower_away),
    _case("relay.bridge-silent", "R50 · deadlines", "A push that is never answered is given up at the relay's own deadline, and repeated.", "始终无答复的推送在中继自定期限内放弃并重发。", faults.silent, "deadline_seconds"),
    _case("relay.tried-again", "PushOutcome.retry", "What is to be tried again is brought again and is no refusal.", "须重试的消息会再次转送，并非拒绝。", faults.tried_again),
    _case("relay.too-few-outcomes", "PushMessagesResponse.outcomes", "An answer with fewer outcomes than messages decides nothing.", "结果少于消息数的答复不作数。", faults.too_few_outcomes),
    _case("relay.answer-lost", "ExchangeService.PushMessages", "When the answer to a push is lost, the message is brought again, arrives once and is passed on.", "推送答复丢失时再次转送，只到达一次并说明已转递。", faults.answer_lost),
    _case("relay.duplicates", "ExchangeService.PullMessages", "What is given twice is one message, and its neighbours go on.", "重复取得的消息只算一条，相邻消息照常。", faults.duplicates),
    _case("relay.power-cut-before-the-push", f"R50 · {_JOINS}", "A power cut when a message is fetched and the upper bridge has not heard of it: it arrives.", "已取得而上级网桥尚不知晓时断电：消息仍会到达。", faults.cut_before_the_push),
    _case("relay.power-cut-at-the-push", f"R50 · {_JOINS}", "A power cut after the upper bridge stored a message and before the lower one was told: it arrives once.", "上级网桥已存储、尚未告知下级网桥时断电：只到达一次。", faults.cut_at_the_push),
    _case("relay.power-cut-at-the-acknowledge", f"R50 · {_JOINS}", "A power cut in the middle of telling the lower bridge: the message arrives once and is passed on.", "告知下级网桥途中断电：只到达一次并说明已转递。", faults.cut_at_the_acknowledge),
    _case("relay.power-cut-at-the-receipt", f"R50 · {_JOINS}", "A power cut in the middle of bringing a receipt home: the author gets it.", "送回回执途中断电：作者仍会收到。", faults.cut_at_the_receipt),
    _case("relay.impostor", "R50a", "Who poses as either bridge with an unknown authority's certificate is told nothing.", "以未知认证机构证书冒充任一网桥者得不到任何内容。", faults.impostor),
)
# fmt: on

#: Every case; ids are unique, which a test holds.
CASES: tuple[Case, ...] = (*BRIDGE, *RECEIVER, *SENDER, *RELAY)
