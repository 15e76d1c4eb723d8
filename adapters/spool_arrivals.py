"""
What came: what was handed over to the platform, what the bridge has not recorded of it, and receipts.

Rule 1: what was written or declined is kept before the bridge is told, and is said until it has it.
Rule 2: each receiver's newest receipt is kept with the certificates that prove it years later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.spool_chains import Chains
from adapters.spool_records import refusal_json, refusal_of
from exchange.client import Declined, IncomingMessage, IncomingReceipt, Written
from exchange.errors import Refusal


class Arrivals(Chains):
    """What came for one organisation, in its spool."""

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
            else:  # the platform may have been put back: it hears of the files once more
                self._tell_files_again(message.id)
            self._db.execute("DELETE FROM aside WHERE message_id = ?", (message.id,))
            self._expect_files(message, now)
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
