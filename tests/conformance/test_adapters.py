"""The kit judges adapters: the reference conforms, and each broken one fails exactly its case."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.cli.root import run as command
from exchange.client import read_gateway
from exchange.conformance.capabilities import Capabilities
from exchange.conformance.cases import Case, Profile
from exchange.conformance.desk_stage import DeskStage
from exchange.conformance.embedded import NAME
from exchange.conformance.ground import Ground
from exchange.conformance.trace import Trace
from tests.conformance.breaking import Broken
from tests.conformance.broken_receivers import RECEIVERS
from tests.conformance.broken_senders import SENDERS
from tests.conformance.linked import DESK, desk, link
from tests.conformance.whole import failures, ids, named, played

#: Seconds for what is in vain; everything else is given a minute.
IN_VAIN = 3.0


def judged(stage: DeskStage, names: Collection[str], fails: Collection[str] = ()) -> dict[str, str]:
    """Return why each of the cases *names* that did not pass did not; *fails* are expected to."""
    adapter = stage.adapter

    def expect(case: Case) -> None:
        bad = case.id in fails
        if stage.adapter is not adapter:
            stage.process.kill()  # it may still wait for an answer
        silent = bad and case.id.endswith(".bridge-silent")
        stage.adapter = replace(adapter, deadline_seconds=60) if silent else adapter
        stage.patience = IN_VAIN if bad else 60.0
        stage.watched = 60.0 if bad else 1.0

    return failures(stage, named(names), expect)


@pytest.mark.parametrize("profile", [Profile.RECEIVER, Profile.SENDER])
def test_the_reference_adapter_conforms(ground: Ground, tmp_path: Path, profile: Profile) -> None:
    """The runner around a folder of JSON lines passes every case."""
    with desk(ground, tmp_path / "ground") as stage:
        assert {} == judged(stage, ids(profile))


@pytest.mark.slow
def test_an_adapter_is_told_and_asked_by_commands(ground: Ground, tmp_path: Path) -> None:
    """The same as a program of its own, started, killed and started again by its commands."""
    found = link(ground, tmp_path / "ground", [sys.executable, str(DESK)])
    assert found.adapter is not None
    with DeskStage(found, found.adapter, Trace()) as stage:
        cases = ["receiver.written-before-acknowledged", "sender.power-cut-after-say"]

        assert {} == judged(stage, cases)


def test_an_adapter_that_cannot_be_started_is_no_failed_case(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is judged: exit 2, and the command that cannot be run is named."""
    found = link(ground, tmp_path / "ground", ["/nowhere/adapter"])

    assert 2 == receive(found)
    assert "/nowhere/adapter" in capsys.readouterr().err


def test_an_adapter_that_ends_by_itself_is_told_so(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The case fails with its exit code and where its words are, not with what never came."""
    found = link(ground, tmp_path / "ground", [sys.executable, "-c", "raise SystemExit(7)"])
    text = found.file.read_text("utf-8").replace("patience_seconds = 120", "patience_seconds = 1")
    found.file.write_text(text, "utf-8")

    assert 1 == receive(found)
    said = capsys.readouterr().out
    assert "exit code 7" in said
    assert "adapter.log" in said


def test_a_port_that_somebody_has_is_named(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kit listens where the adapter dials; if it cannot, nothing is judged, and nothing goes on."""
    found = link(ground, tmp_path / "ground", [sys.executable])
    port = int(read_gateway(tmp_path / "ground" / "hotline.toml").target.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert 2 == receive(found)

    assert "hotline.toml" in capsys.readouterr().err
    assert NAME not in {thread.name for thread in threading.enumerate()}


def receive(found: Capabilities) -> int:
    """Run one case of the profile receiver by the command; return its exit code."""
    arguments = ["--capabilities", str(found.file), "--case", "receiver.written"]
    return command(
        ["conformance", "run", "--profile", "receiver", *arguments], {"EXCHANGE_LANG": "en"}
    )


def exactly(ground: Ground, folder: Path, profile: Profile, name: str, broken: Broken) -> None:
    """Play what is to be played before *broken*: it fails its cases and no other."""
    with desk(ground, folder, broken) as stage:
        found = judged(stage, played(profile, name, broken), broken.fails)

    assert sorted(broken.fails) == sorted(found), found


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_broken_receiver_fails_exactly_its_case(
    ground: Ground, tmp_path: Path, name: str
) -> None:
    """What looks at what is broken fails, and nothing else of its profile."""
    exactly(ground, tmp_path / "ground", Profile.RECEIVER, name, RECEIVERS[name])


@pytest.mark.parametrize("name", SENDERS)
def test_a_broken_sender_fails_exactly_its_case(ground: Ground, tmp_path: Path, name: str) -> None:
    """What looks at what is broken fails, and nothing else of its profile."""
    exactly(ground, tmp_path / "ground", Profile.SENDER, name, SENDERS[name])
