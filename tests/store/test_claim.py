"""One bridge for one database: the claim that stands before the first write."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from exchange.errors import StoreUnavailable, StoreUnusable
from exchange.store import Store, create
from exchange.store.claim import SUFFIX, served_by
from exchange.store.engines import connect
from tests.postgres import PostgresServer
from tests.store.stories import KEY, NOW, Story

#: What fits into the name that PostgreSQL keeps of an application.
WHO = f"PID {os.getpid()} @ {platform.node()[:28]}"


def record(store: Store, story: Story) -> None:
    """Write a drain."""
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)


@pytest.fixture
def own_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Yield the URL of a PostgreSQL database with our tables in it."""
    name = f"claim_{uuid.uuid4().hex}"
    url = postgres_server.create_database(name)
    create(url)
    yield url
    postgres_server.drop_database(name)


def test_the_second_is_told_who_serves(migrated_url: str, story: Story) -> None:
    """While one has the database, another does not begin; when it is closed, the next one may."""
    first = Store.open(migrated_url, KEY, alone=True)
    engines = connect(migrated_url)
    assert (served_by(engines) or "").startswith(WHO)
    with pytest.raises(StoreUnusable, match="already served by PID") as raised:
        Store.open(migrated_url, KEY, alone=True)
    assert engines.place in raised.value.text.zh
    assert str(os.getpid()) in raised.value.text.zh
    record(first, story)
    first.close()

    assert served_by(engines) is None
    Store.open(migrated_url, KEY, alone=True).close()
    engines.close()


def test_another_name_of_the_file_is_the_same_database(tmp_path: Path) -> None:
    """A link to SQLite's file does not lead around the lock, which lies beside the file."""
    file, link = tmp_path / "exchange.db", tmp_path / "link.db"
    link.symlink_to(file)
    create(f"sqlite:///{file}")
    first = Store.open(f"sqlite:///{file}", KEY, alone=True)
    with pytest.raises(StoreUnusable, match="already served"):
        Store.open(f"sqlite:///{link}", KEY, alone=True)
    first.close()
    assert [tmp_path / f"exchange.db{SUFFIX}"] == list(tmp_path.glob(f"*{SUFFIX}"))


@pytest.mark.postgresql
def test_a_lost_connection_takes_its_claim_again(own_url: str, story: Story) -> None:
    """Whoever was quicker serves from then on; the other one writes nothing."""
    administrator = create_engine(own_url, isolation_level="AUTOCOMMIT")
    end = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    first = Store.open(own_url, KEY, alone=True)
    with administrator.connect() as connection:
        connection.execute(end)
    with pytest.raises(StoreUnavailable):
        record(first, story)
    record(first, story)  # it is back, and has the lock again
    with pytest.raises(StoreUnusable, match="already served"):
        Store.open(own_url, KEY, alone=True)

    with administrator.connect() as connection:
        connection.execute(end)
    second = Store.open(own_url, KEY, alone=True)
    with pytest.raises(StoreUnavailable):
        record(first, story)
    with pytest.raises(StoreUnusable, match="already served by PID"):
        record(first, story)
    record(second, story)
    second.close()
    first.close()
    administrator.dispose()


@pytest.mark.postgresql
def test_our_own_lost_connection_does_not_stand_in_our_way(own_url: str, story: Story) -> None:
    """A connection that we have lost and the server has not missed yet is ended, the lock taken."""
    store = Store.open(own_url, KEY, alone=True)
    held = store._engines.writer.connect()  # it keeps its session, and so the lock
    store._engines.writer.dispose()
    record(store, story)
    held.invalidate()
    held.close()
    store.close()
