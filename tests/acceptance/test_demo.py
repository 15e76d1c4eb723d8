"""`make demo`: every sentence of its promise, for every profile, with real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certs.screen import width
from exchange import profile
from exchange.demo import PROFILES, counts, proofs
from exchange.demo.city import load_cities
from exchange.demo.ground import Ground, lay
from exchange.demo.process import Leash, Process
from exchange.demo.teller import Teller
from exchange.text import Language, Text

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "messages.jsonl"

EVERYWHERE = {
    "return-with-measures", "county-relay", "police-first", "while-worked", "reopened", "refusal",
    "unlisted", "escalation", "emergency", "danger-bars-return", "lead", "take-over",
}  # fmt: skip
WITH_NEGOTIATION = {
    "dispute-agreed", "first-receiver-hotline", "first-receiver-police", "first-receiver-handler",
    "dispute-joint",
}  # fmt: skip


def start(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    """Start ``exchange demo`` with a folder for temporary files of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "exchange", "--lang", "en", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONUTF8": "1"},
    )


def demo(*arguments: str, temporary: Path) -> tuple[int, str, str]:
    """Run ``exchange demo`` to its end; return exit code, standard output and error."""
    with start(*arguments, temporary=temporary) as running:
        out, err = running.communicate(timeout=280)
    return running.returncode, out, err


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that name *folder*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module", params=PROFILES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data of one profile's demo."""
    temporary = tmp_path_factory.mktemp("demo")
    code, out, err = demo("--profile", request.param, "--json", temporary=temporary)
    assert code == 0, err
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []
    whole = json.loads(out)
    assert whole["holds"]
    assert [one["profile"] for one in whole["profiles"]] == [request.param]
    return whole["profiles"][0]


@pytest.mark.timeout(300)
class TestEveryProfile:
    """One whole demo a profile."""

    def test_every_category_crosses_by_its_route(self, told: Any) -> None:
        """Each category of the profile's catalogue is closed, in the direction its mode says."""
        rules = profile.load(told["profile"])
        rows = {row["category"]: row for row in told["crossings"]["rows"]}

        assert rows.keys() == rules.catalogue.categories.keys()
        for name, row in rows.items():
            to_police = row["mode"] in {"accept-110", "immediate-110-and-parallel"}
            assert row["closed"], row
            assert row["mode"] == rules.catalogue.categories[name].mode.value
            assert row["direction"] == ("12345-110" if to_police else "110-12345")
            assert bool(row["own_duty"]) == (name in rules.immediate_categories)

    def test_every_scene_is_played_as_the_profile_has_it(self, told: Any) -> None:
        """The scenes of the issue, each kept; without negotiation its own one instead of disputes."""
        rules = profile.load(told["profile"])
        expected = EVERYWHERE | (WITH_NEGOTIATION if rules.negotiation else {"no-negotiation"})
        if rules.immediate_categories:
            expected = expected | {"immediate-kind"}
        scenes = {scene["name"]: scene for scene in told["scenes"]}

        assert scenes.keys() == expected
        assert [scene for scene in scenes.values() if not scene["kept"]] == []

    def test_refusals_are_those_of_the_profile(self, told: Any) -> None:
        """What each region forbids is refused with its own code."""
        rules = profile.load(told["profile"])
        facts = {scene["name"]: scene["facts"] for scene in told["scenes"]}
        reason = "REVIEW_REQUIRED" if rules.review_required else "REASON_REQUIRED"

        assert facts["refusal"]["refused"] == [reason, "SECRET"]
        assert facts["danger-bars-return"]["refused"] == ["DANGER_PRESENT"]
        assert facts["emergency"]["refused"] == ["LEVEL_REQUIRES_110"]
        assert facts["police-first"]["refused"] == ["PRIOR_DISPOSAL_REQUIRED"]
        assert facts["county-relay"]["refused"] == ["RELAY_REQUIRED"] * rules.county_relay
        if not rules.negotiation:
            refused = ["NO_NEGOTIATION", "FIRST_RECEIVER_KEEPS"]
            assert facts["no-negotiation"]["refused"] == refused

    def test_own_duties_open_where_a_matter_comes_back(self, told: Any) -> None:
        """Return, ruling, joint ruling and take-over each open the sender's own duty."""
        facts = {scene["name"]: scene["facts"] for scene in told["scenes"]}
        opening = {"return-with-measures", "take-over", "danger-bars-return"}
        opening |= {
            "first-receiver-hotline",
            "first-receiver-police",
            "dispute-joint",
        } & facts.keys()

        assert [name for name in opening if not facts[name]["own_duty"]] == []

    def test_a_killed_bridge_loses_and_doubles_nothing(self, told: Any) -> None:
        """Messages were under way at the kill, and all databases agree afterwards."""
        counts = told["counts"]

        assert told["kill"]["under_way"] > 0
        assert (counts["lost"], counts["doubled"], counts["differing"]) == (0, 0, 0)
        assert counts["under_way"] == 0
        assert counts["said"] == sum(one["said"] for one in counts["platforms"]) > 100
        # What concerns an own duty alone goes to nobody; all else was written, some of it twice.
        assert 0 < counts["own"] < counts["said"] <= counts["came"] + counts["own"]
        assert {one["platform"] for one in counts["platforms"]} == {"hotline", "police", "county"}

    def test_receipts_and_log_verify(self, told: Any) -> None:
        """Every message said has its stored receipt, and the log holds them and the written ones."""
        receipts, log, counts = told["receipts"], told["log"], told["counts"]

        assert log["findings"] == []
        assert receipts["stored"] == counts["said"]
        assert log["entries"] == counts["said"] + counts["came"]
        assert receipts["refused"] == sum(
            len(s["facts"].get("refused", ())) for s in told["scenes"]
        )

    def test_the_trail_always_names_who_answers(self, told: Any) -> None:
        """From the offer to the closing somebody answers, on every line of the printed trail."""
        lines = told["trail"][1:-1]
        words = [line["kind"]["en"] for line in told["trail"]]

        assert words[0] == "ticket opened"
        assert words[-1] == "ticket closed"
        # A returned hand-off is answered for by the own duty, which stands in the same trail.
        silent = {"closed", "returned"}
        assert [
            one for one in lines if not one["answers"]["en"] and one["state"]["en"] not in silent
        ] == []


MESSAGES = [
    {
        "number": "T-1", "title": "路灯不亮", "time": "2026-03-01T08:00:00+08:00",
        "text": "小区门口路灯不亮，晚上很黑。花括号{测试}也要原样。",
    },
    {
        "number": "T-2", "title": "有人打架", "time": "2026-03-01T09:00:00+08:00",
        "text": "楼下有人打架，请派警。公安机关管辖的行政（治安）案件。",
    },
    {
        "number": "T-3", "title": "说不清的事", "time": "2026-03-01T10:00:00+08:00",
        "text": "隔壁阳台的风铃整夜作响。",
    },
    {
        "number": "T-4", "title": "已进入信访渠道", "time": "2026-03-01T11:00:00+08:00",
        "text": "已进入信访渠道的事项，再次反映。",
    },
]  # fmt: skip


def write_lines(path: Path, lines: list[Any]) -> Path:
    """Write JSON lines; a string is written as it is."""
    words = [w if isinstance(w, str) else json.dumps(w, ensure_ascii=False) for w in lines]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """After Ctrl-C or SIGTERM there is no process, no folder, and the exit code says so."""
    with start("--profile", "wuyang", temporary=tmp_path) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "matters crossed" in line:  # the scenes are being played
                break
        running.send_signal(number)
        _, err = running.communicate(timeout=60)

    assert running.returncode == 130
    assert "Interrupted" in err
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.timeout(120)
def test_a_killed_demo_takes_its_children_along(tmp_path: Path) -> None:
    """SIGKILL of the demo ends every child by itself."""
    with start("--profile", "wuyang", temporary=tmp_path) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "matters crossed" in line:
                break
        assert len(processes_of(tmp_path)) >= 4
        running.kill()
        # Each child holds this pipe's other end as its own standard error's reader is gone; the
        # leash is what ends them, and an ended process leaves /proc.
        running.communicate(timeout=60)
    for path in Path("/proc").glob("[0-9]*"):
        _wait_for_end(path, tmp_path)

    assert processes_of(tmp_path) == []


def _wait_for_end(path: Path, folder: Path) -> None:
    """Return when the process of *path* has ended, if it is one that names *folder*."""
    try:
        if str(folder).encode() not in (path / "cmdline").read_bytes():
            return
        handle = os.pidfd_open(int(path.name))
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        select.select([handle], [], [], 30)
    finally:
        os.close(handle)


@pytest.mark.timeout(200)
def test_what_is_kept_can_be_looked_at(tmp_path: Path) -> None:
    """--keep leaves a folder, and the commands that the demo prints work on it."""
    kept = tmp_path / "kept"
    code, out, err = demo("--profile", "xiangcheng", "--keep", str(kept), temporary=tmp_path)
    assert code == 0, err

    printed = [line.split() for line in out.splitlines() if line.startswith("  exchange ")]
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

    code, _, err = demo("--profile", "xiangcheng", "--keep", str(kept), temporary=tmp_path)
    assert code == 1
    assert "is there already" in err


@pytest.mark.timeout(200)
def test_the_demo_tells_people(tmp_path: Path) -> None:
    """In Chinese and in English: what happened, a trail, a table, and that everything verifies."""
    code, out, err = demo("--lang", "zh", "--profile", "xiangcheng", temporary=tmp_path)

    assert code == 0, err
    assert "全部回执与日志验证通过" in out
    assert "读一条追溯链" in out
    assert "各方案演示结果" in out
    assert "✗" not in out
    assert err == ""


@pytest.mark.timeout(200)
def test_whoever_stops_reading_ends_the_demo(tmp_path: Path) -> None:
    """As in ``demo | head``: exit code 141, nothing on standard error, no process and file left."""
    with start("--profile", "xiangcheng", temporary=tmp_path) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 141
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_demo_s_tables_fit_the_terminal(
    language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 80 columns long lines are broken, and a table of many columns is turned round."""
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    teller = Teller(stream, language)
    said = "  ✓ 三方通话后同意继续办理。" * 6
    teller.line(Text(en=said, zh=said))
    heads = [f"a column of a width like {number}" for number in range(8)]
    teller.table([heads, list("abcdefgh"), list("ABCDEFGH")])

    lines = stream.getvalue().splitlines()
    assert max(map(width, lines)) <= 80
    assert lines[1].startswith("    ")
    assert lines[-8].split()[-2:] == ["a", "A"]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A city that has performed, its files kept; its databases are as the demo left them."""
    folder, temporary = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("temporary")
    city = load_cities()["xiangcheng"]
    file = write_lines(temporary / "messages.jsonl", MESSAGES)
    arguments = ("--profile", city.name, "--messages", str(file), "--keep", str(folder / "demo"))
    code, _, err = demo(*arguments, temporary=temporary)
    assert code == 0, err
    spare = lay(folder / "spare", city, datetime.now(UTC))
    return dataclasses.replace(spare, folder=folder / "demo" / city.name)


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


def test_a_failing_child_shows_its_last_words(tmp_path: Path) -> None:
    """A process that ends by itself is named, with its exit code, its log's end and what to do."""
    leash = Leash()
    child = Process(
        "the bridge", "exchange", ["--lang", "en", "serve", "--config", str(tmp_path / "no.toml")],
        log=tmp_path / "bridge.log", leash=leash, heard=print,
    )  # fmt: skip
    child.start()
    try:
        said = child.ended()
    finally:
        child.kill()
        leash.let_go()

    assert "the bridge ended by itself (exit code 2)" in said.en
    assert "no.toml" in said.en
    assert "--keep DIR" in said.en
    assert "退出码 2" in said.zh


@pytest.mark.parametrize(
    ("stream", "warning", "rings"),
    [
        (Terminal(), "\a\a\a[URGENT] ...", True),
        (Terminal(), "\a[routine] ...", False),
        (io.StringIO(), "\a\a\a[URGENT] ...", False),
    ],
)
def test_the_terminal_rings_for_what_is_urgent(
    stream: io.StringIO, warning: str, rings: bool
) -> None:
    """A platform's bell for an urgent arrival rings the terminal, a routine one does not."""
    Teller(stream, "en").rang(warning)

    assert ("\a" in stream.getvalue()) is rings


def test_an_unknown_profile_is_named() -> None:
    """A misspelt profile is misuse, and the valid ones are listed."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange", "demo", "--profile", "changzi"],
        capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip

    assert done.returncode == 2
    assert "changzhi" in done.stderr
