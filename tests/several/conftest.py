"""Databases that several bridges share: on PostgreSQL, on MariaDB, and on a Galera cluster with a node for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from exchange.store import mariadb_claim
from tests.galera import Cluster
from tests.mariadb import bridge_url, create_database, drop_database
from tests.pki import pki
from tests.postgres import PostgresServer
from tests.several.joined import Joined

ON_MARIADB = pytest.param("mariadb", marks=pytest.mark.whole_on_mariadb)
ON_GALERA = pytest.param(
    "galera", marks=[pytest.mark.whole_on_mariadb, pytest.mark.galera, pytest.mark.slow]
)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine a bridge that lives may be silent for long; that it lives is seen soon."""
    monkeypatch.setattr(mariadb_claim, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(mariadb_claim, "_BEAT_SECONDS", 0.2)


@pytest.fixture(
    params=[pytest.param("postgresql", marks=pytest.mark.postgresql), ON_MARIADB, ON_GALERA]
)
def own_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty database; that of a cluster names its nodes, of which each bridge has its own."""
    name = f"several_{uuid.uuid4().hex}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield server.create_database(name)
        server.drop_database(name)
    elif request.param == "mariadb":
        made = create_database(request.getfixturevalue("mariadb_url"), name)
        yield bridge_url(made)
        drop_database(made)
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        yield cluster.create_database(name)
        cluster.settle()
        cluster.nodes[0].ask(f"DROP DATABASE `{name}`")


@pytest.fixture
def joined(own_url: str) -> Iterator[Joined]:
    """Give two bridges that share a database in which nothing happened yet."""
    world = Joined(own_url)
    world.begin()
    yield world
    world.close()


__all__ = ["pki"]
