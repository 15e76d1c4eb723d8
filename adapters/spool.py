"""
The spool: what a platform has said and the bridge has not yet answered for, on this side's disk.

Rule 1: a message is in the spool, signed, before anybody is told that it will be sent; it survives
a dead link, a dead bridge and a killed process, and is repeated as the same bytes.
Rule 2: the messages of one hand-off leave in the order in which they came; those about the ticket
as a whole leave alone.  Urgent tickets leave first.
Rule 3: a refusal is final only where nothing before it in the same ticket is still undecided.
Rule 4: a receipt is kept before the platform hears of it, and it hears of it until it has listened.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.spool_chains import Chains
from adapters.spool_records import (
    COLUMNS,
    Decision,
    SpoolStatus,
    refusal_json,
    refusal_of,
    sealed,
)
from exchange.acts import Kind, Urgency
from exchange.client import (
    Declined,
    IncomingMessage,
    IncomingReceipt,
    PushResult,
    SealedMessage,
    Written,
)
from exchange.errors import Refusal

# How long a lane waits after a failure that names no time.
_PAUSE = timedelta(seconds=1)

#: How much longer than receipts a hand-off that ended is remembered, and the ids of what came of a
#: ticket: until nobody visits or evaluates it any more, and until no backup of a bridge is restored
#: that would deliver them again.  Ids of a ticket with a hand-off that is open are never forgotten.
REMEMBERED = timedelta(days=60)


class Spool(Chains):
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

    def put(self, messages: Sequence[SealedMessage], now: datetime) -> None:
        """
        Keep *messages*, in their order, durably.

        One that is here already stays as it was first; one that was refused is tried afresh.
        """
        with self._transaction():
            self.require_room()
            for message in messages:
                if not self.holds(message.message_id):
                    self._put(message, now)

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
            "  SELECT 1 FROM held AS h WHERE h.until > ? AND ("
            "    h.lane IN (o.handoff_id, o.ticket_id)"
            "    OR (o.handoff_id = '' AND h.ticket_id = o.ticket_id)))"
            " ORDER BY urgency DESC, seq LIMIT ?",
            now.isoformat(),
            limit,
        )
        return [sealed(row) for row in rows]

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the first lane that is held may go on; None where none is held."""
        row = self._one("SELECT min(until) FROM held WHERE until > ?", now.isoformat())
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    def settle(
        self, pushed: Sequence[SealedMessage], results: Sequence[PushResult], now: datetime
    ) -> None:
        """Record what the bridge answered to *pushed*."""
        with self._transaction():
            undecided: set[str] = set()
            for message, result in zip(pushed, results, strict=True):
                lane = message.handoff_id or message.ticket_id
                if result.stored is not None:
                    self._decide(message, "stored", now, receipt=result.receipt)
                    self._db.execute("DELETE FROM held WHERE lane = ?", (lane,))
                elif result.refusal is not None and message.ticket_id not in undecided:
                    self._refuse(message, result.refusal, now, result.receipt)
                else:
                    undecided.add(message.ticket_id)
                    until = now + max(result.delay, _PAUSE)
                    self._db.execute(
                        "INSERT OR REPLACE INTO held (lane, ticket_id, until) VALUES (?, ?, ?)",
                        (lane, message.ticket_id, until.isoformat()),
                    )
            self._db.execute("DELETE FROM held WHERE until <= ?", (now.isoformat(),))

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
            return done.rowcount

    # -- incoming

    def has_incoming(self, message_id: str) -> bool:
        """Return whether the message was handed over before; one that was declined was not."""
        query = "SELECT 1 FROM incoming WHERE message_id = ? AND refusal IS NULL"
        return self._one(query, message_id) is not None

    def arriving(self, item: IncomingMessage, now: datetime) -> None:
        """
        Learn what *item* makes of its hand-off, before the platform writes it, and may answer it.

        An answer that were kept first would name the message before it, and be refused.
        """
        with self._transaction():
            if not self.has_incoming(item.message_id):
                self._know(item.message, item.message.author, item.digest, now)

    def not_arrived(self, item: IncomingMessage) -> None:
        """Take back what `arriving` learnt: the platform cannot digest *item*."""
        with self._transaction():
            if not self.has_incoming(item.message_id):
                self._step_back(item.message, item.message.previous)

    def handed_over(self, item: IncomingMessage, local_number: str, now: datetime) -> Written:
        """Record that the platform has written *item*; return the statement to acknowledge with."""
        message = item.message
        written = Written(
            message_id=message.id, digest=item.digest, local_number=local_number, time=now
        )
        with self._transaction():
            if self._keep_incoming(written, message.ticket_id):
                self._know(message, message.author, item.digest, now)
        return written

    def declined(self, message_id: str, digest: bytes, refusal: Refusal, now: datetime) -> Declined:
        """Record that *message_id* is in quarantine; return the statement to acknowledge with."""
        declined = Declined(message_id=message_id, digest=digest, refusal=refusal, time=now)
        with self._transaction():
            self._keep_incoming(declined, "")
        return declined

    def _keep_incoming(self, said: Written | Declined, ticket_id: str) -> bool:
        """Keep what is said of a message that came; return whether it is new."""
        new = not self.has_incoming(said.message_id)
        refusal = said.refusal if isinstance(said, Declined) else None
        number = said.local_number if isinstance(said, Written) else ""
        self._db.execute(
            "INSERT OR REPLACE INTO incoming "
            "(message_id, ticket_id, digest, local_number, refusal, time, acknowledged) "
            "VALUES (?, ?, ?, ?, ?, ?, 0)",
            (
                said.message_id,
                ticket_id,
                said.digest,
                number,
                refusal_json(refusal),
                said.time.isoformat(),
            ),
        )
        return new

    def unacknowledged(self, limit: int = 128) -> list[Written | Declined]:
        """Return the statements that no bridge has recorded yet, oldest first."""
        rows = self._all(
            "SELECT message_id, digest, local_number, refusal, time FROM incoming "
            "WHERE acknowledged = 0 ORDER BY rowid LIMIT ?",
            limit,
        )
        found: list[Written | Declined] = []
        for message_id, digest, local_number, stored, stamp in rows:
            time, refusal = datetime.fromisoformat(stamp), refusal_of(stored)
            if refusal is None:
                written = Written(
                    message_id=message_id, digest=digest, local_number=local_number, time=time
                )
                found.append(written)
            else:
                found.append(
                    Declined(message_id=message_id, digest=digest, refusal=refusal, time=time)
                )
        return found

    def acknowledged(self, message_ids: Sequence[str]) -> None:
        """Note that the bridge has these statements, or has refused them for good."""
        with self._transaction():
            self._db.executemany(
                "UPDATE incoming SET acknowledged = 1 WHERE message_id = ?",
                [(message_id,) for message_id in message_ids],
            )

    def answered(self, receipt: IncomingReceipt) -> None:
        """Keep a receiver's receipt; each receiver's newest, for a message may have several."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO answer (message_id, organisation, receipt, time) "
                "VALUES (?, ?, ?, ?)",
                (
                    receipt.message_id,
                    receipt.organisation,
                    receipt.receipt,
                    receipt.time.isoformat(),
                ),
            )
            kept = receipt.message_id, receipt.organisation
            self._db.execute(
                "DELETE FROM answer_signer WHERE message_id = ? AND organisation = ?", kept
            )
            self._db.executemany(
                "INSERT INTO answer_signer (message_id, organisation, place, certificate) "
                "VALUES (?, ?, ?, ?)",
                [(*kept, place, one) for place, one in enumerate(receipt.chain)],
            )

    def answers(self, message_id: str) -> dict[str, tuple[bytes, tuple[bytes, ...]]]:
        """
        Return the receivers' receipts for a message, by organisation.

        Each is the serialised ``Receipt`` and its signer's certificates (DER, leaf first): what a
        receipt file holds.
        """
        chains: dict[str, list[bytes]] = {}
        for organisation, one in self._all(
            "SELECT organisation, certificate FROM answer_signer WHERE message_id = ? "
            "ORDER BY organisation, place",
            message_id,
        ):
            chains.setdefault(organisation, []).append(one)
        found = self._all(
            "SELECT organisation, receipt FROM answer WHERE message_id = ? ORDER BY organisation",
            message_id,
        )
        return {name: (receipt, tuple(chains.get(name, ()))) for name, receipt in found}

    # -- keeping house

    def note(self, **facts: str) -> None:
        """Note facts for `status`; an empty one is forgotten."""
        with self._transaction():
            for name, fact in facts.items():
                self._db.execute("DELETE FROM note WHERE name = ?", (name,))
                if fact:
                    self._db.execute("INSERT INTO note (name, fact) VALUES (?, ?)", (name, fact))

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
