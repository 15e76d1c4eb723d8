"""By which rules deadlines were reckoned, as the bridges' own acts in the log say it (`exchange.reckoning`)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from exchange.chain import BRIDGE_ACT, read_act
from exchange.errors import ExchangeError
from exchange.reckoning import RECKONING, Rules, read_rules
from exchange.store.tree import Fetch, located

_ACTS = "SELECT leaf_index, line FROM act WHERE leaf_index > {} ORDER BY leaf_index"


@dataclass(slots=True)
class Reckoned:
    """
    The rules of each log's bridge, from which place on they were in force.

    That the acts are signed, in order and complete is others' to check; one that cannot be read says nothing.
    """

    #: Hand-offs of which something could not be reckoned again.
    unbound: int = 0
    _rules: dict[int, list[tuple[int, Rules | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _last: int = -1

    def at(self, fetch: Fetch, places: Collection[int]) -> dict[int, Rules | None]:
        """Return the rules by which the bridge reckoned that wrote each of *places*; None: nobody said."""
        self._read(fetch)
        found: dict[int, Rules | None] = {}
        for place, (number, _) in _located(fetch, places).items():
            rules = self._rules.get(number, [])
            before = bisect_left(rules, place, key=lambda one: one[0])
            found[place] = rules[before - 1][1] if before else None
        return found

    def _read(self, fetch: Fetch) -> None:
        """Read what was entered since: a bridge may be started while it is looked at."""
        new: dict[int, Rules | None] = {}
        for place, line in fetch(_ACTS, self._last):
            self._last = place
            try:
                act = read_act(bytes(line))
            except ExchangeError:
                continue  # the walk along the chains names it
            if act.type == BRIDGE_ACT and act.act == RECKONING:
                new[place] = read_rules(act.facts)
        for place, (number, _) in _located(fetch, new).items():
            self._rules[number].append((place, new[place]))


def _located(fetch: Fetch, places: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return where *places* are, but for those that stand in no log, which are named by the walk along it."""
    try:
        return located(fetch, places)
    except ExchangeError:
        found: dict[int, tuple[int, int]] = {}
        for place in sorted(places):
            try:
                found |= located(fetch, [place])
            except ExchangeError:
                continue
        return found
