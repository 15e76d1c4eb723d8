"""
Run many seeds, or one with everything it did::

    make simulate ARGS="--seeds 0-9999"
    make simulate ARGS="--seed 4711 --trace"
    make simulate ARGS="--seeds 0-9999 --relay"
    make simulate ARGS="--every"
    make simulate ARGS="--mutations"

Exit: 0 every invariant held (with ``--mutations``: every bug was caught), 1 one did not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from exchange.ticket import State
from tests.simulation.catching import MOST_SEEDS, catch
from tests.simulation.many import outcomes
from tests.simulation.mutations import MUTATIONS
from tests.simulation.run import Outcome, run
from tests.simulation.sweep import blows

_SHOWN = 24
_SHRUNK = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks."""
    given = _arguments(arguments)
    if given.mutations:
        return _mutations(given.most)
    if given.every:
        return _every()
    if given.seed is not None:
        outcome = run(given.seed, steps=given.steps, faults=given.faults, joined=given.relay)
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
    for outcome in outcomes(
        range(first, last + 1),
        steps=given.steps,
        faults=given.faults,
        jobs=given.jobs,
        joined=given.relay,
    ):
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


def _show(outcome: Outcome, given: argparse.Namespace, *, shrink: bool) -> None:
    """Show a failure with the fewest steps that lead to it."""
    steps, more = given.steps, " --relay" if given.relay else ""
    if shrink:
        for fewer in range(given.steps):
            again = run(outcome.seed, steps=fewer, faults=given.faults, joined=given.relay)
            if again.broken == outcome.broken:
                outcome, steps = again, fewer
                break
    _say(f"\nBROKEN seed {outcome.seed}: {outcome.why}")
    _say("\n".join(outcome.trace[-_SHOWN:]))
    _say(f"again: make simulate ARGS='--seed {outcome.seed} --steps {steps}{more} --trace'")


def _table(counts: Counter[str]) -> None:
    """Print what happened: faults by kind, what was said, where hand-offs ended."""
    for title, prefix in (
        ("faults", "fault: "),
        ("messages in the log", "kind "),
        ("refusals", "refused "),
        ("hand-offs ended as", "state "),
        ("messages carried on by the relay", "carried on "),
        ("answers", "push "),
        ("acknowledgements", "acknowledge "),
        ("invariants held", "held: "),
    ):
        _say(f"\n{title}")
        for key, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            if key.startswith(prefix):
                word = key.removeprefix(prefix)
                _say(f"  {number:>9}  {State(int(word)).name if prefix == 'state ' else word}")


def _every() -> int:
    """Let everything befall every process at every place of one matter's way."""
    places: Counter[tuple[str, str]] = Counter()
    broken = 0
    for blow, outcome in blows():
        places[blow.place, blow.ill.value if blow.ill else "killed at an await"] += 1
        if outcome.broken:
            broken += 1
            _say(f"BROKEN {blow}: {outcome.why}")
    for (place, what), number in places.items():
        _say(f"  {number:>9}  {place}: {what}")
    _say(f"{places.total()} places, {broken} broken")
    return int(bool(broken))


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
    parser.add_argument("--relay", action="store_true", help="two bridges, a relay between them")
    parser.add_argument("--trace", action="store_true", help="with --seed: everything it did")
    parser.add_argument("--steps", type=int, default=40, help="steps of a run")
    parser.add_argument("--faults", type=float, default=1.0, help="how often something breaks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--every", action="store_true", help="every statement and await instead")
    parser.add_argument("--mutations", action="store_true", help="plant the bugs instead")
    parser.add_argument("--most", type=int, default=MOST_SEEDS, help="seeds for each bug")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
