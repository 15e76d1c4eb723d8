"""
The spool: what a platform has said and the bridge has not yet answered for, on this side's disk.

Rule 1: a message is in the spool, signed, before anybody is told that it will be sent; it survives
a dead link, a dead bridge and a killed process, and is repeated as the same bytes.
Rule 2: the messages of one hand-off leave in the order in which they came; those about the ticket
as a whole leave alone.  Urgent tickets leave first.
Rule 3: a refusal is final only where nothing before it in the same ticket is still undecided.
Rule 4: a receipt is kept before the platform hears of it, and it hears of it until it has listened.
Rule 5: what builds on a refused message is never pushed, and the platform hears why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.spool_copy import Copies
from adapters.spool_records import (
    COLUMNS,
    Decision,
    SpoolStatus,
    refusal_of,
    sealed,
)
from exchange.acts import Kind, Urgency
from exchange.client import PushResult, SealedMessage

# How long a lane waits after a failure: what the bridge names, between these.  A lane that seems to
# wait longer was held before the clock was set back, and goes on at once.
_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=1)

#: How much longer than receipts a hand-off that ended is remembered, and the ids of what came of a
#: ticket: until nobody visits or evaluates it any more, and until no backup of a bridge is restored
#: that would deliver them again.  Ids of a ticket with a hand-off that is open are never forgotten.
REMEMBERED = timedelta(days=60)


class Spool(Copies):
    """
    The spool of one organisation's adapter, a single SQLite file that nobody else may read.

    Every method is one transaction, durable when it returns, and may be called from any thread.
    Raises `StoreUnavailable` where the disk is full or fails, `StoreMismatch` for another version's
    file.
    """

    # -- outgoing

    def holds(self, message_id: str) -> bool:
        """Return whether the message is here and not refused: it need not be put again."""
        row = self._one("SELECT state FROM outgoing WHERE message_id = ?", message_id)
        return row is not None and row[0] in {"waiting", "stored"}

    def put(self, messages: Sequence[SealedMessage], now: datetime) -> list[SealedMessage]:
        """
        Keep *messages*, in their order, durably.

        One that is here already stays as it was first; one that was refused is tried afresh.  Returns
        those that stay out because their id is another content's here.
        """
        others: list[SealedMessage] = []
        with self._transaction():
            self.require_room()
            for message in messages:
                if not self.holds(message.message_id):
                    self._put(message, now)
                elif not self._is_same(message):
                    others.append(message)
        return others

    def _is_same(self, message: SealedMessage) -> bool:
        query = "SELECT 1 FROM outgoing WHERE message_id = ? AND digest = ?"
        return self._one(query, message.message_id, message.digest) is not None

    def _put(self, message: SealedMessage, now: datetime) -> None:
        self._db.execute("DELETE FROM outgoing WHERE message_id = ?", (message.message_id,))
        self._db.execute(
            f"INSERT INTO outgoing ({COLUMNS}, state, queued) "  # noqa: S608 - our own names
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
            (
                message.message_id,
                message.kind.value,
                message.ticket_id,
                message.handoff_id,
                message.recipient,
                int(message.urgency),
                message.previous,
                message.digest,
                message.envelope,
                now.isoformat(),
            ),
        )
        if message.urgency > Urgency.ROUTINE:
            # What waits before an urgent message of the same ticket is as urgent.
            self._db.execute(
                "UPDATE outgoing SET urgency = max(urgency, ?) "
                "WHERE state = 'waiting' AND ticket_id = ?",
                (int(message.urgency), message.ticket_id),
            )
        self._know(message, message.recipient, message.digest, now)
        lost = self._lost_before(message)
        if lost is not None:
            self._drop(message, lost, message.previous, now)

    def batch(self, now: datetime, limit: int = 128) -> list[SealedMessage]:
        """Return what may be pushed now, in order: urgent tickets first, then oldest."""
        rows = self._all(
            f"SELECT {COLUMNS} FROM outgoing AS o WHERE state = 'waiting' AND NOT EXISTS ("  # noqa: S608
            "  SELECT 1 FROM held AS h WHERE h.until > ? AND h.until <= ? AND ("
            "    h.lane IN (o.handoff_id, o.ticket_id)"
            "    OR (o.handoff_id = '' AND h.ticket_id = o.ticket_id)))"
            " ORDER BY urgency DESC, seq LIMIT ?",
            *_held_at(now),
            limit,
        )
        return [sealed(row) for row in rows]

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the first lane that is held may go on; None where none is held."""
        query = "SELECT min(until) FROM held WHERE until > ? AND until <= ?"
        row = self._one(query, *_held_at(now))
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    def settle(
        self, pushed: Sequence[SealedMessage], results: Sequence[PushResult], now: datetime
    ) -> None:
        """Record what the bridge answered to *pushed*."""
        with self._transaction():
            undecided: set[str] = set()
            # What was stored is, also where it builds on something that was refused beside it.
            for message, result in zip(pushed, results, strict=True):
                if result.stored is not None:
                    self._decide(message, "stored", now, receipt=result.receipt)
                    self._db.execute("DELETE FROM held WHERE lane = ?", (_lane(message),))
            for message, result in zip(pushed, results, strict=True):
                if result.stored is not None:
                    continue
                if result.refusal is not None and message.ticket_id not in undecided:
                    self._refuse(message, result.refusal, now, result.receipt)
                else:
                    undecided.add(message.ticket_id)
                    until = now + min(max(result.delay, _PAUSE), LONGEST_PAUSE)
                    self._db.execute(
                        "INSERT OR REPLACE INTO held (lane, ticket_id, until) VALUES (?, ?, ?)",
                        (_lane(message), message.ticket_id, until.isoformat()),
                    )
            self._db.execute("DELETE FROM held WHERE NOT (until > ? AND until <= ?)", _held_at(now))

    def sign_anew(self, messages: Sequence[SealedMessage]) -> None:
        """Keep *messages*, which wait, under the signatures they have now."""
        with self._transaction():
            self._db.executemany(
                "UPDATE outgoing SET envelope = ? WHERE message_id = ? AND digest = ? "
                "AND state = 'waiting'",
                [(one.envelope, one.message_id, one.digest) for one in messages],
            )

    def decisions(self, limit: int = 256) -> list[Decision]:
        """Return the decisions that the platform has not yet listened to, oldest first."""
        rows = self._all(
            "SELECT message_id, kind, ticket_id, handoff_id, digest, state, receipt, refusal "
            "FROM outgoing WHERE told = 0 ORDER BY decided, seq LIMIT ?",
            limit,
        )
        return [
            Decision(
                message_id=row[0],
                kind=Kind(row[1]),
                ticket_id=row[2],
                handoff_id=row[3],
                digest=row[4],
                refusal=refusal_of(row[7]),
                dropped=row[5] == "dropped",
                receipt=row[6] or b"",
            )
            for row in rows
        ]

    def told(self, message_ids: Sequence[str]) -> None:
        """Note that the platform has listened to these decisions."""
        with self._transaction():
            self._db.executemany(
                "UPDATE outgoing SET told = 1 WHERE message_id = ?", [(i,) for i in message_ids]
            )

    def push_again(self, handoff_id: str, now: datetime) -> int:
        """Let everything said on a hand-off and its ticket wait once more: a bridge has lost it."""
        with self._transaction():
            row = self._one("SELECT ticket_id FROM handoff WHERE handoff_id = ?", handoff_id)
            done = self._db.execute(
                "UPDATE outgoing SET state = 'waiting', queued = ?, told = NULL "
                "WHERE state = 'stored' AND (handoff_id = ? OR (ticket_id = ? AND handoff_id = ''))",
                (now.isoformat(), handoff_id, row[0] if row else ""),
            )
            self._send_files_again()
            return done.rowcount

    def push_all_again(self, now: datetime) -> int:
        """
        Let everything that was stored wait once more: the bridge went on in a new log.

        It was put back from a backup, and what it lost need not be about an open hand-off.  What it
        has it answers with the receipt it gave.
        """
        with self._transaction():
            done = self._db.execute(
                "UPDATE outgoing SET state = 'waiting', queued = ?, told = NULL "
                "WHERE state = 'stored'",
                (now.isoformat(),),
            )
            self._send_files_again()
            return done.rowcount

    # -- keeping house

    def note(self, **facts: str) -> None:
        """Note facts for `status`; an empty one is forgotten."""
        with self._transaction():
            for name, fact in facts.items():
                self._note(name, fact)

    def noted(self, name: str) -> str:
        """Return a fact that was noted; empty where there is none."""
        row = self._one("SELECT fact FROM note WHERE name = ?", name)
        return str(row[0]) if row else ""

    def status(self) -> SpoolStatus:
        """Return how the spool stands."""
        waiting, oldest = self._all(
            "SELECT count(*), min(queued) FROM outgoing WHERE state = 'waiting'"
        )[0]
        refused = self._all("SELECT count(*) FROM outgoing WHERE state IN ('refused', 'dropped')")
        incoming = self._all(
            "SELECT count(*) FILTER (WHERE refusal IS NOT NULL), "
            "count(*) FILTER (WHERE acknowledged = 0) FROM incoming"
        )[0]
        return SpoolStatus(
            waiting=waiting,
            oldest_waiting=datetime.fromisoformat(oldest) if oldest else None,
            refused=refused[0][0],
            quarantined=incoming[0],
            unacknowledged=incoming[1],
            notes=dict(self._all("SELECT name, fact FROM note")),
        )

    def prune(self, before: datetime) -> int:
        """
        Forget messages decided before *before* that the platform has listened to; return how many.

        Receivers' receipts go with their message, which the platform has heard, too.  What ended
        and what came is remembered `REMEMBERED` longer.
        """
        past, long_past = before.isoformat(), (before - REMEMBERED).isoformat()
        with self._transaction():
            done = self._db.execute("DELETE FROM outgoing WHERE decided < ? AND told = 1", (past,))
            self._db.execute(
                "DELETE FROM answer WHERE time < ? AND message_id NOT IN "
                "(SELECT message_id FROM outgoing)",
                (past,),
            )
            self._db.execute(
                "DELETE FROM answer_signer WHERE message_id NOT IN (SELECT message_id FROM answer)"
            )
            self._db.execute("DELETE FROM handoff WHERE ended < ?", (long_past,))
            # What stands in quarantine stays until it is written.
            self._db.execute(
                "DELETE FROM incoming WHERE acknowledged = 1 AND refusal IS NULL AND time < ? "
                "AND ticket_id NOT IN (SELECT ticket_id FROM handoff)",
                (long_past,),
            )
            return done.rowcount


def _lane(message: SealedMessage) -> str:
    return message.handoff_id or message.ticket_id


def _held_at(now: datetime) -> tuple[str, str]:
    """Return after what and until what a lane's time must lie for it to be held at *now*."""
    return now.isoformat(), (now + LONGEST_PAUSE).isoformat()
