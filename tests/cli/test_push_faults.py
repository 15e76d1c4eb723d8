"""What is wrong with a pushed file is said by file, line and field, and nothing of it is sent."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.town import Shell, Town, cross, matter_lines, write_lines

Line = dict[str, Any]


def _without(line: Line, key: str) -> Line:
    return {name: value for name, value in line.items() if name != key}


def _take(line: Line) -> Line:
    """Return a take of the hand-off that *line* offers, bare of what a spool would fill in."""
    return {
        "kind": "take",
        "ticket_id": line["ticket_id"],
        "handoff_id": line["handoff_id"],
        "created": "2026-11-22T10:00:00+08:00",
        "record": "J-1",
        "act": {"local_number": "J-1"},
    }


#: name -> from the opening and the offer: the bytes of line 2, and what is said of it.
CASES: dict[str, tuple[Callable[[Line, Line], Line | bytes], str, str]] = {
    "no JSON": (lambda _, o: json.dumps(o).encode()[:-9], "column", "JSON"),
    "a word, no JSON": (lambda *_: b"hello", "a value is missing", "此处缺少值"),
    "a list": (lambda *_: b"[1]", "no object", "不是 { } 对象"),
    "GBK": (lambda _, o: json.dumps(o | {"record": "单"}, ensure_ascii=False).encode("gbk"),
            "not UTF-8", "不是 UTF-8"),
    "kind misspelt": (lambda _, o: o | {"kind": "ofer"}, "did you mean 'offer'?", "“offer”"),
    "kind missing": (lambda _, o: _without(o, "kind"), "'kind' is missing", "缺少“kind”"),
    "key misspelt": (lambda _, o: o | {"ticketid": "x"}, "did you mean 'ticket_id'", "“ticketid”"),
    "no zone": (lambda _, o: o | {"created": "2026-11-22T10:00:00"}, "no time zone", "缺少时区"),
    "urgency": (lambda _, o: o | {"urgency": "urgnt"}, "did you mean 'urgent'?", "“urgent”"),
    "a number": (lambda _, o: o | {"record": 7}, "'record' must be text", "“record”应为"),
    "act's field": (lambda _, o: o | {"act": o["act"] | {"mater": "x"}},
                    "'act.mater' is not known; did you mean 'matter'?", "“act.mater”未定义"),
    "act's word": (lambda t, _: t | {"act": t["act"] | {"kind": "TICKET_KIND_WORKORDER"}},
                   "did you mean 'TICKET_KIND_WORK_ORDER'?", "“act.kind”不能为"),
    "a group": (lambda t, _: t | {"groups": {"contents": {}}}, "did you mean 'content'?", "content"),
    "a group's field": (lambda t, _: t | {"groups": {"content": {"contnt": "x"}}},
                        "'groups.content.contnt' is not known", "“groups.content.contnt”"),
    "a field's type": (lambda t, _: t | {"groups": {"content": {"content": 7}}},
                       "'groups.content.content' must be text in quotes", "引号"),
    "no name": (lambda _, o: _without(o, "record"), "message_id, or", "message_id"),
    "no recipient": (lambda _, o: _without(o, "recipient"),
                     "'offer' needs 'recipient': the organisation that shall take", "受理机构代码"),
    "no hand-off": (lambda _, o: _without(o, "handoff_id"), "'handoff_id'", "uuidgen"),
    "take without recipient": (lambda _, o: _take(o), "'take' needs 'recipient'", "另一方"),
    "take without previous": (lambda _, o: _take(o) | {"recipient": "140400000000"},
                              "the hand-off's 'head' in: exchange ticket --config", "head"),
    "previous no digest": (lambda _, o: _take(o) | {"previous": "abc"}, "64 hexadecimal", "64 位"),
    "previous too many": (lambda _, o: o | {"previous": "0" * 64},
                          "'offer' takes no 'previous': leave it out", "不应填写“previous”"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_line_is_named_and_its_neighbours_are_not_sent(
    exchange: Shell, town: Town, tmp_path: Path, case: str
) -> None:
    """File, line, field, what is wrong; in both languages; and that nothing was sent."""
    make, en, zh = CASES[case]
    ticket, (opening, offer) = matter_lines()
    wrong = make(opening, offer)
    line = wrong if isinstance(wrong, bytes) else json.dumps(wrong).encode()
    file = tmp_path / "out.jsonl"
    file.write_bytes(json.dumps(opening).encode() + b"\n" + line + b"\n")
    said = exchange("push", file, "--config", town.hotline)
    chinese = exchange("push", file, "--config", town.hotline, "--lang", "zh")

    assert (said.code, said.out, chinese.out) == (1, "", "")
    assert said.err.startswith(f"{file}:2: ")
    assert en in said.err
    assert said.err.endswith("Nothing was sent. Mend what is named and push the same again.\n")
    assert chinese.err.startswith(f"{file}:2：")
    assert zh in chinese.err
    assert not any(word in said.err for word in ("Traceback", "codec", "Message type"))
    with sqlite3.connect(town.database) as database:
        held = database.execute("SELECT count(*) FROM ticket WHERE id = ?", (ticket,)).fetchone()
    database.close()
    assert held == (0,)


def test_the_first_line_may_be_the_wrong_one(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """Text is never taken for a sealed envelope, however it begins; each wrong line is named."""
    file = tmp_path / "out.jsonl"
    file.write_text('\n"kind": "offer"\nkind;offer\n', encoding="utf-8")
    said = exchange("push", file, "--config", town.hotline)

    assert (said.code, said.out) == (1, "")
    assert [line.partition(": ")[0] for line in said.err.splitlines()[:2]] == [
        f"{file}:2",
        f"{file}:3",
    ]


def test_many_wrong_lines_do_not_fill_the_screen(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Of a file in another format the first twenty lines are named, the rest counted."""
    file = tmp_path / "table.csv"
    file.write_text("a;b\n" * 500, encoding="utf-8")
    said = exchange("push", file, "--config", town.hotline)

    assert len(said.err.splitlines()) == 22
    assert "480 more" in said.err


def test_one_document_over_several_lines_is_recognised(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Pretty-printed JSON is said to be that."""
    file = tmp_path / "out.json"
    file.write_text(json.dumps(matter_lines()[1], indent=1), encoding="utf-8")
    said = exchange("push", file, "--config", town.hotline)

    assert "spread over several lines; write one object a line" in said.err.splitlines()[0]


def test_an_empty_file_is_said_to_be_empty(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """Nothing asked, nothing done, and it is said; also of blank lines."""
    for content in ("", "\n \n"):
        file = tmp_path / "empty.jsonl"
        file.write_text(content, encoding="utf-8")
        said = exchange("push", file, "--config", town.hotline, "--json")
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith(f"{file}: there is no message in it.")


def test_bytes_that_are_nothing_are_said_to_be_nothing(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Neither lines nor an envelope: UTF-16, a picture."""
    for content in ('{"kind": "offer"}\n'.encode("utf-16"), b"\x89PNG\r\n\x1a\n\x00\x00"):
        file = tmp_path / "thing"
        file.write_bytes(content)
        said = exchange("push", file, "--config", town.hotline)
        assert (said.code, "neither JSON lines in UTF-8 nor a sealed" in said.err) == (1, True), (
            said
        )


def test_a_sealed_envelope_is_pushed_as_it_is(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """What the receiver got as an envelope is a repeat when it is pushed again: the same entry."""
    ticket, lines = matter_lines()
    file = write_lines(tmp_path / "out.jsonl", lines)
    first = exchange("push", file, "--config", town.hotline, "--json").lines
    pulled = exchange("pull", "--config", town.police, "--json").lines
    envelopes = [one for one in pulled if one.get("message_id") == first[0]["message_id"]]
    sealed = tmp_path / "envelope"
    sealed.write_bytes(base64.b64decode(envelopes[0]["envelope"]))
    again = exchange("push", sealed, "--config", town.hotline, "--json")

    assert again.lines == first[:1], ticket


def test_what_the_sentence_names_makes_the_take_pass(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """The command it names prints recipient and head; with them the take is stored."""
    ticket = cross(exchange, town, tmp_path)
    shown = exchange("ticket", "show", ticket, "--config", town.police, "--json").data
    (handoff,) = shown["handoffs"]
    take = _take({"ticket_id": ticket, "handoff_id": handoff["handoff_id"]}) | {
        "recipient": handoff["sender"]["code"],
        "previous": handoff["head"],
    }
    pushed = exchange("push", write_lines(tmp_path / "t.jsonl", [take]), "--config", town.police)

    assert (pushed.code, pushed.out.splitlines()[-1]) == (0, "1 stored, 0 refused, 0 failed."), (
        pushed
    )
