"""Catching a planted bug: seed after seed, until an invariant that should break does."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.mutations import Mutation, planted
from tests.simulation.run import run, stages

#: Seeds within which every bug must be caught.
MOST_SEEDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Catch:
    """The first broken invariant under a bug; *caught* if it is one that should break."""

    caught: bool
    broken: str = ""
    seed: int = -1
    why: str = ""


def catch(mutation: Mutation, most: int = MOST_SEEDS) -> Catch:
    """Return what breaks first with *mutation* planted, within *most* seeds."""
    stages(joined=mutation.joined)  # where runs begin is made by the program as it is
    with planted(mutation):
        for seed in range(most):
            outcome = run(seed, joined=mutation.joined)
            if outcome.broken:
                expected = outcome.broken in mutation.caught
                return Catch(caught=expected, broken=outcome.broken, seed=seed, why=outcome.why)
    return Catch(caught=False)
