"""A run of a whole profile before a counterpart of which is known what must fail."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Collection, Sequence

from exchange.conformance.cases import Case, Profile
from exchange.conformance.judge import Stage, Verdict, run
from exchange.conformance.table import CASES
from exchange.conformance.trace import Trace
from tests.conformance.breaking import Broken

#: ``make conformance-corpus``: every counterpart is played the whole of its profile.
WHOLE = os.environ.get("EXCHANGE_CORPUS") == "whole"


def ids(profile: Profile) -> list[str]:
    """Return the ids of a profile's cases."""
    return [case.id for case in CASES if case.profile is profile]


def failures(
    stage: Stage,
    cases: Sequence[Case],
    expect: Callable[[Case], None],
    *,
    trace: Trace | None = None,
) -> dict[str, str]:
    """Play *cases*, each after *expect* was told of it; return why those that did not pass did not."""
    everything: frozenset[str] = frozenset().union(*(case.needs for case in CASES))
    found = {}
    for case in cases:
        expect(case)
        (result,) = run([case], stage, everything, trace=trace or Trace())
        if result.verdict is not Verdict.PASSED:
            found[case.id] = str(result.why)
    return found


def named(names: Collection[str]) -> list[Case]:
    """Return the cases *names*, in the order of the table."""
    found = [case for case in CASES if case.id in names]
    assert len(found) == len(set(names))
    return found


def played(profile: Profile, name: str, broken: Broken) -> list[str]:
    """
    Return what is played before the broken counterpart *name*: its cases, and their neighbours in turn.

    A third of the profile besides, another one for each name, so that every case is played before many;
    the whole of it where that is asked for.
    """
    everything = ids(profile)
    if WHOLE:
        return everything
    turn = zlib.crc32(name.encode()) % 3
    return sorted({*broken.fails, *everything[turn::3]}, key=everything.index)
