"""What waits for each organisation, read over connections of their own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Self

from exchange.keyring import RingFile, is_encrypted
from exchange.making import maker
from exchange.records import Content, Waiting
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, ask, connect
from exchange.store.rows import Row, withheld_in
from exchange.store.tree import Fetch

#: What waits, of at least an urgency: *skipped* lanes are left out, and what is not *after* a place.
WAITING = (
    "SELECT b.position, b.lane, b.urgency, b.content, m.id, m.envelope, r.message_id,"
    " r.statement, r.signature, f.message_id, f.statement, f.signature"
    " FROM (SELECT position, lane, urgency, content, source FROM mailbox WHERE recipient = {}"
    "  AND urgency >= {} AND lane NOT IN (SELECT lane FROM quarantine WHERE recipient = {})"
    "  AND lane {skipped}{after}"
    "  ORDER BY urgency DESC, position LIMIT {limit}) b"
    " LEFT JOIN message m ON b.content = 'message' AND m.leaf_index = b.source"
    " LEFT JOIN receipt r ON b.content = 'written' AND r.leaf_index = b.source"
    " LEFT JOIN refusal f ON b.content = 'refused' AND f.number = b.source"
    " ORDER BY b.urgency DESC, b.position"
)
_WAITING = WAITING.format(
    "{}", "{}", "{}", skipped="{outside}", limit="{}",
    after=" AND (urgency < {} OR (urgency = {} AND position > {}))",
)  # fmt: skip
# A relay's mailboxes together; one query, so that the answer's limit holds over all of them.
_FOR_ANY = (
    "SELECT b.position, b.lane, b.urgency, b.content, m.id, m.envelope, r.message_id,"
    " r.statement, r.signature, f.message_id, f.statement, f.signature, b.recipient"
    " FROM (SELECT position, recipient, lane, urgency, content, source FROM mailbox"
    "  WHERE recipient {{among}} AND urgency >= {{}} AND lane {{outside}} AND position > {{}}"
    "  AND NOT EXISTS (SELECT 1 FROM quarantine q"
    "   WHERE q.recipient = mailbox.recipient AND q.lane = mailbox.lane)"
    "  ORDER BY {order} LIMIT {{}}) b"
    " LEFT JOIN message m ON b.content = 'message' AND m.leaf_index = b.source"
    " LEFT JOIN receipt r ON b.content = 'written' AND r.leaf_index = b.source"
    " LEFT JOIN refusal f ON b.content = 'refused' AND f.number = b.source"
    " ORDER BY {border}"
)
# Of most hand-offs nothing is written in `rest`; only what withholds something is read.
_WITHHOLDING = (
    "SELECT id, receiver, rest FROM handoff WHERE id {among} AND sender <> receiver"
    " AND rest LIKE {}"
)
_OFFERS = (
    "SELECT m.id, m.envelope FROM trail t JOIN message m ON m.leaf_index = t.leaf_index"
    " WHERE t.ticket_id = {} AND t.kind = 'offer'"
)
_MOST_URGENT = _FOR_ANY.format(order="urgency DESC, position", border="b.urgency DESC, b.position")
_OLDEST = _FOR_ANY.format(order="position", border="b.position")
#: More urgent than any: where reading a mailbox begins.
_ABOVE_ALL = 32767

_CONTENTS = {one.value: one for one in Content}
_MESSAGE, _WRITTEN = Content.MESSAGE, Content.WRITTEN
_new_waiting = maker(Waiting)


class Outbox:
    """The mailboxes of one database; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._driver = driver_of(engines.writer.dialect.name)

    @classmethod
    def read(cls, url: str, ring: RingFile | None = None) -> Self:
        """Return the mailboxes of the database at *url*, which another process writes."""
        return cls(connect(url, keyed=True, ring=ring))

    def close(self) -> None:
        """Close every connection."""
        self._engines.close()

    def waiting(
        self,
        recipient: str,
        limit: int,
        *,
        after: tuple[int, int] | None = None,
        skip_lanes: Collection[str] = (),
        least: int = 0,
    ) -> list[Waiting]:
        """
        Return up to *limit* of what waits for *recipient*, most urgent first, then oldest.

        Only lanes of the urgency *least* or more count.  *after* is the (urgency, position) of the last one seen; quarantined lanes and *skip_lanes*
        are left out.
        """
        urgency, position = after or (_ABOVE_ALL, 0)
        skipped = sorted(skip_lanes)
        found = self._fetch(
            _WAITING, recipient, least, recipient, skipped, urgency, urgency, position, limit
        )
        return self._in_clear([waiting_of(row) for row in found], self._fetch)

    def waiting_for_any(
        self,
        recipients: Collection[str],
        limit: int,
        *,
        skip_lanes: Collection[str] = (),
        behind: int | None = None,
        least: int = 0,
    ) -> list[Waiting]:
        """
        Return up to *limit* of what waits for any of *recipients*, most urgent first, then oldest.

        With *behind*, a place in the mailbox, only what stands behind it, oldest first; *least* as in
        `waiting`.
        """
        form = _MOST_URGENT if behind is None else _OLDEST
        whom, skipped = sorted(recipients), sorted(skip_lanes)
        found = self._fetch(form, whom, least, skipped, behind or 0, limit)
        return self._in_clear([waiting_of(row[:-1], row[-1]) for row in found], self._fetch)

    def _in_clear(self, found: list[Waiting], fetch: Fetch) -> list[Waiting]:
        """Return what was *found* with the messages' envelopes in clear."""
        if not any(is_encrypted(one.payload) for one in found):  # receipts never are
            return found
        stored = [(one.message_id, one.payload) for one in found]
        envelopes = self._engines.at_rest.decrypted(fetch, stored)
        return [
            replace(one, payload=envelope) if envelope is not one.payload else one
            for one, envelope in zip(found, envelopes, strict=True)
        ]

    def withholding(self, lanes: Collection[str]) -> dict[str, tuple[str, frozenset[int]]]:
        """Return those of these hand-offs that withhold groups: from their receiver, which groups."""
        if not lanes:
            return {}
        found = self._fetch(_WITHHOLDING, sorted(lanes), '%"withheld"%')
        return {row[0]: (row[1], withheld_in(row[2])) for row in found}

    def offers(self, ticket_id: str) -> list[bytes]:
        """Return the envelopes of a ticket's offers: keys to what is sealed are handed on with them."""
        stored = [(row[0], bytes(row[1])) for row in self._fetch(_OFFERS, ticket_id) if row[1]]
        return self._engines.at_rest.decrypted(self._fetch, stored)

    def _fetch(self, statement: str, *parameters: object) -> list[Row]:
        return ask(
            self._engines,
            lambda connection: self._driver.fetch(connection, statement, *parameters),
        )


def waiting_of(row: Row, recipient: str = "") -> Waiting:
    """Return what waits, from a row of the query above."""
    position, lane, urgency, content, *sources = row
    kind = _CONTENTS[content]
    if kind is _MESSAGE:
        message_id, payload, signature = sources[0], sources[1], b""
    elif kind is _WRITTEN:
        message_id, payload, signature = sources[2:5]
    else:
        message_id, payload, signature = sources[5:8]
    return _new_waiting(
        position=position,
        lane=lane,
        urgency=urgency,
        content=kind,
        message_id=message_id,
        payload=bytes(payload),
        signature=bytes(signature),
        recipient=recipient,
    )
