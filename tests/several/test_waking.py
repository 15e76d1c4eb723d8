"""A ring on one bridge is heard on the others, and a lost one costs a look, not the message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from certs.development import LOG_NAME
from certs.logkey import create_log_key
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.config import load_settings
from exchange.note import LogKey
from exchange.server import neighbours
from exchange.store import Store, create
from exchange.store.logs import join
from exchange.store.waking import Waking
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, matter, write_settings

pytestmark = pytest.mark.postgresql

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
    second = replace(first, origin=LogKey.load(key).name, log_key=key)
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
            hotline.push(sealed)
            waiting.join(50)
            assert [one.envelope for one in sealed] == [one.envelope for one in found]


def listening(bridge: Running) -> None:
    """Return once a pull waits at *bridge*."""
    assert bridge.server is not None
    bells = bridge.server._bells
    while not len(bells):
        pass


def test_a_call_wakes_the_pull_that_waits_elsewhere(
    pki: Pki, two: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the call alone: no look would come within the hour."""
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 3600.0)
    for bridge in two:
        bridge.start()
    engine = create_engine(two[0].settings.database)
    with engine.connect() as connection:
        while 2 != len(connection.execute(text(_LISTENING)).all()):
            connection.rollback()
    engine.dispose()
    pulled_elsewhere(pki, two, 3)


def test_what_was_called_to_nobody_is_looked_for(
    pki: Pki, two: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge killed between commit and call, or a cut line, holds a message up for a look alone."""
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(Waking, "tell", lambda _self, _organisations: None)
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
    engine = create_engine(two[0].settings.database, isolation_level="AUTOCOMMIT")
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
