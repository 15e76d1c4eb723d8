"""How a bridge and a gateway stand: figures, findings, exit codes, and what fits the screen."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.screen import width
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.doctor.standing import judge, look
from exchange.envelope import REFUSED_TYPE, sign
from exchange.errors import RefusalCode, refuse
from exchange.store.contacts import ContactBook
from exchange.tables import stamp
from exchange.wire.headers import read_envelope
from exchange.wire.receipts import refused_receipt, refused_statement
from tests.cli.town import Answer, Shell, Town, cross, matter_lines, open_town, write_lines
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import calling, matter


@pytest.fixture
def own_town(pki: Pki, tmp_path: Path) -> Iterator[Town]:
    """A town of its own: what waits in it is this test's."""
    with open_town(pki, tmp_path) as opened:
        yield opened


def push_matter(exchange: Shell, town: Town, folder: Path) -> str:
    """Push an urgent ticket with its offer; return its id."""
    ticket, lines = matter_lines()
    file = write_lines(folder / "matter.jsonl", lines)
    assert exchange("push", file, "--config", town.hotline).code == 0
    return ticket


def age(town: Town, column: str, table: str, length: timedelta) -> None:
    """Let what *table* holds have happened so long ago."""
    with closing(sqlite3.connect(town.database)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", [stamp(datetime.now(UTC) - length)])
        connection.commit()


def find(said: Answer) -> dict[str, str]:
    """Return the findings by name, each with how grave it is."""
    return {one["name"]: one["status"] for one in said.data["findings"]}


def test_a_bridge_at_rest_is_well(own_town: Town, exchange: Shell, tmp_path: Path) -> None:
    """Everyone of the register stands there; what crossed shows in log, lag and queue; exit code 0."""
    cross(exchange, own_town, tmp_path)
    said = exchange("status", "--config", own_town.operator, "--json")
    rows = {one["organisation"]: one for one in said.data["waiting"]}
    police, hotline = rows[CITY_110.organisation], rows[CITY_12345.organisation]

    assert (said.code, said.data["findings"]) == (0, [])
    assert said.data["serving"] == f"PID {os.getpid()} @ {platform.node()}"
    assert said.data["log"]["size"] == 5  # with the act by which rules it reckons
    assert said.data["space"]["free_bytes"] > 0
    assert (police["waiting"], hotline["waiting"]) == (0, 2)
    assert police["lag_seconds"] >= 0
    assert said.data["unacknowledged"] is None
    assert all(one["days"] > 14 for one in said.data["certificate"])


def test_what_waits_too_long_is_due(own_town: Town, exchange: Shell, tmp_path: Path) -> None:
    """An urgent delivery after a minute, another after a quarter of an hour; exit code 1."""
    push_matter(exchange, own_town, tmp_path)
    fresh = exchange("status", "--config", own_town.operator, "--json")
    age(own_town, "time", "trail", timedelta(minutes=2))
    late = exchange("status", "--config", own_town.operator, "--json")
    row = late.data["waiting"][0]

    assert (fresh.code, find(fresh)) == (0, {})
    assert (late.code, find(late)) == (1, {"waiting": "warn"})
    assert (row["organisation"], row["urgent"], row["waiting"]) == (CITY_110.organisation, 2, 2)
    assert 120 <= row["urgent_oldest_seconds"] < 180
    assert late.data["unacknowledged"]["recipient"] == CITY_110.organisation
    with closing(sqlite3.connect(own_town.database)) as connection:
        connection.execute("UPDATE mailbox SET urgency = 1")
        connection.commit()
    assert find(exchange("status", "--config", own_town.operator, "--json")) == {}
    age(own_town, "time", "trail", timedelta(minutes=16))
    assert exchange("status", "--config", own_town.operator, "--json").code == 1


def test_the_doctor_finds_the_same_under_the_same_names(
    own_town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """What `status` calls due, `doctor` warns of."""
    push_matter(exchange, own_town, tmp_path)
    age(own_town, "time", "trail", timedelta(minutes=2))
    silent = datetime.now(UTC) - timedelta(minutes=11)
    book = ContactBook(own_town.bridge.settings.database)
    book.write({(CITY_12345.organisation, "pull"): silent})
    examined = exchange("doctor", "--config", own_town.operator, "--json").data["findings"]
    ill = {one["probe"]: one["what"] for one in examined if one["status"] == "warn"}

    assert set(ill) == {"waiting", "contact"}
    assert CITY_110.organisation in ill["waiting"]
    assert CITY_12345.organisation in ill["contact"]
    assert set(ill) <= set(find(exchange("status", "--config", own_town.operator, "--json")))


def test_a_stopped_lane_is_shown_with_its_reason(own_town: Town, exchange: Shell) -> None:
    """Its lane, whose it is, since when, and the refusal's sentence; what stands in it is no queue."""
    bridge, pki = own_town.bridge, own_town.pki
    with (
        calling(pki, bridge.port, CITY_12345) as hotline,
        calling(pki, bridge.port, CITY_110) as police,
    ):
        hotline.push(hotline.sealer.seal(matter()))
        delivery = police.pull()[0]
        message = read_envelope(delivery.envelope).message
        assert message is not None
        refusal = refuse(RefusalCode.MATTER_UNKNOWN, "header.offer.matter", "known")
        statement = refused_statement(
            message.id, message.digest, CITY_110.organisation, refusal, datetime.now(UTC)
        )
        (signature,) = sign(REFUSED_TYPE, [statement], police.sealer.signer)
        police.acknowledge(pb.Acknowledgement(refused=refused_receipt(statement, signature)))
    said = exchange("status", "--config", own_town.operator, "--json")
    (lane,) = said.data["stopped"]

    assert (said.code, find(said)) == (1, {"stopped": "warn"})
    assert (lane["organisation"], lane["code"]) == (CITY_110.organisation, "MATTER_UNKNOWN")
    assert lane["message_id"] == message.id
    row = next(o for o in said.data["waiting"] if o["organisation"] == CITY_110.organisation)
    assert (row["waiting"], row["stopped"], row["held"]) == (0, 1, 2)


def test_who_answers_for_what(own_town: Town, exchange: Shell, tmp_path: Path) -> None:
    """By organisation and state, the overdue counted; the operator's and a party's view agree."""
    cross(exchange, own_town, tmp_path)
    _, lines = matter_lines()
    exchange("push", write_lines(tmp_path / "one.jsonl", lines[:1]), "--config", own_town.hotline)
    age(own_town, "due", "handoff", timedelta(minutes=5))
    operator = exchange("status", "--answers", "--config", own_town.operator, "--json")
    party = exchange("status", "--config", own_town.hotline, "--json")
    counted = {(one["state"], one["count"], one["overdue"]) for one in operator.data["answers"]}

    assert {("offered", 1, 1), ("", 1, 0)} == counted
    assert sorted(operator.data["answers"], key=str) == sorted(party.data["answers"], key=str)
    assert (operator.code, find(operator)) == (1, {"owes": "warn"})
    police = exchange("status", "--config", own_town.police, "--json")
    (owed,) = operator.data["owes"]
    assert (owed["organisation"], owed["overdue"], owed["soon"]) == (CITY_110.organisation, 1, 0)
    assert (police.data["owes"], party.data["owes"]) == ([owed], [])
    assert (police.code, find(police), party.code) == (1, {"owes": "warn"}, 0)
    assert exchange("status", "--config", own_town.operator, "--json").code == 0


def test_a_bridge_that_is_not_there_is_broken(pki: Pki, exchange: Shell, tmp_path: Path) -> None:
    """No bridge on the database, none that answers the gateway, no database at all: exit code 2."""
    with open_town(pki, tmp_path) as town:
        pass
    operator = exchange("status", "--config", town.operator, "--json")
    party = exchange("status", "--config", town.hotline, "--json")
    Path(town.database).unlink()
    gone = exchange("status", "--config", town.operator)

    assert (operator.code, find(operator)) == (2, {"serving": "fail"})
    assert (party.code, find(party)) == (2, {"call": "fail"})
    assert (gone.code, "migrate --create" in gone.err) == (2, True)


def test_certificates_and_disk_are_judged(town: Town) -> None:
    """Fourteen days before the end a certificate is due, afterwards broken; so is a disk nearly full."""
    now = datetime.now(UTC)
    good = look(town.bridge.settings, now)
    ends = {
        "bridge": now + timedelta(days=13),
        "root of x": now - timedelta(days=1),
        "signer": None,
    }
    tight = replace(good, certificates=ends, space=1024**3 - 1)
    full = replace(good, space=1024**2)

    assert [(one.probe, one.status.value) for one in judge(tight)] == [
        ("space", "warn"), ("certificate", "warn"), ("certificate", "fail"), ("certificate", "fail"),
    ]  # fmt: skip
    assert [(one.probe, one.status.value) for one in judge(full)] == [("space", "fail")]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_fits_eighty_columns(
    own_town: Town,
    exchange: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lang: str,
) -> None:
    """No line is wider, in either language; the same figures, for a bridge and a gateway."""
    monkeypatch.setenv("COLUMNS", "80")
    push_matter(exchange, own_town, tmp_path)
    age(own_town, "time", "trail", timedelta(minutes=2))
    for config in (own_town.operator, own_town.hotline):
        said = exchange("status", "--answers", "--config", config, "--lang", lang)
        assert [line for line in said.out.splitlines() if width(line) > 80] == []
        assert ("负责机构" if lang == "zh" else "answers") in said.out
