"""The kit judges bridges: ours conforms, and each broken one fails exactly its cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.conformance.cases import Profile
from exchange.conformance.embedded import DATABASE
from exchange.conformance.judge import Verdict, run, select
from exchange.conformance.stage import BridgeStage
from exchange.conformance.table import CASES
from exchange.conformance.trace import Trace
from tests.conformance.broken_bridges import BROKEN_BRIDGES, Breaking, _refused_as
from tests.conformance.conftest import House

#: What a stage without a restart command offers.
_WITHOUT_RESTART = {case.id for case in CASES if "restart" in case.needs}


def judged(stage: BridgeStage, *only: str, restart: bool = False) -> dict[str, Verdict]:
    """Return the verdict of each case played, by id."""
    provides = set(stage.capabilities.provides(Profile.BRIDGE)) | (
        {"restart"} if restart else set()
    )
    cases = select(CASES, Profile.BRIDGE, only)
    return {result.case.id: result.verdict for result in run(cases, stage, provides, trace=Trace())}


def failed(verdicts: dict[str, Verdict]) -> set[str]:
    """Return the ids that failed."""
    return {name for name, verdict in verdicts.items() if verdict is Verdict.FAILED}


def test_our_bridge_conforms(house: House) -> None:
    """Every case of the profile passes against this project's own bridge, but those that end it."""
    with house.broken(None) as stage:
        verdicts = judged(stage)

    assert _WITHOUT_RESTART == {n for n, v in verdicts.items() if v is Verdict.SKIPPED}
    assert set() == failed(verdicts)
    assert len(verdicts) > 80


@pytest.mark.parametrize("name", BROKEN_BRIDGES)
def test_a_broken_bridge_fails_exactly_its_cases(house: House, name: str) -> None:
    """Of the section that looks at what is broken, those cases fail and no other."""
    broken = BROKEN_BRIDGES[name]
    with house.broken(broken.mutation) as stage:
        verdicts = judged(stage, broken.section)

    assert set(broken.fails) - _WITHOUT_RESTART == failed(verdicts)


def test_a_bridge_that_refuses_nothing_fails_every_refusal(house: House) -> None:
    """Each refusal's case sees its own rule missing."""

    def lax(b: Breaking) -> None:
        def change(call: object) -> None:
            for outcome in getattr(getattr(call, "answer", None), "outcomes", ()):
                if hasattr(outcome, "stored") and _refused_as(outcome):
                    outcome.stored.message_id = "taken"

        b.edge.answering.append(change)

    with house.broken(lax) as stage:
        verdicts = judged(stage, "bridge.refusal", "bridge.every-kind")

    assert {n for n in verdicts if n != "bridge.every-kind"} == failed(verdicts)


def test_a_refusal_that_the_log_key_did_not_sign_is_none(house: House) -> None:
    """What anybody could have said is not taken for the bridge's answer."""

    def unsigned(b: Breaking) -> None:
        def change(call: object) -> None:
            for outcome in getattr(getattr(call, "answer", None), "outcomes", ()):
                if outcome.WhichOneof("outcome") == "refused":
                    outcome.refused.signature.value = bytes(64)

        b.edge.answering.append(change)

    with house.broken(unsigned) as stage:
        verdicts = judged(stage, "bridge.refusal.secret")

    assert {"bridge.refusal.secret"} == failed(verdicts)


class Ending(BridgeStage):
    """A stage whose restart really ends the bridge; *lose* may do what a power cut must not."""

    house: House
    lose: Callable[[], None] | None = None

    def restart(self) -> None:
        """End the bridge behind the edge, and start it on its database."""
        self.house.end()
        if self.lose is not None:
            self.lose()
        self.house.begin()
        assert self.house.edge is not None
        for channel in self.house.edge._channels.values():
            channel.close()
        self.house.edge._channels.clear()


@pytest.mark.parametrize(
    "loses", [False, True], ids=["a bridge", "one that answers before it commits"]
)
def test_a_bridge_that_answers_before_it_commits_fails_when_it_is_restarted(
    restartable: Callable[[], House], loses: bool, tmp_path: Path
) -> None:
    """Receipts outlive a restart; a database that is older than its receipts is found out."""
    house = restartable()
    database = house.ground.folder / DATABASE
    house.end()
    before = database.read_bytes()
    house.begin()

    def lose() -> None:
        for end in ("-wal", "-shm"):
            database.with_name(database.name + end).unlink(missing_ok=True)
        database.write_bytes(before)

    with house.broken(None) as stage:
        ending = Ending(stage.capabilities, stage.bridge, Trace())
        ending.house, ending.lose = house, lose if loses else None
        verdicts = judged(ending, "bridge.push.restart", "bridge.acknowledge.restart", restart=True)
        ending.close()

    assert (set(verdicts) if loses else set()) == failed(verdicts)
