"""What a ticket costs where ten thousand, a hundred thousand, a million stand already."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

from exchange.client import ExchangeClient
from exchange.note import LogKey
from tests.bench import parties
from tests.bench.measure import BATCH, Bench
from tests.bench.place import FEW, SENDER
from tests.bench.stored import Stored
from tests.bench.tickets import MESSAGES
from tests.postgres import free_port

#: Sizes at which is measured, as far as is asked.
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
#: Bytes on disk of a stored ticket, and of one that passes through at every size.
_TICKET, _PASSING = 3_000, 30_000
#: Stored tickets after which a long filling says how far it is.
_SAID = 500_000
#: Times that a reading call is repeated, and tickets of a page.
_AGAIN, _PAGE = 15, 50
#: Parts in which what is pushed is timed; the median counts.
_PARTS = 4

#: What is measured, with its unit: ``µs`` a ticket or ``ms`` a call.
MEASURED: Mapping[str, str] = {
    "push": "µs",
    "push, CPU of the bridge": "µs",
    "pull and acknowledge": "µs",
    "acknowledge, CPU of the bridge": "µs",
    "list, 50 newest": "ms",
    "list, a desk with few": "ms",
    "list, who answers": "ms",
    "get one": "ms",
    "trail with proofs": "ms",
    "repeat of a ticket": "ms",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The costs where *stored* tickets stand."""

    stored: int
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The points of one kind of database, fewest tickets first."""

    database: str
    points: Sequence[Point]
    #: Why there are not more of them; empty where all that was asked is there.
    ended: str = ""

    def growth(self, name: str) -> float:
        """Return how many times the first point's cost the last point's is."""
        return self.points[-1].costs[name] / self.points[0].costs[name]


def curve(name: str, bench: Bench, sizes: Sequence[int], say: Callable[[str], None]) -> Curve:
    """Fill one database further and further, and measure at each of *sizes*, as the disk allows."""
    points: list[Point] = []
    per = len(bench.load.bulk) // MESSAGES // max(len(sizes), 1)
    with bench.database() as url:
        stored = Stored(url, LogKey.load(bench.place.log_key))
        for number, size in enumerate(sizes):
            room = shutil.disk_usage(bench.place.folder).free
            if room < (size - stored.tickets) * _TICKET + per * _PASSING:
                ended = f"{size:,} tickets do not fit on the disk"
                return Curve(database=name, points=points, ended=ended)
            said = stored.tickets
            for done in stored.grow(size):
                if done >= said + _SAID:
                    said = done
                    say(f"{name}: {done:,} tickets stored")
            say(f"{name}: cost with {size:,} stored tickets")
            costs = _costs(bench, url, stored, number * per, per)
            points.append(Point(stored=size, costs=costs))
    return Curve(database=name, points=points)


def _costs(bench: Bench, url: str, stored: Stored, first: int, count: int) -> dict[str, float]:
    messages = bench.load.bulk[first * MESSAGES : (first + count) * MESSAGES]
    warm = min(BATCH, count // 2)
    port = free_port()
    settings = bench.place.settings("growth", url, port)
    with parties.running(parties.bridge, settings, False) as bridge:
        with (
            parties.running(parties.sender, bench.place, port, messages) as sender,
            parties.running(parties.receiver, bench.place, port) as receiver,
        ):
            sender.ask(0, warm * MESSAGES, parties.CALL)
            receiver.ask(warm * MESSAGES)
            pushing, taking, parts = [], [], list(_parts(warm, count))
            pushed = taken = 0.0
            for start, end in parts:
                idle = bridge.spent()
                begun, ended, _ = sender.ask(start * MESSAGES, end * MESSAGES, parties.CALL)
                pushing.append((ended - begun) / (end - start) * 1e6)
                between = bridge.spent()
                came, ended, *_ = receiver.ask((end - start) * MESSAGES)
                taking.append((ended - came) / (end - start) * 1e6)
                pushed, taken = pushed + between - idle, taken + bridge.spent() - between
            through = parts[-1][1] - parts[0][0]
        costs = {
            "push": median(pushing),
            "push, CPU of the bridge": pushed / through * 1e6,
            "pull and acknowledge": median(taking),
            "acknowledge, CPU of the bridge": taken / through * 1e6,
        }
        with bench.place.client(SENDER.organisation, port) as busy:
            costs |= _reading(busy, stored)
            pair = messages[:MESSAGES]
            costs["repeat of a ticket"] = _timed(lambda: busy.push_sealed(pair))
        with bench.place.client(FEW.organisation, port) as few:
            costs["list, a desk with few"] = _timed(lambda: _page(few))
    return {name: costs[name] for name in MEASURED}


def _parts(first: int, last: int) -> Iterator[tuple[int, int]]:
    step = max((last - first) // _PARTS, 1)
    for start in range(first, first + step * min(_PARTS, last - first), step):
        yield start, start + step


def _reading(busy: ExchangeClient, stored: Stored) -> dict[str, float]:
    ids = iter(stored.some[1:][:: max(len(stored.some) // (2 * _AGAIN), 1)] * 2 * _AGAIN)
    return {
        "list, 50 newest": _timed(lambda: _page(busy)),
        "list, who answers": _timed(lambda: _page(busy, answers=SENDER.organisation)),
        "get one": _timed(lambda: busy.tickets.get(next(ids))),
        "trail with proofs": _timed(lambda: list(busy.tickets.trail(next(ids)))),
    }


def _page(client: ExchangeClient, answers: str = "") -> None:
    found = client.tickets.list(page_size=_PAGE, answers=answers)
    if not list(islice(found, _PAGE)):
        raise RuntimeError("the list is empty")


def _timed(call: Callable[[], object]) -> float:
    """Return the median milliseconds of *call*; the first ones fill caches."""
    taken = []
    for number in range(_AGAIN + 2):
        begun = time.perf_counter()
        call()
        if number >= 2:
            taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)
