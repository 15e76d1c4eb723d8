"""The stricter class holds for a ticket from then on, and hides it from views, lists and exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from exchange.acts import Classification, Kind
from exchange.cli.export import flat_rows
from exchange.cli.tickets import Wanted, open_source
from exchange.query import Query
from exchange.store.engines import connect
from tests.bridge.world import HOTLINE, POLICE, TO_POLICE, Matter, World, stored


@pytest.fixture
def world(database_url: str) -> World:
    """A bridge."""
    return World(database_url)


def _classification(world: World, matter: Matter) -> Classification:
    query = Query.open(world.url)
    try:
        return query.ticket(matter.ticket_id, POLICE).ticket.classification
    finally:
        query.close()


def _supplement(world: World, matter: Matter, classification: Classification) -> None:
    said = world.message(
        Kind.SUPPLEMENT,
        matter,
        recipient=POLICE,
        classification=classification,
        groups={"content": {"content": "补充内容。"}},
    )
    stored(world.push(HOTLINE, said)[0])


def test_a_confidential_message_makes_its_ticket_confidential(world: World) -> None:
    """A supplement raises the class; an ordinary one after it does not lower it."""
    matter = Matter()
    world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    assert Classification.ORDINARY is _classification(world, matter)
    for said in (Classification.CONFIDENTIAL, Classification.ORDINARY):
        _supplement(world, matter, said)
        assert Classification.CONFIDENTIAL is _classification(world, matter)
    world.bridge.store.close()


def test_what_a_view_hides_a_list_and_an_export_hide_too(world: World, tmp_path: Path) -> None:
    """For the operator, a confidential ticket has neither matter nor region, wherever it looks."""
    open_one, hidden = Matter(), Matter()
    for matter in (open_one, hidden):
        world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    _supplement(world, hidden, Classification.CONFIDENTIAL)
    world.bridge.store.close()

    engines = connect(world.url)
    with engines.reader.connect() as connection:
        for view in ("v_ticket", "v_handoff"):
            query = text(f"SELECT ticket_id, region, matter FROM {view}")
            seen = {row[0]: tuple(row[1:]) for row in connection.execute(query)}
            assert {open_one.ticket_id: ("320507", TO_POLICE), hidden.ticket_id: ("", "")} == seen
    engines.close()
    with open_source(world.url, tmp_path / "none.toml") as source:
        listed = {one["ticket_id"]: one for one in source.list(Wanted())}
        asked = [one["ticket_id"] for one in source.list(Wanted(matter=TO_POLICE))]
    assert [open_one.ticket_id] == asked
    assert TO_POLICE == listed[open_one.ticket_id]["matter"]
    assert ("", "") == (
        listed[hidden.ticket_id]["matter"],
        listed[hidden.ticket_id]["handoffs"][0]["matter"],
    )
    (row,) = flat_rows(listed[hidden.ticket_id])
    assert ("confidential", "", "") == (row["classification"], row["matter"], row["region"])
