"""A receiver sets a message aside: a leaf, a refusal to its author, and a lane that goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.acts import Kind
from exchange.bridge.reconcile import Head
from exchange.errors import Refusal, RefusalCode
from exchange.log import LeafKind, TrustedLogs, parse_leaf
from exchange.merkle import leaf_hash
from exchange.query import Query
from exchange.submission import Acknowledged, Delivered, Recorded
from exchange.wire.calls import unpack_signature
from exchange.wire.receipts import read_refused, refused_receipt
from tests.bridge.world import (
    HOTLINE,
    LOG_KEY,
    POLICE,
    Matter,
    World,
    recorded,
    refused,
    stored,
)

NO_COLUMN = Refusal(code=RefusalCode.FIELD_INVALID)
WHY = "平台无此字段，已电话告知。"


def handed_over(world: World) -> tuple[Matter, Delivered]:
    """Let the hotline offer a matter, and the police write its opening; return it and the offer."""
    matter = Matter()
    for outcome in world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE)):
        stored(outcome)
    opening, offer = world.pull(POLICE)
    recorded(world.write(POLICE, opening)[0])
    return matter, offer


def follow(world: World, matter: Matter) -> str:
    """Let the hotline add something behind the offer; return its id."""
    content = {"disposal": {"content": "请尽快处理。"}}
    note = world.message(Kind.PROGRESS, matter, recipient=POLICE, groups=content)
    stored(world.push(HOTLINE, note)[0])
    return note.message_id


def aside(world: World, one: Delivered, why: str = WHY) -> Acknowledged:
    """Return that the police set *one* aside."""
    return world.declined(POLICE, one, NO_COLUMN, set_aside=why)


def standing(world: World, matter: Matter) -> tuple[str, str]:
    """Return who answers and who decides, as the bridge has it."""
    query = Query.open(world.url)
    try:
        (handoff,) = query.ticket(matter.ticket_id, None).handoffs
    finally:
        query.close()
    return handoff.standing.answers, handoff.standing.decides


def test_the_lane_goes_on_and_the_sender_goes_on_answering(world: World) -> None:
    """What stood behind it comes at once; its author gets the signed refusal, never a "written"."""
    matter, offer = handed_over(world)
    recorded(world.drain(world.declined(POLICE, offer, NO_COLUMN))[0])
    note = follow(world, matter)
    stands_still = world.pull(POLICE)
    told = world.drained(aside(world, offer))

    assert [] == stands_still
    assert {HOTLINE, POLICE} == told.woken
    assert [note] == [one.message_id for one in world.pull(POLICE)]
    assert (HOTLINE, POLICE) == standing(world, matter)
    last = [one for one in world.pull(HOTLINE) if one.message_id == offer.message_id]
    assert [(True, False)] * 2 == [(bool(one.refused), bool(one.written)) for one in last]


def test_it_is_a_leaf_that_proves_the_signed_statement(world: World) -> None:
    """The trail holds it as `set_aside`, with the receiver's refusal and its reason."""
    matter, offer = handed_over(world)
    leaf = recorded(world.drain(aside(world, offer))[0]).leaf_index
    query = Query.open(world.url)
    entries, _ = query.trail(matter.ticket_id, POLICE)
    query.close()
    last = entries[-1]
    assert last.receipt is not None
    signature = unpack_signature(last.receipt.signature)
    said = read_refused(refused_receipt(last.receipt.statement, signature))
    assert not isinstance(said, Refusal)
    found, head = last.proof.verify(
        LeafKind.SET_ASIDE, leaf_hash(last.receipt.statement), TrustedLogs([LOG_KEY.verifier])
    )

    assert (leaf, "set_aside", POLICE, HOTLINE) == (
        last.leaf_index, last.kind, last.author, last.recipient,
    )  # fmt: skip
    assert (WHY, offer.message_id, POLICE) == (said.set_aside, said.message_id, said.organisation)
    assert (LOG_KEY.name, HOTLINE, found.time) == (head.origin, last.answers, last.time)
    assert parse_leaf(last.proof.leaf).kind is LeafKind.SET_ASIDE


def test_saying_it_again_changes_nothing(world: World) -> None:
    """In one drain, in the next, and with another reason: one leaf, one refusal to the author."""
    _, offer = handed_over(world)
    once = aside(world, offer)
    same = world.drain(once, once)
    later = world.drain(
        once, aside(world, offer, "另一理由"), world.declined(POLICE, offer, NO_COLUMN)
    )
    leaves = {recorded(one).leaf_index for one in (*same, *later)}
    mail = [one for one in world.pull(HOTLINE) if one.message_id == offer.message_id]

    assert 1 == len(leaves)
    assert None not in leaves
    assert [1, 1] == [len(mail), len([one for one in mail if one.refused])]


def test_declined_and_set_aside_in_one_drain_stops_nothing(world: World) -> None:
    """The later word counts, and the lane is not out any more."""
    matter, offer = handed_over(world)
    note = follow(world, matter)
    world.drain(world.declined(POLICE, offer, NO_COLUMN), aside(world, offer))

    assert [note] == [one.message_id for one in world.pull(POLICE)]


def test_it_may_be_written_after_all(world: World) -> None:
    """Asked for by name it comes once more; "written" is a leaf of its own, and its author is told."""
    matter, offer = handed_over(world)
    recorded(world.drain(aside(world, offer))[0])
    head = Head(handoff_id=matter.handoff_id, digest=b"")
    routine = world.bridge.reconcile(POLICE, [head], world.now)
    # Whoever names no digest gets the opening again, which it knows.
    opening = [one.message_id for one in world.pull(POLICE)]
    asked = world.bridge.reconcile(POLICE, [replace(head, aside=True)], world.now)
    again = next(one for one in world.pull(POLICE) if one.message_id == offer.message_id)
    done = world.write(POLICE, again)[0]
    world.bridge.reconcile(POLICE, [replace(head, aside=True)], world.now)
    told = [one for one in world.pull(HOTLINE) if one.message_id == offer.message_id]

    assert ([1, 1], False) == (
        [routine.redelivered, asked.redelivered],
        offer.message_id in opening,
    )
    assert (offer.envelope, True) == (again.envelope, recorded(done).leaf_index is not None)
    assert ["refused", "written"] == ["refused" if one.refused else "written" for one in told]


def test_written_without_asking_counts_too(world: World) -> None:
    """The adapter was writing while a person set it aside: both are told, the last word is the truth."""
    _, offer = handed_over(world)
    first, second = world.drain(aside(world, offer), world.written(POLICE, offer))
    third = world.drain(world.written(POLICE, offer), aside(world, offer))

    assert recorded(first).leaf_index != recorded(second).leaf_index
    assert [recorded(second)] * 2 == [recorded(one) for one in third]


def test_set_aside_again_after_a_retry_is_another_act(world: World) -> None:
    """Each decision of a person is a leaf."""
    matter, offer = handed_over(world)
    first = recorded(world.drain(aside(world, offer))[0])
    head = Head(handoff_id=matter.handoff_id, digest=b"", aside=True)
    world.bridge.reconcile(POLICE, [head], world.now)
    again = next(one for one in world.pull(POLICE) if one.message_id == offer.message_id)
    recorded(world.drain(world.declined(POLICE, again, NO_COLUMN))[0])
    still = [one for one in world.pull(POLICE) if one.message_id == offer.message_id]
    second = recorded(world.drain(aside(world, again))[0])

    assert [] == still
    assert isinstance(first, Recorded)
    assert first.leaf_index != second.leaf_index


@pytest.mark.parametrize("by", [HOTLINE, POLICE])
def test_nobody_sets_aside_what_does_not_wait_for_it(world: World, by: str) -> None:
    """Neither what is another's, nor what was written: the first word that ends it counts."""
    _, offer = handed_over(world)
    if by == POLICE:
        written = recorded(world.write(POLICE, offer)[0])
        assert written == recorded(world.drain(aside(world, offer))[0])
    else:
        outcome = world.drain(world.declined(HOTLINE, offer, NO_COLUMN, set_aside=WHY))[0]
        assert refused(outcome).code is RefusalCode.NOT_A_PARTY
