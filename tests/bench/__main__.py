"""
``make bench``: what this machine's databases can do, and how much of that the bridge gets through.

Every rate stands beside the bare limit of the same run: the same rows into the same tables with the
same indexes, written by the database's driver alone.  The rounds of all measurements alternate, so
that a machine that drifts, drifts under all of them; medians are given.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from exchange.acts import Urgency
from tests.bench.inside import record
from tests.bench.measure import BATCH, WARM, Bench, Load
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.report import AIMS, Figures, as_text
from tests.bench.tickets import MESSAGES, pairs, sealed
from tests.postgres import PostgresServer

#: A server that writes its checkpoints now and then, not in the middle of every round.
_POSTGRES = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured: rounds, tickets on the clock in each, urgent tickets in each."""

    rounds: int
    tickets: int
    urgent: int


USUAL = Extent(rounds=5, tickets=24 * BATCH, urgent=30)
QUICK = Extent(rounds=1, tickets=6 * BATCH, urgent=12)


@dataclass(slots=True)
class Rounds:
    """The figures of each round on one kind of database."""

    name: str
    bench: Bench
    rates: list[dict[str, float]] = field(default_factory=list)
    urgent: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Measure everything once, the limit and the real thing in turn."""
        bench = self.bench
        self.rates.append(
            {
                "bare_push": bench.bare_push(),
                "push": bench.push(),
                "bare_end_to_end": bench.bare_end_to_end(),
                "end_to_end": bench.end_to_end(),
            }
        )
        self.urgent += bench.urgent()
        self.commits += bench.bare_commits()

    def figures(self) -> Figures:
        """Return the medians, the ratios as medians of each round's own, and where the time goes."""
        rates = {name: median(rate[name] for rate in self.rates) for name in self.rates[0]}
        return Figures(
            database=self.name,
            rates=rates,
            push_ratio=median(rate["push"] / rate["bare_push"] for rate in self.rates),
            end_to_end_ratio=median(
                rate["end_to_end"] / rate["bare_end_to_end"] for rate in self.rates
            ),
            urgent_ms=median(self.urgent),
            commit_ms=median(self.commits),
            stages=self.bench.profile(),
        )


def main() -> int:
    """Run the benchmark; 0 if every aim is reached, 1 otherwise."""
    arguments = _arguments()
    extent = QUICK if arguments.quick else USUAL
    begun = time.monotonic()
    with _benches(extent, arguments.database) as benches:
        every = [Rounds(name=name, bench=bench) for name, bench in benches.items()]
        for number in range(1, extent.rounds + 1):
            for rounds in every:
                _say(f"round {number} of {extent.rounds}: {rounds.name}")
                rounds.run()
        _say("where the time goes")
        figures = [rounds.figures() for rounds in every]
        load = next(iter(benches.values())).load
    size = sum(len(message.envelope) for message in load.bulk) * MESSAGES // len(load.bulk)
    folder = _write(every, figures)
    if arguments.json:
        print(json.dumps([one.as_json() for one in figures], indent=2))
    else:
        print(as_text(figures, tickets=extent.tickets, rounds=extent.rounds, size=size))
        print(f"{time.monotonic() - begun:.0f} s in all; every round's figures: {folder}/")
    return 0 if all(one.reached(aim) for one in figures for aim in AIMS) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, under a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), help="measure on this one alone"
    )
    return parser.parse_args()


@contextmanager
def _benches(extent: Extent, only: str | None) -> Iterator[dict[str, Bench]]:
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as folder:
        _say("making certificates, tickets and the rows of the bare limit")
        place = Place.make(Path(folder))
        load = _load(place, extent)
        benches: dict[str, Bench] = {}
        if only != "postgresql":
            benches["sqlite"] = Bench(place=place, load=load, postgres=None)
        if only == "sqlite":
            yield benches
            return
        with PostgresServer(**_POSTGRES) as server:
            benches["postgresql"] = Bench(place=place, load=load, postgres=server)
            yield benches


def _load(place: Place, extent: Extent) -> Load:
    now, sealer, to = datetime.now(UTC), place.sealer(SENDER.organisation), RECEIVER.organisation
    bulk = sealed(sealer, pairs(extent.tickets + WARM * BATCH, to, now))
    # Each urgent ticket is signed when it is made, alone.
    urgent = [
        message
        for pair in pairs(extent.urgent + WARM, to, now, urgency=Urgency.URGENT, seed=1)
        for message in sealer.seal(pair)
    ]
    return Load(
        bulk=bulk,
        rows=record(place, bulk, BATCH * MESSAGES),
        urgent=urgent,
        urgent_rows=record(place, urgent, MESSAGES),
    )


def _write(every: list[Rounds], figures: list[Figures]) -> Path:
    folder = Path("build") / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rates.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["database", "round", "measurement", "tickets_per_second"])
        for rounds in every:
            for number, rates in enumerate(rounds.rates, 1):
                rows.writerows(
                    [rounds.name, number, name, round(rate)] for name, rate in rates.items()
                )
    with (folder / "stages.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["database", "stage", "cpu_us_per_ticket", "elapsed_us_per_ticket"])
        for one in figures:
            rows.writerows(
                [one.database, name, round(cpu, 1), round(wall, 1)]
                for name, (cpu, wall) in one.stages.items()
            )
    return folder


def _say(what: str) -> None:
    print(f"  {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
