"""Which tickets are there for whom: the rows of the read side, by who looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from exchange import tables
from exchange.acts import Classification
from exchange.query.conditions import known_to, party
from exchange.query.scope import in_scope

_TICKET = tables.ticket.c
_TRAIL = tables.trail.c


def _every_ticket() -> Select[Any]:
    updated = (
        select(func.max(_TRAIL.time))
        .where(_TRAIL.ticket_id == _TICKET.id)
        .correlate(tables.ticket)
        .scalar_subquery()
    )
    # The raw columns in their order, times as text: `rows` reads both sides' rows alike.
    columns = [column.cast(tables.plain(27)) if column is _TICKET.opened else column
               for column in tables.ticket.columns]  # fmt: skip
    return select(*columns, updated)


#: All tickets: rows as they are read, and when each changed.
EVERY_TICKET = _every_ticket()


def seen_by(caller: str | None, regions: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return what must hold of a ticket that *caller* (None: the operator) sees."""
    if caller is None:
        return []
    return [or_(party(caller), known_to(caller)), in_scope(_TICKET.region, regions)]


def not_hidden(caller: str | None) -> ColumnElement[bool]:
    """
    Return that matter and region of the ticket are shown to *caller*: who is no party sees ordinary ones'.

    What is hidden is not found by asking for it either.
    """
    ordinary = _TICKET.classification == int(Classification.ORDINARY)
    return ordinary if caller is None else or_(ordinary, party(caller))
