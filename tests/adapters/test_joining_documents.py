"""What the READMEs of relay and ferry tell a reader to write and to type is written and typed."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.adapters.province import (
    CITY,
    COUNTY_110,
    RELAY,
    SECOND,
    Papers,
    Province,
    open_province,
    papers,
)
from tests.documents import ROOT, Command, File, environment, steps

__all__ = ["papers"]


def typed(text: str, folder: Path) -> int:
    """Run one command as a reader does; what runs until Ctrl-C is ended by one once it speaks."""
    words = shlex.split(text, comments=True)
    if words[0] == "exchange":
        words[:1] = ["python", "-m", "exchange"]
    assert words[0] == "python"
    run = subprocess.Popen(
        [sys.executable, *words[1:]],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if words[3] == "run":
        assert run.stderr is not None
        lines = 3 if "relay" in words[2] else 1
        for _ in range(lines):
            assert run.stderr.readline()
        run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, (text, out, err)
    return run.returncode


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["relay", "ferry"])
def test_the_readme_can_be_followed(papers: Papers, tmp_path: Path, adapter: str) -> None:
    """Its configuration is one, and every command does what it says, in order."""
    beyond = {RELAY.organisation: CITY}
    with open_province(papers, tmp_path, county_relays=beyond) as province:
        gateways(province)
        taken = []
        for step in steps(ROOT / "adapters" / adapter / "README.md"):
            if isinstance(step, File):
                (tmp_path / step.name).write_text(step.content, encoding="utf-8")
            elif isinstance(step, Command):
                typed(step.text, tmp_path)
                words = step.text.split()
                taken.append(words[2 if words[0] == "exchange" else 3])
    expected = ["run", "status", "status", "status", "replay"]
    if adapter == "ferry":
        expected = ["run", "send", "receive", "status", "status"]
    assert expected == taken


def gateways(province: Province) -> None:
    """Write the gateway configurations that the READMEs name."""
    for site in (province.county, province.city):
        province.gateway(RELAY, site, "gateway")


def test_the_tables_shown_are_a_bridges() -> None:
    """The snippets are TOML of a bridge's configuration, with the organisations of these tests."""
    text = (ROOT / "adapters" / "relay" / "README.md").read_text(encoding="utf-8")
    county, city = (
        tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    )

    assert {RELAY.organisation: [one.organisation for one in CITY]} == county["relays"]
    assert {RELAY.organisation: [COUNTY_110.organisation]} == city["relays"]
    ferry = (ROOT / "adapters" / "ferry" / "README.md").read_text(encoding="utf-8")
    assert SECOND.organisation in ferry
