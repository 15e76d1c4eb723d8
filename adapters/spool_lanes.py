"""
Lanes that stand still: what the platform could not digest, why, since when, and its kept original.

Rule 1: the original is kept, byte for byte, in the transaction that notes that it was declined.
Rule 2: it stays until the platform has written the message after all, however often it is declined.
Rule 3: of a message that a person set aside (`adapters.spool_asides`) it stays for a stated time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapters.spool_arrivals import Arrivals
from adapters.spool_records import refusal_of
from exchange.client import Declined, IncomingFault, IncomingMessage, Written
from exchange.errors import Refusal

#: Begins the name of a note about a lane that stands still because a message was declined.
STOPPED = "stopped "

_DECLINED = (
    "SELECT i.message_id, i.refusal, i.time, i.acknowledged, q.lane, q.kind, q.author, "
    "q.ticket_id, q.original, q.since, q.times FROM incoming AS i "
    "LEFT JOIN quarantine AS q ON q.message_id = i.message_id "
    "WHERE i.refusal IS NOT NULL AND i.message_id {} (SELECT message_id FROM aside) "
    "ORDER BY coalesce(q.since, i.time), i.message_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedLane:
    """One lane that stands still, and the message that stops it; times are UTC."""

    #: The hand-off's id; empty where an older version declined it and noted no lane.
    lane: str
    message_id: str
    #: Kind, author and ticket; empty where the message could not be read, or was not kept.
    kind: str
    author: str
    ticket_id: str
    refusal: Refusal
    #: When it was declined first and last, and how often.
    since: datetime
    newest: datetime
    times: int
    #: Whether the bridge has recorded that it was declined.
    told: bool
    #: The serialised envelope as it came; empty where an older version declined it.
    original: bytes


class Lanes(Arrivals):
    """The lanes of one organisation's spool that stand still."""

    def put_aside(
        self, item: IncomingMessage | IncomingFault, refusal: Refusal, now: datetime
    ) -> Declined:
        """Record that *item* is in quarantine, with its original; return what to acknowledge with."""
        message = item.message if isinstance(item, IncomingMessage) else None
        raw = item.raw if isinstance(item, IncomingFault) else item.message.envelope
        declined = Declined(
            message_id=item.message_id, digest=item.digest, refusal=refusal, time=now
        )
        with self._transaction():
            # One that was set aside, and asked for again, stands in quarantine as any other.
            self._db.execute("DELETE FROM aside WHERE message_id = ?", (item.message_id,))
            # Also of a lane that never began here: reconciling finds it by this name.
            self._note(STOPPED + item.lane, f"{refusal.code.name} {item.message_id}")
            self._db.execute(
                "INSERT INTO quarantine (message_id, lane, kind, author, ticket_id, original, since, "
                "times) VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (message_id) DO UPDATE SET "
                "lane = excluded.lane, original = excluded.original, times = times + 1",
                (
                    item.message_id,
                    item.lane,
                    message.kind.value if message else "",
                    message.author if message else "",
                    message.ticket_id if message else "",
                    raw,
                    now.isoformat(),
                ),
            )
            self._keep_incoming(declined, "")
        return declined

    def moves(self, lane: str) -> None:
        """Note that something of *lane* was written: it stands still no longer."""
        with self._transaction():
            self._note(STOPPED + lane, "")

    def _keep_incoming(self, said: Written | Declined, ticket_id: str) -> bool:
        if isinstance(said, Written):
            self._db.execute("DELETE FROM quarantine WHERE message_id = ?", (said.message_id,))
        return super()._keep_incoming(said, ticket_id)

    def stopped(self) -> list[StoppedLane]:
        """Return the lanes that stand still, the one that has for longest first."""
        return self._stopped("NOT IN")

    def _stopped(self, whether: str) -> list[StoppedLane]:
        """Return what was declined and is, or is not, among what was set aside (``IN``, ``NOT IN``)."""
        notes = self._all("SELECT name, fact FROM note WHERE substr(name, 1, 8) = ?", STOPPED)
        noted = {fact.rpartition(" ")[2]: name.removeprefix(STOPPED) for name, fact in notes}
        rows = self._all(_DECLINED.format(whether))
        found = []
        for message_id, stored, newest, told, lane, kind, author, ticket, raw, since, times in rows:
            refusal = refusal_of(stored)
            if refusal is None:  # the query leaves out those
                continue
            found.append(
                StoppedLane(
                    lane=lane or noted.get(message_id, ""),
                    message_id=message_id,
                    kind=kind or "",
                    author=author or "",
                    ticket_id=ticket or "",
                    refusal=refusal,
                    since=datetime.fromisoformat(since or newest),
                    newest=datetime.fromisoformat(newest),
                    times=times or 1,
                    told=bool(told),
                    original=raw or b"",
                )
            )
        return found

    def came_of(self, message_id: str) -> tuple[str, datetime] | None:
        """Return the number under which a message was written here, and when; None where it was not."""
        query = "SELECT local_number, time FROM incoming WHERE message_id = ? AND refusal IS NULL"
        row = self._one(query, message_id)
        return (row[0], datetime.fromisoformat(row[1])) if row is not None else None

    def _note(self, name: str, fact: str) -> None:
        """Note a fact, inside a transaction; an empty one is forgotten."""
        self._db.execute("DELETE FROM note WHERE name = ?", (name,))
        if fact:
            self._db.execute("INSERT INTO note (name, fact) VALUES (?, ?)", (name, fact))
