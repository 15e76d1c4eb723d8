"""The database fails: a clear answer, nothing half-written, and on it goes when it is back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, make_url, text

from exchange.errors import StoreMismatch, StoreUnavailable, StoreUnusable
from exchange.query.evidence import EvidenceRoom
from exchange.store import Store, migrate
from exchange.store.audit import check_log
from exchange.store.drivers import Driver
from exchange.store.engines import LOCK_SECONDS, connect, reading
from exchange.store.rows import Row
from tests.postgres import PostgresServer
from tests.store.stories import KEY, NOW, POLICE, Story, StoryReader, ticket_of

ROOT = Path(__file__).resolve().parents[2]


def record(store: Store, story: Story, tickets: int = 1) -> str:
    """Record a drain and return its first message's id."""
    opened = [story.open_ticket() for _ in range(tickets)]
    with store.writing() as writer:
        writer.record([*opened, *(story.offer(ticket_of(one)) for one in opened)], now=NOW)
    return opened[0].message.id


def findings(url: str) -> list[str]:
    """Return what the audit of the log finds."""
    engines = connect(url)
    found = [text.en for text in check_log(engines, KEY.verifier, StoryReader())]
    engines.close()
    return found


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL that a test may stop and kill."""
    with PostgresServer() as server:
        yield server


def test_a_full_disk_is_a_failure(tmp_path: Path, story: Story) -> None:
    """When the file may not grow, nothing of the drain is there; with room, it goes on."""
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    migrate(url)
    store = Store.open(url, KEY)
    kept = record(store, story)
    with store._engines.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailable, match=r"full\. Nothing was written\. "):
        record(store, story, tickets=200)
    with store._engines.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    again = record(store, story)
    assert {0, 2} == {proof.index for proof in store.stored_proofs([kept, again]).values()}
    assert 4 == store.stored_proofs([again])[again].index + 2
    store.close()
    assert [] == findings(url)


def test_a_locked_database_is_a_failure(tmp_path: Path, story: Story) -> None:
    """Another process that holds SQLite's write lock too long is named, not waited for."""
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    migrate(url)
    store = Store.open(url, KEY)
    other = create_engine(url)
    with store._engines.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 10")
    with other.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            record(store, story)
        holder.exec_driver_sql("ROLLBACK")
    other.dispose()

    record(store, story)
    store.close()
    assert [] == findings(url)


@pytest.mark.postgresql
def test_a_database_that_goes_and_comes_back(own_server: PostgresServer, story: Story) -> None:
    """While PostgreSQL is away every call says so; when it is back, all go on by themselves."""
    url = own_server.create_database("exchange")
    migrate(url)
    store = Store.open(url, KEY)
    first = record(store, story)
    proof = store.stored_proofs([first])
    own_server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            record(store, story)
        with pytest.raises(StoreUnavailable):
            store.waiting("x", 1)
    own_server.start()

    assert proof == store.stored_proofs([first])
    record(store, story)
    store.close()
    assert [] == findings(url)


@pytest.mark.postgresql
def test_a_commit_whose_answer_is_lost(
    own_server: PostgresServer, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the connection breaks during the commit, the store looks what became of it."""
    url = own_server.create_database("exchange")
    migrate(url)
    store = Store.open(url, KEY)
    record(store, story)
    opened = story.open_ticket()
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")

    def break_off() -> None:
        with store.writing() as writer:
            writer.record([opened], now=NOW)
            with administrator.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                    )
                )

    with pytest.raises(StoreUnavailable):
        break_off()
    administrator.dispose()

    with store.writing() as writer:
        assert {} == writer.messages([opened.message.id])
        (proof,) = writer.record([opened], now=NOW)
    assert 2 == proof.index
    store.close()
    assert [] == findings(url)


@contextmanager
def failing_commit(store: Store) -> Iterator[None]:
    """Let the next commit fail, so that nobody knows what became of it."""

    def lose(connection: Connection) -> None:
        connection.connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("the answer is lost")

    event.listen(store._engines.writer, "commit", lose)
    try:
        with pytest.raises(StoreUnavailable, match=r"the answer is lost.*a repeat tells"):
            yield
    finally:
        event.remove(store._engines.writer, "commit", lose)


def test_a_commit_that_lands_late_is_one_of_ours(tmp_path: Path, story: Story) -> None:
    """As in a cluster: two commits failed, and only then the first one is there after all."""
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    migrate(url)
    store = Store.open(url, KEY)
    record(store, story)
    cluster = Store.open(url, KEY)  # lets the very same drain land, later
    opened = story.open_ticket()
    with failing_commit(store), store.writing() as writer:
        writer.record([opened], now=NOW)
    with failing_commit(store), store.writing() as writer:
        assert {} == writer.messages([opened.message.id])
        writer.record([story.open_ticket(), opened], now=NOW)
    with cluster.writing() as writer:
        writer.record([opened], now=NOW)

    with store.writing() as writer:
        assert {opened.message.id} == set(writer.messages([opened.message.id]))
    record(store, story)
    assert [] == findings(url)
    # What none of ours wrote still is another's.
    other = Store.open(url, KEY)
    with failing_commit(store), store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)
    record(other, story)
    with pytest.raises(StoreMismatch, match="Another process wrote the log"):
        record(store, story)
    for one in (store, cluster, other):
        one.close()


@pytest.mark.postgresql
def test_a_question_over_a_lost_connection_is_asked_again(
    own_server: PostgresServer, story: Story
) -> None:
    """A pull after the server restarted finds what waits, and does not see that it did."""
    url = own_server.create_database("asked")
    migrate(url)
    store = Store.open(url, KEY)
    record(store, story)
    (before,) = store.waiting(POLICE, 1)
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
    administrator.dispose()
    assert [before] == store.waiting(POLICE, 1)
    store.close()


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_drains(database_url: str) -> None:
    """Kill -9 in the middle, again and again: what was said is there, and nothing is half-written."""
    migrate(database_url)
    said: list[tuple[str, int]] = []
    for seed in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.writer_process", database_url, str(seed)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as told:
            for _ in range(4 + seed):
                message_id, index = told.readline().split()
                said.append((message_id, int(index)))
            process.kill()
            last = [line.split() for line in told.read().splitlines(keepends=True) if "\n" in line]
            said += [(message_id, int(index)) for message_id, index in last]
        process.wait()

    assert [] == findings(database_url)
    store = Store.open(database_url, KEY)
    proofs = store.stored_proofs([message_id for message_id, _ in said])
    assert {message_id: index - 39 for message_id, index in said} == {
        message_id: proof.index for message_id, proof in proofs.items()
    }
    store.close()


def test_a_log_that_cannot_be_emptied_fails_no_drain(
    tmp_path: Path, story: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the commit nothing may fail any more: SQLite's trouble with its file is told, once."""
    monkeypatch.setattr("exchange.store._WAL_LIMIT", 0)
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    migrate(url)
    store = Store.open(url, KEY)
    store._driver = BrokenCheckpoint(store._driver)
    first, second = record(store, story), record(store, story)
    assert {first, second} == set(store.stored_proofs([first, second]))
    store._wal = tmp_path / ("x" * 300)  # a name that no file system looks up
    record(store, story)
    store.close()

    told = [one for one in caplog.records if one.name == "exchange.store"]
    assert 1 == len(told)
    assert 3 * 2 == entries(url)


def test_emptying_the_log_waits_for_no_reader(
    tmp_path: Path, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reader in its way a drain ends at once, however patient its connection else is."""
    monkeypatch.setattr("exchange.store._WAL_LIMIT", 0)
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    migrate(url)
    store = Store.open(url, KEY)
    with store._engines.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 3600000")
    engines = connect(url)
    with reading(engines) as snapshot:
        before = snapshot.exec_driver_sql("SELECT size FROM log").scalar_one()
        drain = threading.Thread(target=record, args=(store, story))
        drain.start()
        drain.join(20)
        waited = drain.is_alive()
        assert before == snapshot.exec_driver_sql("SELECT size FROM log").scalar_one()
    drain.join()
    assert not waited
    with store._engines.writer.connect() as connection:
        patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    assert LOCK_SECONDS * 1000 == patience

    record(store, story)  # nobody reads: it is emptied
    assert 0 == (tmp_path / "exchange.db-wal").stat().st_size
    store.close()
    engines.close()


def test_a_damaged_file_is_named(tmp_path: Path, story: Story) -> None:
    """SQLite's "malformed" is no passing trouble: the file, the backup and the check are named."""
    path = tmp_path / "exchange.db"
    url = f"sqlite:///{path}"
    migrate(url)
    store = Store.open(url, KEY)
    record(store, story, tickets=50)
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    attempts: list[Callable[[], object]] = [
        lambda: Store.open(url, KEY),
        lambda: EvidenceRoom.open(url).head(),
    ]
    for attempt in attempts:
        with pytest.raises(
            StoreUnusable, match=r"restore the backup.*exchange log verify"
        ) as raised:
            attempt()
        assert str(path) in raised.value.text.en
        assert "恢复备份" in raised.value.text.zh


@pytest.mark.parametrize("table", ["log", "message", "mailbox"])
def test_a_missing_table_is_named(
    store: Store, migrated_url: str, story: Story, table: str
) -> None:
    """A database that is not whole is no passing trouble, for those who write and those who read."""
    engines = connect(migrated_url)
    with engines.writer.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        connection.execute(text(f"ALTER TABLE {table} RENAME TO away"))
    with pytest.raises(StoreUnusable, match=f"{table}.*Not all of its tables"):
        record(store, story)
    if table == "mailbox":
        with pytest.raises(StoreUnusable, match=r"mailbox.*Not all of its tables"):
            store.waiting("x", 1)
    with engines.writer.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        connection.execute(text(f"ALTER TABLE away RENAME TO {table}"))
    engines.close()

    record(store, story)


@pytest.mark.postgresql
def test_a_lost_right_is_named(own_server: PostgresServer, story: Story) -> None:
    """A role that may read and not write is found at opening, and told what it lacks."""
    url = own_server.create_database("exchange")
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE clerk LOGIN PASSWORD 'clerk'"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk"))
    engine.dispose()
    clerk = make_url(url).set(username="clerk", password="clerk")
    with pytest.raises(StoreUnusable, match="Grant it SELECT, INSERT"):
        Store.open(clerk.render_as_string(hide_password=False), KEY)


class BrokenCheckpoint:
    """SQLite's driver on a disk that is full just when the log is to be emptied."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def fetch(self, connection: Connection, statement: str, *parameters: Any) -> list[Row]:
        """Run a query, but no checkpoint."""
        if "wal_checkpoint" in statement:
            raise sqlite3.OperationalError("database or disk is full")
        return self._driver.fetch(connection, statement, *parameters)


def entries(url: str) -> int:
    """Return how many entries the log has."""
    engines = connect(url)
    with reading(engines) as connection:
        size: int = connection.exec_driver_sql("SELECT size FROM log").scalar_one()
    engines.close()
    return size
