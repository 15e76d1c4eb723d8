"""A pull that waits is given what a drain brings, and looks again wherever a drain cannot tell."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from exchange.acts import Kind, Urgency
from exchange.bridge.heard import TELLING
from exchange.client.messages import OutgoingMessage
from exchange.delivery import LEASE
from exchange.errors import Refusal, RefusalCode
from exchange.store import RowsRefused, Waiting
from exchange.submission import Delivered
from tests.bridge.world import HOTLINE, POLICE, Matter, World, stored


def hand_over(world: World, *matters: Matter) -> None:
    """Let the hotline open and offer *matters* in one drain."""
    said = [
        one for matter in matters for one in (world.opening(matter), world.offer(matter, POLICE))
    ]
    for outcome in world.push(HOTLINE, *said):
        stored(outcome)


def heard(world: World, limit: int = 100, least: int = 0) -> list[Delivered] | None:
    """Return what 110 is given without a look."""
    return world.bridge.heard(POLICE, limit, world.now, least=least)


def more(world: World, matter: Matter, urgency: Urgency = Urgency.ROUTINE) -> OutgoingMessage:
    """Return the hotline's supplement about *matter*."""
    return world.message(
        Kind.SUPPLEMENT,
        matter,
        recipient=POLICE,
        urgency=urgency,
        groups={"content": {"content": "补充：现场已设围挡。"}},
    )


def progress(world: World, matter: Matter) -> None:
    """Let the hotline say something more about *matter*."""
    stored(world.push(HOTLINE, more(world, matter))[0])


def test_who_never_looked_must_look(world: World) -> None:
    """Nothing is known of a mailbox that nobody has looked into."""
    assert heard(world) is None


def test_a_new_matter_is_heard(world: World) -> None:
    """What a look would find is given without one: same bytes, same places, same order."""
    assert world.pull(POLICE) == []
    first, second = Matter(), Matter()
    hand_over(world, first, second)

    given = heard(world)

    assert given is not None
    assert [one.lane for one in given] == [first.handoff_id] * 2 + [second.handoff_id] * 2
    assert world.pull(POLICE) == []  # leased
    world.now += LEASE
    again = world.pull(POLICE)
    same = [(one.position, one.lane, one.message_id, one.envelope) for one in given]
    assert [(o.position, o.lane, o.message_id, o.envelope) for o in again] == same
    assert {one.attempt for one in again} == {2}


def test_it_is_given_once(world: World) -> None:
    """Of two pulls that wait, one is given it; both go on hearing."""
    assert world.pull(POLICE) == []
    hand_over(world, Matter())
    assert heard(world)
    assert heard(world) == []
    hand_over(world, Matter())
    assert heard(world)


def test_what_stands_before_something_urgent_goes_first(world: World) -> None:
    """In a lane that begins with something urgent at its end, as in the mailbox: all of it in order."""
    assert world.pull(POLICE) == []
    routine, urgent = Matter(), Matter()
    for outcome in world.push(
        HOTLINE,
        *(world.opening(routine), world.offer(routine, POLICE)),
        *(world.opening(urgent), world.offer(urgent, POLICE)),
        more(world, urgent, Urgency.URGENT),
    ):
        stored(outcome)

    given = heard(world)

    assert given is not None
    assert [one.lane for one in given] == [urgent.handoff_id] * 3 + [routine.handoff_id] * 2
    assert [one.position for one in given[:3]] == sorted(one.position for one in given[:3])


def test_a_lane_is_heard_of_whole(world: World) -> None:
    """What is routine behind something urgent in its lane goes with it: it is not for another pull."""
    assert world.pull(POLICE) == []
    matter = Matter()
    offer = replace(world.offer(matter, POLICE), urgency=Urgency.URGENT)
    for outcome in world.push(HOTLINE, world.opening(matter), offer, more(world, matter)):
        stored(outcome)

    given = heard(world, least=Urgency.URGENT)

    assert given is not None
    assert len(given) == 3
    assert heard(world) == []


def test_a_lane_that_is_free_is_looked_for_whatever_begins_beside_it(world: World) -> None:
    """One drain takes out what kept a lane back, and begins another lane."""
    old, new = Matter(), Matter()
    hand_over(world, old)
    out = world.pull(POLICE)
    progress(world, old)
    assert world.pull(POLICE) == []
    party = world.parties[HOTLINE]
    sealed = party.seal(world.opening(new), world.offer(new, POLICE))
    world.drain(*(world.written(POLICE, one) for one in out), *party.pushes(sealed))

    given = heard(world)

    assert given is None
    assert {one.lane for one in world.pull(POLICE)} == {old.handoff_id, new.handoff_id}


def test_an_urgent_offer_brings_its_ticket_along(world: World) -> None:
    """The ticket may still stand in an earlier lane; a routine offer waits its turn behind it."""
    matter = Matter()
    hand_over(world, matter)
    others = [str(uuid.uuid4()) for _ in range(2)]
    for lane, urgency in zip(others, (Urgency.ROUTINE, Urgency.IMMEDIATE), strict=True):
        offer = replace(world.offer(matter, POLICE), handoff_id=lane, urgency=urgency)
        stored(world.push(HOTLINE, offer)[0])

    given = world.pull(POLICE)

    opening = next(one for one in given if one.lane == matter.handoff_id).message_id
    lanes = [(one.lane, one.message_id == opening) for one in given]
    assert lanes == [
        (others[1], True),
        (others[1], False),
        (matter.handoff_id, True),
        (matter.handoff_id, False),
        (others[0], False),
    ]
    world.write(POLICE, *given)
    assert world.pull(POLICE) == []
    world.now += LEASE
    assert world.pull(POLICE) == []


def test_who_hears_of_urgent_lanes_alone_leaves_the_rest(world: World) -> None:
    """Two pulls wait, one for urgent lanes: each is given its part, without a look."""
    assert world.pull(POLICE) == []
    assert heard(world, least=Urgency.URGENT) == []
    routine, urgent = Matter(), Matter()
    hand_over(world, routine)
    assert heard(world, least=Urgency.URGENT) == []
    for outcome in world.push(
        HOTLINE,
        *(world.opening(urgent), world.offer(urgent, POLICE)),
        more(world, urgent, Urgency.IMMEDIATE),
    ):
        stored(outcome)

    first, second = heard(world, least=Urgency.URGENT), heard(world)

    assert first is not None
    assert second is not None
    assert {one.lane for one in first} == {urgent.handoff_id}
    assert {one.lane for one in second} == {routine.handoff_id}


def test_a_look_at_urgent_lanes_tells_nothing_of_the_rest(world: World) -> None:
    """What it finds nobody hears again; where it finds nothing the others hear as before."""
    routine, urgent = Matter(), Matter()
    hand_over(world, routine)
    assert world.pull(POLICE, least=Urgency.URGENT) == []
    assert heard(world) is None
    assert {one.lane for one in world.pull(POLICE)} == {routine.handoff_id}
    assert world.pull(POLICE) == []
    assert world.pull(POLICE, least=Urgency.URGENT) == []
    assert heard(world) == []
    for outcome in world.push(
        HOTLINE,
        *(world.opening(urgent), world.offer(urgent, POLICE)),
        more(world, urgent, Urgency.URGENT),
    ):
        stored(outcome)
    assert len(world.pull(POLICE, least=Urgency.URGENT)) == 3
    assert heard(world) is None
    assert world.pull(POLICE) == []


def test_what_did_not_fit_is_looked_for(world: World) -> None:
    """A lane that was given in part is out; a look finds the other one."""
    assert world.pull(POLICE) == []
    first, second = Matter(), Matter()
    hand_over(world, first, second)
    given = heard(world, limit=1)
    assert given is not None
    assert [one.lane for one in given] == [first.handoff_id]
    assert heard(world) is None
    assert {one.lane for one in world.pull(POLICE)} == {second.handoff_id}


def test_a_lane_that_stood_before_is_looked_for(world: World) -> None:
    """Whether a known lane is out, stopped or free only the mailbox tells."""
    matter = Matter()
    hand_over(world, matter)
    world.write(POLICE, *world.pull(POLICE))
    assert world.pull(POLICE) == []
    progress(world, matter)
    assert heard(world) is None
    assert [one.lane for one in world.pull(POLICE)] == [matter.handoff_id]


def test_a_receipt_is_looked_for(world: World) -> None:
    """A written receipt comes to its sender by a look."""
    hand_over(world, Matter())
    delivered = world.pull(POLICE)
    assert world.pull(HOTLINE) == []
    world.write(POLICE, *delivered)
    assert world.bridge.heard(HOTLINE, 100, world.now) is None
    assert len(world.pull(HOTLINE)) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.write(POLICE, *world.kept),
        lambda world: world.drain(
            *(
                world.declined(POLICE, one, Refusal(code=RefusalCode.FIELD_INVALID))
                for one in world.kept
            )
        ),
        lambda world: world.bridge.give_back(POLICE, [one.position for one in world.kept]),
        lambda world: world.bridge.reconcile(POLICE, [], world.now),
        lambda world: world.bridge.lost(),
    ],
    ids=["acknowledged", "declined", "given back", "reconciled", "lost"],
)
def test_whatever_else_happens_is_looked_for(world: World, change: Callable[[Any], None]) -> None:
    """What frees a lane, stops it or leaves it in doubt makes the next pull look."""
    hand_over(world, Matter())
    world.kept = world.pull(POLICE)  # type: ignore[attr-defined]
    assert world.pull(POLICE) == []
    assert heard(world) == []
    change(world)
    assert heard(world) is None


@pytest.mark.parametrize("step", [LEASE, -timedelta(hours=1)], ids=["ended", "clock set back"])
def test_a_lease_that_ended_is_looked_for(world: World, step: timedelta) -> None:
    """What was leased and never acknowledged is found by a look once its lease is over."""
    hand_over(world, Matter())
    assert world.pull(POLICE)
    assert world.pull(POLICE) == []
    world.now += step
    assert heard(world) is None
    assert len(world.pull(POLICE)) == 2


def test_what_comes_during_a_look_is_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain beside a look may be in it or not: nothing is given twice, nothing kept back."""
    outbox = world.bridge.store
    waiting = outbox.waiting

    def beside(
        recipient: str, limit: int, *, skip_lanes: Collection[str] = (), least: int = 0
    ) -> list[Waiting]:
        found = waiting(recipient, limit, skip_lanes=skip_lanes, least=least)
        monkeypatch.setattr(outbox, "waiting", waiting)
        hand_over(world, Matter())
        assert heard(world) is None
        return found

    monkeypatch.setattr(outbox, "waiting", beside)
    assert world.pull(POLICE) == []
    assert heard(world) is None
    assert len(world.pull(POLICE)) == 2


@pytest.mark.parametrize(("matters", "told"), [(TELLING // 2, True), (TELLING // 2 + 1, False)])
def test_a_large_drain_is_looked_for(world: World, matters: int, *, told: bool) -> None:
    """Up to so many messages are told of; what more brings is found by a look, and whole."""
    assert world.pull(POLICE) == []
    hand_over(world, *(Matter() for _ in range(matters)))

    given = heard(world)

    assert (given is not None) is told
    assert len(given or world.pull(POLICE)) == 2 * matters


def test_a_halved_drain_tells_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database refused a drain's rows, each half's new lanes have their own messages."""
    assert world.pull(POLICE) == []
    ledger = world.bridge.ledger
    whole = ledger._drain

    def refusing(work: Any, now: Any, **how: Any) -> Any:
        if len(work) > 2:
            raise RowsRefused(RefusalCode.FIELD_INVALID.text)
        return whole(work, now, **how)

    monkeypatch.setattr(ledger, "_drain", refusing)
    hand_over(world, Matter(), Matter())

    given = heard(world)

    assert given is not None
    world.now += LEASE
    again = world.pull(POLICE)
    assert [(one.position, one.envelope) for one in again] == [
        (one.position, one.envelope) for one in given
    ]
