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

_ACTS = "SELECT leaf_index FROM act WHERE leaf_index > {} AND leaf_index < {} ORDER BY leaf_index"
_ACT = "SELECT line FROM act WHERE leaf_index = {}"


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
    #: Up to which place each log's acts were read: where one log is, another may still enter earlier places.
    _until: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    #: In which log each act is.
    _entered: dict[int, int] = field(default_factory=dict)

    def at(self, fetch: Fetch, places: Collection[int]) -> dict[int, Rules | None]:
        """Return the rules by which the bridge reckoned that wrote each of *places*; None: nobody said."""
        logs = {place: number for place, (number, _) in _located(fetch, places).items()}
        for number in set(logs.values()):
            self._read(fetch, number, max(place for place, log in logs.items() if log == number))
        found: dict[int, Rules | None] = {}
        for place, number in logs.items():
            rules = self._rules[number]
            before = bisect_left(rules, place, key=lambda one: one[0])
            found[place] = rules[before - 1][1] if before else None
        return found

    def _read(self, fetch: Fetch, number: int, place: int) -> None:
        """Read what the bridge of log *number* entered before its *place*: no more can come there."""
        if place <= self._until[number]:
            return
        acts = [row[0] for row in fetch(_ACTS, self._until[number], place)]
        new = [one for one in acts if one not in self._entered]
        self._entered |= {one: log for one, (log, _) in _located(fetch, new).items()}
        for one in acts:
            if self._entered.get(one) != number:
                continue
            try:
                act = read_act(bytes(fetch(_ACT, one)[0][0]))
            except ExchangeError:
                continue  # the walk along the chains names it
            if act.type == BRIDGE_ACT and act.act == RECKONING:
                self._rules[number].append((one, read_rules(act.facts)))
        self._until[number] = place


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
