"""A fresh world for each test, on SQLite; the store suite runs the same store on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.world import World


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give a bridge over an empty database, on each kind of database."""
    world = World(database_url)
    yield world
    world.bridge.store.close()
