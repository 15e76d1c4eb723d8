"""A store on each engine, and a story to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.keyring import RingFile
from exchange.store import Store, mariadb, mariadb_claim, migrate
from tests.store.site import Site, more
from tests.store.stories import KEY, Story


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine a bridge that lives may be silent for long, and so may a server."""
    monkeypatch.setattr(mariadb_claim, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(mariadb, "SILENT_SECONDS", 120.0)
    slowly = mariadb._SESSION.replace(
        "innodb_lock_wait_timeout = 5", "innodb_lock_wait_timeout = 60"
    )
    assert slowly != mariadb._SESSION
    monkeypatch.setattr(mariadb, "_SESSION", slowly)


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
def ring(tmp_path: Path) -> RingFile:
    """Return a ring of one key."""
    made = RingFile(tmp_path / "bridge.ring")
    more(made)
    return made


@pytest.fixture
def encrypted(database_url: str, tmp_path: Path, ring: RingFile) -> Iterator[Site]:
    """Yield a site on each engine, with encryption on."""
    made = Site(database_url, tmp_path / "archive", ring)
    made.folder.mkdir()
    yield made
    made.close()


@pytest.fixture
def story() -> Story:
    """Return a story at its beginning."""
    return Story()
