"""A store on each engine, and a story to put into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exchange.store import Store, migrate
from tests.store.stories import KEY, Story


@pytest.fixture
def migrated_url(database_url: str) -> str:
    """Return the URL of a database with our tables in it."""
    migrate(database_url)
    return database_url


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """Yield an open store without tickets."""
    opened = Store.open(migrated_url, KEY)
    yield opened
    opened.close()


@pytest.fixture
def story() -> Story:
    """Return a story at its beginning."""
    return Story()
