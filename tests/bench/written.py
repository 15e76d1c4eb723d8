"""What is left after a run: a folder with CSV tables and the picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.bench.picture import as_svg
from tests.bench.report import Results, verdicts

Row = Sequence[object]


def write(
    folder: Path, rounds: Iterable[tuple[str, Sequence[Mapping[str, float]]]], results: Results
) -> Path:
    """Write every table and the picture into *folder*, which is made; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    _table(
        folder / "rates.csv",
        ("database", "round", "measurement", "tickets_per_second"),
        (
            (database, number, name, round(rate))
            for database, every in rounds
            for number, rates in enumerate(every, 1)
            for name, rate in rates.items()
        ),
    )
    _table(
        folder / "stages.csv",
        ("database", "stage", "cpu_us_per_ticket", "elapsed_us_per_ticket"),
        (
            (one.database, name, round(cpu, 1), round(wall, 1))
            for one in results.figures
            for name, (cpu, wall) in one.stages.items()
        ),
    )
    _table(
        folder / "sizes.csv",
        ("database", "measurement", "messages_a_call", "tickets_per_second"),
        (
            (one.database, name, size, round(rate))
            for one in results.figures
            for name, rates in (
                ("push", one.push_by_size),
                ("end_to_end", one.end_to_end_by_size),
            )
            for size, rate in rates.items()
        ),
    )
    _table(
        folder / "peers.csv",
        ("peer", "durable", "tickets_per_second", "packed", "confirmed_ms", "delivered_ms", "absent"),
        [
            *(
                (p.name, p.durable, round(p.one), "" if p.packed is None else round(p.packed),
                 round(p.confirmed.p50, 2), round(p.delivered.p50, 2), "")
                for p in results.peers
            ),
            *((name, "", "", "", "", "", why) for name, why in results.absent.items()),
        ],
    )  # fmt: skip
    _table(
        folder / "growth.csv",
        ("database", "stored_tickets", "measurement", "cost"),
        (
            (curve.database, point.stored, name, round(cost, 2))
            for curve in results.curves
            for point in curve.points
            for name, cost in point.costs.items()
        ),
    )
    _table(
        folder / "aims.csv",
        ("database", "what", "measured", "aim", "aim_met", "goal", "goal_met"),
        (
            (one.where, one.what, one.measured, one.aim, one.aim_met, one.goal, one.goal_met)
            for one in verdicts(results)
        ),
    )
    (folder / "bench.svg").write_text(as_svg(results), "utf-8")
    return folder


def _table(path: Path, head: Row, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(head)
        table.writerows(rows)
