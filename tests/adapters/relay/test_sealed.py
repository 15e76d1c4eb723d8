"""A relay carries what is sealed as it is, and the keys with it."""

from __future__ import annotations

from tests.adapters.province import Province, both_ways
from tests.adapters.sealed_across import cross


def test_sealed_words_cross_by_a_relay(province: Province) -> None:
    """The two desks read them; neither bridge does, nor the relay."""
    cross(province, both_ways(province))
