"""The kit judges relays: the reference conforms, and each broken one fails exactly its case."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.conformance.capabilities import Capabilities, RelayUnderTest, read_capabilities
from exchange.conformance.cases import Case, Profile
from exchange.conformance.ground import Ground
from exchange.conformance.relay_stage import RelayStage
from exchange.conformance.trace import Trace
from tests.conformance.broken_relays import RELAYS
from tests.conformance.forked import Forked
from tests.conformance.linked import free_port
from tests.conformance.relays import DEADLINE, Sound, run
from tests.conformance.whole import failures, ids, named, played

#: Seconds for what is in vain; everything else is given a minute.
IN_VAIN = 1.5


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
    with RelayStage(found, relay, Trace(), process=forked(relay, folder)) as stage:
        yield stage


def forked(
    relay: RelayUnderTest, folder: Path, name: str = "sound", kind: type[Sound] = Sound
) -> Forked:
    """Return the relay, or one of another *kind*."""
    return Forked(run, relay.lower, relay.upper, folder / f"relay-{name}", kind)


def judged(
    stage: RelayStage, names: Collection[str], fails: Collection[str] = ()
) -> dict[str, str]:
    """Return why each of the cases *names* that did not pass did not; *fails* are expected to."""

    def expect(case: Case) -> None:
        if stage.deadline_seconds != DEADLINE:
            stage.process.kill()  # it may still wait for an answer
        silent = case.id in fails and case.id.endswith(".bridge-silent")
        stage.deadline_seconds = 60 if silent else DEADLINE
        stage.patience = IN_VAIN if case.id in fails else 60.0

    try:
        return failures(stage, named(names), expect)
    finally:
        stage.deadline_seconds = DEADLINE
        stage.process.stop()


def test_the_reference_relay_conforms(stage: RelayStage) -> None:
    """Every case passes, those that kill it included."""
    assert {} == judged(stage, ids(Profile.RELAY))


@pytest.mark.parametrize("name", RELAYS)
def test_a_broken_relay_fails_exactly_its_case(stage: RelayStage, name: str) -> None:
    """What looks at what is broken fails, and nothing else of its profile."""
    broken = RELAYS[name]
    stage.process = forked(stage.relay, stage.relay.lower.parent, name, broken.mutation)
    found = judged(stage, played(Profile.RELAY, name, broken), broken.fails)

    assert sorted(broken.fails) == sorted(found), found
