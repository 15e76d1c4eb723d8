"""One measurement each: the bare limits, pushing, end to end, one urgent ticket, and the spans."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
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
#: The idle time before each urgent ticket, in seconds.
IDLE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is measured with: tickets in bulk, urgent ones, and the rows that a bridge makes of them."""

    bulk: Sequence[SealedMessage]
    rows: Rows
    urgent: Sequence[SealedMessage]
    urgent_rows: Rows


@dataclass(slots=True)
class Bench:
    """The measurements on one kind of database; each begins with an empty one."""

    place: Place
    load: Load
    postgres: PostgresServer | None

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
        with self._database() as url:
            database = bare(url)
            try:
                return self.tickets / time_batches(database, batches, skip)
            finally:
                database.close()

    # -- the real thing, in tickets per second

    def push(self) -> float:
        """Push through a real bridge until the last receipt is checked."""
        with self._bridge() as (_, port), self._sender(port) as sender:
            sender.ask(0, WARM * BATCH * MESSAGES)
            begun, ended, _ = sender.ask(WARM * BATCH * MESSAGES, len(self.load.bulk))
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
            sender.send(first, last)
            begun, _, sent = sender.answer()
            _, ended, received = receiver.answer()
            taken = {"elapsed": ended - begun, "sender": sent, "receiver": received}
        return taken

    # -- one urgent ticket, in milliseconds

    def urgent(self) -> list[float]:
        """Return how long each urgent ticket took from the push until the receiver had it."""
        taken = []
        with self._desks(urgent=True) as (_, sender, receiver):
            for first in range(0, len(self.load.urgent), MESSAGES):
                receiver.send(MESSAGES)
                time.sleep(IDLE)
                sender.send(first, first + MESSAGES)
                came, *_ = receiver.answer()
                begun, *_ = sender.answer()
                taken.append((came - begun) * 1000)
        return taken[WARM:]

    def bare_commits(self) -> list[float]:
        """Return how long each commit of an urgent ticket's rows took, by the driver alone."""
        with self._database() as url:
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
    def _database(self) -> Iterator[str]:
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
        with self._database() as url:
            port = free_port()
            # Spans are of one process.
            keeper = "thread" if spans else "process"
            settings: Path = self.place.settings("bridge", url, port, keeper=keeper)
            with parties.running(parties.bridge, settings, spans) as bridge:
                yield bridge, port

    def _sender(
        self, port: int, *, urgent: bool = False
    ) -> AbstractContextManager[parties.Process]:
        messages = self.load.urgent if urgent else self.load.bulk
        return parties.running(parties.sender, self.place, port, messages)

    @contextmanager
    def _desks(
        self, *, spans: bool = False, urgent: bool = False
    ) -> Iterator[tuple[parties.Process, parties.Process, parties.Process]]:
        with (
            self._bridge(spans=spans) as (bridge, port),
            self._sender(port, urgent=urgent) as sender,
            parties.running(parties.receiver, self.place, port) as receiver,
        ):
            yield bridge, sender, receiver
