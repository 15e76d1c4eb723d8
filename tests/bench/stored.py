"""
Stored tickets without number: rows as a bridge leaves them of archived tickets, written by the driver.

Each ticket is closed and archived: its ticket, its hand-off, two messages and two written receipts
with their leaves, seals and proofs, contents gone (`exchange.store.archive`).  So payloads are small,
indexes, lists and log are those of the real thing, and ``exchange log verify`` holds.

Ids rise through their whole space once in each step, so that every index is filled page after page:
in random order each ticket beyond the memory's size costs eight reads and writes of the disk, and ten
million take days.  The bridge's own tickets, whose cost is measured, have random ids as everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice

from sqlalchemy import Table, make_url

from exchange import tables
from exchange.acts import Classification, Kind, Marker, TicketKind, Urgency
from exchange.log import LeafKind, leaf_bytes, sign_checkpoint
from exchange.merkle import Frontier, leaf_hash
from exchange.note import LogKey
from exchange.profile import load
from exchange.store import Store, migrate
from exchange.store.engines import SQLITE
from exchange.store.rows import WRITTEN, Row, seal
from exchange.store.writer import Head
from exchange.tables import stamp
from exchange.ticket import State
from tests.bench.bare import Bare, BarePostgresql, BareSqlite, Batch
from tests.bench.place import FEW, RECEIVER, SENDER
from tests.bench.tickets import MATTER, PROFILE, REGION

#: Tickets of one drain: its leaves are as many as a bridge's longest drain has.
_DRAIN = 64
#: Tickets of one transaction.
_TOGETHER = 64 * _DRAIN
#: In so many parts the space of ids is divided among the tickets of one step.
_SPACE = 1 << 32
#: When the first was opened, and how long after it the next.
_BEGAN, _APART = datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=10)
#: So many of the oldest are another organisation's: one that has few tickets among very many.
FEW_TICKETS = 10


# As the columns have them: to ask an enumeration a dozen times a ticket is a tenth of the whole.
_WORK_ORDER, _ACTUAL = int(TicketKind.WORK_ORDER), int(Marker.ACTUAL)
_ORDINARY, _ROUTINE = int(Classification.ORDINARY), int(Urgency.ROUTINE)
_CLOSED = int(State.CLOSED)
_OPENING, _OFFER = Kind.OPEN_TICKET.value, Kind.OFFER.value


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
        #: The step under way: its first ticket, and how far apart in the space of ids its tickets are.
        self._first, self._apart = 0, 1
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
        self._first, self._apart = self.tickets, _SPACE // max(tickets - self.tickets, 1)
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
        growth = frontier.append([leaf_hash(leaf) for leaf in leaves])
        self.tickets += count
        note = sign_checkpoint(growth.frontier, self._key)
        rows[tables.drain].append((growth.frontier.size, frontier.size, growth.nodes, note, None))
        return growth.frontier

    def _ids(self, number: int) -> Iterator[str]:
        """Yield ids for what belongs to the ticket with this *number*."""
        part = (number - self._first) * self._apart
        while True:
            rest = f"{self._chance.getrandbits(88):022x}"
            yield f"{part:08x}-{rest[:4]}-4{rest[4:7]}-8{rest[7:10]}-{rest[10:]}"

    def _ticket(
        self, number: int, before: int, rows: dict[Table, list[Row]], leaves: list[bytes]
    ) -> None:
        chance, edition = self._chance, self._profile.catalogue.edition
        ticket, handoff, opening, offer = islice(self._ids(number), 4)
        few = number < FEW_TICKETS  # in its own region: its certificate reads no other
        sender, region = (FEW if few else SENDER).organisation, FEW.region if few else REGION
        receiver = RECEIVER.organisation
        moment = _BEGAN + number * _APART
        opened = stamp(moment)
        rows[tables.ticket].append(
            (
                ticket, _WORK_ORDER, sender, sender, region, MATTER, _ACTUAL, _ORDINARY, _ROUTINE,
                0, opened, True, "",
            )
        )  # fmt: skip
        head = chance.randbytes(32)  # the offer's digest
        rows[tables.handoff].append(
            (
                handoff, ticket, sender, receiver, _CLOSED, "", "", head, False, False,
                False, 1, MATTER, PROFILE, self._profile.edition, edition, "", "", "", sender,
                opened, opened, None, None, "",
            )
        )  # fmt: skip
        for leaf, kind, message, lane, author, recipient, digest in (
            (LeafKind.MESSAGE, _OPENING, opening, "", sender, "", chance.randbytes(32)),
            (LeafKind.MESSAGE, _OFFER, offer, handoff, sender, receiver, head),
            (LeafKind.WRITTEN, WRITTEN, opening, "", receiver, sender, chance.randbytes(32)),
            (LeafKind.WRITTEN, WRITTEN, offer, handoff, receiver, sender, chance.randbytes(32)),
        ):
            index = before + len(leaves)
            state = _CLOSED if lane else 0
            row = (index, opened, ticket, lane, kind, message, author, recipient, state, "")
            leaves.append(leaf_bytes(leaf, digest, moment))
            rows[tables.trail].append((*row, digest, seal(row, digest)))
            rows[tables.archived].append((index, 1))
            if leaf is LeafKind.WRITTEN:
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
    """Hold the driver's own connection for the length of the block; at its end all is on the disk."""
    sqlite = make_url(url).get_backend_name() == SQLITE
    bare: Bare = (BareSqlite if sqlite else BarePostgresql)(url, durable=False)
    try:
        yield bare
    finally:
        bare.close()
