"""The database's version, its tables and its views."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from exchange import migrations, tables
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnavailable, StoreUnusable
from exchange.query import Query
from exchange.query.evidence import EvidenceRoom
from exchange.store import Store, create, migrate, upgrade
from exchange.store.engines import MARIADB, Engines, connect
from exchange.store.schema import check_version, check_writable, newest
from tests.store.stories import HOTLINE, KEY, NOW, POLICE, Story, ticket_of

VIEWS = (Path(__file__).parents[2] / "deploy" / "VIEWS.md").read_text(encoding="utf-8")

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
VIEW_COLUMNS["v_deadline"] = {
    "handoff_id",
    "ticket_id",
    "kind",
    "owes",
    "due",
    "remind",
    "overdue",
}
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

    ours = ("ix_mailbox_next", "table=<claim>")  # the second is MariaDB's alone
    assert [] == [one for one in found if not any(name in str(one) for name in ours)]


def test_migrating_again_changes_nothing(database_url: str) -> None:
    """The first time creates, the second does nothing."""
    assert (None, newest()) == migrate(database_url)
    assert (newest(), newest()) == migrate(database_url)


def test_a_database_is_begun_only_when_told(database_url: str) -> None:
    """Nobody who reads, serves or upgrades makes one, or its file; the text says what to do."""
    engines = connect(database_url)
    attempts: list[Callable[[], object]] = [
        lambda: Store.open(database_url, KEY),
        lambda: Query.open(database_url),
        lambda: EvidenceRoom.open(database_url),
        lambda: upgrade(database_url),
    ]
    for attempt in attempts:
        with pytest.raises(StoreMismatch, match=r"backup.*exchange migrate --create") as raised:
            attempt()
        assert engines.place in raised.value.text.zh
        if engines.file is not None:
            assert not list(engines.file.parent.iterdir())
    engines.close()

    assert newest() == create(database_url)
    assert (newest(), newest()) == upgrade(database_url)
    with pytest.raises(StoreMismatch, match="is there already"):
        create(database_url)


def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    """To find out that it is no bridge's database, not a byte of it is changed."""
    file = tmp_path / "desk.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE work_order (number TEXT)")
    before = file.read_bytes()
    url = f"sqlite:///{file}"
    attempts: list[Callable[[], object]] = [
        lambda: Query.open(url),
        lambda: Store.open(url, KEY),
        lambda: upgrade(url),
    ]
    for attempt in attempts:
        with pytest.raises(StoreMismatch, match="no tables of a bridge"):
            attempt()

    assert (before, [file]) == (file.read_bytes(), list(tmp_path.iterdir()))


def test_a_database_that_can_only_be_read_is_found(migrated_url: str, store: Store) -> None:
    """By a write that is taken back: cause and mend are told, and the log stays as it was."""
    engines = connect(migrated_url)
    check_writable(engines)
    with read_only(migrated_url, engines) as url:
        only_read = connect(url)
        check_version(only_read)
        with pytest.raises(StoreUnusable, match=r"read.?only.*can only be read") as raised:
            check_writable(only_read)
        assert "只读" in raised.value.text.zh
        only_read.close()
    with store.writing() as writer:
        writer.record([Story().open_ticket()], now=NOW)
    engines.close()


@contextlib.contextmanager
def read_only(url: str, engines: Engines) -> Iterator[str]:
    """Give a URL by which the same database takes no writes."""
    if engines.file is not None:
        yield f"sqlite:///file:{engines.file}?mode=ro&uri=true"
        return
    if engines.writer.dialect.name == MARIADB:
        with read_only_server(url) as reader:
            yield reader
        return
    with engines.writer.begin() as connection:
        # From now on for new connections; whoever is connected may go on.
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    yield url


@contextlib.contextmanager
def read_only_server(url: str) -> Iterator[str]:
    """Let a MariaDB server take writes from its administrators alone; give the URL of one who is none."""
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text("CREATE USER bridge@127.0.0.1 IDENTIFIED BY 'secret'"))
        connection.execute(
            text(f"GRANT ALL ON `{administrator.url.database}`.* TO bridge@127.0.0.1")
        )
        connection.execute(text("SET GLOBAL read_only = ON"))
        try:
            yield url.replace("root@", "bridge:secret@")
        finally:
            connection.execute(text("SET GLOBAL read_only = OFF"))
            connection.execute(text("DROP USER bridge@127.0.0.1"))
    administrator.dispose()


def test_a_version_to_come_that_only_adds_is_served(migrated_url: str) -> None:
    """A newer version says which programs may still serve it; migrating leaves it as it is."""
    engine = create_engine(migrated_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    Store.open(migrated_url, KEY).close()
    assert ("9999", "9999") == upgrade(migrated_url) == migrate(migrated_url)


def test_an_unknown_version_is_refused(migrated_url: str) -> None:
    """A database of a version to come is neither opened nor migrated; both versions are named."""
    engine = create_engine(migrated_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE serves SET oldest = '9998'"))
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


@pytest.mark.parametrize("view", VIEW_COLUMNS)
def test_views_are_documented_column_by_column(view: str) -> None:
    """Below the view's name stands a table with each of its columns once, and no other."""
    below = VIEWS.partition(f"**{view}**")[2].partition("| --- | --- |\n")[2].partition("\n\n")[0]
    named = [name for row in below.splitlines() for name in row.split("|")[1].strip().split(", ")]
    assert len(named) == len(set(named))
    assert set(named) == VIEW_COLUMNS[view]


def test_the_documented_questions_are_answered(
    store: Store, migrated_url: str, story: Story
) -> None:
    """Each query of the page runs as it is written, on either database, and gives what it says."""
    opened = story.open_ticket()
    with store.writing() as writer:
        writer.record([opened, story.offer(ticket_of(opened))], now=story.time)
    engine = create_engine(migrated_url)
    with engine.connect() as connection:
        queries = re.findall(r"```sql\n(.*?)```", VIEWS, re.DOTALL)
        answers = [[tuple(row) for row in connection.execute(text(query))] for query in queries]
    engine.dispose()

    day = story.time.date().isoformat()
    assert answers == [
        [(HOTLINE, 1, 1)],
        [(day, HOTLINE, POLICE, "offered 待签收", 1)],
        [],
    ]


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


def test_the_newest_version_is_what_alembic_makes() -> None:
    """The files' names, by which a start knows the versions, say what the revisions in them do."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert newest() == scripts.get_current_head()
    assert [script.revision for script in scripts.walk_revisions()] == [
        Path(script.path).name[:4] for script in scripts.walk_revisions()
    ]
