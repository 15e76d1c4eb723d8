"""A rolling upgrade under load: two versions of the program serve one database, side by side."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import exchange
from exchange.store.schema import newest
from tests.attack.evidence import column
from tests.attack.process import BridgeProcess
from tests.pki import Pki
from tests.several.province import Province, ProvinceTown

_SOURCE = Path(exchange.__file__).parent

#: What a version that only adds may do to tables that bridges are writing to.
_ADDS = """
    op.add_column("trail", sa.Column("later", sa.Text))
    op.add_column("handoff", sa.Column("later", sa.Integer, nullable=False, server_default="0"))
    op.create_table("later", sa.Column("id", sa.BigInteger, primary_key=True))
    op.create_index("ix_trail_later", "trail", ["later"])
"""
#: What the one after it may take away: nothing that the version before it uses.
_TAKES_AWAY = """
    op.drop_index("ix_trail_later")
    op.drop_column("trail", "later")
    op.drop_column("handoff", "later")
    op.drop_table("later")
    op.execute("UPDATE serves SET oldest = '{before}'")
"""


def later_program(folder: Path, *steps: tuple[str, str]) -> dict[str, str]:
    """Make a program in *folder* that is ours and has further migrations; return how it is run."""
    copied = folder / "exchange"
    shutil.copytree(_SOURCE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    before = newest()
    for revision, body in steps:
        text = (
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f'revision = "{revision}"\ndown_revision = "{before}"\n\n\n'
            f"def upgrade() -> None:\n{body.format(before=before)}"
        )
        (copied / "migrations" / "versions" / f"{revision}_later.py").write_text(text, "utf-8")
        before = revision
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


@pytest.fixture
def province(pki: Pki, tmp_path: Path, own_url: str) -> Iterator[Province]:
    """Give two bridges of our own version, not started."""
    made = Province(pki, tmp_path, own_url, count=2)
    yield made
    made.close()


def migrated(bridge: BridgeProcess) -> str:
    """Migrate with the program that *bridge* is to run; return the version that it says."""
    code, said = bridge.run("migrate")
    assert code == 0, said
    return said


@pytest.mark.slow
def test_a_rolling_upgrade_loses_nothing_and_holds_nobody_up(
    province: Province, tmp_path: Path
) -> None:
    """Migrate beneath the old bridges, replace them one by one, take away later: all of it under load."""
    adding = later_program(tmp_path / "adding", ("9001", _ADDS))
    taking = later_program(tmp_path / "taking", ("9001", _ADDS), ("9002", _TAKES_AWAY))
    province.begin()
    town = ProvinceTown(province)
    desks = [threading.Thread(target=one, daemon=True) for one in (town.push_on, town.write_on)]
    for desk in desks:
        desk.start()

    def goes_on() -> None:
        town.wait_for_answers(15)
        assert not town.broken

    def replaced(bridge: BridgeProcess, program: dict[str, str]) -> None:
        town.kill(bridge)
        bridge.settings |= program
        town.back(bridge)
        goes_on()

    first, second = province.bridges
    first.settings |= adding  # nothing of it is started yet
    assert "9001" in migrated(first)
    goes_on()  # bridges of before, on tables of the version to come
    replaced(first, adding)  # one of the new, one of before: side by side
    replaced(second, {})  # the one of before starts again, on the new tables
    replaced(second, adding)
    first.settings |= taking
    assert "9002" in migrated(first)
    goes_on()  # what was taken away, nobody uses any more
    replaced(first, taking)
    town.kill(second)
    second.settings.clear()
    code, said = second.run("serve")
    assert code == 1
    assert "has version 9002, which this program" in said  # the oldest one is shut out, in words
    goes_on()
    town.close()
    for desk in desks:
        desk.join(60)

    assert not town.broken
    stored = sorted(map(str, column(province.url, "message", "id")))
    assert sorted(town.receipts) == stored
    options = [word for file in province.verifiers for word in ("--log", str(file))]
    code, said = first.run("log", "verify", "--json", *options)
    assert (0, []) == (code, json.loads(said)["findings"])
