"""Some hundred seeds of the simulation, and that a seed is the same run everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.invariants import AT_END
from tests.simulation.run import run

#: Groups, so that a failure names its seeds and several can run side by side.
_GROUPS, _OF = 8, 15
#: Seeds with two bridges.
_JOINED = 7
_ROOT = Path(__file__).parents[2]
_DIGEST = "import sys; from tests.simulation.run import run; print(run(int(sys.argv[1])).digest)"


@pytest.mark.parametrize("group", range(_GROUPS))
def test_the_invariants_hold_whatever_breaks(group: int) -> None:
    """Each seed is a run of its own; `make simulate ARGS='--seed N --trace'` shows one."""
    broken = [
        (outcome.seed, outcome.why)
        for outcome in map(run, range(group * _OF, (group + 1) * _OF))
        if outcome.broken
    ]

    assert [] == broken


def test_the_invariants_hold_where_a_relay_joins_two_bridges() -> None:
    """Bridges of different profiles; the relay and its links break, too; something crossed each way."""
    found = [run(seed, joined=True) for seed in range(_JOINED)]
    counts = sum((outcome.counts for outcome in found), Counter[str]())

    assert [] == [(outcome.seed, outcome.why) for outcome in found if outcome.broken]
    assert counts["carried on from county-bridge"]
    assert counts["carried on from city-bridge"]
    assert counts["fault: relay killed"]


def test_every_invariant_is_asked() -> None:
    """A run that breaks nothing has asked each of them."""
    outcome = run(0)

    asked = {name.removeprefix("held: ") for name in outcome.counts if name.startswith("held: ")}
    assert {invariant.__name__ for invariant in AT_END} <= asked


def test_a_seed_is_the_same_run_again_and_in_any_process() -> None:
    """Line by line, whatever Python makes of the hashes of words."""
    seed = 23
    digests = {run(seed).digest}
    for hash_seed in ("1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(_ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST, str(seed)],
            env=environment,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())

    assert 1 == len(digests)


def test_other_seeds_are_other_runs() -> None:
    """Else a thousand seeds were one."""
    assert len({run(seed).digest for seed in range(4)}) == 4
