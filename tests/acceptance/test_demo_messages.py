"""A demo of other people's messages, what is told and kept of it, and what its counts and proofs find."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.demo import counts, proofs
from exchange.demo.city import load_cities
from exchange.demo.ground import Ground, lay
from tests.acceptance.played import MESSAGES, demo, write_lines

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "messages.jsonl"


@pytest.mark.timeout(200)
def test_real_text_crosses_and_is_never_told(tmp_path: Path) -> None:
    """Messages cross by what the catalogue finds; an excluded one stays; no word of them is printed."""
    file = write_lines(tmp_path / "messages.jsonl", [*MESSAGES, ""])
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    code, out, err = demo(
        "--profile", "shanghai", "--messages", str(file), "--json", temporary=temporary
    )

    assert code == 0, err
    (told,) = json.loads(out)["profiles"]
    modes = sorted(row["mode"] for row in told["crossings"]["rows"])
    assert modes == ["accept-110", "accept-12345", "unlisted"]
    assert told["stayed"] == ["T-4"]
    assert told["counts"]["lost"] == told["counts"]["doubled"] == 0
    assert "on no list (R33)" in err
    for one in MESSAGES:
        assert one["text"] not in out + err
        assert one["title"] not in out + err


@pytest.mark.timeout(200)
@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_the_corpus_crosses(tmp_path: Path) -> None:
    """Real citizens' messages cross, are counted and proved; the count is limited and said so."""
    code, out, err = demo(
        "--profile", "inner-mongolia", "--messages", str(CORPUS), "--limit", "40", "--json",
        temporary=tmp_path,
    )  # fmt: skip

    assert code == 0, err
    (told,) = json.loads(out)["profiles"]
    assert told["crossings"]["of"] + len(told["stayed"]) == 40
    assert told["crossings"]["closed"] == told["crossings"]["of"]
    assert told["log"]["findings"] == []
    assert "the first 40 are used" in err


def test_bad_lines_are_named(tmp_path: Path) -> None:
    """Each line at fault is named with its number and reason, and nothing is started."""
    bad = [
        MESSAGES[0],
        "no json",
        MESSAGES[1] | {"time": "2026-03-01T09:00:00"},
        {"number": "T-9", "title": "缺少正文", "time": "2026-03-01T09:00:00+08:00"},
        MESSAGES[2] | {"text": "长" * 10_001},
        ["a list"],
    ]
    file = write_lines(tmp_path / "messages.jsonl", bad)
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    code, out, err = demo("--messages", str(file), temporary=temporary)

    assert (code, out) == (1, "")
    assert "line 2: no JSON object" in err
    assert "line 3: 'time' is no time with a time zone" in err
    assert "line 4: 'text' is missing" in err
    assert "line 5: 'text' is longer than 10000" in err
    assert "line 6: no JSON object" in err
    assert "line 1:" not in err
    assert list(temporary.iterdir()) == []


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    """A file without a message starts nothing."""
    file = write_lines(tmp_path / "messages.jsonl", [""])

    code, _, err = demo("--messages", str(file), temporary=tmp_path)

    assert code == 1
    assert "holds no message" in err


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A city that has performed: its files as the demo left them, and what it printed."""

    ground: Ground
    #: What to say to have the same again.
    arguments: tuple[str, ...]
    out: str
    err: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A demo of one region, told in Chinese, whose files are kept."""
    folder, temporary = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("temporary")
    city = load_cities()["xiangcheng"]
    arguments = ("--lang", "zh", "--profile", city.name, "--keep", str(folder / "demo"))
    code, out, err = demo(*arguments, temporary=temporary)
    assert code == 0, err
    spare = lay(folder / "spare", city, datetime.now(UTC))
    ground = dataclasses.replace(spare, folder=folder / "demo" / city.name)
    return Kept(ground=ground, arguments=arguments, out=out, err=err)


@pytest.fixture
def ground(kept: Kept) -> Ground:
    """The city's files."""
    return kept.ground


@pytest.mark.timeout(200)
def test_the_demo_tells_people(kept: Kept) -> None:
    """What happened, a trail, a table, and that everything verifies; nothing on standard error."""
    assert "全部回执与日志验证通过" in kept.out
    assert "读一条追溯链" in kept.out
    assert "各方案演示结果" in kept.out
    assert "✗" not in kept.out
    assert kept.err == ""


@pytest.mark.timeout(200)
def test_what_is_kept_can_be_looked_at(kept: Kept, tmp_path: Path) -> None:
    """The commands that the demo prints work on what it kept, and no other demo overwrites it."""
    printed = [line.split() for line in kept.out.splitlines() if line.startswith("  exchange ")]
    offline = [words[1:] for words in printed if words[-1].endswith("bridge.toml")]
    offline = [words for words in offline if words[0] != "serve"]
    assert len(offline) == 3
    for words in offline:
        done = subprocess.run(
            [sys.executable, "-m", "exchange", "--lang", "en", *words],
            capture_output=True, text=True, check=False, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout

    code, _, err = demo("--lang", "en", *kept.arguments[2:], temporary=tmp_path)
    assert code == 1
    assert "is there already" in err


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("database", "statement", "field"),
    [
        ("hotline/desk.db", "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "lost"),
        ("police/desk.db", "UPDATE event SET message_id = 'x' WHERE seq = (SELECT max(seq) FROM event)", "lost"),
        ("bridge.db", "DELETE FROM receipt WHERE leaf_index = (SELECT max(leaf_index) FROM receipt)", "lost"),
        ("police/desk.db", "UPDATE handoff SET state = 2", "differing"),
    ],
)  # fmt: skip
def test_counting_finds_what_is_missing(
    ground: Ground, tmp_path: Path, database: str, statement: str, field: str
) -> None:
    """A message gone from any one database, or a state changed, is counted; before, nothing is."""
    assert all(one.holds for one in counts.count(ground))
    copied = dataclasses.replace(ground, folder=tmp_path / "copy")
    shutil.copytree(ground.folder, copied.folder)
    with contextlib.closing(sqlite3.connect(copied.folder / database)) as changed, changed:
        changed.execute("PRAGMA foreign_keys=OFF")
        changed.execute(statement)

    assert sum(getattr(one, field) for one in counts.count(copied)) > 0


@pytest.mark.timeout(200)
def test_proving_finds_a_changed_receipt(ground: Ground, tmp_path: Path) -> None:
    """Receipts are proved for what they say: under another log's key none holds."""
    copied = dataclasses.replace(ground, folder=tmp_path / "copy")
    shutil.copytree(ground.folder, copied.folder)

    verified = proofs.verify(copied)  # *ground* names the certificates of another set

    assert verified.entries > 0
    assert len(verified.findings) >= verified.stored + verified.written > 0
