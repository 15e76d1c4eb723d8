"""A hand-off's scope: nobody shows more than it is shown, and the database says what the signatures say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from exchange.acts import Group, Kind
from exchange.errors import RefusalCode
from exchange.query import Query
from exchange.store.audit import audit
from exchange.store.engines import connect
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    LOG_KEY,
    POLICE,
    TO_HOTLINE,
    Matter,
    World,
    refused,
    stored,
)
from tests.store.test_audit import WorldReader

#: An organisation that is a side of nothing.
KNOWER = "320507010000"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A bridge."""
    made = World(database_url)
    yield made
    made.bridge.store.close()


def scope(*withheld: Group, **known: list[Group]) -> dict[str, object]:
    """Return a scope in the contract's JSON shape; *known* by an organisation's code after an ``o``."""
    return {
        "withheld_groups": [int(group) for group in withheld],
        "knowers": [
            {"organisation": code[1:], "groups": [int(group) for group in groups]}
            for code, groups in known.items()
        ],
    }


def handed(world: World) -> Matter:
    """Let the police hand a ticket to the hotline without its persons and places, and the hotline take it."""
    matter = Matter(item=TO_HOTLINE)
    act = {"kind": "TICKET_KIND_POLICE_TICKET"}
    masked = world.offer(matter, HOTLINE, scope=scope(Group.PERSON, Group.PLACE))
    for outcome in world.push(POLICE, world.opening(matter, **act), masked):
        stored(outcome)
    head = world_head(world, matter)
    stored(
        world.push(HOTLINE, world.message(Kind.TAKE, matter, recipient=POLICE, previous=head))[0]
    )
    return matter


def world_head(world: World, matter: Matter) -> bytes:
    """Return the hand-off's newest state-moving message."""
    query = Query.open(world.url)
    try:
        view = query.ticket(matter.ticket_id, HOTLINE)
    finally:
        query.close()
    return view.handoffs[0].standing.handoff.head


@pytest.mark.parametrize(
    ("onward", "at_fault"),
    [
        (None, ["withheld_groups: person", "withheld_groups: place"]),
        (scope(Group.PERSON), ["withheld_groups: place"]),
        (
            scope(Group.PERSON, Group.PLACE, **{f"o{KNOWER}": [Group.CONTENT, Group.PLACE]}),
            ["knowers[0].groups: place"],
        ),
        (scope(Group.PERSON, Group.PLACE, **{f"o{KNOWER}": [Group.CONTENT]}), []),
        (scope(Group.PERSON, Group.PLACE, Group.CONTENT), []),
    ],
)
def test_nobody_shows_more_than_it_is_shown(
    world: World, onward: dict[str, object] | None, at_fault: list[str]
) -> None:
    """An onward offer withholds what is withheld from its sender, from its receiver and from knowers."""
    matter = handed(world)
    below = Matter(item=TO_HOTLINE, ticket_id=matter.ticket_id)
    act: dict[str, object] = {"onward_of": matter.handoff_id}
    if onward is not None:
        act["scope"] = onward
    (outcome,) = world.push(HOTLINE, world.offer(below, DEPARTMENT, **act))

    if not at_fault:
        stored(outcome)
        return
    refusal = refused(outcome)
    assert refusal.code is RefusalCode.FIELD_INVALID
    assert [
        f"{one.field.removeprefix('header.offer.scope.')}: {one.text.en.split()[1]}"
        for one in refusal.violations
    ] == at_fault


def test_a_knower_is_a_known_organisation(world: World) -> None:
    """A code that is none, or not in the register, is refused like any other that a message brings in."""
    matter = Matter()
    known = {"o" + "320507999999".replace("320507", "329999"): [Group.CONTENT]}
    (_, outcome) = world.push(
        HOTLINE, world.opening(matter), world.offer(matter, POLICE, scope=scope(**known))
    )

    assert refused(outcome).code is RefusalCode.ORGANISATION_UNKNOWN


def test_what_is_shown_is_audited_like_all_that_was_signed(world: World) -> None:
    """The scope stands in the hand-off as its offer said; who changes it there is found and named."""
    matter = Matter()
    world.push(
        HOTLINE,
        world.opening(matter),
        world.offer(matter, POLICE, scope=scope(Group.PERSON, **{f"o{KNOWER}": [Group.CONTENT]})),
    )
    engines = connect(world.url)
    reader = WorldReader(world)
    assert not [one.en for one in audit(engines, LOG_KEY.verifier, reader) if "handoff" in one.en]
    query = Query.open(world.url)
    seen = query.ticket(matter.ticket_id, KNOWER).handoffs[0].standing.handoff.offer.scope
    assert seen.knowers == ((KNOWER, frozenset({Group.CONTENT})),)
    query.close()
    with engines.writer.begin() as connection:
        connection.execute(text("UPDATE handoff SET rest = ''"))

    found = [one.en for one in audit(engines, LOG_KEY.verifier, reader) if "handoff" in one.en]

    assert any("rest" in one for one in found)
    engines.close()


def test_a_mask_is_remembered_of_what_was_stored_alone(world: World) -> None:
    """Who offers under another's hand-off id changes nothing of what that one shows."""
    matter, intruder = Matter(), Matter()
    world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    intruder.handoff_id = matter.handoff_id
    (_, outcome) = world.push(
        HOTLINE, world.opening(intruder), world.offer(intruder, POLICE, scope=scope(Group.CONTENT))
    )

    assert refused(outcome).code is RefusalCode.ALREADY_EXISTS
    assert {one.withheld for one in world.pull(POLICE)} == {frozenset()}


def test_a_mask_is_put_on_again_after_a_restart(world: World) -> None:
    """What a bridge no longer remembers stands in its database; what its receiver says back is not masked."""
    handed(world)
    world.restart()

    assert {one.withheld for one in world.pull(HOTLINE) if one.envelope} == {
        frozenset({Group.PERSON, Group.PLACE})
    }
    assert {one.withheld for one in world.pull(POLICE) if one.envelope} == {frozenset()}
