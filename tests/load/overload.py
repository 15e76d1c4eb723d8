"""
``make overload``: twice as much as the bridge can take, from callers who do not listen.

Real processes and mutual TLS, the limits a bridge is shipped with, on SQLite and on PostgreSQL.  First
the capacity is measured: as fast as it goes from hand to hand.  Then three desks offer in an open loop,
calls leaving when they are due, whatever became of the ones before, refused ones coming again:

    calm       one desk half of the capacity, a quiet one a tenth, urgent tickets five a second
    overload   the first desk now offers twice the capacity; the others as before
    after      as when it was calm

    make overload                            half a minute of overload in all
    make overload ARGS='--minutes 10 --database postgresql'

It ends with a table of claims; the exit code is 1 where one does not hold.  Curves: build/overload/.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench import parties
from tests.bench.ending import end_in_order
from tests.bench.parties import Process
from tests.bench.place import FEW, RECEIVER, SENDER, Place
from tests.bench.quantiles import quantile
from tests.bench.tickets import MESSAGES, pairs, sealed
from tests.load.bridge import ROLES, Running, serving
from tests.load.claims import Claim, sparkline, table
from tests.load.desks import offerer, taker
from tests.load.judging import Measured, Phase, judge, urgent_ms
from tests.postgres import PostgresServer, PostgresUnavailable

#: Tickets of one call: the noisy desk's, the quiet one's; an urgent ticket comes alone.
_NOISY, _QUIET = 64, 8
#: Parts of the capacity that are offered.
_CALM, _OVER, _SMALL = 0.5, 2.0, 0.1
#: Urgent tickets a second.
_URGENT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Tickets with which the capacity is measured, and seconds of each phase."""

    capacity: int = 6144
    calm: float = 10.0
    overload: float = 15.0
    after: float = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as asked; 0 if every claim holds."""
    given = _arguments(arguments)
    kinds = ["sqlite", "postgresql"] if given.database == "both" else [given.database]
    seconds = given.minutes * 60 / len(kinds)
    extent = Extent(
        capacity=given.capacity,
        calm=min(max(seconds / 2, given.least), 60),
        overload=seconds,
        after=min(max(seconds / 2, given.least), 60),
    )
    claims: list[Claim] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="exchange-overload-") as folder:
            try:
                claims += _on(kind, Path(folder), extent)
            except PostgresUnavailable as unavailable:
                print(f"{kind} skipped: {unavailable}")
    print(f"\n{table(claims)}")
    return 0 if claims and all(claim.met for claim in claims) else 1


def _on(kind: str, folder: Path, extent: Extent) -> list[Claim]:
    place = Place.make(folder)
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'bridge.db'}"
        if kind == "postgresql":
            url = stack.enter_context(PostgresServer()).create_database("overload")
        bridge = stack.enter_context(serving(place, url))
        _say(kind, "measuring the capacity")
        capacity = _capacity(place, bridge, extent.capacity)
        _say(kind, f"{capacity:,.0f} messages a second from hand to hand; preparing the load")
        measured = Measured(database=kind, capacity=capacity)
        _load(place, bridge, extent, measured)
        _write(measured, bridge)
        _show(measured, bridge)
        return judge(measured, bridge)


def _capacity(place: Place, bridge: Running, tickets: int) -> float:
    """Return messages a second, pushed and acknowledged as fast as it goes: the best of three times."""
    now = _now()
    messages = sealed(
        place.sealer(SENDER.organisation), pairs(tickets, RECEIVER.organisation, now, seed=99)
    )
    with (
        parties.running(parties.sender, place, bridge.port, messages) as sender,
        parties.running(parties.receiver, place, bridge.port) as receiver,
    ):
        part, rates = len(messages) // 4, []
        for first in range(0, 4 * part, part):
            last = first + part
            receiver.send(last - first)
            sender.send(first, last, parties.CALL)
            begun, *_ = sender.answer()
            _, ended, *_ = receiver.answer()
            rates.append(part / float(ended - begun))
    return max(rates[1:])


def _load(place: Place, bridge: Running, extent: Extent, measured: Measured) -> None:
    seconds = extent.calm + extent.overload + extent.after
    with _desks(place, bridge) as (noisy, quiet, urgent, receiver):
        # The noisy desk needs what can be stored, and as much as can be under way besides.
        tickets = measured.capacity * (seconds * 1.25) / MESSAGES + 64 * _NOISY
        noisy.send("prepare", int(tickets), _NOISY)
        quiet.send("prepare", int(measured.capacity * _SMALL * seconds * 1.5 / MESSAGES), _QUIET)
        urgent.send("prepare", int(_URGENT * seconds * 2), 1)
        for desk in (noisy, quiet, urgent):
            desk.answer(600)
        small = measured.capacity * _SMALL / (_QUIET * MESSAGES)
        for name, part, lasts in (
            ("calm", _CALM, extent.calm),
            ("overload", _OVER, extent.overload),
            ("after", _CALM, extent.after),
        ):
            _say(measured.database, f"{name}, {lasts:.0f} s")
            begun = time.monotonic()
            noisy.send("offer", part * measured.capacity / (_NOISY * MESSAGES), lasts)
            quiet.send("offer", small, lasts)
            urgent.send("offer", _URGENT, lasts)
            answers = [desk.answer(lasts + 120) for desk in (noisy, quiet, urgent)]
            for _, stored, dry in answers:
                again = set(stored) & measured.stored
                measured.stored_again += len(again) + len(stored) - len(set(stored))
                measured.stored.update(stored)
                measured.dry += dry
            measured.phases[name] = Phase(
                name, begun, begun + lasts, *(calls for calls, *_ in answers)
            )
            _ask(receiver, measured)
        ended = time.monotonic()
        while measured.stored - measured.came and time.monotonic() < ended + 120:
            time.sleep(0.2)
            _ask(receiver, measured)
        measured.drained = time.monotonic() - ended


def _ask(receiver: Process, measured: Measured) -> None:
    came, urgent, again, faults = receiver.ask("came")
    measured.came = came
    measured.urgent |= urgent
    measured.again += again
    measured.faults += faults


@contextmanager
def _desks(place: Place, bridge: Running) -> Iterator[tuple[Process, Process, Process, Process]]:
    city, county, port = SENDER.organisation, FEW.organisation, bridge.port
    with (
        parties.running(offerer, place, port, city, False) as noisy,
        parties.running(offerer, place, port, county, False) as quiet,
        parties.running(offerer, place, port, county, True) as urgent,
        parties.running(taker, place, port, 2) as receiver,
    ):
        yield noisy, quiet, urgent, receiver


# -- what is shown and kept


def _show(measured: Measured, bridge: Running) -> None:
    for phase in measured.phases.values():
        span = phase.ended - phase.begun
        offered = sum(c.stored + c.advised + c.unadvised + c.refused for c in phase.calls())
        stored = sum(call.stored for call in phase.calls())
        taken = urgent_ms(measured, phase)
        urgent = f"{median(taken):.0f} / {quantile(taken, 0.99):.0f}" if taken else "–"
        calls = [call.latency * 1000 for call in phase.quiet if call.stored]
        quiet = f"{median(calls):.0f} / {quantile(calls, 0.99):.0f}" if calls else "–"
        print(
            f"  {phase.name:<9} offered {offered / span:7,.0f}/s, stored {stored / span:7,.0f}/s;"
            f" urgent {urgent} ms, quiet desk {quiet} ms (median / p99)"
        )
    still = bridge.stood_still()
    if still:
        print(f"  the machine itself stood still for {still:.0f} s: of these figures believe none")
    for role in ROLES:
        values = [one.resident[role] for one in bridge.samples if role in one.resident]
        if values:
            print(f"  {role:<9}{sparkline(values)} at most {max(values) >> 20} MiB")


def _write(measured: Measured, bridge: Running) -> None:
    folder = Path("build") / "overload"
    folder.mkdir(parents=True, exist_ok=True)
    begun = bridge.samples[0].time if bridge.samples else 0
    with (folder / f"{measured.database}-memory.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["seconds", *(f"{role}_bytes" for role in ROLES)])
        for one in bridge.samples:
            rows.writerow(
                [round(one.time - begun, 2), *(one.resident.get(role, "") for role in ROLES)]
            )
    with (folder / f"{measured.database}-calls.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["phase", "desk", "due", "ms", "code", "stored", "advised", "unadvised"])
        for phase in measured.phases.values():
            for desk in ("noisy", "quiet", "urgent"):
                rows.writerows(
                    [
                        phase.name, desk, round(call.due - begun, 3), round(call.latency * 1000, 2),
                        call.code, call.stored, call.advised, call.unadvised,
                    ]
                    for call in getattr(phase, desk)
                )  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC)


def _say(kind: str, what: str) -> None:
    print(f"{kind:<10} {what}", flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make overload ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=float, default=0.5, help="of overload, all databases together"
    )
    parser.add_argument("--database", choices=["both", "sqlite", "postgresql"], default="both")
    parser.add_argument(
        "--capacity", type=int, default=6144, metavar="TICKETS", help="with which it is measured"
    )
    parser.add_argument(
        "--least",
        type=float,
        default=8.0,
        metavar="SECONDS",
        help="of the calm and of the time after",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    end_in_order()
    sys.exit(main())
