"""
``make soak``: tickets through their whole life, for as long as it takes, while old ones are archived.

One desk opens and offers, the other takes and resolves, the first closes; six messages a ticket, each
delivered, written and noted.  Five times on the way ``exchange archive`` moves what is closed into
files, beneath the running bridge.  Memory and latency must be as flat at the end as at the beginning,
and at the end ``exchange log verify`` checks everything, archives included.

    make soak                                      some minutes
    make soak ARGS='--tickets 1000000 --database postgresql'
    make soak ARGS='--tickets 1000000 --minutes 60'      no ticket is opened after an hour

It ends with a table of claims; the exit code is 1 where one does not hold.  Curves: build/soak/.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy

from tests.bench import parties
from tests.bench.ending import end_in_order
from tests.bench.place import Place
from tests.bench.quantiles import quantile
from tests.chaos.processes import ROOT
from tests.load.bridge import ROLES, Running, serving
from tests.load.claims import Claim, sparkline, table
from tests.load.lives import MESSAGES, OPEN, Slice, hotline, police
from tests.postgres import PostgresServer, PostgresUnavailable

#: Parts of the run that are compared, and tickets of one at most.
PARTS, _SLICE = 20, 5_000
#: What memory, the middle call and the slowest of a hundred may grow by from the first half of the run
#: to its last quarter.
MEMORY, MIDDLE, SLOWEST = 1.15, 1.25, 2.0

#: Pulls in a row that bring nothing before the taking desk calls it a day.
_QUIET = 20


@dataclass(slots=True)
class Soaked:
    """What the run on one database brought."""

    database: str
    tickets: int
    slices: list[Slice] = field(default_factory=list)
    #: Tickets in each archive.
    archived: list[int] = field(default_factory=list)
    closed: int = 0
    verified: bool = False
    said: str = ""
    stored_bytes: list[int] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as asked; 0 if every claim holds."""
    given = _arguments(arguments)
    kinds = ["sqlite", "postgresql"] if given.database == "both" else [given.database]
    claims: list[Claim] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="exchange-soak-") as folder:
            try:
                claims += _on(kind, Path(folder), given)
            except PostgresUnavailable as unavailable:
                print(f"{kind} skipped: {unavailable}")
    print(f"\n{table(claims)}")
    return 0 if claims and all(claim.met for claim in claims) else 1


def _on(kind: str, folder: Path, given: argparse.Namespace) -> list[Claim]:
    place = Place.make(folder)
    archives = folder / "archives"
    archives.mkdir()
    soaked = Soaked(database=kind, tickets=given.tickets)
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'bridge.db'}"
        if kind == "postgresql":
            server = stack.enter_context(PostgresServer(shared_buffers="256MB", max_wal_size="2GB"))
            url = server.create_database("soak")
        with serving(place, url) as bridge:
            _live(place, bridge, soaked, archives, url=url, given=given)
        _say(kind, "verifying the log")
        soaked.closed = _count(url, "SELECT count(*) FROM ticket WHERE closed")
        done = _command("log", "verify", "--archive", archives, "--config", bridge.settings)
        soaked.verified = done.returncode == 0
        soaked.said = (done.stdout + done.stderr).strip().splitlines()[0]
    _write(soaked, bridge)
    _show(soaked, bridge)
    return judge(soaked, bridge)


def _live(
    place: Place,
    bridge: Running,
    soaked: Soaked,
    archives: Path,
    *,
    url: str,
    given: argparse.Namespace,
) -> None:
    """Let all tickets live, or those that could be opened in time; *soaked* is told."""
    size = min(max(given.tickets // PARTS, 1), _SLICE)
    limit = given.minutes * 60
    with (
        parties.running(hotline, place, bridge.port) as opening,
        parties.running(police, place, bridge.port) as taking,
    ):
        begun = time.monotonic()
        taking.send(_QUIET)
        opening.send(given.tickets, size, limit)
        done = 0
        while part := opening.answer(3600):
            done += part.tickets
            soaked.slices.append(part)
            soaked.stored_bytes.append(_bytes(url))
            rate = part.tickets / (part.ended - part.begun)
            middle = median(part.calls) * 1000 if part.calls else 0.0
            memory = ", ".join(
                f"{role} {max(seen) >> 20} MiB"
                for role in ROLES
                if (seen := bridge.memory(role, part.begun, part.ended))
            )
            _say(
                soaked.database,
                f"{done:,} of {given.tickets:,} tickets closed, {rate:,.0f} a second, call "
                f"{middle:.0f} ms; {memory}; {time.monotonic() - begun:.0f} s",
            )
            passed = max(done / given.tickets, (time.monotonic() - begun) / limit if limit else 0.0)
            if len(soaked.archived) < min(int(passed * given.archives), given.archives):
                soaked.archived.append(_archive(bridge, archives))
        taking.answer(3600)
    soaked.tickets = done
    # What was noted last could not go before.
    soaked.archived.append(_archive(bridge, archives))


def _archive(bridge: Running, folder: Path) -> int:
    done = _command(
        "archive", "--older-than", "0d", "--to", folder, "--config", bridge.settings, "--json"
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return sum(one["archived"] for one in json.loads(done.stdout)["files"])


def _command(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exchange", *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def _count(url: str, query: str) -> int:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(sqlalchemy.text(query)).scalar_one())
    finally:
        engine.dispose()


def _bytes(url: str) -> int:
    """Return the bytes of the database on disk."""
    if url.startswith("sqlite:///"):
        return sum(
            p.stat().st_size for p in Path(url.removeprefix("sqlite:///")).parent.glob("bridge.db*")
        )
    return _count(url, "SELECT pg_database_size(current_database())")


# -- what holds


def judge(soaked: Soaked, bridge: Running) -> list[Claim]:
    """Return every claim about the run."""
    where = soaked.database
    early, late = _early(soaked.slices), _late(soaked.slices)
    calls = [[call * 1000 for part in parts for call in part.calls] for parts in (early, late)]
    lives = [[life for part in parts for life in part.lives] for parts in (early, late)]
    claims = [_memory(where, role, early, late, bridge) for role in ROLES]
    for sentence, part, bound in (
        ("opening 64 tickets takes as long as at first", 0.5, MIDDLE),
        ("and so does the slowest in a hundred", 0.99, SLOWEST),
    ):
        before, after = (quantile(one, part) for one in calls)
        claims.append(
            Claim(
                where=where,
                sentence=f"{sentence} (≤ × {bound})",
                measured=f"× {after / before:.2f} ({before:.0f} ms, then {after:.0f} ms)",
                met=after <= bound * before,
            )
        )
    before, after = (median(one) for one in lives)
    claims += [
        Claim(
            where=where,
            sentence=f"so does a ticket's whole life (≤ × {MIDDLE})",
            measured=f"× {after / before:.2f} ({before:.1f} s, then {after:.1f} s, {OPEN} open at once)",
            met=after <= MIDDLE * before,
        ),
        Claim(
            where=where,
            sentence="every ticket was closed",
            measured=f"{soaked.closed:,} of {soaked.tickets:,}, {MESSAGES} messages each",
            met=soaked.closed == soaked.tickets,
        ),
        Claim(
            where=where,
            sentence="closed tickets were archived beneath the running bridge, all in the end",
            measured=f"{sum(soaked.archived):,} in {sum(1 for one in soaked.archived if one)} times",
            met=sum(soaked.archived) == soaked.tickets,
        ),
        Claim(
            where=where,
            sentence="the log verifies, archives included",
            measured=soaked.said,
            met=soaked.verified,
        ),
    ]
    return claims


def _early(slices: Sequence[Slice]) -> Sequence[Slice]:
    """Return the second quarter: the first fills caches."""
    opening = [part for part in slices if part.calls]
    return opening[len(opening) // 4 : max(len(opening) // 2, len(opening) // 4 + 1)]


def _late(slices: Sequence[Slice]) -> Sequence[Slice]:
    """Return the last quarter in which tickets were still opened."""
    opening = [part for part in slices if part.calls]
    return opening[-max(len(opening) // 4, 1) :]


def _memory(
    where: str, role: str, early: Sequence[Slice], late: Sequence[Slice], bridge: Running
) -> Claim:
    before, after = (
        bridge.memory(role, parts[0].begun, parts[-1].ended) for parts in (early, late)
    )
    sentence = f"the {role} process needs no more memory than at first (≤ × {MEMORY})"
    if not before or not after:
        return Claim(where=where, sentence=sentence, measured="not seen", met=False)
    times = median(after) / median(before)
    return Claim(
        where=where,
        sentence=sentence,
        measured=f"× {times:.2f} ({int(median(before)) >> 20} MiB, then {int(median(after)) >> 20} MiB)",
        met=times <= MEMORY,
    )


# -- what is shown and kept


def _show(soaked: Soaked, bridge: Running) -> None:
    still = bridge.stood_still()
    if still:
        print(f"  the machine itself stood still for {still:.0f} s: of these figures believe none")
    for role in ROLES:
        values = [one.resident[role] for one in bridge.samples if role in one.resident]
        if values:
            print(f"  {role:<9}{sparkline(values)} at most {max(values) >> 20} MiB")
    middles = [median(part.calls) * 1000 for part in soaked.slices if part.calls]
    if middles:
        print(f"  {'call':<9}{sparkline(middles)} at most {max(middles):.0f} ms, the middle one")
    size = soaked.stored_bytes[-1]
    print(
        f"  {'disk':<9}{sparkline(soaked.stored_bytes)} {size / soaked.tickets:,.0f} bytes a ticket"
    )


def _write(soaked: Soaked, bridge: Running) -> None:
    folder = Path("build") / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    begun = bridge.samples[0].time if bridge.samples else 0
    with (folder / f"{soaked.database}-memory.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["seconds", *(f"{role}_bytes" for role in ROLES)])
        for one in bridge.samples:
            rows.writerow(
                [round(one.time - begun, 2), *(one.resident.get(role, "") for role in ROLES)]
            )
    with (folder / f"{soaked.database}-slices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["ended", "tickets", "a_second", "call_p50_ms", "call_p99_ms", "life_p50_s", "bytes"]
        )
        for part, size in zip(soaked.slices, soaked.stored_bytes, strict=True):
            calls = [call * 1000 for call in part.calls] or [0.0]
            rows.writerow(
                [
                    round(part.ended - begun, 2), part.tickets,
                    round(part.tickets / (part.ended - part.begun), 1), round(median(calls), 2),
                    round(quantile(calls, 0.99), 2), round(median(part.lives), 3), size,
                ]
            )  # fmt: skip


def _say(kind: str, what: str) -> None:
    print(f"{kind:<10} {what}", flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tickets", type=int, default=20_000, help="on each database")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="no ticket is opened after so long"
    )
    parser.add_argument("--archives", type=int, default=5, help="times that is archived on the way")
    parser.add_argument("--database", choices=["both", "sqlite", "postgresql"], default="both")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    end_in_order()
    sys.exit(main())
