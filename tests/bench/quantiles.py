"""Percentiles by nearest rank: always a value that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def quantile(values: Sequence[float], part: float) -> float:
    """
    Return the smallest of *values* that at least *part* (0 to 1) of them do not exceed.

    Raises `ValueError` for no values: of nothing there is no percentile.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(ceil(part * len(values)), 1) - 1]
