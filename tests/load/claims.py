"""What a load test ends with: claim, measured, met or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence, what was measured, and whether it holds."""

    where: str
    sentence: str
    measured: str
    met: bool


def table(claims: Sequence[Claim]) -> str:
    """Return the claims as text."""
    rows = [("", "claim", "measured", "")]
    rows += [(c.where, c.sentence, c.measured, "met" if c.met else "NOT MET") for c in claims]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]))
        for row in rows
    ]
    lines.insert(1, "-" * len(max(lines, key=len)))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Return *values* as a line of at most *width* blocks, from nothing to the highest."""
    if not values:
        return ""
    step = max(len(values) / width, 1)
    picked = [values[int(at * step)] for at in range(min(width, len(values)))]
    most = max(values) or 1
    return "".join("▁▂▃▄▅▆▇█"[min(int(value / most * 8), 7)] for value in picked)
