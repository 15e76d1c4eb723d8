"""All chance of one run: one generator per purpose, so that a change in one leaves the others alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Dice:
    """A seeded generator with the few questions that a simulation asks."""

    def __init__(self, seed: int, purpose: str = "") -> None:
        self._random = random.Random(f"{seed}/{purpose}")

    def chance(self, probability: float) -> bool:
        """Return True with *probability*."""
        return self._random.random() < probability

    def pick(self, options: Sequence[_T]) -> _T:
        """Return one of *options*."""
        return options[int(self._random.random() * len(options))]

    def weighted(self, options: Sequence[tuple[float, _T]]) -> _T:
        """Return one of *options*, each as probable as its weight."""
        at = self._random.random() * sum(weight for weight, _ in options)
        for weight, option in options:
            at -= weight
            if at < 0:
                return option
        return options[-1][1]

    def between(self, low: float, high: float) -> float:
        """Return a number between *low* and *high*."""
        return low + (high - low) * self._random.random()

    def number(self, below: int) -> int:
        """Return a whole number from 0 to below *below*."""
        return int(self._random.random() * below)
