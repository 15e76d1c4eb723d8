"""The database's version, its tables and its views."""

from __future__ import annotations

import warnings

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from exchange import tables
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnavailable
from exchange.query import Query
from exchange.store import Store, migrate
from exchange.store.schema import newest
from tests.store.stories import KEY, Story, ticket_of

#: Everything a view may show: codes, times, references and the words for them.
VIEW_COLUMNS = {
    "v_ticket": {
        "ticket_id", "kind", "origin", "first_receiver", "region", "matter", "marker",
        "classification", "urgency", "level", "closed", "opened", "updated", "handoffs",
        "open_handoffs", "cites_ticket_id",
    },
    "v_trail": {
        "leaf_index", "time", "ticket_id", "handoff_id", "kind", "message_id", "author",
        "recipient", "state", "answers",
    },
}  # fmt: skip
VIEW_COLUMNS["v_handoff"] = VIEW_COLUMNS["v_overdue"] = {
    "handoff_id", "ticket_id", "sender", "receiver", "state", "answers", "decides", "own_duty",
    "taken_over", "danger", "matter", "region", "profile", "profile_edition", "catalogue_edition",
    "onward_of", "cites_handoff_id", "assessed_by", "offered", "updated", "due", "marker",
}  # fmt: skip


def test_migrating_creates_what_the_tables_say(migrated_url: str) -> None:
    """The migrated database and `exchange.tables` do not differ."""
    engine = create_engine(migrated_url)
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an index by expression cannot be compared on SQLite
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        found = compare_metadata(context, tables.metadata)
    engine.dispose()

    assert [] == [one for one in found if "ix_mailbox_next" not in str(one)]


def test_migrating_again_changes_nothing(database_url: str) -> None:
    """The first time creates, the second does nothing."""
    assert (None, newest()) == migrate(database_url)
    assert (newest(), newest()) == migrate(database_url)


def test_an_empty_database_is_refused(database_url: str) -> None:
    """A database without tables is not opened; the text says how to make them."""
    with pytest.raises(StoreMismatch, match="exchange migrate"):
        Store.open(database_url, KEY)
    with pytest.raises(StoreMismatch, match="exchange migrate"):
        Query.open(database_url)


def test_an_unknown_version_is_refused(migrated_url: str) -> None:
    """A database of a version to come is neither opened nor migrated; both versions are named."""
    engine = create_engine(migrated_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    for refused in (lambda: Store.open(migrated_url, KEY), lambda: migrate(migrated_url)):
        with pytest.raises(StoreMismatch, match=f"9999.*{newest()}"):
            refused()


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://h/d"])
def test_a_url_that_names_no_database_of_ours_is_refused(url: str) -> None:
    """The text says what a URL looks like."""
    with pytest.raises(ConfigurationError, match="postgresql"):
        migrate(url)


def test_a_password_is_not_shown() -> None:
    """What is wrong with a URL is said without its password."""
    with pytest.raises(ConfigurationError) as caught:
        migrate("mysql://u:secret@h/d")

    assert "secret" not in caught.value.text.en


def test_a_folder_that_is_not_there_is_named() -> None:
    """A database file that cannot be opened is a failure of the store."""
    with pytest.raises(StoreUnavailable, match="unable to open"):
        migrate("sqlite:////nonexistent/folder/exchange.db")


@pytest.mark.parametrize("view", VIEW_COLUMNS)
def test_views_have_no_personal_columns(migrated_url: str, view: str) -> None:
    """A view shows the columns that are listed, and no others."""
    engine = create_engine(migrated_url)
    shown = {column["name"] for column in inspect(engine).get_columns(view)}
    engine.dispose()

    assert VIEW_COLUMNS[view] == shown


def test_views_speak_chinese(store: Store, migrated_url: str, story: Story) -> None:
    """People who query with SQL read states and kinds in words; what is overdue stands in a view."""
    opened = story.open_ticket()
    with store.writing() as writer:
        writer.record([opened, story.offer(ticket_of(opened))], now=story.time)
    engine = create_engine(migrated_url)
    with engine.connect() as connection:
        ticket = connection.execute(text("SELECT * FROM v_ticket")).mappings().one()
        overdue = connection.execute(text("SELECT * FROM v_overdue")).mappings().one()
        trail = connection.execute(text("SELECT kind, state FROM v_trail")).all()
    engine.dispose()

    assert ("work order 工单", 1, 1) == (
        ticket["kind"],
        ticket["handoffs"],
        ticket["open_handoffs"],
    )
    assert "offered 待签收" == overdue["state"]
    assert [("open_ticket", ""), ("offer", "offered 待签收")] == [tuple(row) for row in trail]
