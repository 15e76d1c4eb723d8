"""What a bridge itself did, and by which rules it reckons: said once, and again where nobody can tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, update

from exchange import tables
from exchange.bridge import Declared
from exchange.bridge.announcing import AT_ONCE
from exchange.store import erasing
from exchange.store.engines import connect
from tests.bridge.world import HOTLINE, Matter, World, stored


@pytest.fixture
def lone(tmp_path: Path) -> World:
    """Return a bridge on SQLite: nothing here is the database's."""
    return World(f"sqlite:///{tmp_path / 'exchange.db'}", says_rules=True)


def trust(world: World, denied: list[str], *, begins: bool) -> int:
    """Let the bridge say whom it denies; return how many acts that is."""
    facts = {"act": "trust-in-force", "denied": denied, "lists": []}
    said = Declared(facts=facts, salt="00" * 16, begins=begins)
    return world.bridge.ledger.enter(said, world.now).new


@pytest.mark.parametrize("others", [0, AT_ONCE - 1, AT_ONCE])
def test_what_changed_is_said_however_long_ago_it_was_said_last(lone: World, others: int) -> None:
    """A denial that was lifted while the bridge was down is no denial in its log, whatever came between."""
    assert trust(lone, ["X"], begins=True)
    for number in range(others):
        facts = {"act": "destroy", "statement": f"{number:064x}"}
        lone.bridge.ledger.enter(Declared(facts=facts, salt="00" * 16, begins=True), lone.now)

    assert 1 == trust(lone, [], begins=False)
    assert 0 == trust(lone, [], begins=False)
    lone.bridge.store.close()


def test_what_was_never_said_is_not_said_when_it_ends(lone: World) -> None:
    """Nobody is told that a denial was lifted that never was one."""
    assert 0 == trust(lone, [], begins=False)
    lone.bridge.store.close()


def test_an_act_that_cannot_be_read_stops_no_push(lone: World) -> None:
    """`log verify` names it; what is pushed after a restart is stored, and the rules are said once more."""
    stored(lone.push(HOTLINE, lone.opening(Matter()))[0])
    trust(lone, ["X"], begins=True)
    lone.bridge.store.close()
    engines = connect(lone.url)
    with engines.writer.begin() as connection:
        connection.execute(update(tables.act).values(line=b"{}"))
    engines.close()

    lone.bridge = lone.open()
    assert stored(lone.push(HOTLINE, lone.opening(Matter()))[0]).message_id
    lone.bridge.store.close()
    engines = connect(lone.url)
    with engines.writer.begin() as connection:
        gone = connection.execute(delete(tables.act).where(tables.act.c.line != b"{}")).rowcount
    engines.close()
    assert 1 == gone


def test_what_a_statement_of_destruction_binds_is_the_same_for_ever() -> None:
    """Its columns are written out: one that a later version adds makes no statement that is out untrue."""
    forms = erasing._WHOLE_TICKET, erasing._HANDOFFS, erasing._DUES
    bound = [form.removeprefix("SELECT ").split(" FROM ")[0].split(", ") for form in forms]

    assert [13, 25, 5] == [len(columns) for columns in bound]
    for columns, table in zip(bound, (tables.ticket, tables.handoff, tables.deadline), strict=True):
        assert set(columns) <= {column.name for column in table.columns}
