"""A ticket crosses by the command alone: push, pull, look, prove, verify."""

from __future__ import annotations

import csv
import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exchange.cli.export import BOM, COLUMNS, csv_lines, json_lines
from exchange.cli.tickets import Wanted, open_source
from exchange.ticket import State
from tests.cli.town import Shell, Town, cross, matter_lines, write_lines
from tests.pki import CITY_110, CITY_12345, COUNTY_12345


def test_a_push_is_answered_for_each_line_and_a_repeat_repeats(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The same lines pushed twice are stored once: both times with the same receipts."""
    file = write_lines(tmp_path / "out.jsonl", matter_lines()[1])
    first = exchange("push", file, "--config", town.hotline, "--json")
    second = exchange("push", file, "--config", town.hotline, "--json")

    assert (first.code, first.err) == (0, "")
    assert [line["outcome"] for line in first.lines] == ["stored", "stored"]
    assert first.out == second.out


def test_a_refusal_is_an_answer_with_its_code(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """One bad line is refused by name, its neighbours are stored, the exit code says so."""
    _, lines = matter_lines()
    bad = {**lines[0], "record": "other", "act": {**lines[0]["act"], "region": "999999"}}
    file = write_lines(tmp_path / "out.jsonl", [bad, *lines])
    pushed = exchange("push", file, "--config", town.hotline, "--lang", "zh")

    assert pushed.code == 1
    assert "REGION_UNKNOWN" in pushed.out.splitlines()[0]
    assert pushed.out.splitlines()[-1] == "存储 2，拒绝 1，失败 0。"


def test_a_wrong_line_names_its_place_and_key(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """A misspelt key is named with file, line and the nearest right one."""
    _, lines = matter_lines()
    lines[0]["recipent"] = lines[0].pop("record")
    file = write_lines(tmp_path / "out.jsonl", lines)
    pushed = exchange("push", file, "--config", town.hotline)

    assert pushed.code == 1
    assert f"{file}:1: 'recipent' is not known; did you mean 'recipient'?" in pushed.err
    assert "Traceback" not in pushed.err


def test_what_is_pulled_into_a_folder_is_written_and_receipted(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The offer lies in the police's folder; the hotline learns that it was written."""
    cross(exchange, town, tmp_path)
    answers = exchange(
        "pull", "--to", tmp_path / "answers", "--config", town.hotline, "--wait", 5, "--json"
    )

    written = [line for line in answers.lines if line["type"] == "written"]
    assert {line["organisation"] for line in written} == {CITY_110.organisation}
    names = {line["local_number"] for line in written}
    assert names & {path.name for path in (tmp_path / "in").iterdir()}


def test_both_eyes_see_who_answers(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """The list by bridge and the list by database agree: the sender answers until it is taken."""
    ticket = cross(exchange, town, tmp_path)
    asked = ("ticket", "list", "--answers", CITY_12345.organisation, "--json", "--config")
    by_bridge, by_database = exchange(*asked, town.hotline), exchange(*asked, town.operator)

    assert ticket in {row["ticket_id"] for row in by_bridge.data["tickets"]}
    assert by_bridge.data == by_database.data
    nobody = exchange("ticket", "list", "--answers", CITY_110.organisation, "--json", "--config",
                      town.operator)  # fmt: skip
    assert nobody.data == {"tickets": [], "more": False}


LONG_AGO, FAR_OFF = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
#: Each condition with a value that finds a ticket just offered to 110, and one that does not.
CONDITIONS: dict[str, tuple[Any, Any]] = {
    "state": (State.OFFERED, State.TAKEN),
    "region": (CITY_12345.region, "310000"),
    "matter": ("NM.P.01", "NM.H.01"),
    "organisation": (CITY_110.organisation, COUNTY_12345.organisation),
    "answers": (CITY_12345.organisation, CITY_110.organisation),
    "owes": (CITY_110.organisation, CITY_12345.organisation),
    "opened_from": (LONG_AGO, FAR_OFF),
    "opened_until": (FAR_OFF, LONG_AGO),
    "overdue": (False, True),
    "reminded": (False, True),
    "open_only": (True, None),
}


def test_each_condition_of_a_list_keeps_what_it_names(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Region, matter, state, organisation, time, who answers, who owes, overdue: over the call as in the database."""
    ticket = cross(exchange, town, tmp_path)

    assert CONDITIONS.keys() == {field.name for field in fields(Wanted)}
    with open_source(None, town.hotline) as bridge, open_source(None, town.operator) as database:
        for name, (finds, misses) in CONDITIONS.items():
            for value, expected in ((finds, True), (misses, False)):
                if value is None:
                    continue
                wanted = Wanted(**{name: value})
                found = list(bridge.list(wanted))
                assert found == list(database.list(wanted)), wanted
                assert (ticket in {row["ticket_id"] for row in found}) is expected, wanted


def test_an_export_holds_no_more_than_what_is_being_written() -> None:
    """Each row is written before the next ticket is asked for, in both forms."""

    def rows(asked: list[int]) -> Iterator[dict[str, str]]:
        for number in range(3):
            asked.append(number)
            yield dict.fromkeys(COLUMNS, "")

    for lines, heads in ((csv_lines, 1), (json_lines, 0)):
        asked: list[int] = []
        written = lines(rows(asked))
        for number in range(-heads, 3):
            assert next(written)
            assert asked == list(range(number + 1))


def test_one_ticket_and_its_trail_are_shown_in_chinese(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Show and trail speak the chosen language and use the register's names."""
    ticket = cross(exchange, town, tmp_path)
    shown = exchange("ticket", "show", ticket, "--config", town.police, "--lang", "zh")
    trail = exchange("ticket", "trail", ticket, "--config", town.operator, LANG="zh_CN.UTF-8")

    assert f"[{CITY_12345.organisation}] 负责。" in shown.out
    assert "待签收" in shown.out
    assert "已写入" in trail.out
    assert "示例 1" in trail.out


def test_a_ticket_of_others_is_not_there(exchange: Shell, town: Town) -> None:
    """An unknown ticket is one sentence and exit code 1."""
    missing = exchange("ticket", "show", str(uuid.uuid4()), "--config", town.police)

    assert (missing.code, missing.out) == (1, "")
    assert "There is no ticket" in missing.err


def test_export_is_a_csv_for_spreadsheets_or_json_lines(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """CSV begins with the byte order mark and Chinese headings; both forms have the same rows."""
    ticket = cross(exchange, town, tmp_path)
    file = tmp_path / "export.csv"
    exported = exchange("ticket", "export", "--output", file, "--config", town.hotline)
    lines = exchange("ticket", "export", "--format", "jsonl", "--config", town.operator)

    assert exported.code == 0, exported
    text = file.read_text(encoding="utf-8")
    assert text.startswith(BOM + next(iter(COLUMNS.values())).zh)
    rows = list(csv.reader(text.removeprefix(BOM).splitlines()))
    assert ticket in {row[0] for row in rows}
    assert [list(line) for line in lines.lines] == [list(COLUMNS)] * (len(rows) - 1)


def test_an_export_has_the_times_that_the_bridge_has(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """By bridge and by database every time comes to the microsecond, as it is stored."""
    ticket = cross(exchange, town, tmp_path)
    asked = ("ticket", "export", "--format", "jsonl", "--config")
    by_bridge, by_database = exchange(*asked, town.police), exchange(*asked, town.operator)
    with sqlite3.connect(town.database) as database:
        stored = database.execute(
            "SELECT t.opened, h.offered, h.updated FROM ticket t JOIN handoff h"
            " ON h.ticket_id = t.id WHERE t.id = ?",
            (ticket,),
        ).fetchall()
    database.close()

    assert by_bridge.out == by_database.out
    (row,) = [line for line in by_bridge.lines if line["ticket_id"] == ticket]
    assert [(row["opened"], row["offered"], row["state_changed"])] == stored


def test_a_ticket_without_hand_offs_is_one_row_for_its_own_parties(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The hand-off's columns are empty; who is no party to it does not get it."""
    ticket, lines = matter_lines()
    exchange("push", write_lines(tmp_path / "out.jsonl", lines[:1]), "--config", town.hotline)
    asked = ("ticket", "export", "--format", "jsonl", "--config")
    ours, theirs = exchange(*asked, town.hotline), exchange(*asked, town.police)

    (row,) = [line for line in ours.lines if line["ticket_id"] == ticket]
    assert (row["origin"], row["handoff_id"]) == (CITY_12345.organisation, "")
    assert ticket not in {line["ticket_id"] for line in theirs.lines}


def test_a_cell_is_never_a_formula() -> None:
    """What a spreadsheet would run is quoted."""
    row = {**dict.fromkeys(COLUMNS, ""), "matter": "=1+1"}

    assert ",'=1+1," in list(csv_lines([row]))[1]


def test_receipt_files_prove_the_crossing_offline(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The operator's receipt files prove author, log and written receipt, each numbered."""
    ticket = cross(exchange, town, tmp_path)
    exchange("ticket", "trail", ticket, "--receipts", tmp_path / "r", "--config", town.operator)
    files = sorted((tmp_path / "r").iterdir())
    assert len(files) == 2
    for file in files:
        proved = exchange("receipt", "verify", file, "--json", *town.trust)
        verdicts = [one["verdict"] for one in proved.data["obligations"]]
        assert proved.code == 0, proved
        assert verdicts == ["holds"] * 5  # message, log, author, written's leaf, written
        assert len(json.loads(file.read_text(encoding="utf-8"))["written"]) == 1


def test_a_pushed_messages_own_receipt_verifies(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """What push keeps proves that the bridge stored it, from the gateway's configuration alone."""
    file = write_lines(tmp_path / "out.jsonl", matter_lines()[1])
    exchange("push", file, "--receipts", tmp_path / "r", "--config", town.hotline)
    for kept in (tmp_path / "r").iterdir():
        proved = exchange("receipt", "verify", kept, "--config", town.hotline)
        assert proved.code == 0, proved
        assert proved.out.count("✓") == 3


def test_the_log_holds_until_a_byte_is_changed(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """Verify is content; one changed byte of a stored message is found and its row named."""
    cross(exchange, town, tmp_path)
    fine = exchange("log", "verify", "--config", town.operator, "--json")
    assert (fine.code, fine.data["holds"], fine.data["findings"]) == (0, True, []), fine

    copy = tmp_path / "copy.db"
    with sqlite3.connect(town.database) as database, sqlite3.connect(copy) as target:
        database.backup(target)
        ((index, envelope),) = target.execute(
            "SELECT leaf_index, envelope FROM message ORDER BY leaf_index LIMIT 1"
        ).fetchall()
        changed = envelope[:-5] + bytes([envelope[-5] ^ 1]) + envelope[-4:]
        target.execute("UPDATE message SET envelope = ? WHERE leaf_index = ?", (changed, index))
        target.commit()
    database.close()
    target.close()
    broken = exchange(
        "log",
        "verify",
        "--database",
        f"sqlite:///{copy}",
        "--log",
        town.pki.development.log_verifier,
    )
    assert broken.code == 1
    assert f"table message, row leaf_index = {index}" in broken.out


def test_the_checkpoint_is_a_signed_note(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """The newest checkpoint is printed as it is signed."""
    cross(exchange, town, tmp_path)
    note = exchange("log", "checkpoint", "--config", town.operator)

    assert note.out.startswith(f"{town.bridge.settings.origin}\n")
    assert "\n— " in note.out


def test_a_pull_says_what_came_and_where_it_is(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """For a person one line each with its file; the words of the matter stay in the files."""
    ticket, lines = matter_lines()
    exchange("push", write_lines(tmp_path / "out.jsonl", lines), "--config", town.hotline)
    looked = exchange("pull", "--config", town.police)
    again = exchange("pull", "--config", town.police)

    assert f"offered (URGENT) from {CITY_12345.organisation}, ticket {ticket}" in looked.out
    assert "nothing acknowledged: all of it comes again after 20" in looked.err
    assert (again.code, again.out) == (0, "")
    assert f"Nothing waits for {CITY_110.organisation} now" in again.err
    assert "目前没有待收内容" in exchange("pull", "--config", town.police, "--lang", "zh").err
    assert exchange("pull", "--config", town.police, "--json").out == ""


def test_a_pull_into_a_folder_shows_files_not_contents(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The screen has one line for each file; with --json standard output is JSON lines alone."""
    _, lines = matter_lines()
    exchange("push", write_lines(tmp_path / "out.jsonl", lines), "--config", town.hotline)
    pulled = exchange("pull", "--to", tmp_path / "in", "--config", town.police, "--wait", 5)
    shown = [Path(line.partition("→ ")[2]) for line in pulled.out.splitlines()]

    assert set(shown) >= set((tmp_path / "in").glob("*[!t].json"))
    assert "示例内容" not in pulled.out
    assert f"{len(shown)} written to {tmp_path / 'in'} and acknowledged." in pulled.err
    exchange(
        "push", write_lines(tmp_path / "out.jsonl", matter_lines()[1]), "--config", town.hotline
    )
    data = exchange("pull", "--to", tmp_path / "in", "--config", town.police, "--json")
    assert all(Path(line["file"]).is_file() for line in data.lines)
