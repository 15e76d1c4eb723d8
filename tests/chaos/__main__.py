"""
``make chaos``: real processes, real databases, and a monkey; then the books are checked.

    make chaos                              # three minutes, on SQLite and on PostgreSQL
    make chaos ARGS='--minutes 60'          # the hour
    make chaos ARGS='--only link-half-open --database postgresql --seed 7'

The exit status is 1 where an invariant broke; the folder with all files and logs is then kept.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import FrameType

from tests.chaos.faults import FAULTS
from tests.chaos.report import table
from tests.chaos.run import PAGES, Run, run
from tests.postgres import PostgresUnavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as asked; return the exit status."""
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, _end)
    kinds = ["sqlite", "postgresql"] if given.database == "both" else [given.database]
    seed = given.seed if given.seed is not None else Random().randrange(10**6)
    faults = [fault for fault in FAULTS if given.only in {"", fault.name}]
    folder = Path(tempfile.mkdtemp(prefix="exchange-chaos-"))
    print(f"seed {seed}; everything lies in {folder}", flush=True)
    holds = True
    for kind in kinds:
        there = folder / kind
        there.mkdir()
        say = _voice(kind)
        # Half of the time each, so that three minutes are three minutes.
        seconds = given.minutes * 60 / len(kinds)
        try:
            found = run(
                kind, there, [f for f in faults if kind in f.databases],
                seed=f"{seed}-{kind}", seconds=seconds, rate=given.rate, say=say,
                pages=12 if given.only == PAGES else 3 if not given.only else 0,
            )  # fmt: skip
        except PostgresUnavailable as unavailable:
            say(f"skipped: {unavailable}")
            continue
        holds &= not found.broken
        _show(kind, found)
    if holds and not given.keep:
        shutil.rmtree(folder, ignore_errors=True)
        print("Every invariant holds.")
    else:
        print(f"{'Kept' if holds else 'AN INVARIANT BROKE; the evidence is kept'} in {folder}")
    return 0 if holds else 1


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # through every context: no process, mount or namespace stays


def _voice(kind: str) -> Callable[[str], None]:
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{kind:<10} {time.monotonic() - begun:6.1f} s  {line}", flush=True)

    return say


def _show(kind: str, found: Run) -> None:
    print(f"\n{kind}\n{table(found.outcomes)}\n")
    print(", ".join(f"{count} {name}" for name, count in found.counts.items()))
    for line in found.notes:
        print(f"note: {line}")
    for line in found.broken:
        print(f"BROKEN: {line}")
    print(flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="of faults, all databases together"
    )
    parser.add_argument("--seed", type=int, help="whose choices to repeat")
    parser.add_argument("--only", choices=["", PAGES, *(f.name for f in FAULTS)], default="", metavar="FAULT",
                        help=", ".join([*(fault.name for fault in FAULTS), PAGES]))  # fmt: skip
    parser.add_argument("--database", choices=["both", "sqlite", "postgresql"], default="both")
    parser.add_argument("--rate", type=float, default=6.0, help="new tickets a second at each desk")
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
