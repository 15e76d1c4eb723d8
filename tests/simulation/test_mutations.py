"""Bugs planted on purpose are caught: else the invariants would hold for any program."""

from __future__ import annotations

import pytest

from tests.simulation.catching import catch
from tests.simulation.mutations import MUTATIONS, Mutation, planted

#: They take a hundred seeds and more, up to a minute: `make simulate ARGS=--mutations` plants them, too.
RARE = {
    "a-closing-is-told-to-nobody", "what-comes-once-more-sets-the-spool's-head-back",
    "go-on-in-a-lane-after-a-failure", "the-spool's-word-before-fsync",
    "whoever-it-is-handed-on-to-beyond-is-no-receiver",
}  # fmt: skip


def test_there_are_at_least_twenty_bugs_each_with_a_name_of_its_own() -> None:
    """As the list of what is to be proved asks for."""
    assert len(MUTATIONS) >= 20
    names = {mutation.name for mutation in MUTATIONS}
    assert len(names) == len(MUTATIONS)
    assert names > RARE


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_bug_still_has_its_place(mutation: Mutation) -> None:
    """Where the program was changed, its bug is planted anew rather than forgotten."""
    with planted(mutation):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutation",
    # A fifth of them, for the time that a change waits for: `--mutations` plants all.
    [mutation for mutation in MUTATIONS if mutation.name not in RARE][::5],
    ids=lambda mutation: mutation.name,
)
def test_a_planted_bug_is_caught_by_an_invariant_that_names_it(mutation: Mutation) -> None:
    """Within some hundred seeds, and by one of those that promise the contrary."""
    found = catch(mutation)

    assert found.caught, f"{found.broken or 'nothing'} broke, seed {found.seed}: {found.why}"
