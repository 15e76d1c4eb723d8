"""What waits for each organisation, read over connections of their own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, ask, connect
from exchange.store.records import Content, Waiting
from exchange.store.rows import Row

_WAITING = (
    "SELECT b.position, b.lane, b.urgency, b.content, m.id, m.envelope, r.message_id,"
    " r.statement, r.signature, f.message_id, f.statement, f.signature"
    " FROM (SELECT position, lane, urgency, content, source FROM mailbox WHERE recipient = {}"
    "  AND lane NOT IN (SELECT lane FROM quarantine WHERE recipient = {})"
    "  AND lane {outside} AND (urgency < {} OR (urgency = {} AND position > {}))"
    "  ORDER BY urgency DESC, position LIMIT {}) b"
    " LEFT JOIN message m ON b.content = 'message' AND m.leaf_index = b.source"
    " LEFT JOIN receipt r ON b.content = 'written' AND r.leaf_index = b.source"
    " LEFT JOIN refusal f ON b.content = 'refused' AND f.number = b.source"
    " ORDER BY b.urgency DESC, b.position"
)
#: More urgent than any: where reading a mailbox begins.
_ABOVE_ALL = 32767


class Outbox:
    """The mailboxes of one database; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._driver = driver_of(engines.writer.dialect.name)

    @classmethod
    def read(cls, url: str) -> Self:
        """Return the mailboxes of the database at *url*, which another process writes."""
        return cls(connect(url, keyed=True))

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
    ) -> list[Waiting]:
        """
        Return up to *limit* of what waits for *recipient*, most urgent first, then oldest.

        *after* is the (urgency, position) of the last one seen; quarantined lanes and *skip_lanes*
        are left out.
        """
        urgency, position = after or (_ABOVE_ALL, 0)
        skipped = sorted(skip_lanes)
        found = self._fetch(
            _WAITING, recipient, recipient, skipped, urgency, urgency, position, limit
        )
        return [_waiting(row) for row in found]

    def _fetch(self, statement: str, *parameters: object) -> list[Row]:
        return ask(
            self._engines,
            lambda connection: self._driver.fetch(connection, statement, *parameters),
        )


def _waiting(row: Row) -> Waiting:
    position, lane, urgency, content, *sources = row
    kind = Content(content)
    if kind is Content.MESSAGE:
        message_id, payload, signature = sources[0], sources[1], b""
    elif kind is Content.WRITTEN:
        message_id, payload, signature = sources[2:5]
    else:
        message_id, payload, signature = sources[5:8]
    return Waiting(
        position=position,
        lane=lane,
        urgency=urgency,
        content=kind,
        message_id=message_id,
        payload=bytes(payload),
        signature=bytes(signature),
    )
