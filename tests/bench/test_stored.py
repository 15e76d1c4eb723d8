"""The bulk-loaded database is one that a bridge could have left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy

from exchange.note import LogKey
from exchange.query import Query
from tests.bench.place import FEW, Place
from tests.bench.stored import FEW_TICKETS, Stored
from tests.chaos.processes import ROOT
from tests.pki import Pki


def verified(settings: Path) -> subprocess.CompletedProcess[str]:
    """Run ``exchange log verify``."""
    command = [sys.executable, "-m", "exchange", "log", "verify", "--config", str(settings)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def test_stored_tickets_verify_as_if_a_bridge_had_written_them(
    pki: Pki, tmp_path: Path, database_url: str
) -> None:
    """Filled in two steps, the log of both holds; one changed byte of it is found."""
    place = Place.at(tmp_path, pki)
    stored = Stored(database_url, LogKey.load(place.log_key))
    steps = [*stored.grow(100), *stored.grow(150)]
    settings = place.settings("bridge", database_url, 1)
    engine = sqlalchemy.create_engine(database_url)

    assert [100, 150] == steps
    assert 0 == verified(settings).returncode
    with engine.begin() as connection:
        few = sqlalchemy.text("SELECT count(*) FROM ticket WHERE origin = :code")
        assert FEW_TICKETS == connection.execute(few, {"code": FEW.organisation}).scalar_one()
        connection.exec_driver_sql("UPDATE trail SET kind = 'take' WHERE leaf_index = 77")
    engine.dispose()
    query = Query.open(database_url)
    seen = query.tickets(FEW.organisation, limit=50, regions=[FEW.region])[0]
    query.close()
    assert FEW_TICKETS == len(seen)  # by its own certificate, as the curve asks for them
    found = verified(settings)
    assert 0 != found.returncode
    assert "77" in found.stdout + found.stderr
