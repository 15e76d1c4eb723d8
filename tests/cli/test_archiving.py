"""``exchange archive`` beside a bridge that serves: what is said of an archived ticket, and proved."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.town import Shell, Town, matter_lines, write_lines


def closed(exchange: Shell, town: Town, folder: Path) -> tuple[str, Path]:
    """Let a ticket be handed over, worked on and closed by the command; return id and first lines."""
    ticket, lines = matter_lines()
    first = write_lines(folder / "first.jsonl", lines)
    assert exchange("push", first, "--config", town.hotline).code == 0
    handoff = lines[1]["handoff_id"]

    def say(by: Path, kind: str, **more: object) -> None:
        shown = exchange("ticket", "show", ticket, "--config", town.operator, "--json").data
        (now,) = shown["handoffs"]
        line = {
            "kind": kind,
            "ticket_id": ticket,
            "handoff_id": handoff,
            "created": datetime.now(UTC).isoformat(),
            "record": f"{kind}-{ticket}",
            **more,
        }
        if kind != "close_ticket":
            other = "receiver" if by == town.hotline else "sender"
            line |= {"recipient": now[other]["code"], "previous": now["head"]}
        else:
            del line["handoff_id"]
        file = write_lines(folder / f"{kind}.jsonl", [line])
        pushed = exchange("push", file, "--config", by, "--json")
        assert [one["outcome"] for one in pushed.lines] == ["stored"], pushed

    say(town.police, "take")
    work = {"disposal": {"content": "已现场处置完毕。"}}
    say(town.police, "result", act={"settlement": "SETTLEMENT_SETTLED"}, groups=work)
    say(town.hotline, "close")
    say(town.hotline, "close_ticket")
    for place in ("1", "2"):
        for who in (town.police, town.hotline):
            assert exchange("pull", "--to", folder / f"in{place}", "--config", who).code == 0
    return ticket, first


def test_an_archived_ticket_is_still_shown_and_proved(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """While the bridge serves: lists, trails and repeats are as before, and the archive proves all."""
    ticket, first = closed(exchange, town, tmp_path)
    archives = tmp_path / "archives"
    archives.mkdir()
    command = ("archive", "--older-than", "0d", "--to", archives, "--config", town.operator)
    asked = ("ticket", "trail", ticket, "--json", "--config")
    before = exchange(*asked, town.hotline), exchange(*asked, town.operator)
    pushed = exchange("push", first, "--config", town.hotline, "--json")

    dry = exchange(*command, "--dry-run")
    assert (dry.code, list(archives.iterdir())) == (0, [])
    assert dry.out.startswith("1 tickets with 12 entries would be archived")
    done = exchange(*command)
    assert done.code == 0, done
    assert "1 tickets were archived" in done.out
    (file,) = archives.iterdir()
    assert exchange(*command).out.startswith("No closed ticket is that old")

    assert before == (exchange(*asked, town.hotline), exchange(*asked, town.operator))
    assert pushed.out == exchange("push", first, "--config", town.hotline, "--json").out
    shown = exchange("ticket", "show", ticket, "--config", town.operator)
    assert (shown.code, file.name in shown.err) == (0, True)
    for eyes in (town.hotline, town.operator):
        left = tmp_path / f"left-{eyes.stem}"
        asked_for = ("ticket", "trail", ticket, "--receipts", left, "--config", eyes)
        assert exchange(*asked_for).code == 0
        for one in left.iterdir():
            assert exchange("receipt", "verify", one, *town.trust).code == 0

    verify = ("log", "verify", "--config", town.operator)
    assert "12 entries stand in archives" in exchange(*verify).out
    checked = exchange(*verify, "--archive", archives)
    assert (checked.code, "The archives hold, too: 12 entries." in checked.out) == (0, True), (
        checked
    )
    assert exchange(*verify, "--archive", tmp_path).code == 1

    out = tmp_path / "receipts"
    said = exchange("receipt", "extract", file, "--ticket", ticket, "--to", out, "--json")
    files = said.data["files"]
    assert len(files) == 6
    for one in files:
        proved = exchange("receipt", "verify", one, *town.trust, "--json")
        assert (proved.code, proved.data["not_shown"]) == (0, 0), proved


@pytest.mark.parametrize("age", ["2y", "730", "-1d", "d", "1.5d"])
def test_an_age_that_is_none_is_refused(
    exchange: Shell, town: Town, tmp_path: Path, age: str
) -> None:
    """It is said how an age is written."""
    command = ("archive", "--to", tmp_path, "--config", town.operator, f"--older-than={age}")
    said = exchange(*command)

    assert said.code == 2
    assert f"'{age}' is no age; write whole days" in said.err
    assert "730d" in exchange(*command, "--lang", "zh").err


def test_a_wrong_archive_or_ticket_is_named(exchange: Shell, tmp_path: Path) -> None:
    """A file that is no archive, and a ticket that is not in one."""
    other = tmp_path / "other.jsonl"
    other.write_text('{"kind": "offer"}\n', "utf-8")
    empty = tmp_path / "empty.jsonl"
    empty.write_text(json.dumps({"format": "hotline.exchange/archive/v1"}) + "\n", "utf-8")

    for file, words in ((other, f"{other} is no archive"), (empty, "The ticket 1234 is not in")):
        said = exchange("receipt", "extract", file, "--ticket", "1234", "--to", tmp_path / "out")
        assert said.code == 1
        assert words in said.err
