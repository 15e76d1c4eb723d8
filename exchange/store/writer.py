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
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table

from exchange import tables
from exchange.acts import Urgency
from exchange.attachment_tables import attachment
from exchange.deadlines import Deadline
from exchange.errors import StoreMismatch
from exchange.log import Drain, StoredProof, advance
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.records import (
    Accepted,
    Delivery,
    Entry,
    Known,
    Noted,
    Passage,
    Refused,
    Reopened,
    SetAside,
    Settled,
    Standing,
    Written,
)
from exchange.store import rows
from exchange.store import statements as sql
from exchange.store.at_rest import HELD, AtRest
from exchange.store.drivers import Driver, Insert, NotMoved, Query, Run, Upsert, Write
from exchange.store.engines import POSTGRESQL
from exchange.store.leaves import content_row, leaf, ticket_of, trail_row
from exchange.store.mail import Mail
from exchange.store.reader import Reader
from exchange.store.rows import Row
from exchange.store.sharing import drain_row, hold_tickets, require_room, take_turn
from exchange.store.tree import located
from exchange.tables import stamp
from exchange.text import Text
from exchange.ticket import Ticket


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
        *,
        number: int | None = None,
        at_rest: AtRest | None = None,
    ) -> None:
        super().__init__(connection, driver)
        #: How what messages say is kept; None: as it came.
        self._at_rest = at_rest
        self._key = key
        #: The log's number where several share the database; None where its bridge is alone.
        self._number = number
        #: The signers' keys whose chains are in the database.
        self.certified = certified
        #: The head after what was recorded so far.
        self.head = head
        #: The newest checkpoint recorded in this transaction; empty if none.
        self.note = b""
        #: Ids that were asked for and are not there: these rows are inserted, others put in place.
        self._new: dict[Table, set[str]] = {tables.ticket: set(), tables.handoff: set()}
        #: What was due beside the next step of the hand-offs that were asked for.
        self._further: dict[str, tuple[Deadline, ...]] = {}
        #: The rows that the newest record put into mailboxes, in the table's column order.
        self.mailed: Sequence[Row] = ()
        #: What was recorded and is not yet sent.
        self._writes: list[Write] = []

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
        self._further |= {key: standing.further for key, standing in standings.items()}
        return known, found, standings

    def expect_new(self, ticket_ids: Collection[str], handoff_ids: Collection[str]) -> None:
        """Take these to be new without having asked; if one is there, the rows are refused."""
        self._new[tables.ticket].update(ticket_ids)
        self._new[tables.handoff].update(handoff_ids)

    @property
    def shared(self) -> bool:
        """Whether other bridges write this database, too."""
        return self._number is not None

    def hold(
        self,
        ticket_ids: Collection[str],
        message_ids: Collection[str] = (),
        *,
        patient: bool = True,
    ) -> frozenset[str]:
        """
        Keep other bridges from these tickets, and from those of these messages, until the commit.

        Where a bridge is alone in its database there is nothing to do.  Returns the tickets that
        another one holds: none if *patient*, which waits for them.
        """
        if self._number is None:
            return frozenset()
        where = self._driver, self._connection
        return hold_tickets(*where, ticket_ids, message_ids, patient=patient)

    def indexes(self, places: Collection[int]) -> dict[int, int]:
        """Return the index, each in its own log, of the leaves at *places*."""
        if self._number is None:
            return {place: place for place in places}
        found = located(partial(self._driver.fetch, self._connection), places)
        return {place: index for place, (_, index) in found.items()}

    # -- the record

    def record(
        self,
        entries: Sequence[Entry] = (),
        *,
        now: datetime,
        refusals: Sequence[Refused] = (),
        noted: Collection[Noted] = (),
        settled: Collection[Settled] = (),
        passages: Sequence[Passage] = (),
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

            passages: What relays carried on; it leaves the mailboxes, too.
            reopened: What is taken out of lanes that are put in order anew.

            deliveries: Messages to deliver once more, after that.

            certificates: Signers' chains (DER, leaf first) by key id; those known already stay.

        It is sent when the transaction ends, or reads again; what then fails is raised there:
        `StoreMismatch` if another process advanced the log, `RowsRefused` if the rows are at fault.
        """
        leaves = [leaf(entry) for entry in entries]
        drained = advance(self.head.frontier, leaves, self._key) if leaves else None
        position, place = self.head.position, self.head.frontier.size
        if self._number is not None and (entries or refusals or deliveries):
            self.send()
            about = {ticket for entry in entries if (ticket := ticket_of(entry))}
            position = place = take_turn(self._driver, self._connection, about)
        mail = Mail(position, place)
        mail.collect(entries, refusals, deliveries)
        mail.resolve(self.messages(mail.unresolved()))
        require_room(mail.position - position)
        kept, data_keys = self._encrypted(entries, now)
        self._advance(drained, mail.position)
        self._certificates(certificates or {}, now)
        self._acknowledged(entries, noted, settled, passages)
        self._insert(tables.passage, [row for one in passages for row in rows.passage_rows(one)])
        if reopened:
            self._reopen(reopened)
        self._insert(tables.data_key, data_keys)
        begun = self._entries(entries, place, mail.asides, kept)
        self._insert(tables.refusal, [*mail.asides.values(), *mail.refusals])
        if drained:
            self._insert(tables.drain, [drain_row(drained, self._number, place)])
        self.mailed = mail.rows
        self._insert(tables.mailbox, mail.rows)
        self._raise_lanes(mail.rows, begun)
        self._stop_lanes(refusals, mail.refusals)
        return list(drained.proofs) if drained else []

    def send(self, *, commit: bool = False) -> None:
        """Send what was recorded; *commit* if nothing follows.  Raises as `record` says."""
        writes, self._writes = self._writes, []
        if not writes:
            return
        try:
            self._driver.write(self._connection, writes, commit=commit)
        except NotMoved as error:
            raise StoreMismatch(
                Text(
                    en=f"Another process writes the log {self._key.name} in this database. "
                    "Stop one of the two; each bridge needs a log of its own.",
                    zh=f"另有进程正在写入本数据库中的日志 {self._key.name}。请停止其中一个，"
                    "每个桥须有自己的日志。",
                ),
                origin=self._key.name,
            ) from error

    def _ask(self, *queries: Query) -> list[list[Row]]:
        self.send()
        return super()._ask(*queries)

    def _execute(self, statement: str, *parameters: Any) -> None:
        self._writes.append(Run(statement, parameters))

    def _insert(self, table: Table, new: Sequence[Row]) -> None:
        if new:
            self._writes.append(Insert(table, new))

    def _advance(self, drained: Drain | None, position: int) -> None:
        """Move the log's head; the row lock it takes orders the writers of every process."""
        old = self.head
        new = Head(frontier=drained.frontier if drained else old.frontier, position=position)
        after = (new.frontier.size, new.frontier.root(), new.position)
        before = (old.frontier.size, old.frontier.root(), old.position)
        self._writes.append(Run(sql.ADVANCE, (*after, self._key.name, *before), one=True))
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
            self._writes.append(Upsert(tables.certificate, new, ()))
            self.certified |= chains.keys()

    def _acknowledged(
        self,
        entries: Sequence[Entry],
        noted: Collection[Noted],
        settled: Collection[Settled],
        passages: Sequence[Passage],
    ) -> None:
        written: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry, Written | SetAside):
                written[entry.organisation].append(entry.of.leaf_index)
        for again in settled:
            written[again.recipient].append(again.source)
        for passage in passages:
            for recipient in passage.lanes:
                written[recipient].append(passage.of.leaf_index)
        for recipient, sources in sorted(written.items()):
            self._execute(sql.WRITTEN, recipient, sorted(sources))
            self._execute(sql.RELEASE, recipient, sorted(sources))
        positions: dict[str, list[int]] = defaultdict(list)
        for one in noted:
            positions[one.recipient].append(one.position)
        for recipient, where in sorted(positions.items()):
            self._execute(sql.NOTED, sorted(where), recipient)

    def _reopen(self, reopened: Reopened) -> None:
        recipient, positions, released = reopened.recipient, reopened.positions, reopened.released
        if positions:
            self._execute(sql.WITHDRAW, sorted(positions), recipient)
        if released:
            self._execute(sql.REOPEN, recipient, sorted(released))

    def _encrypted(
        self, entries: Sequence[Entry], now: datetime
    ) -> tuple[Mapping[str, bytes], Sequence[Row]]:
        """Return what is stored of messages in place of their envelopes, and the keys made for it."""
        if self._at_rest is None or not entries:
            return {}, ()
        held = HELD if self._connection.dialect.name == POSTGRESQL else ""
        new = self._new[tables.ticket]
        return self._at_rest.encrypted(self._fetch, entries, new, now, held)

    def _entries(
        self, entries: Sequence[Entry], first: int, asides: Mapping[int, Row], kept: Mapping[str, bytes]
    ) -> set[str]:  # fmt: skip
        """Write *entries*, messages as *kept*, what is aside by leaf; return the hand-offs that begin."""
        tickets: dict[str, Row] = {}
        handoffs: dict[str, Row] = {}
        contents: dict[Table, list[Row]] = defaultdict(list)
        standings: dict[str, Standing] = {}
        trail: list[Row] = []
        for index, entry in enumerate(entries, first):
            trail.append(trail_row(index, entry))
            if not isinstance(entry, Accepted):
                table, row = content_row(index, entry, asides[index][0] if index in asides else 0)
                contents[table].append(row)
                continue
            message = entry.message
            row = (index, message.id, kept.get(message.id, message.envelope))
            contents[tables.message].append(row)
            if entry.ticket is not None:
                tickets[entry.ticket.id] = rows.ticket_row(entry.ticket)
            for standing in entry.handoffs:
                handoffs[standing.handoff.id] = rows.handoff_row(standing, entry.time)
                standings[standing.handoff.id] = standing
        begun = self._new[tables.handoff] & handoffs.keys()
        for table, changed, columns in (
            (tables.ticket, tickets, rows.TICKET_CHANGES),
            (tables.handoff, handoffs, rows.HANDOFF_CHANGES),
        ):
            self._put(table, changed, columns)
        self._put_deadlines(standings, begun)
        self._insert(tables.message, contents.pop(tables.message, ()))
        self._insert(tables.trail, trail)
        for table, new in contents.items():
            self._insert(table, new)
        self._insert(attachment, rows.attachment_rows(entries, first))
        return begun

    def _put(self, table: Table, changed: Mapping[str, Row], columns: Sequence[str]) -> None:
        """Insert rows that are new, by the faster way, and put the others in place; ids in order."""
        new = self._new[table]
        self._insert(table, [changed[key] for key in sorted(changed) if key in new])
        old = [changed[key] for key in sorted(changed) if key not in new]
        if old:
            self._writes.append(Upsert(table, old, columns))
        new.difference_update(changed)

    def _put_deadlines(self, standings: Mapping[str, Standing], begun: Collection[str]) -> None:
        """Put what is due beside the next steps in place, where it changed."""
        changed = {
            key: standing
            for key, standing in standings.items()
            if standing.further != self._further.get(key, () if key in begun else None)
        }
        gone = sorted(key for key in changed if self._further.get(key, key not in begun))
        if gone:
            self._execute(sql.PAST, gone)
        new = [row for key in sorted(changed) for row in rows.deadline_rows(changed[key])]
        self._insert(tables.deadline, new)
        self._further |= {key: standing.further for key, standing in changed.items()}

    def _raise_lanes(self, mail: Iterable[Row], begun: Collection[str]) -> None:
        """
        Give the lanes of urgent deliveries their urgency: what stands before them goes first.

        In a lane *begun* by this drain, with one urgency, nothing can.
        """
        routine = int(Urgency.ROUTINE)
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        for _, recipient, lane, urgency, _, _ in mail:
            found[recipient, lane].add(urgency)
        lanes: dict[tuple[int, str], set[str]] = defaultdict(set)
        for (recipient, lane), urgencies in found.items():
            if max(urgencies) > routine and (lane not in begun or len(urgencies) > 1):
                lanes[max(urgencies), recipient].add(lane)
        for (urgency, recipient), which in sorted(lanes.items()):
            self._execute(sql.RAISE, urgency, sorted(which), recipient, urgency)

    def _stop_lanes(self, refusals: Sequence[Refused], recorded: Sequence[Row]) -> None:
        for refused, row in zip(refusals, recorded, strict=True):
            if refused.of is not None:
                for recipient in refused.stops or (refused.refused_by,):
                    where = (recipient, refused.of.leaf_index)
                    self._execute(sql.STOP, row[0], stamp(refused.time), *where)
                    if self._number is not None:
                        self._execute(sql.FREE, *where)
