"""What is shown at the end: faults and their outcomes, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from tests.chaos.monkey import Outcome

_HEAD = ("fault", "injected", "recovered after (median, longest)", "what the adapters noted")


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Return faults × outcomes as text."""
    rows = [_HEAD, *(_row(name, outcome) for name, outcome in outcomes.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    lines.insert(1, "-" * (sum(widths) + 30))
    return "\n".join(line.rstrip() for line in lines)


def _row(name: str, outcome: Outcome) -> tuple[str, str, str, str]:
    if outcome.skipped:
        return name, "skipped", "", outcome.skipped
    if not outcome.injected:
        return name, "0", "", "its turn did not come"
    times = outcome.recovered
    told = f"{median(times):.1f} s, {max(times):.1f} s" if times else "–"
    if outcome.never and not times:
        told = "never"
    if outcome.never and times:
        told += f"; {outcome.never} × never"
    order = sorted(outcome.seen, key=lambda reason: -outcome.seen[reason])
    return name, str(outcome.injected), told, ", ".join(order) or "nothing"
