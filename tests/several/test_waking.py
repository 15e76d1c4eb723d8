"""A ring on one bridge is heard on the others, and a lost one costs a look, not the message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from certs.development import LOG_NAME
from certs.logkey import create_log_key
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.messages import SealedMessage
from exchange.config import load_settings
from exchange.note import LogKey
from exchange.server import neighbours
from exchange.store import Store, create
from exchange.store.logs import join
from exchange.store.mariadb_waking import MariadbWaking
from exchange.store.waking import Waking
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, matter, write_settings
from tests.several.nodes import POSTGRESQL, at, beside, kind

_LISTENING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
)


@pytest.fixture
def two(pki: Pki, tmp_path: Path, own_url: str) -> Iterator[list[Running]]:
    """Give two bridges on one database, not started."""
    create(own_url)
    first = replace(load_settings(write_settings(pki, tmp_path)), database=own_url)
    key, _ = create_log_key(tmp_path / "second", LOG_NAME.replace("/1", "/2"))
    Store.open(own_url, LogKey.load(first.log_key)).close()
    second = replace(first, origin=LogKey.load(key).name, log_key=key, database=at(own_url, 1))
    join(own_url, LogKey.load(key))
    bridges = [Running(first), Running(second)]
    yield bridges
    for bridge in bridges:
        bridge.stop()


def pulled_elsewhere(pki: Pki, two: list[Running], rounds: int) -> None:
    """Let something be pushed to the one while a pull waits at the other; it must come."""
    with ExitStack() as stack:
        hotline: Caller = stack.enter_context(calling(pki, two[0].port, CITY_12345))
        police: Caller = stack.enter_context(calling(pki, two[1].port, CITY_110))
        for _ in range(rounds):
            found: list[pb.Delivery] = []
            waiting = threading.Thread(target=lambda f=found: f.extend(police.pull(wait=60)))
            waiting.start()
            listening(two[1])
            sealed = hotline.sealer.seal(matter())
            push(hotline, sealed)
            waiting.join(50)
            assert [one.envelope for one in sealed] == [one.envelope for one in found]


def push(caller: Caller, sealed: list[SealedMessage]) -> None:
    """Push until it is stored: a line may be cut that nobody has missed yet."""
    while True:
        with suppress(grpc.RpcError):
            caller.push(sealed)
            return


def listening(bridge: Running) -> None:
    """Return once a pull waits at *bridge*."""
    assert bridge.server is not None
    bells = bridge.server._bells
    while not len(bells):
        pass


def cut_all(url: str, number: int) -> None:
    """Cut every connection to a database on MariaDB, at one node of a cluster."""
    engine = beside(url, number)
    ours = (
        "SELECT id FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )
    with engine.connect() as connection:
        for one in connection.execute(text(ours)).scalars().all():
            with suppress(OperationalError):  # it may have ended by now
                connection.execute(text(f"KILL {one}"))
    engine.dispose()


def test_a_call_wakes_the_pull_that_waits_elsewhere(
    pki: Pki, two: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the call alone: no look would come within the hour."""
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 3600.0)
    for bridge in two:
        bridge.start()
    if kind(two[0].settings.database) == POSTGRESQL:  # elsewhere what was called is counted
        engine = beside(two[0].settings.database)
        with engine.connect() as connection:
            while 2 != len(connection.execute(text(_LISTENING)).all()):
                pass
        engine.dispose()
    pulled_elsewhere(pki, two, 3)


def test_what_was_called_to_nobody_is_looked_for(
    pki: Pki, two: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge killed between commit and call, or a cut line, holds a message up for a look alone."""
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 0.2)
    for lines in (Waking, MariadbWaking):
        monkeypatch.setattr(lines, "tell", lambda _self, _organisations: None)
    for bridge in two:
        bridge.start()

    pulled_elsewhere(pki, two, 2)


def test_a_cut_line_is_taken_up_again(
    pki: Pki, two: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says once that it is cut; afterwards calls wake again."""
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 3600.0)
    for bridge in two:
        bridge.start()
    if kind(two[0].settings.database) != POSTGRESQL:
        for number in range(2):
            cut_all(two[0].settings.database, number)
        pulled_elsewhere(pki, two, 2)
        assert two[1].events("neighbours-unheard")
        return
    engine = beside(two[0].settings.database)
    with engine.connect() as connection:
        while not (cut := connection.execute(text(_LISTENING)).scalars().all()):
            pass
        for pid in cut:
            connection.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        while not set(connection.execute(text(_LISTENING)).scalars()) - set(cut):
            pass
        while 2 != len(connection.execute(text(_LISTENING)).all()):
            pass
    engine.dispose()
    pulled_elsewhere(pki, two, 2)

    assert any(bridge.events("neighbours-unheard") for bridge in two)
