"""
One transaction of the one writer: what a decision needs to know, and the record of it.

`Writer.record` is the only way anything gets into the database.  It writes a drain: the leaves,
the trail, messages, receipts, the state of tickets and hand-offs, the mailboxes, and the log's new
head, or nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
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
from exchange.store.drivers import Driver
from exchange.store.mail import Mail
from exchange.store.reader import Reader
from exchange.store.records import (
    Delivery,
    Entry,
    Known,
    Noted,
    Refused,
    Reopened,
    Settled,
    Standing,
    Written,
)
from exchange.store.rows import Row
from exchange.tables import stamp
from exchange.text import Text
from exchange.ticket import Ticket

_ADVANCE = (
    "UPDATE log SET size = {}, root = {}, position = {}"
    " WHERE origin = {} AND size = {} AND root = {} AND position = {}"
)
# `recipient || ''` keeps the planners off the index by recipient: it would lead through everything
# that waits for that organisation, and the few rows meant are found by source, position or lane.
_WRITTEN = (
    "DELETE FROM mailbox WHERE recipient || '' = {} AND source {among} AND content = 'message'"
)
_RELEASE = "DELETE FROM quarantine WHERE recipient = {} AND source {among}"
_NOTED = (
    "DELETE FROM mailbox WHERE position {among} AND recipient || '' = {} AND content <> 'message'"
)
_WITHDRAW = (
    "DELETE FROM mailbox WHERE position {among} AND recipient || '' = {} AND content = 'message'"
)
_REOPEN = "DELETE FROM quarantine WHERE recipient = {} AND lane {among}"
_RAISE = (
    "UPDATE mailbox SET urgency = {} WHERE lane {among} AND recipient || '' = {} AND urgency < {}"
)
_STOP = (
    "INSERT INTO quarantine (recipient, lane, source, refusal, time)"
    " SELECT DISTINCT recipient, lane, source, CAST({} AS BIGINT), CAST({} AS VARCHAR(27))"
    " FROM mailbox WHERE recipient = {} AND source = {} AND content = 'message'"
    " ON CONFLICT (recipient, lane) DO NOTHING"
)

#: Up to so many things in a drain, its statements are sent together; beyond, a COPY is faster.
FEW = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log stands, and the last number given to a mailbox row or refusal."""

    frontier: Frontier
    position: int


class Writer(Reader):
    """The open transaction; made by `Store.writing`."""

    def __init__(
        self,
        connection: Connection,
        driver: Driver,
        key: LogKey,
        head: Head,
        certified: frozenset[bytes] = frozenset(),
    ) -> None:
        super().__init__(connection, driver)
        self._key = key
        #: The signers' keys whose chains are in the database.
        self.certified = certified
        #: The head after what was recorded so far.
        self.head = head
        #: The newest checkpoint recorded in this transaction; empty if none.
        self.note = b""
        #: Ids that were asked for and are not there: these rows are inserted, others put in place.
        self._new: dict[Table, set[str]] = {tables.ticket: set(), tables.handoff: set()}

    def about(
        self,
        message_ids: Collection[str],
        ticket_ids: Collection[str],
        handoff_ids: Collection[str],
    ) -> tuple[dict[str, Known], dict[str, Ticket], dict[str, Standing]]:
        """Return these messages, tickets, and hand-offs with what stands beside them."""
        known, found, standings = super().about(message_ids, ticket_ids, handoff_ids)
        self._new[tables.ticket].update(one for one in ticket_ids if one not in found)
        self._new[tables.handoff].update(one for one in handoff_ids if one not in standings)
        return known, found, standings

    # -- the record

    def record(
        self,
        entries: Sequence[Entry] = (),
        *,
        now: datetime,
        refusals: Sequence[Refused] = (),
        noted: Collection[Noted] = (),
        settled: Collection[Settled] = (),
        reopened: Reopened | None = None,
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

            settled: What was acknowledged once more; it leaves the mailboxes, too.

            reopened: What is taken out of lanes that are put in order anew.

            deliveries: Messages to deliver once more, after that.

            certificates: Signers' chains (DER, leaf first) by key id; those known already stay.

        Raises:
            StoreMismatch: If another process advanced the log.

            RowsRefused: If the rows are at fault; leave the transaction.
        """
        leaves = [_leaf(entry) for entry in entries]
        drained = advance(self.head.frontier, leaves, self._key) if leaves else None
        mail = Mail(self.head.position, self.head.frontier.size)
        mail.collect(entries, refusals, deliveries)
        mail.resolve(self.messages(mail.unresolved()))
        self._advance(drained, mail.position)
        few = len(entries) + len(mail.rows) + len(refusals) <= FEW
        with self._driver.piped(self._connection) if few else nullcontext():
            self._certificates(certificates or {}, now)
            self._acknowledged(entries, noted, settled)
            if reopened:
                self._reopen(reopened)
            self._entries(entries)
            self._insert(tables.refusal, mail.refusals)
            if drained:
                grown = (drained.frontier.size, drained.size_before, drained.nodes, drained.note)
                self._insert(tables.drain, [grown])
            self._insert(tables.mailbox, mail.rows)
            self._raise_lanes(mail.rows)
            self._stop_lanes(refusals, mail.refusals)
        return list(drained.proofs) if drained else []

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
            (key_id, rows.pack_chain(chain), stamp(now))
            for key_id, chain in sorted(chains.items())
            if key_id not in self.certified
        ]
        if new:
            self._driver.upsert(self._connection, tables.certificate, new, ())
            self.certified |= chains.keys()

    def _acknowledged(
        self, entries: Sequence[Entry], noted: Collection[Noted], settled: Collection[Settled]
    ) -> None:
        written: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry, Written):
                written[entry.organisation].append(entry.of.leaf_index)
        for again in settled:
            written[again.recipient].append(again.source)
        for recipient, sources in sorted(written.items()):
            self._execute(_WRITTEN, recipient, sorted(sources))
            self._execute(_RELEASE, recipient, sorted(sources))
        positions: dict[str, list[int]] = defaultdict(list)
        for one in noted:
            positions[one.recipient].append(one.position)
        for recipient, where in sorted(positions.items()):
            self._execute(_NOTED, sorted(where), recipient)

    def _reopen(self, reopened: Reopened) -> None:
        recipient, positions, released = reopened.recipient, reopened.positions, reopened.released
        if positions:
            self._execute(_WITHDRAW, sorted(positions), recipient)
        if released:
            self._execute(_REOPEN, recipient, sorted(released))

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
            self._put(table, changed, columns)
        self._insert(tables.message, messages)
        self._insert(tables.trail, trail)
        self._insert(tables.receipt, receipts)

    def _put(self, table: Table, changed: Mapping[str, Row], columns: Sequence[str]) -> None:
        """Insert rows that are new, by the faster way, and put the others in place; ids in order."""
        new = self._new[table]
        self._insert(table, [changed[key] for key in sorted(changed) if key in new])
        old = [changed[key] for key in sorted(changed) if key not in new]
        if old:
            self._driver.upsert(self._connection, table, old, columns)
        new.difference_update(changed)

    def _raise_lanes(self, mail: Iterable[Row]) -> None:
        """Give the lanes of urgent deliveries their urgency: what stands before them goes first."""
        lanes: dict[tuple[int, str], set[str]] = defaultdict(set)
        for _, recipient, lane, urgency, _, _ in mail:
            if urgency > Urgency.ROUTINE:
                lanes[urgency, recipient].add(lane)
        for (urgency, recipient), which in sorted(lanes.items()):
            self._execute(_RAISE, urgency, sorted(which), recipient, urgency)

    def _stop_lanes(self, refusals: Sequence[Refused], recorded: Sequence[Row]) -> None:
        for refused, row in zip(refusals, recorded, strict=True):
            if refused.of is not None:
                where = (refused.refused_by, refused.of.leaf_index)
                self._execute(_STOP, row[0], stamp(refused.time), *where)


def _leaf(entry: Entry) -> bytes:
    if isinstance(entry, Written):
        return leaf_bytes(LeafKind.WRITTEN, entry.digest, entry.time)
    return leaf_bytes(LeafKind.MESSAGE, entry.message.digest, entry.time)


def _trail_row(index: int, entry: Entry) -> Row:
    contents: tuple[bytes, ...]
    if isinstance(entry, Written):
        of, digest, contents = entry.of, entry.digest, (entry.statement, entry.signature)
        row = (
            index, stamp(entry.time), of.ticket_id, of.handoff_id, rows.WRITTEN, of.id,
            entry.organisation, of.author, int(entry.state), entry.answers,
        )  # fmt: skip
    else:
        message = entry.message
        digest, contents = message.digest, (message.envelope,)
        row = (
            index, stamp(entry.time), message.ticket_id, message.handoff_id, message.kind.value,
            message.id, message.author, message.recipient, int(entry.state), entry.answers,
        )  # fmt: skip
    return (*row, digest, rows.seal(row, digest, *contents))
