"""
What proves a ticket's messages, for receipt files: envelopes, receipts, and every leaf's proof.

For the operator alone: it is not seen with an organisation's eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select

from exchange import tables
from exchange.errors import NotFound
from exchange.log import StoredProof
from exchange.query.kept import opened, passages
from exchange.query.room import Room
from exchange.store import StoredReceipt
from exchange.store.cosignatures import proofs_over
from exchange.store.drivers import driver_of
from exchange.store.engines import reading
from exchange.store.logs import Registered, logs_of, registered
from exchange.store.places import log_key
from exchange.store.rows import unpack_chain
from exchange.store.tree import proofs_at
from exchange.text import Text

_TRAIL = tables.trail.c
_MESSAGE = tables.message.c
_RECEIPT = tables.receipt.c
_REFUSAL = tables.refusal.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    Everything stored about one message of a ticket.

    Of one that was archived, envelope and written receipts stand in the archive and are empty here; of
    one whose content was destroyed, the envelope.
    """

    message_id: str
    envelope: bytes
    proof: StoredProof
    #: Written receipts, each with its own leaf's proof.
    written: tuple[tuple[StoredReceipt, StoredProof], ...]
    #: By place, each leaf of these under the co-signed checkpoints that cover it.
    cosigned: Mapping[int, tuple[StoredProof, ...]]
    place: int
    #: Refusals as (statement, packed signature).
    refused: tuple[tuple[bytes, bytes], ...]
    #: The stored receipts of further bridges to which it was carried, each once.
    onward: tuple[bytes, ...] = ()


class EvidenceRoom(Room):
    """Reads one database's evidence; raises as `exchange.query.Query` does."""

    def of_ticket(self, ticket_id: str) -> list[Evidence]:
        """
        Return the evidence of each of the ticket's messages, oldest first.

        Raises `TamperingFound` or `VerificationError` where the stored log does not give a proof.
        """
        messages = (
            select(_MESSAGE.leaf_index, _MESSAGE.id, _MESSAGE.envelope)
            .join(tables.trail, _TRAIL.leaf_index == _MESSAGE.leaf_index)
            .where(_TRAIL.ticket_id == ticket_id)
            .order_by(_MESSAGE.leaf_index)
        )
        receipts = (
            select(tables.receipt)
            .join(tables.trail, _TRAIL.leaf_index == _RECEIPT.leaf_index)
            .where(_TRAIL.ticket_id == ticket_id)
            .order_by(_RECEIPT.leaf_index)
        )
        driver = driver_of(self._engines.reader.dialect.name)
        with reading(self._engines) as connection:
            found = connection.execute(messages).all()
            stored = [(row.id, bytes(row.envelope)) for row in found]
            envelopes = opened(connection, self._engines.at_rest, stored)
            written = [
                StoredReceipt(
                    message_id=row.message_id,
                    organisation=row.organisation,
                    leaf_index=row.leaf_index,
                    statement=bytes(row.statement),
                    signature=bytes(row.signature),
                )
                for row in connection.execute(receipts)
                if row.statement
            ]
            refusals = (
                select(_REFUSAL.message_id, _REFUSAL.statement, _REFUSAL.signature)
                .where(_REFUSAL.message_id.in_([row.id for row in found]))
                .order_by(_REFUSAL.number)
            )
            refused = connection.execute(refusals).all()
            onward = passages(connection, [row.leaf_index for row in found])
            leaves = [row.leaf_index for row in found] + [one.leaf_index for one in written]
            proofs = proofs_at(partial(driver.fetch, connection), leaves)
            cosigned = proofs_over(connection, proofs)
        return [
            Evidence(
                message_id=row.id,
                envelope=envelope,
                proof=proofs[row.leaf_index],
                cosigned=cosigned,
                place=row.leaf_index,
                written=tuple(
                    (one, proofs[one.leaf_index]) for one in written if one.message_id == row.id
                ),
                refused=tuple(
                    (bytes(statement), bytes(signature))
                    for message_id, statement, signature in refused
                    if message_id == row.id
                ),
                onward=onward.get(row.leaf_index, ()),
            )
            for row, envelope in zip(found, envelopes, strict=True)
        ]

    def certificate(self, key_id: bytes) -> tuple[bytes, ...]:
        """Return the chain (DER, leaf first) of the signer key *key_id*; empty if never seen."""
        statement = select(tables.certificate.c.chain).where(tables.certificate.c.key_id == key_id)
        with reading(self._engines) as connection:
            packed = connection.execute(statement).scalar()
        return unpack_chain(bytes(packed)) if packed is not None else ()

    def checkpoint(self, origin: str = "") -> bytes:
        """
        Return the newest signed checkpoint of the log *origin*, or of the database's first one.

        Raises `NotFound` while nothing was accepted.
        """
        drain = tables.drain.c
        with reading(self._engines) as connection:
            number = log_named(connection, origin).number
            of_log = drain.size_after.between(log_key(number, 0), log_key(number + 1, -1))
            newest = select(drain.note).where(of_log).order_by(drain.size_after.desc()).limit(1)
            note = connection.execute(newest).scalar()
        if note is None:
            raise NotFound(_EMPTY)
        return bytes(note)

    def head(self, origin: str = "") -> Registered:
        """Return the log *origin*, or the database's first; raises `NotFound` before its first start."""
        with reading(self._engines) as connection:
            return log_named(connection, origin)

    def logs(self) -> list[Registered]:
        """Return the database's logs by number."""
        return logs_of(self._engines)


def log_named(connection: Connection, origin: str) -> Registered:
    """Return the log *origin*, or the first where none is named so; raises `NotFound` if none is."""
    driver = driver_of(connection.dialect.name)
    logs = registered(partial(driver.fetch, connection))
    if not logs:
        raise NotFound(_EMPTY)
    return next((one for one in logs if one.origin == origin), logs[0])


_EMPTY = Text(
    en="The log is empty: nothing has been accepted yet.", zh="日志为空：尚未接受任何消息。"
)
