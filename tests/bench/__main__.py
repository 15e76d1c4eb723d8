"""
``make bench``: what this machine's databases can do, and how much of that the bridge gets through.

Every rate stands beside the bare limit of the same run: the same rows into the same tables with the
same indexes, written by the database's driver alone; and beside what an integrator would otherwise
pick, where the machine has it, on the same bytes.  The rounds of all measurements alternate, so that a
machine that drifts, drifts under all of them; medians are given.

    make bench ARGS=--quick                   a minute or two, one short round
    make bench ARGS=--install                 first what the peers need: .venv-bench, and packages if root
    make bench ARGS='--stored 10000000'       cost per ticket up to ten million stored ones; 0: not at all
    make bench ARGS='--stored 10000000 --rounds 0 --database sqlite'           that alone
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from exchange.acts import Urgency
from tests.bench.ending import end_in_order
from tests.bench.growth import SIZES, Curve, curve
from tests.bench.inside import record
from tests.bench.measure import BATCH, WARM, Bench, Load, Urgent
from tests.bench.parties import WINDOWS
from tests.bench.peers.installing import install
from tests.bench.peers.race import Race, Runner, Work
from tests.bench.peers.servers import PEERS, Absent, Ground
from tests.bench.peers.talk import WINDOW
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.quantiles import quantile
from tests.bench.report import Figures, Latency, PeerFigures, Results, as_text, verdicts
from tests.bench.tickets import MESSAGES, pairs, sealed
from tests.bench.written import write
from tests.postgres import PostgresServer

#: A server that writes its checkpoints now and then, not in the middle of every round.
_POSTGRES = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured: rounds, and in each tickets on the clock, by size, urgent, at each peer."""

    rounds: int
    tickets: int
    sized: int
    urgent: int
    peers: int
    singles: int
    #: Most tickets that are stored to see what one costs then.
    stored: int


USUAL = Extent(
    rounds=5, tickets=24 * BATCH, sized=12 * BATCH, urgent=60, peers=1024, singles=20, stored=10**6
)
QUICK = Extent(
    rounds=1, tickets=6 * BATCH, sized=4 * BATCH, urgent=16, peers=384, singles=8, stored=0
)


@dataclass(slots=True)
class Rounds:
    """The figures of each round on one kind of database."""

    name: str
    bench: Bench
    rates: list[dict[str, float]] = field(default_factory=list)
    pushed: list[dict[int, float]] = field(default_factory=list)
    through: list[dict[int, float]] = field(default_factory=list)
    idle: list[Urgent] = field(default_factory=list)
    loaded: list[Urgent] = field(default_factory=list)
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
        self.pushed.append(bench.push_by_size())
        self.through.append(bench.end_to_end_by_size())
        self.idle += bench.urgent()
        self.commits += bench.bare_commits()
        self.loaded += bench.urgent_under_load()

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
            push_by_size=_medians(self.pushed),
            end_to_end_by_size=_medians(self.through),
            idle=latency([one.received for one in self.idle]),
            idle_confirmed=latency([one.confirmed for one in self.idle]),
            loaded=latency([one.received for one in self.loaded]) if self.loaded else None,
            commit_ms=median(self.commits),
            stages=self.bench.profile(),
        )


def _medians(rounds: Sequence[dict[int, float]]) -> dict[int, float]:
    return {size: median(rates[size] for rates in rounds) for size in rounds[0]}


def latency(taken: Sequence[float]) -> Latency:
    """Return the percentiles of *taken*, in milliseconds."""
    return Latency(p50=median(taken), p99=quantile(taken, 0.99), count=len(taken))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if every aim is reached (with ``--strict`` every goal), 1 otherwise."""
    given = _arguments(arguments)
    extent = QUICK if given.quick else USUAL
    if given.rounds is not None:
        extent = replace(extent, rounds=given.rounds)
    begun = time.monotonic()
    if given.install:
        _say(install() or "everything the peers need is installed")
    with _ground(extent, given) as (benches, race):
        every = [Rounds(name=name, bench=bench) for name, bench in benches.items()]
        for number in range(1, extent.rounds + 1):
            for rounds in every:
                _say(f"round {number} of {extent.rounds}: {rounds.name}")
                rounds.run()
            for runner in list(race.runners):
                _say(f"round {number} of {extent.rounds}: {runner.peer.title}")
                _run(race, runner)
        if extent.rounds:
            _say("where the time goes")
        results = Results(
            figures=[rounds.figures() for rounds in every if extent.rounds],
            peers=[_peer(runner) for runner in race.runners if extent.rounds],
            absent=race.absent,
            curves=_curves(benches, extent.stored if given.stored is None else given.stored),
        )
        load = next(iter(benches.values())).load
    size = sum(len(message.envelope) for message in load.bulk) * MESSAGES // len(load.bulk)
    folder = write(Path("build") / "bench", [(one.name, one.rates) for one in every], results)
    if given.json:
        print(json.dumps(as_json(results), indent=2))
    else:
        print(
            as_text(results, tickets=extent.tickets, rounds=extent.rounds, size=size, window=WINDOW)
        )
        print(
            f"{time.monotonic() - begun:.0f} s in all; every round's figures and the picture: {folder}/"
        )
    found = verdicts(results)
    return 0 if all(one.aim_met and (one.goal_met or not given.strict) for one in found) else 1


def as_json(results: Results) -> list[dict[str, object]]:
    """Return the figures of the databases, then of the peers, then the curves, as plain data."""
    return [
        *(one.as_json() for one in results.figures),
        *(
            {
                "peer": peer.name,
                "durable": peer.durable,
                "tickets_per_second": round(peer.one),
                "packed": None if peer.packed is None else round(peer.packed),
                "confirmed_ms": round(peer.confirmed.p50, 2),
                "delivered_ms": round(peer.delivered.p50, 2),
            }
            for peer in results.peers
        ),
        *({"peer": name, "absent": why} for name, why in results.absent.items()),
        *(
            {"stored": point.stored, "on": one.database, "costs": dict(point.costs)}
            for one in results.curves
            for point in one.points
        ),
    ]


def _run(race: Race, runner: Runner) -> None:
    try:
        runner.run()
    except Absent as why:
        race.runners.remove(runner)
        race.absent[runner.peer.name] = str(why)


def _peer(runner: Runner) -> PeerFigures:
    packed = [rates["packed"] for rates in runner.rates if "packed" in rates]
    return PeerFigures(
        name=runner.peer.name,
        title=runner.peer.title,
        durable=runner.peer.durable,
        one=median(rates["one"] for rates in runner.rates),
        packed=median(packed) if packed else None,
        confirmed=latency(runner.confirmed),
        delivered=latency(runner.delivered),
        leaves_out=runner.peer.leaves_out,
    )


def _curves(benches: dict[str, Bench], most: int) -> list[Curve]:
    sizes = [size for size in SIZES if size <= most]
    return [curve(name, bench, sizes, _say) for name, bench in benches.items()] if sizes else []


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round, a minute or two")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="so many rounds, 5 unless --quick; 0: --stored alone",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for a missed goal, too")
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), help="measure on this one alone"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument(
        "--install", action="store_true", help="install what the peers need, then measure"
    )
    parser.add_argument(
        "--stored", type=int, metavar="TICKETS",
        help=f"how far to fill the databases: {', '.join(map(str, SIZES))}, or 0",
    )  # fmt: skip
    return parser.parse_args(arguments)


@contextmanager
def _ground(extent: Extent, given: argparse.Namespace) -> Iterator[tuple[dict[str, Bench], Race]]:
    with (
        tempfile.TemporaryDirectory(prefix="exchange-bench-") as folder,
        ExitStack() as stack,
    ):
        _say("making certificates, tickets and the rows of the bare limit")
        place = Place.make(Path(folder))
        load = _load(place, extent)
        benches: dict[str, Bench] = {}
        server = None
        if given.database != "postgresql":
            benches["sqlite"] = Bench(place=place, load=load, postgres=None)
        if given.database != "sqlite":
            server = stack.enter_context(PostgresServer(**_POSTGRES))
            benches["postgresql"] = Bench(place=place, load=load, postgres=server)
        peers = () if given.no_peers or not extent.rounds else PEERS
        if peers:
            _say("starting the peers")
        (place.folder / "peers").mkdir()
        ground = Ground(made=place.pki.development, folder=place.folder / "peers", postgres=server)
        work = Work(rounds=extent.rounds, bulk=extent.peers, singles=extent.singles)
        yield benches, stack.enter_context(Race.open(ground, load.bulk, work, peers))


def _load(place: Place, extent: Extent) -> Load:
    now, sealer, to = datetime.now(UTC), place.sealer(SENDER.organisation), RECEIVER.organisation
    bulk = sealed(sealer, pairs(extent.tickets + WARM * BATCH, to, now))
    # Each urgent ticket is signed when it is made, alone.
    urgent = [
        message
        for pair in pairs(extent.urgent + WARM, to, now, urgency=Urgency.URGENT, seed=1)
        for message in sealer.seal(pair)
    ]
    sized = {}
    for size in WINDOWS:
        said = [one for pair in pairs(extent.sized, to, now, seed=size) for one in pair]
        batches = (said[at : at + size] for at in range(0, len(said), size))
        sized[size] = [message for batch in batches for message in sealer.seal(batch)]
    return Load(
        bulk=bulk,
        rows=record(place, bulk, BATCH * MESSAGES),
        urgent=urgent,
        urgent_rows=record(place, urgent, MESSAGES),
        sized=sized,
    )


def _say(what: str) -> None:
    print(f"  {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    end_in_order()
    sys.exit(main())
