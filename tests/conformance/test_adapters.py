"""The kit judges adapters: the reference conforms, and each broken one fails exactly its cases."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from exchange.cli.root import run as command
from exchange.client import read_gateway
from exchange.conformance.capabilities import Capabilities
from exchange.conformance.cases import Profile
from exchange.conformance.ground import Ground
from tests.conformance.linked import desk, failures, ids, judged, link

#: What is broken in `tests/conformance/desk.py` -> the cases that must fail, and some that must not.
BROKEN: dict[str, tuple[set[str], set[str]]] = {
    "doubles": ({"receiver.redelivered"}, {"receiver.written", "receiver.numbered"}),
    "one-number": ({"receiver.numbered"}, {"receiver.written", "receiver.redelivered"}),
    "after-the-fact": (
        {"receiver.written-before-acknowledged"},
        {"receiver.written", "receiver.numbered"},
    ),
    "only-once": ({"receiver.acknowledged-again"}, {"receiver.written", "receiver.recorded"}),
    "lets-through": (
        {"receiver.changed-content", "receiver.bad-signature", "receiver.declines"},
        {"receiver.written", "receiver.unknown-fields"},
    ),
    "backwards": ({"sender.in-order"}, {"sender.stored", "sender.repeated-alike"}),
    "own-ids": ({"sender.derived-id"}, {"sender.stored", "sender.in-order"}),
    "deaf": ({"sender.receipts-noted"}, {"sender.stored", "sender.in-order"}),
    "credulous": (
        {"sender.forged-receipt", "sender.other-log"},
        {"sender.stored", "sender.too-few-outcomes"},
    ),
    "strict": ({"receiver.unknown-fields"}, {"receiver.withheld"}),
    "wants-the-whole": ({"receiver.withheld"}, {"receiver.written"}),
    "punctual": ({"receiver.clock-skew"}, {"receiver.written"}),
    "any-author": ({"receiver.other-signer"}, {"receiver.bad-signature"}),
    "headless": ({"sender.predecessor"}, {"sender.stored"}),
    "forgetful": ({"sender.power-cut-after-say"}, {"sender.stored"}),
    "discouraged": ({"sender.tried-again"}, {"sender.bridge-away"}),
    "restless": ({"sender.power-cut-at-the-answer"}, {"sender.in-order"}),
    "stubborn": ({"sender.neighbours"}, {"sender.stored"}),
    "disheartened": ({"sender.bridge-away"}, {"sender.tried-again", "sender.neighbours"}),
    "narrow": ({"receiver.largest"}, {"receiver.written"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("profile", [Profile.RECEIVER, Profile.SENDER])
def test_the_reference_adapter_conforms(ground: Ground, tmp_path: Path, profile: Profile) -> None:
    """The runner around a folder of JSON lines passes every case."""
    with desk(ground, tmp_path / "ground") as stage:
        results = judged(stage, ids(profile))

    assert {} == failures(results)


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
    """The kit listens where the adapter dials; if it cannot, nothing is judged."""
    found = link(ground, tmp_path / "ground", [sys.executable])
    port = int(read_gateway(tmp_path / "ground" / "hotline.toml").target.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert 2 == receive(found)

    assert "hotline.toml" in capsys.readouterr().err


def receive(found: Capabilities) -> int:
    """Run one case of the profile receiver by the command; return its exit code."""
    arguments = ["--capabilities", str(found.file), "--case", "receiver.written"]
    return command(
        ["conformance", "run", "--profile", "receiver", *arguments], {"EXCHANGE_LANG": "en"}
    )


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_adapter_fails_exactly_its_cases(
    ground: Ground, tmp_path: Path, broken: str
) -> None:
    """Those that look at what is broken fail; their neighbours pass."""
    fails, passes = BROKEN[broken]
    with desk(ground, tmp_path / "ground", broken) as stage:
        good = failures(judged(stage, passes))
        stage.patience = 3.0  # it is in vain
        bad = failures(judged(stage, fails))

    assert {} == good
    assert fails == set(bad), bad
