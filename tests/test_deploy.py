"""What is in deploy/: units that fit the program, a compose file, and a sizing page that is computed."""

from __future__ import annotations

import configparser
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import sizing
from exchange.cli.root import run
from exchange.settings import Limits

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
}


def read(unit: Path) -> configparser.ConfigParser:
    """Return a unit's sections; a key that stands twice is an error."""
    found = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[method-assign,assignment]
    found.read_string(unit.read_text("utf-8"))
    return found


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_are_hardened(unit: Path) -> None:
    """They run as nobody in particular, write where they must, and are given no privilege."""
    service = read(unit)["Service"]

    assert HARDENED == {name: service.get(name) for name in HARDENED}
    assert service["User"] not in ("", "root")
    assert service["StateDirectory"]


def test_the_bridge_is_given_the_time_that_it_needs_to_stop() -> None:
    """Longer than its calls may take; a wrong configuration is not tried again and again."""
    service = read(DEPLOY / "systemd" / "exchange-bridge.service")["Service"]
    usual = Limits().stop_seconds

    assert int(service["TimeoutStopSec"]) >= 2 * usual
    assert ("on-failure", "2", "mixed") == (
        service["Restart"], service["RestartPreventExitStatus"], service["KillMode"],
    )  # fmt: skip
    grace = re.search(r"stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text("utf-8"))
    assert grace is not None
    assert int(grace[1]) >= 2 * usual


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_what_services_run_is_there(unit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command and option is one of the program's."""
    start = read(unit)["Service"]["ExecStart"]
    if "python -m adapters." in start:
        module = start.partition("python -m ")[2].split()[0].replace("%i", "jsonl")
        assert (DEPLOY.parent / f"{module.replace('.', '/')}.py").exists()
        return
    name, *words = start.partition("/opt/exchange/bin/exchange ")[2].rstrip("'").split()
    assert run([name, "--help"], {"LANG": "C"}) == 0
    said = capsys.readouterr().out

    assert [] == [word for word in words if word.startswith("--") and word not in said]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """Nothing is said of them but that our program is not installed on this machine."""
    for one in UNITS:
        shutil.copy(one, tmp_path / one.name.replace("@.", "@jsonl."))
    target = tmp_path / unit.name.replace("@.", "@jsonl.")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(target)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "exchange" in line]

    assert [] == [line for line in ours if "is not executable" not in line]


def test_images_are_plain_names() -> None:
    """Nothing names a registry's host: a site's own settings say where images come from."""
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    images = re.findall(r"^ *image: (\S+)$", compose, re.MULTILINE)
    images += re.findall(r"^FROM (\S+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)

    assert {"postgres:16", "hotline-exchange", "python:3.12-slim"} == set(images)
    assert "\t" not in compose


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker here")
def test_docker_takes_the_compose_file() -> None:
    """It is parsed and resolved; nothing is started."""
    known = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True)
    if known.returncode:
        pytest.skip("docker has no compose here")
    done = subprocess.run(
        ["docker", "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr)


def test_the_sizing_page_is_what_is_computed() -> None:
    """Put in anew, nothing changes: python -m deploy.sizing --write."""
    page = sizing.PAGE.read_text("utf-8")

    assert page == sizing.written(page, sizing.Assumptions())


def test_the_arithmetic() -> None:
    """A city by hand: 60 k orders, a fifth crosses, ten times the mean hour at peak."""
    found = sizing.need(60_000, sizing.Assumptions())

    assert (12_000, 2) == (found.tickets_a_day, found.cores)
    assert math.isclose(12_000 / 24 * 10 / 3600, found.peak_tickets)
    assert math.isclose(12_000 * 365 * 20 / 1e6, found.database_gb)
    assert math.isclose(12_000 * 365 * 12, found.leaves)
    dear = sizing.need(60_000, replace(sizing.Assumptions(), cpu_us=1e6))
    assert math.ceil(12_000 / 86_400 * 10 * 3 / 0.5) == dear.cores


def test_assumptions_are_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each can be given; the bench's own figure is taken from its CSV."""
    stages = tmp_path / "stages.csv"
    stages.write_text(
        "database,stage,cpu_us_per_ticket,elapsed_us_per_ticket\n"
        "sqlite,process,700.5,0\npostgresql,process,812.5,0\nsqlite,elapsed,9999,9999\n"
    )
    assert 0 == sizing.main(["--share", "0.4", "--bench", str(stages)])
    said = capsys.readouterr().out

    assert "| `--cpu-us` | 812.5 |" in said
    assert "| crossing tickets a day 日跨转单 | 24,000 |" in said


def test_the_balancer_leaves_tls_to_the_bridge() -> None:
    """It passes bytes on, ends no TLS, and outlasts the longest pull; HAProxy itself takes the file."""
    file = DEPLOY / "haproxy.cfg"
    lines = [line.split("#")[0].split() for line in file.read_text("utf-8").splitlines()]
    said = [words for words in lines if words]
    haproxy = shutil.which("haproxy")

    assert ["mode", "tcp"] in said
    assert not [words for words in said if "ssl" in words or "crt" in words]
    assert {"10m"} == {
        words[2] for words in said if words[:2] in (["timeout", "client"], ["timeout", "server"])
    }
    if haproxy is not None:
        done = subprocess.run(
            [haproxy, "-c", "-q", "-f", str(file)], check=False, capture_output=True
        )
        assert (0, b"") == (done.returncode, done.stderr)
