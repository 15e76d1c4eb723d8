"""The bridge and the links of the adapters' tests, and a platform's database on each engine."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.adapters.conftest import bridge, link
from tests.mariadb import create_database
from tests.pki import pki

__all__ = ["bridge", "link", "pki"]

#: Gives the URL of an empty database by a name of its own.
Urls = Callable[[str], str]


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql), "mariadb"]
)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Urls:
    """Gives empty databases on each engine that platforms have."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path / name}.db"
    own = uuid.uuid4().hex[:12]
    if request.param == "mariadb":
        server = request.getfixturevalue("mariadb_url")
        return lambda name: create_database(server, f"{name}_{own}")
    made = request.getfixturevalue("postgres_server")
    return lambda name: str(
        make_url(made.create_database(f"{name}_{own}")).render_as_string(hide_password=False)
    )
