"""
``python -m tests.bench.at_rest``: what encryption at rest costs a push and a pull, as ratios of one run.

One bridge keeps what it is told as it comes, one encrypts it; both in this process, without an edge, so
that nothing hides the cost.  They take turns, drain by drain, in an order that changes, on the same bytes
and on each kind of database.  Of each pair of drains the ratio is taken, of all pairs the median.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median

from exchange.keyring import SIZE, RingFile, empty, save_ring
from exchange.server.known import keep_what_is_loaded
from exchange.submission import Pushed
from exchange.wire.headers import read_envelope
from tests.bench.inside import author, serving
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import MESSAGES, batches, pairs, sealed
from tests.bridge.whole import Bridge
from tests.postgres import PostgresServer

#: Tickets of one drain, and how many drains of that size are compared.
SIZES = {1: 120, 64: 30}
#: The first drains of a size are not counted.
WARM = 3


def main() -> int:
    """Measure and print."""
    now, seeds = datetime.now(UTC), count(1)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Place.make(Path(name))
        urls = {"sqlite": [f"sqlite:///{name}/{kind}.db" for kind in ("off", "on")]}
        try:
            server = stack.enter_context(PostgresServer())
        except FileNotFoundError as missing:
            print(f"no postgresql: {missing}")
        else:
            urls["postgresql"] = [server.create_database(kind) for kind in ("off", "on")]
        ring = RingFile(Path(name) / "bridge.ring")
        save_ring(empty(ring.file).with_new(now, os.urandom(SIZE)))
        sender, signer = author(place, SENDER), place.sealer(SENDER.organisation)
        for kind, (off, on) in urls.items():
            with serving(place, off) as plain, serving(place, on, ring) as encrypting:
                keep_what_is_loaded()
                for tickets, drains in SIZES.items():
                    pushes, pulls, rates = [], [], []
                    wanted = pairs(
                        tickets * (drains + WARM), RECEIVER.organisation, now, seed=next(seeds)
                    )
                    for number, batch in enumerate(
                        batches(sealed(signer, wanted), tickets * MESSAGES)
                    ):
                        work = [
                            Pushed(
                                received=read_envelope(one.envelope),
                                caller=SENDER.organisation,
                                author=sender,
                            )
                            for one in batch
                        ]
                        both = [plain, encrypting][:: 1 if number % 2 else -1]
                        taken = {id(bridge): _drain(bridge, work, now) for bridge in both}
                        read = {id(bridge): _read(bridge, len(work)) for bridge in both}
                        if number >= WARM:
                            pushes.append(taken[id(encrypting)] / taken[id(plain)])
                            pulls.append(read[id(encrypting)] / read[id(plain)])
                            rates.append(tickets / taken[id(plain)])
                    print(
                        f"{kind}, {tickets} tickets a drain: push x{median(pushes):.3f}"
                        f" ({median(rates):.0f} tickets/s off), read x{median(pulls):.3f}"
                    )
    return 0


def _drain(bridge: Bridge, work: list[Pushed], now: datetime) -> float:
    begun = time.perf_counter()
    bridge.drain(work, now)
    return time.perf_counter() - begun


def _read(bridge: Bridge, size: int) -> float:
    begun = time.perf_counter()
    assert len(bridge.store.waiting(RECEIVER.organisation, size)) == size
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
