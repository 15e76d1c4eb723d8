"""Databases that several bridges share: on PostgreSQL alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.pki import pki
from tests.postgres import PostgresServer
from tests.several.joined import Joined


@pytest.fixture
def own_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database."""
    name = f"several_{uuid.uuid4().hex}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def joined(own_url: str) -> Iterator[Joined]:
    """Give two bridges that share a database in which nothing happened yet."""
    world = Joined(own_url)
    world.begin()
    yield world
    world.close()


__all__ = ["pki"]
