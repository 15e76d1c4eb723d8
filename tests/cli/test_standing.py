"""What an operator reads of tickets: whose they are, what is next, and why nothing was found."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import click
import pytest

from certs.screen import shown_time, width, wrapped
from exchange.cli.screen import table_lines
from exchange.cli.standing import WORDS, next_moves, show_list, show_ticket
from exchange.cli.trail import show_trail
from exchange.states import STATES, TABLE
from exchange.ticket import State
from tests.cli.town import Shell, Town, cross, matter_lines, write_lines
from tests.pki import CITY_110, CITY_12345

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
HOTLINE = {"code": "11140400MB1X00010Y", "name": "示例市政务服务便民热线"}
POLICE = {"code": "140400000000", "name": "示例市公安局指挥中心"}


def handoff(state: str, answers: str, decides: str, **changes: Any) -> dict[str, Any]:
    """Return a hand-off's row, due an hour and five minutes ago unless *changes* say otherwise."""
    return {
        "handoff_id": "17089200-0000-4000-8000-000000000001",
        "sender": HOTLINE, "receiver": POLICE, "state": state, "answers": answers,
        "decides": decides, "own_duty": False, "taken_over": False, "danger": False,
        "danger_unattended": False, "onward_of": "", "due": "2026-03-01T06:55:00.000000Z",
        "updated": "2026-02-28T23:00:00.000000Z", "deadlines": [], **changes,
    }  # fmt: skip


def ticket(*handoffs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an open ticket's row."""
    return {
        "ticket_id": "09e9e1b6-0000-4000-8000-000000000002", "kind": "work_order",
        "origin": HOTLINE, "region": {"code": "140400", "name": "示例市"}, "matter": "NM.P.01.02",
        "marker": "actual", "classification": "ordinary", "urgency": "urgent", "closed": False,
        "opened": "2026-02-28T22:30:00.000000Z", "answers": [HOTLINE["code"]], "erased": "",
        "handoffs": list(handoffs), **changes,
    }  # fmt: skip


def shown(lang: str, show: Callable[[], None]) -> str:
    """Return what *show* prints in a run of that language."""
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        click.Context(click.Command("x"), obj={"lang": lang}).scope(),
    ):
        show()
    return out.getvalue()


@pytest.fixture(autouse=True)
def _in_china(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zone is set: times are China's."""
    monkeypatch.delenv("TZ", raising=False)


def test_show_says_who_answers_who_decides_what_is_next_and_until_when() -> None:
    """In plain words, with codes beside names and how long a step is overdue."""
    unattended = {"danger": True, "danger_unattended": True}
    row = ticket(handoff("taken", POLICE["code"], POLICE["code"], **unattended))
    zh = shown("zh", lambda: show_ticket(row, NOW))
    en = shown("en", lambda: show_ticket(row, NOW))

    assert f"负责    {POLICE['name']} [{POLICE['code']}]" in zh
    assert f"下一步  {POLICE['name']} [{POLICE['code']}]：反馈办结，或申请退回" in zh
    assert "时限    2026-03-01 14:55 +08:00（已逾期 1 小时 5 分钟）" in zh
    assert "110 写明处置情况前不得退回" in zh
    assert "give its result or ask to return it" in en
    assert "(overdue by 1 h 5 min)" in en
    assert "2026-03-01 06:30:00 +08:00" in en


def due(kind: str, owes: str, at: str) -> dict[str, str]:
    """Return a deadline's row, to be reminded of an hour before NOW."""
    return {"kind": kind, "owes": owes, "due": at, "remind": "2026-03-01T07:00:00.000000Z"}


def test_what_is_due_beside_the_next_step_is_shown_with_who_owes_it() -> None:
    """The step under its own name; the rest beside it, the time to return only while it runs."""
    police, step = POLICE["code"], "2026-03-03T06:55:00.000000Z"
    late, soon = "2026-03-01T07:55:00.000000Z", "2026-03-01T08:30:00.000000Z"
    deadlines = [
        due("result", police, step),
        due("supervision", police, late),
        due("return", police, soon),
        due("later than this version", HOTLINE["code"], soon),
    ]
    row = ticket(handoff("taken", police, police, due=step, deadlines=deadlines))
    zh = " ".join(shown("zh", lambda: show_ticket(row, NOW)).split())
    listed = shown("en", lambda: show_list([row], NOW))

    assert "时限 2026-03-03 14:55 +08:00（还有 1 天 22 小时）" in zh
    assert f"答复督办：{POLICE['name']}，2026-03-01 15:55 +08:00（已逾期 5 分钟）" in zh
    assert f"申请退回：{POLICE['name']} 可在此前提出，2026-03-01 16:30 +08:00（还有 30 分钟）" in zh
    assert "later than this version：" in zh
    assert "15:55 overdue" in listed
    deadlines[2:] = [due("return", police, late)]
    assert "申请退回：" not in shown("zh", lambda: show_ticket(row, NOW))


@pytest.mark.parametrize(
    ("asked", "late"), [("2026-03-01T07:54:00Z", False), ("2026-03-01T07:56:00Z", True)]
)
def test_a_return_asked_for_late_is_said_to_who_decides(asked: str, late: bool) -> None:
    """Nothing bars it (time changes no state), but whoever answers it sees it."""
    ended = "2026-03-01T07:55:00.000000Z"
    one = handoff(
        "returning", POLICE["code"], HOTLINE["code"], updated=asked,
        deadlines=[due("return", POLICE["code"], ended)],
    )  # fmt: skip
    said = "".join(shown("zh", lambda: show_ticket(ticket(one), NOW)).split())

    assert late == ("退回申请已超过期限（2026-03-0115:55+08:00）" in said)


def test_a_danger_that_was_attended_to_bars_nothing() -> None:
    """Once every mark's disposal is stated, nobody is told that it has to be."""
    row = ticket(handoff("taken", POLICE["code"], POLICE["code"], danger=True))

    zh = shown("zh", lambda: show_ticket(row, NOW))
    en = shown("en", lambda: show_ticket(row, NOW))
    assert "不得退回" not in zh
    assert "已标记危险，处置情况已写明" in zh
    assert "what was done about it is stated" in en


def test_the_next_moves_are_the_table_s() -> None:
    """Of every state, with and without a take-over and on own duties, none but whom the table lets."""

    def moves(**changes: Any) -> list[str]:
        one: list[str] = []

        def take() -> None:
            one.extend(next_moves(handoff(**changes)))

        shown("zh", take)
        return one

    for state, taken_over in product(State, (False, True)):
        asked = {"state": state.name.lower(), "answers": "", "decides": ""}
        named = set(moves(**asked, taken_over=taken_over))
        allowed = {
            kind.text.zh
            for (at, kind, _), row in TABLE.items()
            if at is state
            and row.by is STATES[state].decides
            and (taken_over or not row.after_take_over)
        }
        assert named == allowed
    assert moves(state="taken", answers="", decides="", own_duty=True) == ["反馈办结"]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("room", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    lang: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, tickets and trails fit, whatever the names."""
    monkeypatch.setenv("COLUMNS", str(room))
    states = [handoff(state.name.lower(), POLICE["code"], HOTLINE["code"]) for state in State]
    row = ticket(*states)
    entry = {
        "leaf_index": 1, "time": "2026-03-01T06:30:00Z", "kind": "offer", "author": HOTLINE,
        "recipient": POLICE, "state": "offered", "answers": HOTLINE["code"], "handoff_id": "h",
        "message_id": "m",
    }  # fmt: skip
    entries = [entry, {**entry, "leaf_index": 2, "kind": "written", "author": POLICE}]
    said = shown(lang, lambda: show_ticket(row, NOW))
    said += shown(lang, lambda: show_list([row], NOW))
    said += shown(lang, lambda: show_trail(entries))

    assert max(map(width, said.splitlines())) <= room
    assert POLICE["name"] in re.sub(r"\s", "", said)


def test_a_ticket_whose_hand_offs_are_done_waits_for_its_opener() -> None:
    """Between the last hand-off's end and the closing the list names who still answers."""
    done = handoff("closed", "", "", due="")
    said = shown("zh", lambda: show_list([ticket(done)], NOW))
    assert re.search(rf"待移交或结案 +{HOTLINE['name']} +{HOTLINE['name']}", said)
    closed = shown("zh", lambda: show_list([ticket(done, closed=True)], NOW))
    assert "待移交或结案" not in closed


def test_a_trail_has_who_wrote_a_message_beside_it() -> None:
    """Entries of "written" stand with their message; the day once, in local time."""
    opened = {
        "leaf_index": 7, "time": "2026-03-01T16:30:00Z", "kind": "open_ticket", "author": HOTLINE,
        "recipient": {"code": "", "name": ""}, "state": "", "answers": "", "handoff_id": "",
        "message_id": "m",
    }  # fmt: skip
    wrote = {**opened, "leaf_index": 8, "kind": "written", "author": POLICE}
    said = shown("zh", lambda: show_trail([opened, wrote])).splitlines()

    assert said[0] == "2026-03-02 +08:00"
    assert said[1].split() == ["7", "00:30:00", "开单", HOTLINE["name"]]
    assert said[2].strip() == f"{HOTLINE['name']}负责；✓ {POLICE['name']}已写入"
    assert len(said) == 3


def test_a_time_s_own_offset_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """China's without any table of zones."""
    assert shown_time(NOW) == "2026-03-01 16:00 +08:00"
    monkeypatch.setenv("TZ", "")
    assert shown_time(NOW, seconds=True) == "2026-03-01 16:00:00 +08:00"


def test_lines_break_where_chinese_may() -> None:
    """No line begins with a closing mark or ends with an opening one; words stay whole."""
    text = "三方通话：补充伤情（双方核对管辖）。The matter stays."
    for room in range(8, 40):
        lines = wrapped(text, room)
        assert max(map(width, lines)) <= room
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert not any(line[0] in "）。：" or line[-1] == "（" for line in lines)
        assert "matter" in " ".join(lines).split()


def test_a_table_that_cannot_be_so_narrow_becomes_blocks() -> None:
    """Nothing is cut off: a row is then one line a cell."""
    row = ["a" * 36, "b" * 36, "c" * 36]
    said = list(table_lines(["one", "two", "three"], [row, row], 50))
    assert said[:3] == [f"{h:<7}{c}" for h, c in zip(["one", "two", "three"], row, strict=True)]
    assert len(list(table_lines(["one", "two", "three"], [row], 120))) == 2


@pytest.mark.parametrize(
    ("given", "code", "zh"),
    [
        ("nonsense", 2, "“nonsense”不是单编号"),
        ("abc", 2, "“abc”不是单编号"),
        ("00000000-0000-4000-8000-000000000000", 1, "或贵方未参与该单"),
    ],
)
def test_an_id_that_names_no_ticket_is_said_to(
    exchange: Shell, town: Town, given: str, code: int, zh: str
) -> None:
    """A wrong form is misuse; a ticket that is not ours and one that is not are one sentence."""
    for command in ("show", "trail"):
        said = exchange("ticket", command, given, "--config", town.police, "--lang", "zh")
        assert (said.code, said.out) == (code, "")
        assert zh in said.err
    operator = exchange("ticket", "show", given, "--config", town.operator, "--lang", "zh")
    assert "贵方" not in operator.err


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """A list shows the first eight; what two tickets begin with is answered with both ids."""
    first = "abcdef01-0000-4000-8000-00000000000"
    openings = [{**matter_lines()[1][0], "ticket_id": f"{first}{number}"} for number in range(2)]
    file = write_lines(tmp_path / "out.jsonl", openings)
    assert exchange("push", file, "--config", town.hotline).code == 0
    several = exchange("ticket", "show", "abcdef01", "--config", town.hotline)
    assert several.code == 2
    assert f"{first}0" in several.err
    assert f"{first}1" in several.err

    ticket_id = cross(exchange, town, tmp_path)
    asked = ("--json", "--config", town.police)
    whole = exchange("ticket", "show", ticket_id, *asked).data
    assert exchange("ticket", "show", ticket_id[:8].upper(), *asked).data == whole
    assert exchange("ticket", "trail", ticket_id[:8], *asked).data["ticket_id"] == ticket_id
    none = exchange("ticket", "show", "fedcba98", "--config", town.police)
    assert (none.code, none.out) == (1, "")
    assert "begins with 'fedcba98'" in none.err


def test_an_empty_list_names_its_filters_and_what_is_wrong_with_them(
    exchange: Shell, town: Town
) -> None:
    """Filters as they were written, an unknown organisation, matter or region by name."""
    asked = ("ticket", "list", "--config")
    for config in (town.police, town.operator):
        said = exchange(*asked, config, "--answers", "140499999999", "--open")
        assert said.out.splitlines()[0] == "No ticket matches: --answers 140499999999 --open."
        assert "140499" in said.out.splitlines()[1]
        wrong = exchange(*asked, config, "--matter", "NM.Z", "--region", "999999", "--lang", "zh")
        assert "没有编号为 NM.Z 的事项" in wrong.out
        assert len(wrong.out.splitlines()) == 3
        data = exchange(*asked, config, "--answers", "999", "--json")
        assert json.loads(data.out) == {"tickets": [], "more": False}
        assert "'999' is no organisation code" in data.err


def test_lists_have_names_and_under_them_the_codes(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Whoever wants to filter finds the code of the name that stands in the table."""
    cross(exchange, town, tmp_path)
    for config in (town.police, town.operator):
        said = exchange("ticket", "list", "--config", config, "--lang", "zh").out
        legend = [line.rpartition("  ") for line in said.splitlines()[-2:]]
        assert {code for _, _, code in legend} == {CITY_110.organisation, CITY_12345.organisation}
        assert all(name in said for name, _, _ in legend)


def test_a_csv_has_chinese_words_under_chinese_headings(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Kind, marker, classification and urgency; JSON lines keep the contract's words."""
    cross(exchange, town, tmp_path)
    asked = ("ticket", "export", "--config", town.police, "--format")
    rows = list(csv.DictReader(io.StringIO(exchange(*asked, "csv").out.lstrip("\ufeff"))))
    (last, *_), (data, *_) = rows, exchange(*asked, "jsonl").lines
    words = [last[heading] for heading in ("单类型", "实际或演练", "知悉范围", "紧急程度", "状态")]

    assert words == ["工单", "实际", "普通", WORDS[data["urgency"]].zh, "待签收"]
    assert (data["kind"], last["状态代码"]) == ("work_order", data["state"])
