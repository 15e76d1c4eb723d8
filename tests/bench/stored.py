"""
Stored tickets without number: rows as a bridge leaves them of archived tickets, written by the driver.

Each ticket is closed and archived: its ticket, its hand-off, two messages and two written receipts
with their leaves, seals and proofs, contents gone (`exchange.store.archive`).  So payloads are small,
indexes, lists and log are those of the real thing, and ``exchange log verify`` holds.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import Table, make_url

from exchange import tables
from exchange.acts import Classification, Kind, Marker, TicketKind, Urgency
from exchange.log import advance
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.profile import load
from exchange.store import Store, migrate
from exchange.store.engines import SQLITE
from exchange.store.rows import WRITTEN, Row, seal
from exchange.store.tree import leaf_of
from exchange.store.writer import Head
from exchange.tables import stamp
from exchange.ticket import State
from tests.bench.bare import Bare, BarePostgresql, BareSqlite, Batch
from tests.bench.place import FEW, RECEIVER, SENDER
from tests.bench.tickets import MATTER, PROFILE, REGION

#: Tickets of one drain: its leaves are as many as a bridge's longest drain has.
_DRAIN = 64
#: Tickets of one transaction.
_TOGETHER = 16 * _DRAIN
#: When the first was opened, and how long after it the next.
_BEGAN, _APART = datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=10)
#: So many of the oldest are another organisation's: one that has few tickets among very many.
FEW_TICKETS = 10


class Stored:
    """A database that is filled while no bridge has it."""

    def __init__(self, url: str, key: LogKey) -> None:
        """Make the tables in the empty database at *url*, and begin *key*'s log."""
        self.tickets = 0
        #: Some of their ids, oldest first; the first is of the organisation with few.
        self.some: list[str] = []
        self._url = url
        self._key = key
        self._chance = random.Random(7)
        self._profile = load(PROFILE)
        migrate(url)
        head = self._head()
        with _writing(url) as bare:
            digest = sha256(b"").digest()
            archive: Row = (1, "stored.jsonl", digest, 0, stamp(_BEGAN))
            bare.write(
                Batch(
                    inserts=[(tables.archive, [archive])],
                    head=(head.frontier.size, head.frontier.root(), head.position),
                )
            )

    def grow(self, tickets: int) -> Iterator[int]:
        """Store tickets until *tickets* were stored so; yield how many there are after each step."""
        head = self._head()
        frontier = head.frontier
        with _writing(self._url) as bare:
            while self.tickets < tickets:
                inserts: dict[Table, list[Row]] = {table: [] for table in _TABLES}
                until = min(self.tickets + _TOGETHER, tickets)
                while self.tickets < until:
                    frontier = self._drain(min(_DRAIN, until - self.tickets), frontier, inserts)
                at = (frontier.size, frontier.root(), head.position)
                bare.write(Batch(inserts=list(inserts.items()), head=at))
                yield self.tickets

    def _head(self) -> Head:
        """Return where the log stands: a bridge may have written since."""
        store = Store.open(self._url, self._key)
        try:
            with store.writing() as writer:
                return writer.head
        finally:
            store.close()

    def _drain(self, count: int, frontier: Frontier, rows: dict[Table, list[Row]]) -> Frontier:
        leaves: list[bytes] = []
        for number in range(self.tickets, self.tickets + count):
            self._ticket(number, frontier.size, rows, leaves)
        drain = advance(frontier, leaves, self._key)
        self.tickets += count
        grown = (drain.frontier.size, drain.size_before, drain.nodes, drain.note, None)
        rows[tables.drain].append(grown)
        return drain.frontier

    def _ticket(
        self, number: int, before: int, rows: dict[Table, list[Row]], leaves: list[bytes]
    ) -> None:
        chance, edition = self._chance, self._profile.catalogue.edition
        ticket, handoff, opening, offer = (
            str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(4)
        )
        few = number < FEW_TICKETS  # in its own region: its certificate reads no other
        sender, region = (FEW if few else SENDER).organisation, FEW.region if few else REGION
        receiver = RECEIVER.organisation
        opened = stamp(_BEGAN + number * _APART)
        rows[tables.ticket].append(
            (
                ticket, int(TicketKind.WORK_ORDER), sender, sender, region, MATTER,
                int(Marker.ACTUAL), int(Classification.ORDINARY), int(Urgency.ROUTINE), 0,
                opened, True, "",
            )
        )  # fmt: skip
        head = chance.randbytes(32)  # the offer's digest
        rows[tables.handoff].append(
            (
                handoff, ticket, sender, receiver, int(State.CLOSED), "", "", head, False, False,
                False, 1, MATTER, PROFILE, self._profile.edition, edition, "", "", "", sender,
                opened, opened, None, None, "",
            )
        )  # fmt: skip
        for kind, message, lane, author, recipient in (
            (Kind.OPEN_TICKET.value, opening, "", sender, ""),
            (Kind.OFFER.value, offer, handoff, sender, receiver),
            (WRITTEN, opening, "", receiver, sender),
            (WRITTEN, offer, handoff, receiver, sender),
        ):
            digest = head if kind == Kind.OFFER.value else chance.randbytes(32)
            index = before + len(leaves)
            state = int(State.CLOSED) if lane else 0
            row = (index, opened, ticket, lane, kind, message, author, recipient, state, "")
            leaves.append(leaf_of(kind, digest, opened))
            rows[tables.trail].append((*row, digest, seal(row, digest)))
            rows[tables.archived].append((index, 1))
            if kind == WRITTEN:
                rows[tables.receipt].append((index, message, author, b"", b""))
            else:
                rows[tables.message].append((index, message, b""))
        if number % 997 == 0:
            self.some.append(ticket)


_TABLES = (
    tables.ticket, tables.handoff, tables.message, tables.trail, tables.receipt, tables.archived,
    tables.drain,
)  # fmt: skip


@contextmanager
def _writing(url: str) -> Iterator[Bare]:
    """Hold the driver's own connection for the length of the block."""
    sqlite = make_url(url).get_backend_name() == SQLITE
    bare: Bare = BareSqlite(url) if sqlite else BarePostgresql(url)
    try:
        yield bare
    finally:
        bare.close()
