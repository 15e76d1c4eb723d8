"""What a decision needs to know, read in the transaction that will record it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import Connection

from exchange import tables
from exchange.store import rows
from exchange.store.drivers import Driver, select_form
from exchange.store.records import Known, MailRow, Standing, StoredReceipt
from exchange.store.rows import Row
from exchange.tables import moment_of
from exchange.ticket import Handoff, Ticket

_KNOWN = (
    "SELECT m.id, t.digest, m.leaf_index, t.time, t.kind, t.ticket_id, t.handoff_id, t.author,"
    " t.recipient FROM message m JOIN trail t ON t.leaf_index = m.leaf_index"
)
_MESSAGES = f"{_KNOWN} WHERE m.id {{among}}"
_TICKETS = select_form(tables.ticket) + " WHERE id {among}"
_HANDOFF = select_form(tables.handoff)
_HANDOFFS = f"{_HANDOFF} WHERE id {{among}}"
_RECEIPTS = (
    "SELECT message_id, organisation, leaf_index, statement, signature FROM receipt"
    " WHERE message_id {among}"
)
# `recipient || ''`: found by source or lane; see `exchange.store.writer`.
_MAIL = (
    "SELECT position, lane, source, urgency FROM mailbox"
    " WHERE recipient || '' = {} AND source {among} AND content = 'message'"
)
_LANES = (
    "SELECT position, lane, source, urgency FROM mailbox"
    " WHERE lane {among} AND recipient || '' = {} AND content = 'message'"
)
_PARTY_TO = (
    "SELECT ticket_id FROM (SELECT DISTINCT ticket_id FROM handoff"
    "  WHERE sender = {} AND ticket_id > {} ORDER BY ticket_id LIMIT {}) AS sent"
    " UNION SELECT ticket_id FROM (SELECT DISTINCT ticket_id FROM handoff"
    "  WHERE receiver = {} AND ticket_id > {} ORDER BY ticket_id LIMIT {}) AS received"
    " ORDER BY ticket_id LIMIT {}"
)
_ARCHIVED = (
    "SELECT a.leaf_index FROM trail t JOIN archived a ON a.leaf_index = t.leaf_index"
    " WHERE t.ticket_id {among}"
)
_DECLINED = (
    "SELECT b.source FROM mailbox b JOIN message m ON m.leaf_index = b.source"
    " JOIN refusal f ON f.message_id = m.id AND f.refused_by = b.recipient"
    " JOIN quarantine q ON q.recipient = b.recipient AND q.lane = b.lane"
    " WHERE b.recipient = {} AND b.source {among} AND b.content = 'message'"
)


class Reader:
    """Every function takes a collection of ids and leaves out those that are not there."""

    def __init__(self, connection: Connection, driver: Driver) -> None:
        self._connection = connection
        self._driver = driver

    def messages(self, ids: Collection[str]) -> dict[str, Known]:
        """Return the accepted messages with these *ids*: a repeat is recognised by its digest."""
        return {row[0]: _known(row) for row in self._fetch(_MESSAGES, ids)}

    def about(
        self,
        message_ids: Collection[str],
        ticket_ids: Collection[str],
        handoff_ids: Collection[str],
    ) -> tuple[dict[str, Known], dict[str, Ticket], dict[str, Standing]]:
        """Return these messages, tickets, and hand-offs with what stands beside them."""
        known, found, standings = self._driver.fetch_all(
            self._connection,
            (_MESSAGES, sorted(message_ids)),
            (_TICKETS, sorted(ticket_ids)),
            (_HANDOFFS, sorted(handoff_ids)),
        )
        return (
            {row[0]: _known(row) for row in known},
            {row[0]: rows.ticket_of(row) for row in found},
            {row[0]: rows.standing_of(row) for row in standings},
        )

    def digests(self, ticket_ids: Collection[str]) -> dict[bytes, Known]:
        """
        Return every accepted message of these tickets by its digest.

        A predecessor, position, mark or request that a message names is one of its own ticket's.
        """
        found = self._fetch(f"{_KNOWN} WHERE t.ticket_id {{among}}", ticket_ids)
        return {known.digest: known for known in map(_known, found)}

    def handoffs(self, ids: Collection[str]) -> dict[str, Handoff]:
        """Return the hand-offs with these *ids*."""
        found = self._fetch(_HANDOFFS, ids)
        return {row[0]: rows.handoff_of(row) for row in found}

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
        return [_mail_row(row) for row in found]

    def lanes(self, recipient: str, lanes: Collection[str]) -> list[MailRow]:
        """Return what messages wait for *recipient* in these lanes."""
        if not lanes:
            return []
        found = self._driver.fetch(self._connection, _LANES, sorted(lanes), recipient)
        return [_mail_row(row) for row in found]

    def party_to(self, organisation: str, after: str, limit: int) -> list[str]:
        """Return the ids of up to *limit* tickets with a hand-off of *organisation*'s, by id."""
        one = organisation, after, limit
        found = self._driver.fetch(self._connection, _PARTY_TO, *one, *one, limit)
        return [row[0] for row in found]

    def archived(self, ticket_ids: Collection[str]) -> set[int]:
        """Return the leaves of these tickets whose contents were archived: nothing can deliver them."""
        return {row[0] for row in self._fetch(_ARCHIVED, ticket_ids)}

    def declined(self, recipient: str, leaf_indexes: Collection[int]) -> set[int]:
        """Return those of these messages that *recipient* refused and that stand in a stopped lane."""
        if not leaf_indexes:
            return set()
        found = self._driver.fetch(self._connection, _DECLINED, recipient, sorted(leaf_indexes))
        return {row[0] for row in found}

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

    def _fetch(self, statement: str, ids: Collection[str]) -> list[Row]:
        # An empty list has no type on PostgreSQL, and nothing to say anywhere.
        return self._driver.fetch(self._connection, statement, sorted(ids)) if ids else []


def _mail_row(row: Row) -> MailRow:
    return MailRow(position=row[0], lane=row[1], source=row[2], urgency=row[3])


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
