"""The kit judges relays: the reference conforms, and each broken one fails exactly its cases."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.conformance.capabilities import Capabilities, RelayUnderTest, read_capabilities
from exchange.conformance.cases import Profile
from exchange.conformance.ground import Ground
from exchange.conformance.judge import run
from exchange.conformance.relay_stage import RelayStage
from exchange.conformance.table import CASES
from exchange.conformance.trace import Trace
from tests.conformance.linked import failures, free_port, ids
from tests.conformance.relays import BROKEN, DEADLINE, ForkedRelay

#: What is broken in `tests/conformance/relays.py` -> the cases that must fail, and some that must not.
FAILS: dict[str, tuple[set[str], set[str]]] = {
    "traceless": ({"hop", "hops-kept", "first-bridge-judges"}, {"untouched"}),
    "short": ({"hops-kept", "loop"}, {"hop"}),
    "dated": ({"unknown-fields"}, {"untouched"}),
    "discreet": ({"untouched"}, {"hop"}),
    "backwards": ({"in-order"}, {"urgent-first"}),
    "in-turn": ({"urgent-first"}, {"in-order"}),
    "measuring": ({"many"}, {"unknown-fields"}),
    "deaf": ({"written", "refused-by-receiver"}, {"down", "passed"}),
    "hasty": ({"receipt-kept"}, {"receipts-noted"}),
    "unmindful": ({"receipts-noted"}, {"receipt-kept"}),
    "mute": ({"passed", "duplicates"}, {"written"}),
    "smooth": ({"refused-by-bridge", "refused-by-receiver", "loop"}, {"written"}),
    "only-once": (
        {"tried-again", "too-few-outcomes", "upper-away", "bridge-silent", "forged-receipt"},
        {"passed", "lower-away"},
    ),
    "presumptuous": ({"whole-life"}, {"written"}),
    "remembering": (
        {
            "power-cut-before-the-push",
            "power-cut-at-the-push",
            "power-cut-at-the-acknowledge",
            "power-cut-at-the-receipt",
        },
        {"up"},
    ),
}


def prepared(ground: Ground, folder: Path) -> Capabilities:
    """Copy *ground* into *folder*, with a free port for each bridge."""
    shutil.copytree(ground.folder, folder)
    for old in folder.glob("kit-*"):
        old.unlink()
    for side in ("lower", "upper"):
        config = folder / f"relay-{side}.toml"
        port = f"127.0.0.1:{free_port()}"
        config.write_text(config.read_text("utf-8").replace("127.0.0.1:0", port), "utf-8")
    with (folder / "conformance.toml").open("a", encoding="utf-8") as file:
        file.write(
            f"""
[relay]
lower = "relay-lower.toml"
upper = "relay-upper.toml"
start = ["{sys.executable}", "-m", "adapters.relay", "run", "--config", "relay.toml"]
patience_seconds = 60
"""
        )
    return read_capabilities(folder / "conformance.toml")


@pytest.fixture(scope="module")
def stage(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayStage]:
    """Both bridges of the kit, which the relays of this module share one after the other."""
    folder = tmp_path_factory.mktemp("between") / "ground"
    found = prepared(ground, folder)
    assert found.relay is not None
    relay = replace(found.relay, deadline_seconds=DEADLINE)
    with RelayStage(found, relay, Trace(), process=forked(relay, folder, "")) as stage:
        yield stage


def forked(relay: RelayUnderTest, folder: Path, broken: str) -> ForkedRelay:
    """Return the relay, broken or not."""
    return ForkedRelay(relay.lower, relay.upper, folder / f"relay-{broken}", broken)


def judged(stage: RelayStage, broken: str, names: Collection[str]) -> dict[str, str]:
    """Return why each case that did not pass did not, the relay being *broken*."""
    stage.process.stop()
    stage.process = forked(stage.relay, stage.relay.lower.parent, broken)
    cases = [case for case in CASES if case.id in names]
    assert len(cases) == len(names)
    try:
        return failures(run(cases, stage, {"deadline_seconds", "party:county"}, trace=Trace()))
    finally:
        stage.process.stop()


def named(names: Collection[str]) -> set[str]:
    """Return the cases' ids."""
    return {f"relay.{name}" for name in names}


def test_the_reference_relay_conforms(stage: RelayStage) -> None:
    """Every case passes, those that kill it included."""
    stage.patience = 60.0

    assert {} == judged(stage, "", ids(Profile.RELAY))


def test_every_broken_relay_is_judged() -> None:
    """None stands in the corpus for nothing."""
    assert set(BROKEN) == {"", *FAILS}


@pytest.mark.parametrize("broken", FAILS)
def test_a_broken_relay_fails_exactly_its_cases(stage: RelayStage, broken: str) -> None:
    """Those that look at what is broken fail; their neighbours pass."""
    fails, passes = FAILS[broken]
    stage.patience = 60.0
    good = judged(stage, broken, named(passes))
    stage.patience = 1.5  # it is in vain
    bad = judged(stage, broken, named(fails))

    assert {} == good
    assert named(fails) == set(bad), bad
