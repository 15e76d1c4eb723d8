"""
``python -m tests.bench.several``: one PostgreSQL database, shared by one, two and three bridges.

Printed for each number of bridges: tickets a second that as many desks push, each to a bridge of its
own, and how long after its push an urgent ticket stands with a desk that waits at another bridge.  All
processes share this machine's cores with the database and the desks that push, so on few cores the
curve is soon flat: what is shown is that sharing costs little, and what it costs.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

from certs.development import LOG_NAME
from certs.logkey import create_log_key
from exchange.acts import Urgency
from exchange.client import GatewayFiles
from exchange.note import LogKey
from exchange.store import Store
from exchange.store.logs import join
from tests.bench.parties import bridge, running, sender
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import MESSAGES, pairs, sealed
from tests.pki import make_pki
from tests.postgres import PostgresServer, free_port

#: Tickets on the clock for each number of bridges, and those that warm it up.
TICKETS = 128 * 24
WARM = 128 * 2
#: Urgent tickets that cross from one bridge to the other.
URGENT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlace(Place):
    """A place whose gateways trust the logs of several bridges."""

    verifiers: tuple[Path, ...]

    def files(self, organisation: str, port: int) -> GatewayFiles:
        """Return what a desk's gateway dials, signs and checks with."""
        return replace(Place.files(self, organisation, port), log_verifiers=self.verifiers)


def main() -> None:
    """Measure, and print a line for each number of bridges."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.several", description=__doc__)
    parser.add_argument("--most", type=int, default=3, help="bridges at most")
    parser.add_argument("--tickets", type=int, default=TICKETS, help="tickets for each number")
    arguments = parser.parse_args()
    print("bridges  tickets/s  urgent to another bridge: median, p99 (ms)")
    with tempfile.TemporaryDirectory(prefix="exchange-several-") as folder:
        place, keys = _place(Path(folder), arguments.most)
        with PostgresServer(shared_buffers="256MB", max_wal_size="4GB") as server:
            for count in range(1, arguments.most + 1):
                database = server.create_database(f"several{count}")
                with _bridges(place, database, keys[:count]) as ports:
                    rate = _push(place, ports, arguments.tickets, seed=count)
                    times = sorted(_cross(place, ports, seed=100 + count))
                p99 = quantiles(times, n=100)[98] if len(times) > 1 else times[0]
                print(f"{count:7}  {rate:9.0f}  {median(times):6.1f} {p99:6.1f}", flush=True)


def _place(folder: Path, most: int) -> tuple[SharedPlace, list[Path]]:
    pki = make_pki(folder / "pki")
    keys, verifiers = [pki.development.log_key], [pki.development.log_verifier]
    for number in range(2, most + 1):
        key, verifier = create_log_key(
            folder / f"log{number}", LOG_NAME.replace("/1", f"/{number}")
        )
        keys.append(key)
        verifiers.append(verifier)
    place = SharedPlace(folder=folder, pki=pki, verifiers=tuple(verifiers))
    place.register.write_text(Place.make(folder / "plain").register.read_text("utf-8"), "utf-8")
    return place, keys


@contextmanager
def _bridges(place: Place, database: str, keys: list[Path]) -> Iterator[list[int]]:
    """Run a bridge for each of *keys* on *database*; yield their ports."""
    ports = [free_port() for _ in keys]
    configured = []
    for number, (key, port) in enumerate(zip(keys, ports, strict=True)):
        file = place.settings(f"bridge{number}", database, port)
        name = LogKey.load(key).name
        said = file.read_text("utf-8").replace(f'origin = "{LOG_NAME}"', f'origin = "{name}"')
        file.write_text(said.replace(str(keys[0]), str(key)), "utf-8")
        configured.append(file)
    Store.open(database, LogKey.load(keys[0])).close()
    for key in keys[1:]:
        join(database, LogKey.load(key))
    with ExitStack() as stack:
        for file in configured:
            stack.enter_context(running(bridge, file, False))
        yield ports


def _push(place: Place, ports: list[int], tickets: int, seed: int) -> float:
    """Return the tickets a second that a desk for each bridge pushes, all at once."""
    now, sealer = datetime.now(UTC), place.sealer(SENDER.organisation)
    each, warm = tickets // len(ports) * MESSAGES, WARM // len(ports) * MESSAGES
    with ExitStack() as stack:
        desks = []
        for number, port in enumerate(ports):
            made = pairs(
                (each + warm) // MESSAGES, RECEIVER.organisation, now, seed=seed * 10 + number
            )
            work = (place, port, sealed(sealer, made))
            desks.append(stack.enter_context(running(sender, *work)))
        answers: list[tuple[float, float, float]] = []
        for span in ((0, warm), (warm, warm + each)):
            for desk in desks:
                desk.send(*span)
            answers = [desk.answer() for desk in desks]
    begun, ended = min(a[0] for a in answers), max(a[1] for a in answers)
    return each * len(ports) / MESSAGES / (ended - begun)


def _cross(place: Place, ports: list[int], seed: int) -> list[float]:
    """Return, in milliseconds, how long urgent tickets took from the first bridge to the last's pull."""
    now, sealer = datetime.now(UTC), place.sealer(SENDER.organisation)
    urgent = pairs(URGENT, RECEIVER.organisation, now, urgency=Urgency.URGENT, seed=seed)
    times = []
    with (
        place.client(SENDER.organisation, ports[0]) as hotline,
        place.client(RECEIVER.organisation, ports[-1]) as police,
    ):
        while police.pull(512):
            pass  # what was pushed before stays leased
        for pair in urgent:
            came: list[float] = []

            def wait(came: list[float] = came) -> None:
                while not police.pull(8, timedelta(seconds=20)):
                    pass
                came.append(time.monotonic())

            waiting = threading.Thread(target=wait)
            waiting.start()
            time.sleep(0.1)  # until it waits
            begun = time.monotonic()
            hotline.push_sealed(sealer.seal(pair))
            waiting.join()
            times.append((came[0] - begun) * 1000)
    return times


if __name__ == "__main__":
    main()
