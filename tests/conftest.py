"""What every test may ask for: databases.  Folders add their own fixtures beside their tests."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.galera import Cluster, galera_installed
from tests.mariadb import bridge_url, create_database, drop_database, installed, mariadb
from tests.postgres import PostgresServer, PostgresUnavailable

# A test that wants a screen says how wide: neither the caller's nor that of a worker counts.
os.environ.pop("COLUMNS", None)

# Who starts this in the background of a shell may have it ignore Ctrl-C, and so would every child.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)

#: Whose files take a minute each: several at once end soonest where these begin.
_LONG = {"acceptance", "conformance", "simulation"}
#: What of the store's suite runs on MariaDB, too, unless all of it shall: `make test-mariadb`.
_ON_MARIADB = {
    "store/test_mariadb.py",
    "store/test_store.py",
    "store/test_claim.py",
    "bridge/test_drain.py",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the long files first, the order within a file and among the others stays; leave out what is asked for alone."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in _LONG)
    if os.environ.get("TEST_MARIADB") != "all":
        left_out = [
            item
            for item in items
            if item.get_closest_marker("galera")
            or (
                item.get_closest_marker("whole_on_mariadb")
                and item.path.relative_to(here).as_posix() not in _ON_MARIADB
            )
        ]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Yield a running PostgreSQL of our own."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(PostgresServer())
        except PostgresUnavailable as unavailable:
            if os.environ.get("CI") == "true":
                pytest.fail(str(unavailable))  # a store suite that did not run proves nothing
            pytest.skip(str(unavailable))
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the URL of one PostgreSQL database that tests of a session share."""
    return postgres_server.create_database("shared")


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A MariaDB server, where its programs are installed."""
    if not installed():
        pytest.skip("MariaDB is not installed here")
    with mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes of a Galera cluster, all of which serve at the beginning and end of each test."""
    if not galera_installed():
        pytest.skip("MariaDB with Galera is not installed here")
    with Cluster() as made:
        yield made


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.whole_on_mariadb),
    ],
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty database, once on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'exchange.db'}"
        return
    if request.param == "mariadb":
        made = create_database(request.getfixturevalue("mariadb_url"), f"test_{uuid.uuid4().hex}")
        yield bridge_url(made)
        drop_database(made)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)
