"""
One transaction of the one writer: what a decision needs to know, and the record of it.

`Writer.record` is the only way anything gets into the database.  It writes a drain: the leaves,
the trail, messages, receipts, the state of tickets and hand-offs, the mailboxes, and the log's new
head, or nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table

from exchange import tables
from exchange.acts import Urgency
from exchange.errors import StoreMismatch
from exchange.log import Drain, LeafKind, StoredProof, advance, leaf_bytes
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.store import rows
from exchange.store.drivers import Driver, select_form
from exchange.store.records import (
    Accepted,
    Content,
    Delivery,
    Entry,
    Known,
    MailRow,
    Noted,
    Refused,
    Standing,
    StoredReceipt,
    Written,
)
from exchange.store.rows import Row
from exchange.tables import moment_of, stamp
from exchange.text import Text
from exchange.ticket import Handoff, Ticket

_KNOWN = (
    "SELECT m.id, t.digest, m.leaf_index, t.time, t.kind, t.ticket_id, t.handoff_id, t.author,"
    " t.recipient FROM message m JOIN trail t ON t.leaf_index = m.leaf_index"
)
_TICKETS = select_form(tables.ticket) + " WHERE id {among}"
_HANDOFF = select_form(tables.handoff)
_RECEIPTS = (
    "SELECT message_id, organisation, leaf_index, statement, signature FROM receipt"
    " WHERE message_id {among}"
)
_ADVANCE = (
    "UPDATE log SET size = {}, root = {}, position = {}"
    " WHERE origin = {} AND size = {} AND root = {} AND position = {}"
)
_WRITTEN = "DELETE FROM mailbox WHERE recipient = {} AND source {among} AND content = 'message'"
_MAIL = (
    "SELECT position, lane, source FROM mailbox"
    " WHERE recipient = {} AND source {among} AND content = 'message'"
)
_RELEASE = "DELETE FROM quarantine WHERE recipient = {} AND source {among}"
_NOTED = "DELETE FROM mailbox WHERE recipient = {} AND position {among} AND content <> 'message'"
_RAISE = "UPDATE mailbox SET urgency = {} WHERE recipient = {} AND urgency < {} AND lane {among}"
_STOP = (
    "INSERT INTO quarantine (recipient, lane, source, refusal, time)"
    " SELECT DISTINCT recipient, lane, source, CAST({} AS BIGINT), CAST({} AS VARCHAR(27))"
    " FROM mailbox WHERE recipient = {} AND source = {} AND content = 'message'"
    " ON CONFLICT (recipient, lane) DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log stands, and the last number given to a mailbox row or refusal."""

    frontier: Frontier
    position: int


class Writer:
    """
    The open transaction; made by `Store.writing`.

    Every reader takes a collection of ids and leaves out those that are not there.
    """

    def __init__(self, connection: Connection, driver: Driver, key: LogKey, head: Head) -> None:
        self._connection = connection
        self._driver = driver
        self._key = key
        #: The head after what was recorded so far.
        self.head = head
        #: The newest checkpoint recorded in this transaction; empty if none.
        self.note = b""

    # -- what is known

    def messages(self, ids: Collection[str]) -> dict[str, Known]:
        """Return the accepted messages with these *ids*: a repeat is recognised by its digest."""
        found = self._fetch(f"{_KNOWN} WHERE m.id {{among}}", sorted(ids)) if ids else []
        return {row[0]: _known(row) for row in found}

    def digests(self, ticket_ids: Collection[str]) -> dict[bytes, Known]:
        """
        Return every accepted message of these tickets by its digest.

        A predecessor, position, mark or request that a message names is one of its own ticket's.
        """
        found = self._fetch(f"{_KNOWN} WHERE t.ticket_id {{among}}", ticket_ids)
        return {known.digest: known for known in map(_known, found)}

    def tickets(self, ids: Collection[str]) -> dict[str, Ticket]:
        """Return the tickets with these *ids*."""
        return {row[0]: rows.ticket_of(row) for row in self._fetch(_TICKETS, ids)}

    def handoffs(self, ids: Collection[str]) -> dict[str, Handoff]:
        """Return the hand-offs with these *ids*."""
        found = self._fetch(f"{_HANDOFF} WHERE id {{among}}", ids)
        return {row[0]: rows.handoff_of(row) for row in found}

    def standings(self, ids: Collection[str]) -> dict[str, Standing]:
        """Return the hand-offs with these *ids*, with what stands beside them."""
        found = self._fetch(f"{_HANDOFF} WHERE id {{among}}", ids)
        return {row[0]: rows.standing_of(row) for row in found}

    def handoffs_of_tickets(self, ticket_ids: Collection[str]) -> dict[str, list[Handoff]]:
        """Return the hand-offs of each of these tickets, oldest first."""
        statement = f"{_HANDOFF} WHERE ticket_id {{among}} ORDER BY offered, id"
        grouped: dict[str, list[Handoff]] = defaultdict(list)
        for row in self._fetch(statement, ticket_ids):
            grouped[row[1]].append(rows.handoff_of(row))
        return dict(grouped)

    def children(self, handoff_ids: Collection[str]) -> dict[str, list[Handoff]]:
        """Return the hand-offs that pass on each of these, oldest first."""
        statement = f"{_HANDOFF} WHERE onward_of {{among}} AND onward_of <> '' ORDER BY offered, id"
        grouped: dict[str, list[Handoff]] = defaultdict(list)
        for row in self._fetch(statement, handoff_ids):
            handoff = rows.handoff_of(row)
            grouped[handoff.onward_of].append(handoff)
        return dict(grouped)

    def mail(self, recipient: str, leaf_indexes: Collection[int]) -> list[MailRow]:
        """Return where these messages wait in *recipient*'s mailbox; one may wait more than once."""
        if not leaf_indexes:
            return []
        found = self._driver.fetch(self._connection, _MAIL, recipient, sorted(leaf_indexes))
        return [MailRow(position=row[0], lane=row[1], source=row[2]) for row in found]

    def receipts(self, message_ids: Collection[str]) -> dict[str, dict[str, StoredReceipt]]:
        """Return the written receipts for these messages, by message and organisation."""
        grouped: dict[str, dict[str, StoredReceipt]] = defaultdict(dict)
        for row in self._fetch(_RECEIPTS, message_ids):
            receipt = StoredReceipt(
                message_id=row[0],
                organisation=row[1],
                leaf_index=row[2],
                statement=bytes(row[3]),
                signature=bytes(row[4]),
            )
            grouped[receipt.message_id][receipt.organisation] = receipt
        return dict(grouped)

    # -- the record

    def record(
        self,
        entries: Sequence[Entry] = (),
        *,
        now: datetime,
        refusals: Sequence[Refused] = (),
        noted: Collection[Noted] = (),
        deliveries: Sequence[Delivery] = (),
        certificates: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> list[StoredProof]:
        """
        Write a drain and return the proofs of its leaves, in the order of *entries*.

        Args:
            entries: What was accepted; one leaf each.

            now: The time of the drain.

            refusals: What was refused.

            noted: The delivered receipts that were noted; they leave the mailboxes.

            deliveries: Messages to deliver once more.

            certificates: Signers' chains (DER, leaf first) by key id; those known already stay.

        Raises:
            StoreMismatch: If another process advanced the log.

            RowsRefused: If the rows are at fault; leave the transaction.
        """
        leaves = [_leaf(entry) for entry in entries]
        drained = advance(self.head.frontier, leaves, self._key) if leaves else None
        mail = _Mail(self.head.position, self.head.frontier.size)
        mail.collect(entries, refusals, deliveries)
        mail.resolve(self.messages(mail.unresolved()))
        self._advance(drained, mail.position)
        self._certificates(certificates or {}, now)
        self._acknowledged(entries, noted)
        self._entries(entries)
        self._insert(tables.refusal, mail.refusals)
        if drained:
            nodes = (drained.size_before, drained.nodes, drained.note, stamp(now))
            self._insert(tables.drain, [(drained.frontier.size, *nodes)])
        self._insert(tables.mailbox, mail.rows)
        self._raise_lanes(mail.rows)
        self._stop_lanes(refusals, mail.refusals)
        return list(drained.proofs) if drained else []

    def _fetch(self, statement: str, ids: Collection[str]) -> list[Row]:
        # An empty list has no type on PostgreSQL, and nothing to say anywhere.
        return self._driver.fetch(self._connection, statement, sorted(ids)) if ids else []

    def _execute(self, statement: str, *parameters: Any) -> int:
        return self._driver.execute(self._connection, statement, *parameters)

    def _insert(self, table: Table, new: Sequence[Row]) -> None:
        if new:
            self._driver.insert(self._connection, table, new)

    def _advance(self, drained: Drain | None, position: int) -> None:
        """Move the log's head; the row lock it takes orders the writers of every process."""
        old = self.head
        new = Head(frontier=drained.frontier if drained else old.frontier, position=position)
        moved = self._execute(
            _ADVANCE,
            new.frontier.size,
            new.frontier.root(),
            new.position,
            self._key.name,
            old.frontier.size,
            old.frontier.root(),
            old.position,
        )
        if moved != 1:
            raise StoreMismatch(
                Text(
                    en=f"Another process writes the log {self._key.name} in this database. "
                    "Stop one of the two; each bridge needs a log of its own.",
                    zh=f"另有进程正在写入本数据库中的日志 {self._key.name}。请停止其中一个，"
                    "每个桥须有自己的日志。",
                ),
                origin=self._key.name,
            )
        self.head = new
        if drained:
            self.note = drained.note

    def _certificates(self, chains: Mapping[bytes, Sequence[bytes]], now: datetime) -> None:
        new = [
            (key_id, rows.pack_chain(chain), stamp(now)) for key_id, chain in sorted(chains.items())
        ]
        if new:
            self._driver.upsert(self._connection, tables.certificate, new, ())

    def _acknowledged(self, entries: Sequence[Entry], noted: Collection[Noted]) -> None:
        written: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry, Written):
                written[entry.organisation].append(entry.of.leaf_index)
        for recipient, sources in sorted(written.items()):
            self._execute(_WRITTEN, recipient, sorted(sources))
            self._execute(_RELEASE, recipient, sorted(sources))
        positions: dict[str, list[int]] = defaultdict(list)
        for one in noted:
            positions[one.recipient].append(one.position)
        for recipient, where in sorted(positions.items()):
            self._execute(_NOTED, recipient, sorted(where))

    def _entries(self, entries: Sequence[Entry]) -> None:
        tickets: dict[str, Row] = {}
        handoffs: dict[str, Row] = {}
        messages: list[Row] = []
        receipts: list[Row] = []
        trail: list[Row] = []
        first = self.head.frontier.size - len(entries)
        for index, entry in enumerate(entries, first):
            trail.append(_trail_row(index, entry))
            if isinstance(entry, Written):
                receipts.append(
                    (index, entry.of.id, entry.organisation, entry.statement, entry.signature)
                )
                continue
            messages.append((index, entry.message.id, entry.message.envelope))
            if entry.ticket is not None:
                tickets[entry.ticket.id] = rows.ticket_row(entry.ticket)
            for standing in entry.handoffs:
                handoffs[standing.handoff.id] = rows.handoff_row(standing, entry.time)
        for table, changed, columns in (
            (tables.ticket, tickets, rows.TICKET_CHANGES),
            (tables.handoff, handoffs, rows.HANDOFF_CHANGES),
        ):
            if changed:
                in_order = [changed[key] for key in sorted(changed)]
                self._driver.upsert(self._connection, table, in_order, columns)
        self._insert(tables.message, messages)
        self._insert(tables.trail, trail)
        self._insert(tables.receipt, receipts)

    def _raise_lanes(self, mail: Iterable[Row]) -> None:
        """Give the lanes of urgent deliveries their urgency: what stands before them goes first."""
        lanes: dict[tuple[int, str], set[str]] = defaultdict(set)
        for _, recipient, lane, urgency, _, _ in mail:
            if urgency > Urgency.ROUTINE:
                lanes[urgency, recipient].add(lane)
        for (urgency, recipient), which in sorted(lanes.items()):
            self._execute(_RAISE, urgency, recipient, urgency, sorted(which))

    def _stop_lanes(self, refusals: Sequence[Refused], recorded: Sequence[Row]) -> None:
        for refused, row in zip(refusals, recorded, strict=True):
            if refused.of is not None:
                where = (refused.refused_by, refused.of.leaf_index)
                self._execute(_STOP, row[0], stamp(refused.time), *where)


class _Mail:
    """The numbers and mailbox rows of one drain."""

    def __init__(self, position: int, size: int) -> None:
        self.position = position
        self.refusals: list[Row] = []
        self.rows: list[Row] = []
        self._next_leaf = size
        self._leaves: dict[str, int] = {}
        self._pending: list[tuple[Delivery, Content, int | None]] = []

    def collect(
        self,
        entries: Sequence[Entry],
        refusals: Sequence[Refused],
        deliveries: Sequence[Delivery],
    ) -> None:
        """Take in what is to be delivered, in order."""
        for index, entry in enumerate(entries, self._next_leaf):
            if isinstance(entry, Accepted):
                self._leaves[entry.message.id] = index
                self._pending += [(d, Content.MESSAGE, None) for d in entry.deliveries]
            elif entry.deliver is not None:
                self._pending.append((entry.deliver, Content.WRITTEN, index))
        for refused in refusals:
            self.position += 1
            self.refusals.append(
                (
                    self.position,
                    refused.message_id,
                    refused.digest,
                    refused.refused_by,
                    refused.statement,
                    refused.signature,
                    stamp(refused.time),
                )
            )
            if refused.deliver is not None:
                self._pending.append((refused.deliver, Content.REFUSED, self.position))
        self._pending += [(d, Content.MESSAGE, None) for d in deliveries]

    def unresolved(self) -> set[str]:
        """Return the ids of messages to deliver that came in earlier drains."""
        return {
            delivery.message_id
            for delivery, _, source in self._pending
            if source is None and delivery.message_id not in self._leaves
        }

    def resolve(self, known: Mapping[str, Known]) -> None:
        """Make the rows; raises `KeyError` for a message that was never accepted."""
        leaves = self._leaves | {known_id: one.leaf_index for known_id, one in known.items()}
        for delivery, content, source in self._pending:
            self.position += 1
            where = leaves[delivery.message_id] if source is None else source
            urgency = int(delivery.urgency)
            self.rows.append(
                (self.position, delivery.recipient, delivery.lane, urgency, content.value, where)
            )


def _leaf(entry: Entry) -> bytes:
    if isinstance(entry, Written):
        return leaf_bytes(LeafKind.WRITTEN, entry.digest, entry.time)
    return leaf_bytes(LeafKind.MESSAGE, entry.message.digest, entry.time)


def _trail_row(index: int, entry: Entry) -> Row:
    if isinstance(entry, Written):
        of = entry.of
        return (
            index, stamp(entry.time), of.ticket_id, of.handoff_id, rows.WRITTEN, of.id,
            entry.organisation, of.author, entry.state, entry.answers, entry.digest,
        )  # fmt: skip
    message = entry.message
    return (
        index, stamp(entry.time), message.ticket_id, message.handoff_id, message.kind.value,
        message.id, message.author, message.recipient, entry.state, entry.answers, message.digest,
    )  # fmt: skip


def _known(row: Row) -> Known:
    return Known(
        id=row[0],
        digest=bytes(row[1]),
        leaf_index=row[2],
        time=moment_of(row[3]),
        kind=row[4],
        ticket_id=row[5],
        handoff_id=row[6],
        author=row[7],
        recipient=row[8],
    )
