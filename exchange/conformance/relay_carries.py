"""Cases of a relay: what it carries, unchanged, in order, with the way that it went."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from exchange._proto.v1 import message_pb2
from exchange.acts import Marker, Urgency
from exchange.client.messages import IncomingReceipt, OutgoingMessage
from exchange.conformance.bridge_push import padded, with_the_unknown
from exchange.conformance.cases import require
from exchange.conformance.desk_stage import ids_of
from exchange.conformance.edge import Call, Hook
from exchange.conformance.matter import Matter, new_matter, renamed
from exchange.conformance.party import Party, digest_of, id_of
from exchange.conformance.relay_stage import OWN_PROFILE, RelayStage, Side, about, bytes_of
from exchange.errors import RefusalCode
from exchange.wire.headers import MAX_ENVELOPE, with_hop

#: A bridge that a message is said to have passed before the lower one.
EARLIER = "earlier.example/log/1"
#: What is carried alike.
_MARKERS = (Marker.ACTUAL, Marker.EXERCISE)


def up(stage: RelayStage) -> None:
    """What the lower bridge has for a platform of the upper one arrives there, an exercise too."""
    for marker in _MARKERS:
        _, sealed = stage.offer(_marked(new_matter("hotline"), marker))
        stage.arrived(stage.hotline, ids_of(sealed))


def down(stage: RelayStage) -> None:
    """And the other way."""
    for marker in _MARKERS:
        matter = _marked(new_matter("police"), marker)
        sealed = stage.hotline.seal(matter.opening, matter.offer)
        stage.push(stage.hotline, sealed)
        stage.arrived(stage.police, ids_of(sealed))


def _marked(matter: Matter, marker: Marker) -> Matter:
    return Matter(
        opening=renamed(matter.opening, marker=marker), offer=renamed(matter.offer, marker=marker)
    )


def untouched(stage: RelayStage) -> None:
    """What is brought begins with the author's bytes, groups and signature included."""
    matter, sealed = stage.offer()
    note = renamed(
        matter.progress(stage.hotline.organisation),
        groups={"disposal": {"content": "已核查。"}, "person": {"name": "来电人丙"}},
    )
    more = stage.police.seal(note)
    stage.push(stage.police, more)
    everything = {one.message_id: one.envelope for one in (*sealed, *more)}
    stage.arrived(stage.hotline, list(everything))
    _require_untouched(stage.upper, everything)


def unknown_fields(stage: RelayStage) -> None:
    """What a later version of the contract may add is carried as it is."""
    matter = new_matter("hotline")
    (opening,) = stage.police.seal(matter.opening)
    stage.push(stage.police, [opening])
    envelope = with_the_unknown(stage.police, matter.offer)
    (outcome,) = stage.police.push([envelope])
    stage.police.stored(outcome, digest_of(envelope))
    stage.arrived(stage.hotline, [opening.message_id, matter.offer.message_id])
    _require_untouched(stage.upper, {matter.offer.message_id: envelope})


def _require_untouched(side: Side, envelopes: dict[str, bytes]) -> None:
    for message_id, signed in envelopes.items():
        for brought in side.brought(message_id):
            require(
                brought.startswith(signed),
                f"The relay brought message {message_id} with other bytes than its author's.",
                f"中继转送的消息 {message_id} 与作者所签字节不同。",
            )
            behind = message_pb2.Envelope.FromString(brought[len(signed) :])
            behind.ClearField("hops")
            require(
                not behind.ByteSize(),
                f"The relay added more than hops to message {message_id}.",
                f"中继在消息 {message_id} 之后附加了轨迹以外的内容。",
            )


def hop(stage: RelayStage) -> None:
    """The bridge that it came from is added to its way."""
    _, sealed = stage.offer()
    stage.arrived(stage.hotline, ids_of(sealed))
    for one in sealed:
        for brought in stage.upper.brought(one.message_id):
            hops = message_pb2.Envelope.FromString(brought).hops
            named = [step.by for step in hops]
            require(
                stage.lower.origin in named
                and set(named) <= {stage.lower.origin, stage.organisation},
                f"The way of a message that came from {stage.lower.origin} is {named}.",
                f"来自 {stage.lower.origin} 的消息，其轨迹为 {named}。",
            )
            require(
                all(step.HasField("time") for step in hops),
                "A hop says no time.",
                "轨迹缺少时间。",
            )


def hops_kept(stage: RelayStage) -> None:
    """Hops that were there stay, before the new one."""
    stage.lower.edge.answering.append(came_by(EARLIER))
    _, sealed = stage.offer()
    stage.arrived(stage.hotline, ids_of(sealed))
    for one in sealed:
        for brought in stage.upper.brought(one.message_id):
            named = [step.by for step in message_pb2.Envelope.FromString(brought).hops]
            require(
                named[:1] == [EARLIER] and stage.lower.origin in named[1:],
                f"A message that came by {EARLIER} was brought with the way {named}.",
                f"途经 {EARLIER} 的消息被转送时轨迹为 {named}。",
            )


def came_by(origin: str) -> Hook:
    """Return a hook for a bridge's edge: what is pulled there came by the bridge *origin* before."""

    def hook(call: Call) -> None:
        if call.method == "PullMessages" and call.answer is not None:
            for delivery in call.answer.deliveries:
                if delivery.WhichOneof("content") == "envelope":
                    delivery.envelope = with_hop(delivery.envelope, origin, datetime.now(UTC))

    return hook


def first_bridge_judges(stage: RelayStage) -> None:
    """What the first bridge judged by rules that the next one has not is taken there."""
    plain = new_matter("hotline")
    offer = renamed(plain.offer, act={**plain.offer.act, "profile": OWN_PROFILE})
    _, sealed = stage.offer(Matter(opening=plain.opening, offer=offer))
    stage.arrived(stage.hotline, ids_of(sealed))


def in_order(stage: RelayStage) -> None:
    """A hand-off's messages arrive in the order in which they were said."""
    matter = new_matter("hotline")
    to = stage.hotline.organisation
    notes = [matter.progress(to, f"第 {n} 次补充。") for n in range(6)]
    sealed = stage.police.seal(matter.opening, matter.offer, *notes)
    with stage.held(stage.lower):
        stage.push(stage.police, sealed)
    wanted = ids_of(sealed)
    order = [one.message_id for one in stage.arrived(stage.hotline, wanted)]
    require(
        order == wanted,
        f"A hand-off's messages arrived as {[wanted.index(one) for one in order]}.",
        f"某移交的消息到达顺序为 {[wanted.index(one) for one in order]}。",
    )


def urgent_first(stage: RelayStage) -> None:
    """Of lanes that wait, the most urgent is brought first."""
    routine = [new_matter("hotline") for _ in range(4)]
    urgent = new_matter("hotline", urgency=Urgency.IMMEDIATE)
    messages = [one for matter in (*routine, urgent) for one in (matter.opening, matter.offer)]
    sealed = stage.police.seal(*messages)
    with stage.held(stage.lower):
        stage.push(stage.police, sealed)
    stage.arrived(stage.hotline, ids_of(sealed))
    brought = [
        id_of(envelope)
        for call in stage.upper.calls("PushMessages")
        for envelope in call.request.envelopes
    ]
    place = brought.index(urgent.offer.message_id)
    before = [m for m in routine if brought.index(m.offer.message_id) < place]
    require(
        not before,
        f"An urgent matter was brought behind {len(before)} routine ones that had waited with it.",
        f"紧急事项排在同时等待的 {len(before)} 件普通事项之后转送。",
    )


def many(stage: RelayStage) -> None:
    """The largest envelope, and a hundred more at once, arrive."""
    matter = new_matter("hotline")
    sealed = stage.police.seal(matter.opening, matter.offer)
    (big,) = stage.police.push([padded(sealed[0].envelope, MAX_ENVELOPE)])
    stage.police.stored(big, sealed[0].digest)
    stage.push(stage.police, sealed[1:])
    crowd = [new_matter("hotline") for _ in range(50)]
    more = stage.police.seal(*(one for m in crowd for one in (m.opening, m.offer)))
    stage.push(stage.police, more)
    stage.arrived(stage.hotline, [*ids_of(sealed), *ids_of(more)])


def whole_life(stage: RelayStage) -> None:
    """Offered, taken, worked and closed across; nothing that the relay brings is its own."""
    matter, sealed = stage.offer()
    police, hotline = stage.police, stage.hotline
    stage.arrived(hotline, ids_of(sealed))
    previous, ids = sealed[-1].digest, ids_of(sealed)
    sayings: tuple[tuple[Party, Party, Callable[[str, bytes], OutgoingMessage]], ...] = (
        (hotline, police, matter.take),
        (hotline, police, matter.result),
        (police, hotline, matter.close),
    )
    for author, other, say in sayings:
        (one,) = author.seal(say(other.organisation, previous))
        stage.push(author, [one])
        stage.arrived(other, [one.message_id])
        previous, ids = one.digest, [*ids, one.message_id]
    for side in stage.sides:
        reader = police if side is stage.lower else hotline
        (handoff,) = reader.ticket(matter.ticket).ticket.handoffs
        require(
            handoff.head_digest == previous,
            f"The {side.name} bridge does not know the hand-off's last message.",
            f"{side.name} 网桥不知道该移交的最后一条消息。",
        )
    _require_nothing_of_its_own(stage, ids)


def _require_nothing_of_its_own(stage: RelayStage, ids: Collection[str]) -> None:
    """Of these messages and of what was said about them, all was given to the relay beyond."""
    for here, there in (stage.sides, stage.sides[::-1]):
        for message_id in ids:
            given = here.given(message_id)
            require(
                all(any(map(one.startswith, given)) for one in there.brought(message_id)),
                f"The relay brought the {there.name} bridge a message that the {here.name} one had not "
                "given it.",
                f"中继向 {there.name} 网桥送交了 {here.name} 网桥未曾给出的消息。",
            )
        signed = {bytes_of(one) for one in there.receipts() if about(one) in ids}
        said = {bytes_of(one) for one, _ in here.acknowledged() if about(one) in ids}
        require(
            said <= signed,
            f"The relay said {len(said - signed)} things at the {here.name} bridge that nobody had signed "
            f"at the {there.name} one.",
            f"中继在 {here.name} 网桥声明了 {len(said - signed)} 项 {there.name} 网桥一侧无人签署的内容。",
        )


def loop(stage: RelayStage) -> None:
    """What has been at the upper bridge already is refused there, and its author learns of it."""
    stage.lower.edge.answering.append(came_by(stage.upper.origin))
    _, sealed = stage.offer()
    offer = sealed[-1].message_id
    (receipt,) = stage.got(stage.police, [offer], receipts=True)
    told = receipt.item
    require(
        isinstance(told, IncomingReceipt)
        and told.refusal is not None
        and told.refusal.code is RefusalCode.RELAY_LOOP
        and told.organisation == stage.upper.origin,
        "The author of a message that went round was not told RELAY_LOOP by the upper bridge.",
        "绕回的消息，其作者未收到上级网桥的 RELAY_LOOP 拒绝。",
    )
