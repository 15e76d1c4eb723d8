"""The kit judges bridges: ours conforms, and each broken one fails exactly its case."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from exchange.conformance.cases import Case, Profile
from exchange.conformance.embedded import DATABASE
from exchange.conformance.trace import Trace
from tests.conformance.breaking import Breaking, Broken, refused_as
from tests.conformance.broken_bridges import BRIDGES, DOORS, HOOKED
from tests.conformance.conftest import House, Playing
from tests.conformance.watching import Watch
from tests.conformance.whole import WHOLE, failures, ids, named


def judged(stage: Playing, names: Collection[str], fails: Collection[str] = ()) -> dict[str, str]:
    """Return why each of the cases *names* that did not pass did not; *fails* are expected to."""

    def expect(case: Case) -> None:
        stage.soon = 1.0 if case.id in fails else 60.0

    return failures(stage, named(names), expect)


@pytest.fixture(scope="module")
def touched(house: House) -> dict[str, set[str]]:
    """Return the cases that each broken bridge touches; our own passes all of them meanwhile."""
    trace = Trace()
    with house.opened() as stage:
        assert house.edge is not None
        watch = Watch(HOOKED, house.breaking(), house.edge, trace)
        stage.soon = 60.0
        found = failures(stage, named(ids(Profile.BRIDGE)), lambda _: None, trace=trace)

    assert {} == found
    return watch.touched


def test_our_bridge_conforms(touched: dict[str, set[str]]) -> None:
    """Every case of the profile passes against this project's own bridge, which is ended in some."""
    assert set(HOOKED) == set(touched)


@pytest.mark.parametrize("name", BRIDGES)
def test_a_broken_bridge_fails_exactly_its_case(
    house: House, touched: dict[str, set[str]], name: str
) -> None:
    """It fails, and no other of the whole profile: none but those that are played is touched."""
    broken = BRIDGES[name]
    cases: Collection[str] = ids(Profile.BRIDGE)
    if name in DOORS and not WHOLE:  # nobody else shows a bad certificate at the door
        cases = [one for one in cases if one.startswith("bridge.identity.")]
    elif not WHOLE:
        cases = touched[name]
    with house.opened(broken) as stage:
        found = judged(stage, cases, broken.fails)

    assert sorted(broken.fails) == sorted(found), found


def test_a_refusal_that_the_log_key_did_not_sign_is_none(house: House) -> None:
    """What anybody could have said is not taken for the bridge's answer."""

    def unsigned(b: Breaking) -> None:
        def change(call: object) -> None:
            for outcome in getattr(getattr(call, "answer", None), "outcomes", ()):
                if refused_as(outcome):
                    outcome.refused.signature.value = bytes(64)

        b.answered("PushMessages", change)

    with house.opened(Broken(unsigned, ["bridge.refusal.secret"])) as stage:
        found = judged(stage, ["bridge.refusal.secret"])

    assert ["bridge.refusal.secret"] == list(found)


def test_a_bridge_that_answers_before_it_commits_fails_when_it_is_restarted(
    own_house: House,
) -> None:
    """A database that is older than its receipts is found out, by either case that ends the bridge."""
    database = own_house.ground.folder / DATABASE
    own_house.end()
    before = database.read_bytes()
    own_house.begin()

    def lose() -> None:
        for end in ("-wal", "-shm"):
            database.with_name(database.name + end).unlink(missing_ok=True)
        database.write_bytes(before)

    restarts = ["bridge.push.restart", "bridge.acknowledge.restart"]
    with own_house.opened() as stage:
        stage.lose = lose
        found = judged(stage, restarts)

    assert sorted(restarts) == sorted(found)
