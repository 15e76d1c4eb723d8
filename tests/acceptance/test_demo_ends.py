"""How a demo ends: interrupted, killed, misused; and how it looks on a terminal."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from certs.screen import width
from exchange.demo.process import Leash, Process
from exchange.demo.teller import Teller
from exchange.text import Language, Text
from tests.acceptance.played import Terminal, processes_of, start


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
