"""
Databases that we cannot run: what SQLAlchemy is to say to them compiles, and that is all we say of them.

It is no promise that a bridge works there: the hot statements are SQLite's, PostgreSQL's
(`exchange.store.drivers`), and MariaDB's, which took a driver of its own (ARCHITECTURE.md, "Databases").
The dialects of openGauss and CockroachDB are other people's packages, installed by
``make test-sqlalchemy20`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Dialect, event, make_url
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.schema import CreateIndex, CreateTable

from exchange import attachment_tables, tables
from exchange.errors import ConfigurationError
from exchange.query import Filters, Query
from exchange.store import Store, migrate
from exchange.store.engines import connect
from exchange.ticket import State
from tests.store.stories import HOTLINE, KEY, NOW, Story, ticket_of

COMPILED = ("cockroachdb", "opengauss")


@pytest.fixture(params=COMPILED)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect that is installed here."""
    url = make_url(f"{request.param}://")
    try:
        found: Dialect = url.get_dialect()()
    except NoSuchModuleError:
        pytest.skip(f"no dialect of {request.param} is installed here")
    return found


@pytest.fixture
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClauseElement]]:
    """What the read side asks SQLAlchemy for: lists by every condition, one ticket, its trail, its figures."""
    url = f"sqlite:///{tmp_path_factory.mktemp('asked') / 'bridge.db'}"
    migrate(url)
    store, story = Store.open(url, KEY), Story()
    opened = story.open_ticket()
    with store.writing() as writer:
        writer.record([opened, story.offer(ticket_of(opened))], now=story.time)
    query = Query.open(url)
    found: list[ClauseElement] = []

    @event.listens_for(query._engines.reader, "before_execute")
    def keep(_connection: Any, clause: Any, *_: Any) -> None:
        found.append(clause)

    every = Filters(
        open_only=True, state=State.OFFERED, region="140400", matter="NM.H", answers=HOTLINE,
        organisation=HOTLINE, opened_from=NOW, opened_until=NOW + timedelta(days=1),
        overdue_at=NOW + timedelta(days=9),
    )  # fmt: skip
    for caller in (None, HOTLINE):
        query.tickets(caller)
        query.tickets(caller, every)
        query.ticket(ticket_of(opened).id, caller)
        query.trail(ticket_of(opened).id, caller)
    yield found
    query.close()
    store.close()


def test_every_table_and_index_compiles(dialect: Dialect) -> None:
    """All of them, attachments' included; a name that is too long, or a type without a word, is an error."""
    assert attachment_tables.attachment in tables.metadata.sorted_tables
    for table in tables.metadata.sorted_tables:
        said = str(CreateTable(table).compile(dialect=dialect))
        assert said.strip().startswith(f"CREATE TABLE {table.name} (")
        for index in table.indexes:
            assert str(index.name) in str(CreateIndex(index).compile(dialect=dialect))


def test_every_question_compiles(dialect: Dialect, asked: list[ClauseElement]) -> None:
    """Whatever the read side lets SQLAlchemy word."""
    assert len(asked) >= 8
    for one in asked:
        assert str(one.compile(dialect=dialect)).startswith(("SELECT", "WITH"))


@pytest.mark.parametrize("kind", [*COMPILED, "mysql", "mysql+pymysql", "oracle"])
def test_none_of_them_is_taken_for_a_database_that_works(kind: str) -> None:
    """Compiled is not run: a bridge refuses such a URL by naming those that work."""
    with pytest.raises(ConfigurationError, match=r"sqlite:////.* postgresql\+psycopg://"):
        connect(f"{kind}://user@host/bridge")
