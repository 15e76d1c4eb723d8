"""One measurement each: the bare limits, pushing, end to end, one urgent ticket, and the spans."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange.client import SealedMessage
from tests.bench import parties
from tests.bench.bare import Batch, bare, time_batches
from tests.bench.inside import Rows
from tests.bench.place import Place
from tests.bench.tickets import MESSAGES
from tests.postgres import PostgresServer, free_port

#: Tickets of one bare transaction.
BATCH = 128
#: Batches before the clock starts: caches fill, connections and plans are made.
WARM = 4
#: The idle time before each urgent ticket, in seconds, and the time between two under bulk load.
IDLE = 0.03
UNDER_LOAD = 0.03
#: Seconds after which bulk load has filled what it fills.
_SETTLED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is measured with: tickets in bulk, urgent ones, and the rows that a bridge makes of them."""

    bulk: Sequence[SealedMessage]
    rows: Rows
    urgent: Sequence[SealedMessage]
    urgent_rows: Rows
    #: By messages in a call: tickets signed in batches of that size, which are pushed so.
    sized: Mapping[int, Sequence[SealedMessage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgent:
    """One urgent ticket: milliseconds until its sender had the receipts, and its receiver all of it."""

    confirmed: float
    received: float


@dataclass(slots=True)
class Bench:
    """The measurements on one kind of database; each begins with an empty one."""

    place: Place
    load: Load
    postgres: PostgresServer | None
    #: Where the bridge that runs now listens.
    _port: int = 0

    @property
    def tickets(self) -> int:
        """How many tickets are on the clock."""
        return len(self.load.bulk) // MESSAGES - WARM * BATCH

    # -- the bare limits, in tickets per second

    def bare_push(self) -> float:
        """Write the rows of pushing, by the driver alone."""
        return self._bare(self.load.rows.pushed, WARM)

    def bare_end_to_end(self) -> float:
        """Write the rows of pushing and of acknowledging, by the driver alone."""
        return self._bare(self.load.rows.both, 2 * WARM)

    def _bare(self, batches: Sequence[Batch], skip: int) -> float:
        with self.database() as url:
            database = bare(url)
            try:
                return self.tickets / time_batches(database, batches, skip)
            finally:
                database.close()

    # -- the real thing, in tickets per second

    def push(self) -> float:
        """Push through a real bridge until the last receipt is checked."""
        with self._bridge() as (_, port), self._sender(port) as sender:
            sender.ask(0, WARM * BATCH * MESSAGES, parties.CALL)
            begun, ended, _ = sender.ask(WARM * BATCH * MESSAGES, len(self.load.bulk), parties.CALL)
        return self.tickets / float(ended - begun)

    def end_to_end(self) -> float:
        """Push, pull, acknowledge: until the last "written" is durable."""
        with self._desks() as (_, sender, receiver):
            return self.tickets / self._through(sender, receiver)["elapsed"]

    def profile(self) -> dict[str, tuple[float, float]]:
        """Return CPU and elapsed µs a ticket by stage, end to end."""
        with self._desks(spans=True) as (bridge, sender, receiver):
            whole = self._through(sender, receiver, bridge)
            found: dict[str, tuple[float, float]] = bridge.ask("read")
        found |= {name: (seconds, seconds) for name, seconds in whole.items()}
        scale = 1e6 / self.tickets
        return {name: (cpu * scale, wall * scale) for name, (cpu, wall) in found.items()}

    def _through(
        self,
        sender: parties.Process,
        receiver: parties.Process,
        bridge: parties.Process | None = None,
    ) -> dict[str, float]:
        """Send all tickets through; return seconds elapsed and CPU seconds of the desks."""
        warm = WARM * BATCH * MESSAGES
        taken: dict[str, float] = {}
        for first, last in ((0, warm), (warm, len(self.load.bulk))):
            if bridge is not None:
                bridge.ask("start")
            receiver.send(last - first)
            sender.send(first, last, parties.CALL)
            begun, _, sent = sender.answer()
            _, ended, received, _ = receiver.answer()
            taken = {"elapsed": ended - begun, "sender": sent, "receiver": received}
        return taken

    # -- by messages in a call, in tickets per second

    def push_by_size(self) -> dict[int, float]:
        """Push in calls of each size, one after the other, into one bridge."""
        messages, ranges = self._sizes()
        rates = {}
        with self._bridge() as (_, port), self._sender(port, messages) as sender:
            for size, (first, warm, last) in ranges.items():
                sender.ask(first, warm, size)
                begun, ended, _ = sender.ask(warm, last, size)
                rates[size] = (last - warm) / MESSAGES / (ended - begun)
        return rates

    def end_to_end_by_size(self) -> dict[int, float]:
        """Push in calls of each size, pull and acknowledge: until the last "written" is durable."""
        messages, ranges = self._sizes()
        rates = {}
        with self._desks(messages) as (_, sender, receiver):
            for size, (start, warm, last) in ranges.items():
                for first, end in ((start, warm), (warm, last)):
                    receiver.send(end - first)
                    sender.send(first, end, size)
                    begun, *_ = sender.answer()
                    _, ended, *_ = receiver.answer()
                    rates[size] = (end - first) / MESSAGES / (ended - begun)
        return rates

    def _sizes(self) -> tuple[list[SealedMessage], dict[int, tuple[int, int, int]]]:
        """Return all messages, and by size where they begin, the clock starts, and they end."""
        messages: list[SealedMessage] = []
        ranges = {}
        for size, these in self.load.sized.items():
            first, last = len(messages), len(messages) + len(these)
            ranges[size] = (first, first + max(len(these) // 8 // size, 1) * size, last)
            messages += these
        return messages, ranges

    # -- one urgent ticket, in milliseconds

    def urgent(self) -> list[Urgent]:
        """Push one urgent ticket after the other, each into an idle bridge."""
        taken = []
        with self._desks(self.load.urgent) as (_, sender, receiver):
            for first in range(0, len(self.load.urgent), MESSAGES):
                receiver.send(MESSAGES)
                time.sleep(IDLE)
                sender.send(first, first + MESSAGES, MESSAGES)
                came, *_ = receiver.answer()
                begun, confirmed, _ = sender.answer()
                taken.append(
                    Urgent(confirmed=(confirmed - begun) * 1000, received=(came - begun) * 1000)
                )
        return taken[WARM:]

    def urgent_under_load(self) -> list[Urgent]:
        """Push urgent tickets while everything else comes as fast as it goes; those that met it count."""
        with self._desks() as (_, sender, receiver):
            port = self._port
            with parties.running(
                parties.urgent_sender, self.place, port, self.load.urgent
            ) as urgent:
                count = len(self.load.urgent) // MESSAGES
                receiver.send(len(self.load.bulk) + count * MESSAGES)
                sender.send(0, len(self.load.bulk), parties.CALL)
                urgent.send(count, UNDER_LOAD)
                begun, ended, _ = sender.answer()
                said = urgent.answer()
                *_, came = receiver.answer()
        return [
            Urgent(
                confirmed=(confirmed - sent) * 1000,
                received=(max(came[one] for one in ids) - sent) * 1000,
            )
            for ids, sent, confirmed in said
            if begun + _SETTLED < sent < ended
        ]

    def bare_commits(self) -> list[float]:
        """Return how long each commit of an urgent ticket's rows took, by the driver alone."""
        with self.database() as url:
            database = bare(url)
            taken = []
            try:
                for batch in self.load.urgent_rows.pushed:
                    time.sleep(IDLE)
                    taken.append(database.write(batch) * 1000)
            finally:
                database.close()
        return taken[WARM:]

    # -- what they are measured on

    @contextmanager
    def database(self) -> Iterator[str]:
        """Have an empty database for the length of the block."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        if self.postgres is not None:
            yield self.postgres.create_database(name)
            self.postgres.drop_database(name)
            return
        path = self.place.folder / f"{name}.db"
        yield f"sqlite:///{path}"
        for file in path.parent.glob(f"{name}.db*"):
            file.unlink()

    @contextmanager
    def _bridge(self, *, spans: bool = False) -> Iterator[tuple[parties.Process, int]]:
        with self.database() as url:
            port = free_port()
            # Spans are of one process.
            keeper = "thread" if spans else "process"
            settings: Path = self.place.settings("bridge", url, port, keeper=keeper)
            with parties.running(parties.bridge, settings, spans) as bridge:
                yield bridge, port

    def _sender(
        self, port: int, messages: Sequence[SealedMessage] | None = None
    ) -> AbstractContextManager[parties.Process]:
        given = self.load.bulk if messages is None else messages
        return parties.running(parties.sender, self.place, port, given)

    @contextmanager
    def _desks(
        self, messages: Sequence[SealedMessage] | None = None, *, spans: bool = False
    ) -> Iterator[tuple[parties.Process, parties.Process, parties.Process]]:
        with (
            self._bridge(spans=spans) as (bridge, self._port),
            self._sender(self._port, messages) as sender,
            parties.running(parties.receiver, self.place, self._port) as receiver,
        ):
            yield bridge, sender, receiver
