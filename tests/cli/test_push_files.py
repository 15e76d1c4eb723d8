"""``exchange push`` sends the files that messages cite, behind the messages, whole and once."""

from __future__ import annotations

import os
import sqlite3
from hashlib import sha256
from pathlib import Path

from tests.cli.town import Shell, Town, matter_lines, write_lines


def test_files_are_sent_behind_their_message(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """Three chunks arrive; a repeat sends none; what the bridge does not carry is named, exit 1."""
    _, (opening, offer) = matter_lines()
    photo = os.urandom(2 * 524_288 + 100)
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "tool.exe").write_bytes(b"MZ")
    opening["files"] = {"A-1": "photo.jpg", "A-2": "tool.exe"}
    opening["groups"]["attachment"] = {
        "attachments": [
            {
                "attachment_id": name,
                "name": "现场",
                "media_type": kind,
                "classification": "CLASSIFICATION_ORDINARY",
            }
            for name, kind in (("A-1", "image/jpeg"), ("A-2", "application/x-msdownload"))
        ]
    }
    file = write_lines(tmp_path / "out.jsonl", [opening, offer])
    said = exchange("push", file, "--config", town.hotline)
    again = exchange("push", file, "--config", town.hotline, "--json")

    assert (1, "") == (said.code, said.err)
    assert "attachment A-1: the bridge has it" in said.out
    assert "attachment A-2 is not carried: TYPE_NOT_ALLOWED" in said.out
    assert "2 stored, 0 refused, 1 failed." in said.out
    outcomes = {one.get("attachment_id"): one["outcome"] for one in again.lines}
    assert {"A-1": "whole", "A-2": "refused", None: "stored"} == outcomes
    with sqlite3.connect(town.database) as database:
        chunks = database.execute("SELECT content FROM attachment_chunk ORDER BY number").fetchall()
    database.close()
    assert sha256(photo).digest() == sha256(b"".join(row[0] for row in chunks)).digest()


def test_a_file_that_is_not_there_sends_nothing(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Line and file are named, before anything is sent."""
    _, (opening, offer) = matter_lines()
    opening["files"] = {"A-1": "gone.jpg"}
    opening["groups"]["attachment"] = {"attachments": [{"attachment_id": "A-1", "name": "x"}]}
    file = write_lines(tmp_path / "out.jsonl", [offer, opening])
    said = exchange("push", file, "--config", town.hotline)

    assert (1, "") == (said.code, said.out)
    assert f"{file}:2: '{tmp_path / 'gone.jpg'}' cannot be read" in said.err
