"""A log joins a database on purpose, and each log has one bridge at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.errors import ConfigurationError, StoreMismatch, StoreUnusable
from exchange.note import LogKey
from exchange.store import Store, create
from exchange.store.claim import served_by
from exchange.store.engines import connect
from exchange.store.logs import join
from tests.several.joined import KEYS, Joined


def test_sqlite_has_one_log(tmp_path: Path) -> None:
    """A file has one bridge; the text says what several can share."""
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    create(url)
    Store.open(url, KEYS[0]).close()
    with pytest.raises(ConfigurationError, match="PostgreSQL or MariaDB") as raised:
        join(url, KEYS[1])

    assert "PostgreSQL 或 MariaDB" in raised.value.text.zh


def test_nothing_joins_a_database_without_a_log(own_url: str) -> None:
    """The first log is the first bridge's: whoever joined before it would have its place."""
    with pytest.raises(StoreMismatch, match="migrate --create"):
        join(own_url, KEYS[1])
    create(own_url)
    with pytest.raises(StoreMismatch, match="no log yet"):
        join(own_url, KEYS[1])

    Store.open(own_url, KEYS[0], alone=True).close()
    assert 1 == join(own_url, KEYS[1]).number


def test_a_bridge_that_did_not_join_is_not_served(own_url: str) -> None:
    """Another key never begins a second log by accident."""
    create(own_url)
    Store.open(own_url, KEYS[0], alone=True).close()
    with pytest.raises(StoreMismatch, match=KEYS[0].name):
        Store.open(own_url, KEYS[1], alone=True)
    join(own_url, KEYS[1])

    with pytest.raises(StoreMismatch, match=f"{KEYS[0].name}, {KEYS[1].name}"):
        Store.open(own_url, KEYS[2], alone=True)


def test_joining_needs_a_lone_bridge_stopped(own_url: str) -> None:
    """It locks no tickets and keeps its leases in memory; the text says who it is and what to do."""
    create(own_url)
    alone = Store.open(own_url, KEYS[0], alone=True)
    with pytest.raises(StoreUnusable, match=r"served by PID.*stop it, join, then start both"):
        join(own_url, KEYS[1])
    alone.close()

    assert join(own_url, KEYS[1]).new


def test_joining_again_changes_nothing_and_a_name_is_taken_once(own_url: str) -> None:
    """The same key is told its number; another key of the same name is refused."""
    create(own_url)
    Store.open(own_url, KEYS[0], alone=True).close()
    first, again = join(own_url, KEYS[1]), join(own_url, KEYS[1])

    assert (1, 1, False) == (first.number, again.number, again.new)
    assert first.logs == again.logs
    for taken in KEYS[:2]:
        with pytest.raises(ConfigurationError, match="of another key"):
            join(own_url, LogKey.from_seed(taken.name, bytes(31) + b"\7"))


def test_a_third_joins_while_the_others_serve(joined: Joined) -> None:
    """Bridges that share need not be stopped for one more."""
    assert 2 == join(joined.url, KEYS[2]).number
    third = joined.sharing(KEYS[2], joined.bridges[0].ledger)
    third.close()


def test_each_log_is_served_once(joined: Joined) -> None:
    """A second process of the same log is told who serves it; all of them are told of."""
    engines = connect(joined.url)
    assert 2 == len((served_by(engines) or "").split("; "))
    engines.close()
    for key in KEYS[:2]:
        with pytest.raises(StoreUnusable, match=r"bridge's log.*already served by PID"):
            Store.open(joined.url, key, alone=True)
    joined.bridges[1].close()

    Store.open(joined.url, KEYS[1], alone=True).close()


def test_who_was_alone_when_it_was_opened_writes_nothing_more(own_url: str) -> None:
    """Where a pooler lets the claim slip, the next look at the log's head finds the other log."""
    create(own_url)
    alone = Store.open(own_url, KEYS[0])
    join(own_url, KEYS[1])
    alone._head = None  # as after a lost connection
    with pytest.raises(StoreMismatch, match="Start the bridge again"), alone.writing():
        pass
    alone.close()
