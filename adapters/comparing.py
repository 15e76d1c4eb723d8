"""
Comparing the three copies of what crossed (双方校核、查漏纠错, R50b): platform, spool and bridge.

`compare` is a function of what each holds at one moment.  While an adapter runs, what is just crossing
looks like a difference: whoever compares reads platform and spool before and after the bridge, and
believes what both readings have (`lasting`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from adapters.holdings import Holdings
from adapters.spool_copy import Arrived, SpoolCopy
from exchange.acts import Kind
from exchange.client.copying import BridgeCopy, BridgeHandoff, BridgeMessage
from exchange.text import Text
from exchange.ticket import State

#: After these nobody says anything on a hand-off.
_ENDED = frozenset({State.RETURNED, State.CLOSED})


class Fault(Enum):
    """What is wrong with one message or hand-off; the value is its name in data."""

    LOST_HERE = "lost_here"
    NOT_FETCHED = "not_fetched"
    DECLINED = "declined"
    UNACKNOWLEDGED = "unacknowledged"
    AUTHOR_MUST_SEND = "author_must_send"
    WAITING = "waiting"
    BRIDGE_LACKS = "bridge_lacks"
    NEVER_SENT = "never_sent"
    FORGOTTEN = "forgotten"
    SPOOL_BEHIND = "spool_behind"
    BRIDGE_BEHIND = "bridge_behind"
    STATES_DIFFER = "states_differ"


#: What each means, and what is done about it.
FAULTS: dict[Fault, tuple[Text, Text]] = {
    Fault.LOST_HERE: (
        Text(en="came and was said to be written; the platform does not hold it", zh="已签收，平台中没有"),
        Text(en="--send: it comes again", zh="--send：重新送达"),
    ),
    Fault.NOT_FETCHED: (
        Text(en="stored by the bridge, not written here", zh="网桥已存储，本端未写入"),
        Text(en="the running adapter fetches it; --send asks for it", zh="由运行中的适配器领取；--send 请求送达"),
    ),
    Fault.DECLINED: (
        Text(en="could not be digested here; its lane stands still", zh="本端无法写入，通道停滞"),
        Text(en="exchange lane show, then exchange lane retry", zh="执行 exchange lane show，再 exchange lane retry"),
    ),
    Fault.UNACKNOWLEDGED: (
        Text(en="written here, not acknowledged at the bridge", zh="本端已写入，网桥未见签收"),
        Text(en="--send: it is said again", zh="--send：再次签收"),
    ),
    Fault.AUTHOR_MUST_SEND: (
        Text(en="came here; the bridge has it no more", zh="本端已收到，网桥中没有"),
        Text(en="its author sends it again: exchange adapter reconcile --send there", zh="由发送方重发：在其处执行 exchange adapter reconcile --send"),
    ),
    Fault.WAITING: (
        Text(en="waits here to be sent", zh="在本端待发送"),
        Text(en="the running adapter sends it", zh="由运行中的适配器发送"),
    ),
    Fault.BRIDGE_LACKS: (
        Text(en="was stored by the bridge, which has it no more", zh="曾由网桥存储，网桥中已没有"),
        Text(en="--send: it is sent again", zh="--send：重新发送"),
    ),
    Fault.NEVER_SENT: (
        Text(en="said by the platform; neither spool nor bridge has it", zh="平台已提交，暂存库与网桥均没有"),
        Text(en="restart the adapter; if it stays, say it again in the platform", zh="重启适配器；仍存在则在平台重新提交"),
    ),
    Fault.FORGOTTEN: (
        Text(en="said by this organisation; the platform knows it no more", zh="本机构已发出，平台中已没有"),
        Text(en="read it: exchange ticket trail; enter it in the platform", zh="查阅 exchange ticket trail，在平台补录"),
    ),
    Fault.SPOOL_BEHIND: (
        Text(en="the spool knows an earlier step than the bridge, or none", zh="暂存库所知步骤早于网桥，或不知此移交"),
        Text(en="--send: the spool learns it", zh="--send：暂存库补记"),
    ),
    Fault.BRIDGE_BEHIND: (
        Text(en="the spool knows a step that the bridge has no more", zh="暂存库所知步骤网桥中已没有"),
        Text(en="whoever said it says it again; look at: exchange ticket trail", zh="由发出方重新提交，请查阅 exchange ticket trail"),
    ),
    Fault.STATES_DIFFER: (
        Text(en="the platform sees another state than the bridge", zh="平台状态与网桥不一致"),
        Text(en="correct it in the platform: exchange ticket show", zh="对照 exchange ticket show 在平台更正"),
    ),
}  # fmt: skip

#: What `--send` does something about.
MENDED = frozenset({
    Fault.LOST_HERE, Fault.NOT_FETCHED, Fault.UNACKNOWLEDGED, Fault.BRIDGE_LACKS, Fault.SPOOL_BEHIND,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference; *message_id* is empty where it is about a whole hand-off."""

    fault: Fault
    message_id: str = ""
    kind: str = ""
    ticket_id: str = ""
    #: The lane: of an opening or closing the hand-off that it comes with.
    handoff_id: str = ""
    #: The other side, where it is known.
    peer: str = ""
    #: The states that differ: the platform's, the bridge's.
    states: tuple[int, ...] = ()


def compare(
    organisation: str,
    platform: Holdings | None,
    spool: SpoolCopy,
    bridge: BridgeCopy,
    *,
    whole: bool,
) -> list[Difference]:
    """
    Return what *organisation*'s copies differ in, messages first.

    *whole* says that *bridge* holds all that it knows: what is not in it, it does not know.
    """
    found = [*_came(organisation, platform, spool, bridge, whole=whole)]
    found += _said(organisation, platform, spool, bridge, whole=whole)
    # Where a message is missing somewhere, how its ticket's hand-offs stand follows from that.
    touched = {one.ticket_id for one in found}
    digests = {one.digest for one in bridge.messages.values()}
    # What this side set aside moved a hand-off on for everybody else.
    aside = {
        one.digest
        for one in bridge.messages.values()
        if organisation in one.set_aside_by - one.written_by
    }
    for handoff in bridge.handoffs.values():
        if handoff.ticket_id in touched or handoff.head in aside:
            continue
        if organisation in (handoff.sender, handoff.receiver):
            found += _standing(organisation, platform, spool, handoff, digests)
    return found


def lasting(first: Iterable[Difference], second: Sequence[Difference]) -> list[Difference]:
    """Return the differences that both readings have: what was crossing between them is none."""
    both = set(first)
    return [one for one in second if one in both]


def unwritten(organisation: str, bridge: BridgeCopy) -> int:
    """Return how many of *organisation*'s messages their receiver has not written yet."""
    return sum(
        one.author == organisation != one.recipient
        and bool(one.recipient)
        and one.recipient not in one.written_by
        for one in bridge.messages.values()
    )


def _came(
    us: str, platform: Holdings | None, spool: SpoolCopy, bridge: BridgeCopy, *, whole: bool
) -> Iterator[Difference]:
    held = platform.written if platform is not None else None
    for message, lane in _addressed(us, bridge):
        here = spool.came.get(message.message_id)
        if us in message.set_aside_by - message.written_by and (here is None or here.aside):
            continue
        fault = _arrival(message, here, held, acknowledged=us in message.written_by)
        if fault is not None:
            yield Difference(
                fault=fault,
                message_id=message.message_id,
                kind=message.kind,
                ticket_id=message.ticket_id,
                handoff_id=lane,
                peer=message.author,
            )
    for name, arrived in spool.came.items():
        if name in bridge.messages:
            continue
        if arrived.declined and not arrived.ticket_id:  # what could not be read is in no trail
            yield Difference(fault=Fault.DECLINED, message_id=name)
        elif arrived.ticket_id in bridge.tickets:
            yield Difference(
                fault=Fault.AUTHOR_MUST_SEND, message_id=name, ticket_id=arrived.ticket_id
            )
    if whole:
        for name in held or ():
            if name not in bridge.messages and name not in spool.came:
                yield Difference(fault=Fault.AUTHOR_MUST_SEND, message_id=name)


def _arrival(
    message: BridgeMessage,
    here: Arrived | None,
    held: Mapping[str, str] | None,
    *,
    acknowledged: bool,
) -> Fault | None:
    """Return what is wrong with a message that the bridge delivers; None where nothing is."""
    declined = here is not None and here.declined
    if held is None:  # only the platform could tell that what was acknowledged is not there
        written = acknowledged or (here is not None and not declined)
    else:
        written = message.message_id in held
    if written:
        return None if acknowledged else Fault.UNACKNOWLEDGED
    if declined:
        return Fault.DECLINED
    return Fault.LOST_HERE if acknowledged or here is not None else Fault.NOT_FETCHED


def _addressed(us: str, bridge: BridgeCopy) -> Iterator[tuple[BridgeMessage, str]]:
    """Yield what the bridge delivers to *us*, each with its lane, as `exchange.bridge.reconcile` does."""
    first: dict[str, str] = {}
    for one in bridge.messages.values():
        if one.recipient == us != one.author:
            first.setdefault(one.ticket_id, one.handoff_id)
    newest = {
        one.ticket_id: one.handoff_id
        for one in bridge.handoffs.values()
        if us in (one.sender, one.receiver)
    }
    lanes = {Kind.OPEN_TICKET.value: first, Kind.CLOSE_TICKET.value: newest}
    for one in bridge.messages.values():
        if one.author == us:
            continue
        lane = lanes[one.kind].get(one.ticket_id) if one.kind in lanes else one.handoff_id
        if lane and (one.kind in lanes or one.recipient == us):
            yield one, lane


def _said(
    us: str, platform: Holdings | None, spool: SpoolCopy, bridge: BridgeCopy, *, whole: bool
) -> Iterator[Difference]:
    said = platform.said if platform is not None else None
    for name, own in spool.own.items():
        if own.state == "waiting":
            fault = Fault.WAITING
        elif own.state == "stored" and name not in bridge.messages:
            fault = Fault.BRIDGE_LACKS
        else:
            continue
        yield Difference(
            fault=fault,
            message_id=name,
            kind=own.kind,
            ticket_id=own.ticket_id,
            handoff_id=own.handoff_id,
            peer=own.recipient,
        )
    if platform is None or said is None:
        return
    for one in bridge.messages.values():
        if one.author == us and one.message_id not in said:
            yield Difference(
                fault=Fault.FORGOTTEN,
                message_id=one.message_id,
                kind=one.kind,
                ticket_id=one.ticket_id,
                handoff_id=one.handoff_id,
                peer=one.recipient,
            )
    unsent = said - spool.own.keys() - bridge.messages.keys()
    for name in sorted(unsent & platform.offered.keys()):
        yield Difference(fault=Fault.WAITING, message_id=name, ticket_id=platform.offered[name])
    if whole:
        for name in sorted(unsent - platform.offered.keys()):
            yield Difference(fault=Fault.NEVER_SENT, message_id=name)


def _standing(
    us: str,
    platform: Holdings | None,
    spool: SpoolCopy,
    handoff: BridgeHandoff,
    digests: Collection[bytes],
) -> Iterator[Difference]:
    """Yield how *handoff*, of which nobody misses a message, stands otherwise than at the bridge."""
    peer = handoff.sender if handoff.receiver == us else handoff.receiver
    about = partial(
        Difference, ticket_id=handoff.ticket_id, handoff_id=handoff.handoff_id, peer=peer
    )
    known = spool.handoffs.get(handoff.handoff_id)
    ended = handoff.state in _ENDED
    if known is None:
        if not ended:  # what ended is forgotten after a while
            yield about(fault=Fault.SPOOL_BEHIND)
    elif known.head != handoff.head:
        # What the bridge does not know it may have lost: the spool must not be put back to before it.
        behind = Fault.SPOOL_BEHIND if known.head in digests else Fault.BRIDGE_BEHIND
        yield about(fault=behind)
    seen = platform.states.get(handoff.handoff_id) if platform is not None else None
    if seen is not None and seen != handoff.state:
        yield about(fault=Fault.STATES_DIFFER, states=(seen, handoff.state))
