"""Whoever has few tickets among many finds them by an index, on every database: nothing is scanned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from exchange.acts import Kind
from exchange.query import Filters, Query
from exchange.store import Store
from exchange.store.engines import MARIADB, POSTGRESQL, SQLITE, Engines
from exchange.ticket import State
from tests.store.stories import HOTLINE, NOW, POLICE, WATER, Story, handoff_of, ticket_of

#: A department that opened one ticket that nobody was offered, and nothing else.
ALONE = "12140400MB0000003Z"
LATER = NOW + timedelta(hours=3)
#: The index of what names knowers is of few, and may be read whole.
_SCAN = re.compile(r"\bSCAN (ticket|handoff|deadline)(?! USING INDEX ix_handoff_knowers)|Seq Scan")


@pytest.fixture
def query(migrated_url: str, store: Store, story: Story) -> Iterator[Query]:
    """Let the hotline open thirty tickets, offer them to 110, and one of them to the waterworks."""
    for number in range(30):
        opened = story.open_ticket()
        due = timedelta(hours=2) if number == 7 else None
        entries = [opened, story.offer(ticket_of(opened), due=due)]
        if number == 3:
            onward = story.offer(ticket_of(opened), sender=POLICE, receiver=WATER, due=None)
            taken = story.say(Kind.TAKE, handoff_of(onward), WATER, state=State.TAKEN)
            entries += [onward, taken]
        if number == 5:
            entries = [replace(opened, ticket=replace(ticket_of(opened), origin=ALONE))]
        with store.writing() as writer:
            writer.record(entries, now=story.time)
        story.later(minutes=1)
    opened_query = Query.open(migrated_url)
    yield opened_query
    opened_query.close()


@contextmanager
def explained(engine: Engine) -> Iterator[list[str]]:
    """Collect the plans of all queries that run meanwhile, a line a step."""
    plans: list[str] = []
    busy = False

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, *_more: Any
    ) -> None:
        nonlocal busy
        if busy or not statement.startswith("SELECT"):
            return
        busy = True
        word = "EXPLAIN QUERY PLAN " if engine.dialect.name == SQLITE else "EXPLAIN "
        found = connection.exec_driver_sql(word + statement, parameters)
        plans.extend(str(row[-1]) for row in found)
        busy = False

    event.listen(engine, "before_cursor_execute", explain)
    yield plans
    event.remove(engine, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("caller", "filters", "count"),
    [
        (WATER, Filters(), 1),
        (WATER, Filters(state=State.TAKEN, open_only=True), 1),
        (ALONE, Filters(), 1),
        ("140499999999", Filters(), 0),
        (None, Filters(organisation=WATER), 1),
        (None, Filters(answers=WATER), 1),
        (None, Filters(answers=ALONE), 1),
        (None, Filters(overdue_at=LATER), 1),
        (None, Filters(owes=POLICE, reminded_at=LATER), 1),
        (POLICE, Filters(owes=WATER, overdue_at=LATER), 0),
    ],
)
def test_few_tickets_are_found_without_a_scan(
    query: Query, migrated_url: str, caller: str | None, filters: Filters, count: int
) -> None:
    """The plan of each query leads by an index, and never along all tickets in their order."""
    engines: Engines = query._engines
    if engines.reader.dialect.name == POSTGRESQL:

        @event.listens_for(engines.reader, "begin")
        def _by_index(connection: Connection) -> None:  # so few rows would else be read as they lie
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_indexscan = on")

    with explained(engines.reader) as plans:
        found, token = query.tickets(caller, filters)

    assert (len(found), token) == (count, "")
    if engines.reader.dialect.name == MARIADB:
        return  # it reads so few as they lie, and no setting keeps it from that
    assert plans
    scans = [line for line in plans if _SCAN.search(line)]
    walks = [line for line in plans if "ix_ticket_opened_id" in line]
    assert (scans, walks) == ([], [])


def test_many_tickets_are_walked_and_give_the_same(
    query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one more than are looked up by their ids the walk begins; pages are the same either way."""

    def pages(caller: str) -> list[list[str]]:
        found, token, first = [], "", True
        while first or token:
            page, token = query.tickets(caller, limit=7, page_token=token)
            found.append([view.ticket.id for view in page])
            first = False
        return found

    for most, looked_up in ((29, True), (28, False)):
        monkeypatch.setattr("exchange.query.few.FEW", most)
        with explained(query._engines.reader) as plans:
            walked = pages(HOTLINE)
        assert [len(page) for page in walked] == [7, 7, 7, 7, 1]
        if query._engines.reader.dialect.name == SQLITE:
            assert looked_up != any("ix_ticket_opened_id" in line for line in plans)
        monkeypatch.setattr("exchange.query.few.FEW", 1000)
        assert walked == pages(HOTLINE)
