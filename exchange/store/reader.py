"""What a decision needs to know, read in the transaction that will record it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import Connection

from exchange import tables
from exchange.making import maker
from exchange.records import Carried, Known, MailRow, Standing, StoredReceipt
from exchange.store import rows
from exchange.store.drivers import Driver, Query, select_form
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
_DEADLINES = select_form(tables.deadline) + " WHERE handoff_id {among}"
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
# Of a relay: what waits in any of the mailboxes it empties, and what it carried from them before.
_CARRYING = (
    "SELECT recipient, lane, source, position FROM mailbox"
    " WHERE source {among} AND recipient {among} AND content = 'message'"
)
_PASSED = (
    "SELECT recipient, lane, leaf_index FROM passage WHERE leaf_index {among} AND recipient {among}"
)
_OWNERS = "SELECT position, recipient FROM mailbox WHERE position {among} AND content <> 'message'"
_SAID_NO = "SELECT message_id, refused_by, statement FROM refusal WHERE message_id {among}"
_IDS = "SELECT leaf_index, id FROM message WHERE leaf_index {among}"
_STANDING_STILL = "SELECT lane FROM quarantine WHERE recipient = {}"
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
_ASIDES = (
    "SELECT message_id, organisation, leaf_index, lane FROM aside WHERE message_id {among}"
    " ORDER BY leaf_index"
)
_LEFT_ASIDE = (
    "SELECT m.leaf_index FROM aside a JOIN message m ON m.id = a.message_id"
    " JOIN trail t ON t.leaf_index = m.leaf_index"
    " WHERE t.ticket_id {among} AND a.organisation = {} AND NOT EXISTS (SELECT 1 FROM receipt r"
    "  WHERE r.message_id = a.message_id AND r.organisation = a.organisation)"
)
_LAST_ACT = "SELECT number, line FROM act WHERE source = {} ORDER BY number DESC LIMIT 1"
_ACT_AT = "SELECT line FROM act WHERE source = {} AND number = {}"
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
        known, found, standings, due = self._ask(
            (_MESSAGES, sorted(message_ids)),
            (_TICKETS, sorted(ticket_ids)),
            (_HANDOFFS, sorted(handoff_ids)),
            (_DEADLINES, sorted(handoff_ids)),
        )
        further = rows.further_of(due)
        return (
            {row[0]: _known(row) for row in known},
            {row[0]: rows.ticket_of(row) for row in found},
            {row[0]: rows.standing_of(row, further.get(row[0], ())) for row in standings},
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
        (found,) = self._ask((_MAIL, recipient, sorted(leaf_indexes)))
        return [_mail_row(row) for row in found]

    def lanes(self, recipient: str, lanes: Collection[str]) -> list[MailRow]:
        """Return what messages wait for *recipient* in these lanes."""
        if not lanes:
            return []
        (found,) = self._ask((_LANES, sorted(lanes), recipient))
        return [_mail_row(row) for row in found]

    def party_to(self, organisation: str, after: str, limit: int) -> list[str]:
        """Return the ids of up to *limit* tickets with a hand-off of *organisation*'s, by id."""
        one = organisation, after, limit
        (found,) = self._ask((_PARTY_TO, *one, *one, limit))
        return [row[0] for row in found]

    def archived(self, ticket_ids: Collection[str]) -> set[int]:
        """Return the leaves of these tickets whose contents were archived: nothing can deliver them."""
        return {row[0] for row in self._fetch(_ARCHIVED, ticket_ids)}

    def declined(self, recipient: str, leaf_indexes: Collection[int]) -> set[int]:
        """Return those of these messages that *recipient* refused and that stand in a stopped lane."""
        if not leaf_indexes:
            return set()
        (found,) = self._ask((_DECLINED, recipient, sorted(leaf_indexes)))
        return {row[0] for row in found}

    def asides(self, message_ids: Collection[str]) -> dict[tuple[str, str], tuple[int, str]]:
        """Return what was set aside of these: (message, organisation) to the newest leaf and its lane."""
        return {(row[0], row[1]): (row[2], row[3]) for row in self._fetch(_ASIDES, message_ids)}

    def left_aside(self, organisation: str, ticket_ids: Collection[str]) -> set[int]:
        """Return the messages of these tickets that *organisation* set aside and has not written since."""
        if not ticket_ids:
            return set()
        (found,) = self._ask((_LEFT_ASIDE, sorted(ticket_ids), organisation))
        return {row[0] for row in found}

    def last_act(self, source: str) -> tuple[int, bytes]:
        """Return number and line of *source*'s newest act; 0 and nothing where it has none."""
        (found,) = self._ask((_LAST_ACT, source))
        return (found[0][0], bytes(found[0][1])) if found else (0, b"")

    def act(self, source: str, number: int) -> bytes:
        """Return the line of *source*'s act with this *number*; nothing where there is none."""
        (found,) = self._ask((_ACT_AT, source, number))
        return bytes(found[0][0]) if found else b""

    def carrying(
        self, recipients: Collection[str], leaf_indexes: Collection[int]
    ) -> tuple[list[Carried], list[Carried]]:
        """Return where these messages wait for these organisations, and for whom they were passed on."""
        if not leaf_indexes:
            return [], []
        wanted = sorted(leaf_indexes), sorted(recipients)
        waiting, passed = self._ask((_CARRYING, *wanted), (_PASSED, *wanted))
        return [Carried(*row) for row in waiting], [Carried(*row) for row in passed]

    def ids(self, leaf_indexes: Collection[int]) -> dict[int, str]:
        """Return the ids of the messages with these leaves."""
        if not leaf_indexes:
            return {}
        (found,) = self._ask((_IDS, sorted(leaf_indexes)))
        return {row[0]: row[1] for row in found}

    def owners(self, positions: Collection[int]) -> dict[int, str]:
        """Return in whose mailboxes the receipts at these positions are."""
        if not positions:
            return {}
        (found,) = self._ask((_OWNERS, sorted(positions)))
        return {row[0]: row[1] for row in found}

    def said_no(self, message_ids: Collection[str]) -> set[tuple[str, str, bytes]]:
        """Return the recorded refusals of these messages: id, who refused, statement."""
        return {(row[0], row[1], bytes(row[2])) for row in self._fetch(_SAID_NO, message_ids)}

    def standing_still(self, recipient: str) -> list[str]:
        """Return the lanes that stand still for *recipient*."""
        (found,) = self._ask((_STANDING_STILL, recipient))
        return [row[0] for row in found]

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
        return self._ask((statement, sorted(ids)))[0] if ids else []

    def _ask(self, *queries: Query) -> list[list[Row]]:
        return self._driver.fetch_all(self._connection, *queries)


_new_mail_row, _new_known = maker(MailRow), maker(Known)


def _mail_row(row: Row) -> MailRow:
    return _new_mail_row(position=row[0], lane=row[1], source=row[2], urgency=row[3])


def _known(row: Row) -> Known:
    return _new_known(
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
