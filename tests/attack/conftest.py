"""A real bridge with real TLS on each kind of database, and the desks that attack it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exchange.config import load_settings
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki, pki
from tests.postgres import PostgresServer
from tests.server.running import Caller, Running, calling, write_settings

__all__ = ["pki"]


@contextmanager
def serving(pki: Pki, folder: Path, url: str, more: str = "") -> Iterator[Running]:
    """Serve in this process with the database at *url*; *more* are further lines of configuration."""
    path = write_settings(pki, folder)
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    found = Running(load_settings(path, {"EXCHANGE_DATABASE": url}))
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def bridge(
    request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A bridge that the tests of one module share, once on each engine."""
    folder = tmp_path_factory.mktemp("bridge")
    if request.param == "sqlite":
        with serving(pki, folder, f"sqlite:///{folder / 'bridge.db'}") as found:
            yield found
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"attack_{uuid.uuid4().hex}"
    with serving(pki, folder, server.create_database(name)) as found:
        yield found
    server.drop_database(name)


@pytest.fixture
def hotline(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The city's 12345 desk."""
    with calling(pki, bridge.port, CITY_12345) as caller:
        yield caller


@pytest.fixture
def county(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The county's 12345 desk."""
    with calling(pki, bridge.port, COUNTY_12345) as caller:
        yield caller


@pytest.fixture
def police(pki: Pki, bridge: Running) -> Iterator[Caller]:
    """The city's 110 desk."""
    with calling(pki, bridge.port, CITY_110) as caller:
        yield caller
