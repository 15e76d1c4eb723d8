"""Drains of more messages than `LOOK_LATER`, nearly all of them new."""

from __future__ import annotations

from dataclasses import replace

from exchange.bridge.ledger import LOOK_LATER
from exchange.errors import RefusalCode
from exchange.submission import Pushed
from tests.bridge.world import HOTLINE, POLICE, Matter, World, recorded, refused, stored


def many(world: World, size: int = LOOK_LATER) -> list[Pushed]:
    """Return so many new tickets with their offers, signed as one batch."""
    matters = [Matter() for _ in range(size)]
    said = [one for m in matters for one in (world.opening(m), world.offer(m, POLICE))]
    party = world.parties[HOTLINE]
    return party.pushes(party.seal(*said))


def test_what_is_not_new_among_many_is_answered_as_alone(world: World) -> None:
    """A repeat gets its receipt, what is unfit its refusal, and what is said beside it counts."""
    party = world.parties[HOTLINE]
    known, taken = many(world, 1), Matter()
    before = [stored(outcome).proof for outcome in world.drain(*known)]
    (delivered, _) = world.pull(POLICE)
    unfit = party.pushes(party.seal(world.opening(taken, region="990000")))
    new = many(world)

    outcomes = world.drain(*new, *known, *unfit, world.written(POLICE, delivered))

    assert len(new) == len({stored(outcome).proof.index for outcome in outcomes[:-4]})
    assert before == [stored(outcome).proof for outcome in outcomes[-4:-2]]
    assert refused(outcomes[-2]).code is RefusalCode.REGION_UNKNOWN
    assert recorded(outcomes[-1]).leaf_index == 2 + len(new)


def test_a_repeat_among_many_whose_signer_expired(world: World) -> None:
    """Its receipt has no time window, whatever is beside it."""
    (known, _) = many(world, 1)
    (before,) = world.drain(known)

    *_, again = world.drain(*many(world), replace(known, author=None))

    assert stored(before).proof == stored(again).proof


def test_a_receiver_is_heard_beside_many_that_are_new(world: World) -> None:
    """Both are one drain, and what was written leaves the mailbox."""
    world.drain(*many(world, 1))
    delivered = world.pull(POLICE)
    new = many(world)

    outcomes = world.drain(*(world.written(POLICE, one) for one in delivered), *new)

    assert [2, 3] == [recorded(outcome).leaf_index for outcome in outcomes[:2]]
    assert [4, 5] == [stored(outcome).proof.index for outcome in outcomes[2:4]]
    assert len(new) == len(world.pull(POLICE))


def test_many_once_more(world: World) -> None:
    """A whole drain that comes again, and again, gets the receipts that it got."""
    new = many(world)
    first = [stored(outcome).proof for outcome in world.drain(*new)]

    for _ in range(2):
        assert first == [stored(outcome).proof for outcome in world.drain(*new)]


def test_a_hand_offs_id_that_another_ticket_has(world: World) -> None:
    """It is refused among many new ones, too."""
    party, matter = world.parties[HOTLINE], Matter()
    world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    other = Matter(handoff_id=matter.handoff_id)
    said = party.pushes(party.seal(world.opening(other), world.offer(other, POLICE)))

    *outcomes, last = world.drain(*many(world), *said)

    assert 2 * LOOK_LATER + 1 == len([stored(outcome) for outcome in outcomes])
    assert refused(last).code is RefusalCode.ALREADY_EXISTS
