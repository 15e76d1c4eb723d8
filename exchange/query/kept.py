"""What is kept of messages beside the trail: envelopes, what set them aside, the receipts of bridges further on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from exchange import tables
from exchange.store import StoredReceipt
from exchange.store.at_rest import AtRest
from exchange.store.drivers import driver_of


def passages(connection: Connection, leaf_indexes: Sequence[int]) -> dict[int, tuple[bytes, ...]]:
    """Return the stored receipts of further bridges for the messages with these leaves."""
    column = tables.passage.c
    statement = (
        select(column.leaf_index, column.receipt)
        .where(column.leaf_index.in_(leaf_indexes))
        .order_by(column.leaf_index, column.time, column.recipient)
    )
    grouped: dict[int, dict[bytes, None]] = {}
    for index, receipt in connection.execute(statement):
        grouped.setdefault(index, {})[bytes(receipt)] = None
    return {index: tuple(receipts) for index, receipts in grouped.items()}


def envelopes_at(
    connection: Connection, leaf_indexes: Sequence[int], at_rest: AtRest
) -> dict[int, bytes]:
    """Return the envelopes of the messages with these leaves; raises as `AtRest.decrypted` does."""
    column = tables.message.c
    statement = select(column.leaf_index, column.id, column.envelope).where(
        column.leaf_index.in_(leaf_indexes)
    )
    found = connection.execute(statement).all()
    envelopes = opened(connection, at_rest, [(row.id, bytes(row.envelope)) for row in found])
    return {row.leaf_index: one for row, one in zip(found, envelopes, strict=True)}


def opened(
    connection: Connection, at_rest: AtRest, stored: Sequence[tuple[str, bytes]]
) -> list[bytes]:
    """Return the envelopes of *stored*, each a message's id and what its row holds."""
    driver = driver_of(connection.dialect.name)
    return at_rest.decrypted(partial(driver.fetch, connection), stored)


def destroyed(connection: Connection, leaf_indexes: Sequence[int]) -> frozenset[int]:
    """Return those of these leaves of which the content was destroyed."""
    column = tables.archived.c
    statement = select(column.leaf_index).where(
        column.leaf_index.in_(leaf_indexes), column.archive < 0
    )
    return frozenset(connection.execute(statement).scalars())


def erasures(connection: Connection, ticket_ids: Sequence[str]) -> dict[str, datetime]:
    """Return when content of these tickets was destroyed, the last time."""
    column = tables.erasure.c
    statement = select(column.ticket_id, column.time).where(column.ticket_id.in_(ticket_ids))
    found = connection.execute(statement.order_by(column.number))
    return {ticket_id: time for ticket_id, time in found}  # noqa: C416 (rows, not pairs, to the types)


def set_aside(connection: Connection, leaf_indexes: Sequence[int]) -> dict[int, StoredReceipt]:
    """Return the refusals that set a message aside, of these leaves."""
    column, said = tables.aside.c, tables.refusal.c
    statement = (
        select(
            column.leaf_index,
            column.message_id,
            column.organisation,
            said.statement,
            said.signature,
        )
        .join(tables.refusal, said.number == column.refusal)
        .where(column.leaf_index.in_(leaf_indexes))
    )
    return {
        row.leaf_index: StoredReceipt(
            message_id=row.message_id,
            organisation=row.organisation,
            leaf_index=row.leaf_index,
            statement=bytes(row.statement),
            signature=bytes(row.signature),
        )
        for row in connection.execute(statement)
    }
