"""Messages become rows in one transaction with their marker; what cannot is kept and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.mapping.parsing import load
from adapters.table.platform import TablePlatform
from exchange.client import IncomingMessage
from tests.adapters.linked import Link
from tests.adapters.table.city import (
    MAPPINGS,
    WORK_ORDER,
    Tables,
    insert,
    linked,
    tables,
    until_quiet,
)
from tests.pki import CITY_110, CITY_12345


@pytest.fixture
def sides(link: Link, tmp_path: Path) -> tuple[Tables, Tables]:
    """Both platforms, and a work order that was just written."""
    hotline = tables(link, CITY_12345, f"sqlite:///{tmp_path / 'hotline.db'}")
    police = tables(link, CITY_110, f"sqlite:///{tmp_path / 'police.db'}")
    insert(hotline, "T_GD", WORK_ORDER)
    return hotline, police


def test_the_same_message_again_changes_nothing(sides: tuple[Tables, Tables]) -> None:
    """A message delivered twice, also after a restart, has one record and gives the same number."""
    hotline, police = sides
    came: list[IncomingMessage] = []
    deliver = police.platform.deliver
    police.platform.on_arrival = came.append  # type: ignore[method-assign, assignment]
    until_quiet(hotline, police)
    again = TablePlatform(police.database, CITY_110.organisation)

    assert {"open_ticket", "offer"} == {item.message.kind.value for item in came}
    number = police.row("SELECT JJDBH FROM JJD")["JJDBH"]
    assert {number} == {deliver(item) for item in came} | {again.deliver(item) for item in came}
    assert 1 == len(police.rows("SELECT * FROM JJD"))


def test_a_record_that_the_database_refuses_stops_its_lane_and_goes_on_once_mended(
    sides: tuple[Tables, Tables],
) -> None:
    """Nothing half-written: no record, no marker, no receipt; the original is kept, and comes again."""
    hotline, police = sides
    police.run(
        "CREATE TRIGGER no BEFORE INSERT ON JJD WHEN NEW.BT = '噪声扰民' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    insert(hotline, "T_GD", {**WORK_ORDER, "GDBH": "GD-other", "BT": "另一件"})
    until_quiet(hotline, police)

    assert ["另一件"] == [row["BT"] for row in police.rows("SELECT BT FROM JJD")]
    (held,) = [one for one in police.platform.quarantine.entries() if one.side == "in"][:1]
    assert "噪声扰民" == held.original["groups"]["matter"]["title"]
    assert "The platform's database refuses the record" in held.reason.en
    assert [] == police.rows("SELECT * FROM exchange_marker WHERE message_id = :id", id=held.record)
    order = hotline.row("SELECT * FROM T_GD WHERE GDBH = :key", key=WORK_ORDER["GDBH"])
    assert "9" == order["TSZT"]

    police.run("DROP TRIGGER no")
    police.runner.reconcile()  # as the runner does at its start
    until_quiet(hotline, police)

    assert {"噪声扰民", "另一件"} == {row["BT"] for row in police.rows("SELECT BT FROM JJD")}
    assert [] == police.platform.quarantine.entries()
    assert {"2"} == {row["TSZT"] for row in hotline.rows("SELECT TSZT FROM T_GD")}


def test_a_kind_without_a_rule_is_refused_and_an_unheard_one_is_written(
    sides: tuple[Tables, Tables],
) -> None:
    """What no rule hears is refused by name; what the file leaves out by choice is receipted, not kept."""
    hotline, police = sides
    document = load(MAPPINGS[CITY_110])
    deaf = replace(document, hear=tuple(rule for rule in document.hear if rule.kinds))
    until_quiet(hotline, police)
    police.database.document = deaf
    police.platform._incoming._document = deaf
    feedback = {
        "FKBH": "F1",
        "GDBH": WORK_ORDER["GDBH"],
        "FKLX": "督办",
        "FKNR": "请办",
        "FKSJ": "2026-11-23 10:00:00",
    }
    insert(hotline, "T_FK", feedback)
    until_quiet(hotline, police)

    assert "no rule that hears 'supervise'" in police.platform.quarantine.entries()[0].reason.en
    assert "supervise" in hotline.row("SELECT TSXX FROM T_FK")["TSXX"]
    chosen = replace(
        deaf, unheard=frozenset({rule.kind for rule in load(MAPPINGS[CITY_12345]).say})
    )
    police.platform._incoming._document = chosen
    police.runner.reconcile()
    until_quiet(hotline, police)

    assert "2" == hotline.row("SELECT TSZT FROM T_FK")["TSZT"]
    assert [] == police.rows("SELECT * FROM CJFK")


def test_a_lost_spool_repeats_and_doubles_nothing(
    link: Link, sides: tuple[Tables, Tables], tmp_path: Path
) -> None:
    """With its spool gone the adapter says what was not yet written again; the other side has one record."""
    hotline, police = sides
    hotline.runner.collect()
    hotline.runner.push()  # the bridge has it, nobody was told
    hotline.runner.spool.close()
    for name in ("spool.db", "spool.db-wal", "spool.db-shm"):
        (link.folder / CITY_12345.organisation / name).unlink(missing_ok=True)
    hotline = linked(link, CITY_12345, f"sqlite:///{tmp_path / 'hotline.db'}")
    until_quiet(hotline, police)

    assert 1 == len(police.rows("SELECT * FROM JJD"))
    assert "2" == hotline.row("SELECT TSZT FROM T_GD")["TSZT"]
    assert {"written"} == {row["STATE"] for row in hotline.rows("SELECT state FROM exchange_said")}


def test_a_return_negotiated_and_agreed_goes_by_codes(sides: tuple[Tables, Tables]) -> None:
    """The police's reason code becomes the contract's ground, and the hotline's row says so."""
    hotline, police = sides
    until_quiet(hotline, police)
    number = police.row("SELECT JJDBH FROM JJD")["JJDBH"]
    for key, what, more in (("1", "01", {}), ("2", "04", {"THLYDM": "01"})):
        row = {
            "FKID": key,
            "JJDBH": number,
            "YY": what,
            "FKNR": "非公安职责",
            "FKSJ": f"2026112210000{key}",
        }
        insert(police, "CJFK", {**row, **more})
    until_quiet(hotline, police)

    assert [("return", "非公安职责")] == [
        (row["FKLX"], row["FKNR"]) for row in hotline.rows("SELECT FKLX, FKNR FROM T_FK")
    ]
