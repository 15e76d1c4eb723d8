"""Faults that say nothing by themselves: a server that vanished, a text that is none."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exchange.errors import StoreUnusable
from exchange.store import Store, migrate
from exchange.store.audit import audit, check_log
from exchange.store.engines import connect
from tests.store.stories import KEY, NOW, Story, StoryReader


@pytest.mark.postgresql
def test_a_vanished_server_is_missed_within_half_a_minute(postgres_url: str) -> None:
    """Every connection asks the other machine now and then whether it is there."""
    engines = connect(postgres_url)
    try:
        for engine in (engines.writer, engines.reader, engines.asker):
            with closing(engine.raw_connection()) as connection:
                driver = connection.driver_connection
                assert driver is not None
                with socket.socket(fileno=os.dup(driver.fileno())) as wire:
                    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    idle, every, count, unanswered = (
                        wire.getsockopt(socket.IPPROTO_TCP, option)
                        for option in (
                            socket.TCP_KEEPIDLE,
                            socket.TCP_KEEPINTVL,
                            socket.TCP_KEEPCNT,
                            socket.TCP_USER_TIMEOUT,
                        )
                    )
                    assert idle + every * count <= 30
                    assert 0 < unanswered <= 30_000
    finally:
        engines.close()


def test_an_index_that_lost_a_row_is_found(tmp_path: Path, story: Story) -> None:
    """Who asks by it would be told that there is no such message: the audit names the index."""
    path = tmp_path / "exchange.db"
    url = f"sqlite:///{path}"
    migrate(url)
    store = Store.open(url, KEY)
    opened = story.open_ticket()
    with store.writing() as writer:
        writer.record([opened], now=NOW)
    store.close()
    assert not [one for one in audited(url) if str(path) in one]
    name = opened.message.id.encode()
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_message_1'"
        ).fetchone()
    page = (root - 1) * 4096
    at = content.index(name, page, page + 4096)
    changed = bytes([content[at] ^ 1])
    path.write_bytes(content[:at] + changed + content[at + 1 :])
    named = [one for one in audited(url) if str(path) in one]
    assert any("sqlite_autoindex_message_1" in one for one in named)


def audited(url: str) -> list[str]:
    """Return what the audit finds."""
    engines = connect(url)
    try:
        return [text.en for text in audit(engines, KEY.verifier, StoryReader())]
    finally:
        engines.close()


def test_a_text_whose_bytes_are_none_is_damage(tmp_path: Path, story: Story) -> None:
    """It is named as what it is: waiting does not mend it."""
    path = tmp_path / "exchange.db"
    url = f"sqlite:///{path}"
    migrate(url)
    store = Store.open(url, KEY)
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE trail SET message_id = CAST(x'c328' AS TEXT)")
    engines = connect(url)
    try:
        with pytest.raises(StoreUnusable) as raised:
            list(check_log(engines, KEY.verifier, StoryReader()))
    finally:
        engines.close()
    assert "damaged" in raised.value.text.en
    assert str(path) in raised.value.text.en
