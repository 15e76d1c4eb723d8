"""``exchange mapping check`` reads what only one adapter reads, as that adapter will, and hides nothing behind it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.folder.city import MAPPING as FOLDER
from tests.adapters.http.city import MAPPING as HTTP
from tests.cli.town import Answer, Shell

HELD = '\n[http.call.held]\npath = "/tickets/{key}"\nsuccess = { ResultCode = 1 }\n'


def checked(exchange: Shell, folder: Path, source: Path, old: str, new: str) -> Answer:
    """Check a mapping with one text changed."""
    text = source.read_text(encoding="utf-8").replace("@BASE@", "http://127.0.0.1:1/api")
    assert old in text
    path = folder / "map.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return exchange("mapping", "check", path, "--json")


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ((HTTP, 'number = "Data.BillNo"', 'nummer = "Data.BillNo"'), "http.call[0].nummer", "number"),
        ((HTTP, "success = { ResultCode = 1 }", 'success = "answer.a = 1"'), "http.success", "CEL"),
        ((HTTP, 'base = "', 'base = "ftp'), "http.base", "https://"),
        ((HTTP, 'sheet = "jjd"\nwrite = "update"\npath', 'sheet = "jjd"\nwrite = "insert"\npath'), "http.call", "hears into"),
        ((FOLDER, "still = 0.05", "still = 0"), "folder.still", "half a file"),
        ((FOLDER, 'encoding = "gb18030"', 'encoding = "gbkk"'), "folder.out.encoding", "gbk"),
    ],
)  # fmt: skip
def test_a_section_that_the_adapter_cannot_start_with_is_an_error(
    exchange: Shell, tmp_path: Path, change: tuple[Path, str, str], key: str, said: str
) -> None:
    """With its line and its key, before anybody starts the adapter."""
    found = checked(exchange, tmp_path, *change)

    (error,) = [one for one in found.data["findings"] if one["weight"] == "error"]
    assert (1, key, True) == (found.code, error["key"], said in error["en"])
    assert 1 < error["line"]


def test_secrets_that_are_elsewhere_are_named_and_hide_nothing(
    exchange: Shell, tmp_path: Path
) -> None:
    """They may be on the machine that the adapter runs on; an error behind them is found all the same."""
    good = checked(exchange, tmp_path, HTTP, "timeout = 5", "timeout = 5")
    bad = checked(exchange, tmp_path, HTTP, '"127.0.0.1:0"', '"8080"')

    warnings = [one["en"] for one in good.data["findings"] if one["weight"] == "warning"]
    assert (0, 4) == (good.code, sum("env:TEST_" in one for one in warnings))
    assert not [one for one in warnings if "polled" in one]  # its records are kept by the adapter
    assert (1, True) == (bad.code, "HOST:PORT" in bad.data["findings"][0]["en"])


def test_a_question_by_number_alone_is_warned_of(exchange: Shell, tmp_path: Path) -> None:
    """A number given anew looks as if what was lost were there; a question by our id does not."""
    at = "\n[http.call.lookup]"
    by_number = checked(exchange, tmp_path, HTTP, at, HELD + at)
    by_id = checked(exchange, tmp_path, HTTP, at, HELD.replace("{key}", "{message_id}") + at)

    found = [
        [one for one in answer.data["findings"] if "number alone" in one["en"]]
        for answer in (by_number, by_id)
    ]
    assert ["http.call", 0] == [found[0][0]["key"], len(found[1])]


def test_what_a_draft_left_open_is_listed_at_once(exchange: Shell, tmp_path: Path) -> None:
    """A code table without words, which is a fault by itself, hides none of the other places."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute(
            "CREATE TABLE T_GD (GDBH VARCHAR(32) PRIMARY KEY, BT VARCHAR(100), SQLXDM VARCHAR(4), "
            "SQNR VARCHAR(2000), TSZT CHAR(1) DEFAULT '0')"
        )
        database.execute("INSERT INTO T_GD VALUES ('1', '标题', '02', '内容', '0')")
        database.commit()
    draft = exchange(
        "mapping", "draft", "--database", f"sqlite:///{tmp_path / 'a.db'}", "--service", "12345"
    )
    (tmp_path / "draft.toml").write_text(draft.out, encoding="utf-8")
    found = exchange("mapping", "check", tmp_path / "draft.toml", "--json")

    errors = {one["key"] for one in found.data["findings"] if one["weight"] == "error"}
    assert any(key.startswith("codes.") for key in errors)
    assert "platform.name" in errors
    assert any(key.endswith("header.recipient") for key in errors)
