"""
Run many seeds, or one with everything it did::

    make simulate ARGS="--seeds 0-9999"
    make simulate ARGS="--seed 4711 --trace"
    make simulate ARGS="--mutations"

Exit: 0 every invariant held (with ``--mutations``: every bug was caught), 1 one did not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TextIO

from exchange.ticket import State
from tests.simulation.catching import MOST_SEEDS, catch
from tests.simulation.mutations import MUTATIONS
from tests.simulation.run import Outcome, run
from tests.simulation.world import FOLDER

_CHUNK = 20
_SHOWN = 24
_SHRUNK = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks."""
    given = _arguments(arguments)
    if given.mutations:
        return _mutations(given.most)
    if given.seed is not None:
        outcome = run(given.seed, steps=given.steps, faults=given.faults)
        if given.trace:
            _say("\n".join(outcome.trace))
        _say(f"seed {given.seed}: {outcome.why or 'every invariant held'}  trace {outcome.digest}")
        return int(bool(outcome.broken))
    return _many(given)


def _many(given: argparse.Namespace) -> int:
    first, last = given.seeds
    counts: Counter[str] = Counter()
    broken: list[Outcome] = []
    begun, done = time.monotonic(), 0
    for outcome in _outcomes(range(first, last + 1), given):
        done += 1
        counts += outcome.counts
        if outcome.broken:
            broken.append(outcome)
            _show(outcome, given, shrink=len(broken) <= _SHRUNK)
        if sys.stderr.isatty() or done % 500 == 0:
            rate = done / (time.monotonic() - begun) * 60
            end = "\r" if sys.stderr.isatty() else "\n"
            _say(f"{done} runs, {len(broken)} broken, {rate:.0f} a minute", end=end, to=sys.stderr)
    _table(counts)
    seconds = time.monotonic() - begun
    _say(
        f"\n{done} runs in {seconds:.0f} s ({done / seconds * 60:.0f} a minute), {len(broken)} broken"
    )
    for name, number in Counter(one.broken for one in broken).most_common():
        seeds = ", ".join(str(one.seed) for one in broken if one.broken == name)
        _say(f"  {name}: {number} (seeds {seeds[:100]})")
    return int(bool(broken))


def _outcomes(seeds: range, given: argparse.Namespace) -> Iterator[Outcome]:
    """Yield the outcomes in the order of their seeds, from as many processes as asked for."""
    if given.jobs == 1:
        for seed in seeds:
            yield run(seed, steps=given.steps, faults=given.faults)
        return
    shm = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="exchange-simulation-", dir=shm if shm.is_dir() else None)
    os.environ[FOLDER] = folder
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    steps, faults = [given.steps] * len(chunks), [given.faults] * len(chunks)
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.jobs, mp_context=context) as pool:
            for outcomes in pool.map(_chunk, chunks, steps, faults):
                yield from outcomes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chunk(seeds: range, steps: int, faults: float) -> list[Outcome]:
    return [run(seed, steps=steps, faults=faults).brief() for seed in seeds]


def _show(outcome: Outcome, given: argparse.Namespace, *, shrink: bool) -> None:
    """Show a failure with the fewest steps that lead to it."""
    steps = given.steps
    if shrink:
        for fewer in range(given.steps):
            again = run(outcome.seed, steps=fewer, faults=given.faults)
            if again.broken == outcome.broken:
                outcome, steps = again, fewer
                break
    _say(f"\nBROKEN seed {outcome.seed}: {outcome.why}")
    _say("\n".join(outcome.trace[-_SHOWN:]))
    _say(f"again: make simulate ARGS='--seed {outcome.seed} --steps {steps} --trace'")


def _table(counts: Counter[str]) -> None:
    """Print what happened: faults by kind, what was said, where hand-offs ended."""
    for title, prefix in (
        ("faults", "fault: "),
        ("messages in the log", "kind "),
        ("refusals", "refused "),
        ("hand-offs ended as", "state "),
        ("answers", "push "),
        ("acknowledgements", "acknowledge "),
        ("invariants held", "held: "),
    ):
        _say(f"\n{title}")
        for key, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            if key.startswith(prefix):
                word = key.removeprefix(prefix)
                _say(f"  {number:>9}  {State(int(word)).name if prefix == 'state ' else word}")


def _mutations(most: int) -> int:
    missed = 0
    for mutation in MUTATIONS:
        found = catch(mutation, most)
        missed += not found.caught
        word = f"caught by {found.broken}, seed {found.seed}" if found.caught else "NOT CAUGHT"
        if found.broken and not found.caught:
            word += f" (but {found.broken}, seed {found.seed}: {found.why[:200]})"
        _say(f"  {'✓' if found.caught else '✗'} {mutation.says}: {word}")
    _say(f"{len(MUTATIONS)} bugs planted, {len(MUTATIONS) - missed} caught within {most} seeds")
    return int(bool(missed))


def _say(line: str, end: str = "\n", to: TextIO | None = None) -> None:
    stream = to or sys.stdout
    stream.write(line + end)
    stream.flush()


def _seeds(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=(0, 999), metavar="FIRST-LAST")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: everything it did")
    parser.add_argument("--steps", type=int, default=40, help="steps of a run")
    parser.add_argument("--faults", type=float, default=1.0, help="how often something breaks")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--mutations", action="store_true", help="plant the bugs instead")
    parser.add_argument("--most", type=int, default=MOST_SEEDS, help="seeds for each bug")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
