"""The corpus of broken counterparts: no case is without one, and none stands in it for nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from exchange.conformance.cases import Profile
from exchange.conformance.table import CASES
from tests.conformance.breaking import Broken, alone
from tests.conformance.broken_bridges import BRIDGES
from tests.conformance.broken_receivers import RECEIVERS
from tests.conformance.broken_relays import RELAYS
from tests.conformance.broken_senders import SENDERS
from tests.conformance.whole import ids, played

CORPUS: Mapping[Profile, Mapping[str, Broken]] = {
    Profile.BRIDGE: BRIDGES,
    Profile.RECEIVER: RECEIVERS,
    Profile.SENDER: SENDERS,
    Profile.RELAY: RELAYS,
}

#: Cases that no counterpart can fail alone, each with the one that it fails with, and why.
TOGETHER: dict[str, tuple[str, str]] = {
    "relay.power-cut-before-the-push": (
        "relay.power-cut-at-the-push",
        # Who does not bring again what it had begun to bring loses it where the bridge had not heard of
        # it, and where the bridge had, has no receipt to bring back: killed in between, a relay cannot
        # know in which of the two it is.
        "remembering",
    ),
}


def test_no_case_is_without_a_broken_counterpart() -> None:
    """Each is failed by a counterpart that fails nothing else; what cannot be is written down."""
    found = {one for corpus in CORPUS.values() for one in alone(corpus)}

    assert set() == {case.id for case in CASES} - found - set(TOGETHER)
    assert set() == found & set(TOGETHER)


def test_what_fails_together_stands_in_the_corpus_with_its_reason() -> None:
    """Several cases are failed at once only where a reason says so; those of `TOGETHER` in pairs."""
    everything = [broken for corpus in CORPUS.values() for broken in corpus.values()]

    assert [] == [one for one in everything if (len(one.fails) > 1) is not bool(one.why)]
    for case, (other, name) in TOGETHER.items():
        assert {case, other} == set(CORPUS[Profile(case.partition(".")[0])][name].fails)


@pytest.mark.parametrize("profile", CORPUS)
def test_every_counterpart_fails_cases_of_its_own_profile(profile: Profile) -> None:
    """No word in the corpus is a case that there is not."""
    named = {one for broken in CORPUS[profile].values() for one in broken.fails}

    assert set() == named - set(ids(profile))


@pytest.mark.parametrize("profile", [Profile.RECEIVER, Profile.SENDER, Profile.RELAY])
def test_every_case_is_played_before_somebody_who_must_pass_it(profile: Profile) -> None:
    """The part that the suite plays leaves no case to the whole run alone."""
    passes = {
        case
        for name, broken in CORPUS[profile].items()
        for case in played(profile, name, broken)
        if case not in broken.fails
    }

    assert set(ids(profile)) == passes
