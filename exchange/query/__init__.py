"""
The read side: who has what, who answers for what, and what happened (可查、可看、可追溯).

Everything is seen with someone's eyes: an organisation's, which sees the tickets it is a party to
(as their origin, or as sender or receiver of one of their hand-offs), or the operator's (None),
which sees all, but of a confidential ticket neither matter nor region.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from exchange import tables
from exchange.acts import Classification, Kind
from exchange.errors import InvalidRequest, NotFound
from exchange.query.records import (
    EVERYTHING,
    Filters,
    HandoffView,
    TicketView,
    TrailEntry,
    Workload,
)
from exchange.query.room import Room
from exchange.store import StoredReceipt
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, reading
from exchange.store.rows import HANDOFF, WRITTEN, standing_of, ticket_of, unpack_chain
from exchange.store.tree import StoredTree
from exchange.tables import moment_of, stamp
from exchange.text import Text
from exchange.ticket import State

__all__ = [
    "EVERYTHING",
    "Filters",
    "HandoffView",
    "Query",
    "TicketView",
    "TrailEntry",
    "Workload",
]

_TICKET = tables.ticket.c
_HANDOFF = tables.handoff.c
_TRAIL = tables.trail.c
_UPDATED = HANDOFF.index("updated")
#: A leaf index has fewer digits than the greatest 64-bit number.
_DIGITS = 18


class Query(Room):
    """Reads one database; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        super().__init__(engines)
        self._driver = driver_of(engines.reader.dialect.name)

    def ticket(self, ticket_id: str, caller: str | None) -> TicketView:
        """Return one ticket; raises `NotFound` when it is not there for *caller*."""
        with reading(self._engines) as connection:
            found = _views(connection, _tickets(caller).where(_TICKET.id == ticket_id), caller)
        if not found:
            raise _no_ticket(ticket_id)
        return found[0]

    def envelopes(self, ticket_id: str, caller: str | None) -> list[bytes]:
        """
        Return the envelopes of the ticket's opening and supplements, oldest first.

        An organisation gets the opening and the supplements that it said or that were said to it.
        Raises `NotFound` when the ticket is not there for *caller*.
        """
        opening = _TRAIL.kind == Kind.OPEN_TICKET.value
        supplement = _TRAIL.kind == Kind.SUPPLEMENT.value
        if caller is not None:
            supplement = and_(supplement, or_(_TRAIL.author == caller, _TRAIL.recipient == caller))
        statement = (
            select(tables.message.c.envelope)
            .join(tables.trail, _TRAIL.leaf_index == tables.message.c.leaf_index)
            .where(_TRAIL.ticket_id == ticket_id, or_(opening, supplement))
            .order_by(_TRAIL.leaf_index)
        )
        with reading(self._engines) as connection:
            _require_party(connection, ticket_id, caller)
            # One that was archived is empty here.
            return [bytes(envelope) for (envelope,) in connection.execute(statement) if envelope]

    def tickets(
        self,
        caller: str | None,
        filters: Filters = EVERYTHING,
        *,
        limit: int = 50,
        page_token: str = "",
    ) -> tuple[list[TicketView], str]:
        """
        Return a page of tickets, newest first, and the token of the next one (empty on the last).

        Raises `InvalidRequest` when *page_token* is not one that this function gave.
        """
        statement = _tickets(caller).where(*_conditions(filters))
        if caller is None and (filters.region or filters.matter):
            # What is hidden is not found by asking for it either.
            statement = statement.where(_TICKET.classification == int(Classification.ORDINARY))
        if page_token:
            before, ticket_id = _read_place(page_token)
            statement = statement.where(
                or_(
                    _TICKET.opened < before,
                    and_(_TICKET.opened == before, _TICKET.id < ticket_id),
                )
            )
        newest_first = statement.order_by(_TICKET.opened.desc(), _TICKET.id.desc())
        with reading(self._engines) as connection:
            found = _views(connection, newest_first.limit(limit + 1), caller)
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1].ticket
        return found[:limit], f"{stamp(last.opened)}/{last.id}"

    def trail(
        self, ticket_id: str, caller: str | None, *, limit: int = 100, page_token: str = ""
    ) -> tuple[list[TrailEntry], str]:
        """
        Return a page of a ticket's trail, oldest first, and the token of the next one.

        Each entry comes with its leaf's proof and what was signed, byte for byte as it was given.
        Raises `NotFound` when the ticket is not there for *caller*, `InvalidRequest` for a strange
        token, and `TamperingFound` where the stored log does not give the proofs.
        """
        after = _read_index(page_token)
        statement = (
            select(tables.trail)
            .where(_TRAIL.ticket_id == ticket_id, _TRAIL.leaf_index > after)
            .order_by(_TRAIL.leaf_index)
            .limit(limit + 1)
        )
        with reading(self._engines) as connection:
            _require_party(connection, ticket_id, caller)
            found = connection.execute(statement).all()
            page = found[:limit]
            tree = StoredTree(partial(self._driver.fetch, connection))
            proofs = tree.proofs([row.leaf_index for row in page])
            receipts = _receipts(
                connection, [row.leaf_index for row in page if row.kind == WRITTEN]
            )
            envelopes = _envelopes(
                connection, [row.leaf_index for row in page if row.kind != WRITTEN]
            )
        entries = [
            TrailEntry(
                leaf_index=row.leaf_index,
                time=row.time,
                ticket_id=row.ticket_id,
                handoff_id=row.handoff_id,
                kind=row.kind,
                message_id=row.message_id,
                author=row.author,
                recipient=row.recipient,
                state=State(row.state) if row.state else None,
                answers=row.answers,
                digest=bytes(row.digest),
                proof=proofs[row.leaf_index],
                receipt=receipts.get(row.leaf_index),
                envelope=envelopes.get(row.leaf_index, b""),
            )
            for row in page
        ]
        return entries, str(page[-1].leaf_index) if len(found) > limit else ""

    def certificates(self, key_ids: Collection[bytes]) -> list[tuple[bytes, ...]]:
        """Return the chains (DER, leaf first) of these signer keys, those never seen left out."""
        column = tables.certificate.c
        statement = select(column.key_id, column.chain).where(column.key_id.in_(key_ids))
        with reading(self._engines) as connection:
            found = {bytes(key_id): bytes(chain) for key_id, chain in connection.execute(statement)}
        return [unpack_chain(found[key_id]) for key_id in key_ids if key_id in found]

    def workload(self, now: datetime) -> list[Workload]:
        """Return, for everyone who answers for a hand-off, how many and how many are overdue."""
        statement = (
            select(
                _HANDOFF.answers,
                func.count(),
                func.count().filter(_HANDOFF.due < now),
            )
            .where(_HANDOFF.answers != "")
            .group_by(_HANDOFF.answers)
            .order_by(_HANDOFF.answers)
        )
        with reading(self._engines) as connection:
            return [
                Workload(organisation=organisation, handoffs=handoffs, overdue=overdue)
                for organisation, handoffs, overdue in connection.execute(statement)
            ]


# -- statements


def _of_ticket(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return that the ticket has a hand-off for which *conditions* hold."""
    return exists().where(_HANDOFF.ticket_id == _TICKET.id, *conditions).correlate(tables.ticket)


def _party(organisation: str) -> ColumnElement[bool]:
    """Return that *organisation* is a party to the ticket."""
    side = or_(_HANDOFF.sender == organisation, _HANDOFF.receiver == organisation)
    return or_(_TICKET.origin == organisation, _of_ticket(side))


def _tickets(caller: str | None) -> Select[Any]:
    updated = (
        select(func.max(_TRAIL.time))
        .where(_TRAIL.ticket_id == _TICKET.id)
        .correlate(tables.ticket)
        .scalar_subquery()
    )
    # The raw columns in their order, times as text: `rows` reads both sides' rows alike.
    columns = [column.cast(tables.plain(27)) if column is _TICKET.opened else column
               for column in tables.ticket.columns]  # fmt: skip
    statement = select(*columns, updated)
    return statement if caller is None else statement.where(_party(caller))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.state is not None:
        conditions.append(_of_ticket(_HANDOFF.state == int(filters.state)))
    if filters.region:
        conditions.append(_begins(_TICKET.region, _region_prefix(filters.region)))
    if filters.matter:
        conditions.append(
            or_(_TICKET.matter == filters.matter, _begins(_TICKET.matter, filters.matter + "."))
        )
    if filters.organisation:
        conditions.append(_party(filters.organisation))
    if filters.answers:
        # Where no hand-off has an answerer, the origin answers for the open ticket.
        alone = and_(_TICKET.origin == filters.answers, ~_of_ticket(_HANDOFF.answers != ""))
        # On a closed ticket one may still answer: for an own duty below what was taken over.
        duty = _of_ticket(_HANDOFF.answers == filters.answers)
        conditions.append(or_(and_(~_TICKET.closed, alone), duty))
    if filters.opened_from is not None:
        conditions.append(_TICKET.opened >= filters.opened_from)
    if filters.opened_until is not None:
        conditions.append(_TICKET.opened < filters.opened_until)
    if filters.overdue_at is not None:
        conditions.append(_of_ticket(_HANDOFF.due < filters.overdue_at))
    if filters.open_only:
        conditions.append(~_TICKET.closed)
    return conditions


def _begins(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Return that *column* begins with *prefix*; a range, so that an index can help."""
    return and_(column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _region_prefix(region: str) -> str:
    """Return the digits that a division shares with everything below it."""
    for level in (9, 6):
        if len(region) > level and not region[level:].strip("0"):
            region = region[:level]
    while 2 < len(region) <= 6 and region.endswith("00"):
        region = region[:-2]
    return region


def _views(connection: Connection, statement: Select[Any], caller: str | None) -> list[TicketView]:
    found = connection.execute(statement).all()
    handoffs: dict[str, list[HandoffView]] = {row[0]: [] for row in found}
    if found:
        columns = [
            column.cast(tables.plain(27)) if isinstance(column.type, tables.Moment) else column
            for column in tables.handoff.columns
        ]
        of_these = select(*columns).where(_HANDOFF.ticket_id.in_(sorted(handoffs)))
        for row in connection.execute(of_these.order_by(_HANDOFF.offered, _HANDOFF.id)):
            standing = standing_of(row)
            view = HandoffView(standing=standing, updated=moment_of(row[_UPDATED]))
            handoffs[standing.handoff.ticket_id].append(view)
    views = [
        TicketView(
            ticket=ticket_of(row),
            updated=row[-1] or moment_of(row[tables.ticket.columns.keys().index("opened")]),
            handoffs=tuple(handoffs[row[0]]),
        )
        for row in found
    ]
    return views if caller is not None else [_for_operator(view) for view in views]


def _for_operator(view: TicketView) -> TicketView:
    """Return *view* without what the views for people hide of a confidential ticket."""
    if view.ticket.classification is Classification.ORDINARY:
        return view
    handoffs = []
    for one in view.handoffs:
        handoff = one.standing.handoff
        blank = replace(handoff, offer=replace(handoff.offer, matter=""))
        handoffs.append(replace(one, standing=replace(one.standing, handoff=blank)))
    ticket = replace(view.ticket, region="", matter="")
    return replace(view, ticket=ticket, handoffs=tuple(handoffs))


def _receipts(connection: Connection, leaf_indexes: Sequence[int]) -> dict[int, StoredReceipt]:
    column = tables.receipt.c
    statement = select(tables.receipt).where(column.leaf_index.in_(leaf_indexes))
    return {
        row.leaf_index: StoredReceipt(
            message_id=row.message_id,
            organisation=row.organisation,
            leaf_index=row.leaf_index,
            statement=bytes(row.statement),
            signature=bytes(row.signature),
        )
        for row in connection.execute(statement)
        if row.statement  # one that was archived is empty here
    }


def _envelopes(connection: Connection, leaf_indexes: Sequence[int]) -> dict[int, bytes]:
    column = tables.message.c
    statement = select(column.leaf_index, column.envelope).where(
        column.leaf_index.in_(leaf_indexes)
    )
    return {index: bytes(envelope) for index, envelope in connection.execute(statement)}


def _require_party(connection: Connection, ticket_id: str, caller: str | None) -> None:
    if connection.execute(_tickets(caller).where(_TICKET.id == ticket_id)).first() is None:
        raise _no_ticket(ticket_id)


def _read_place(page_token: str) -> tuple[datetime, str]:
    """Return when the last ticket of a page was opened, and its id."""
    opened, _, ticket_id = page_token.partition("/")
    try:
        moment = moment_of(opened)
        given = stamp(moment) == opened and str(UUID(ticket_id)) == ticket_id
    except (ValueError, OverflowError) as error:
        raise _strange_token() from error
    if not given:
        raise _strange_token()
    return moment, ticket_id


def _read_index(page_token: str) -> int:
    """Return the leaf index of a page's last entry; -1 before the first page."""
    if not page_token:
        return -1
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) <= _DIGITS):
        raise _strange_token()
    return int(page_token)


def _strange_token() -> InvalidRequest:
    return InvalidRequest(
        Text(
            en="The page token is not one that this bridge gave; begin with an empty one.",
            zh="分页标记并非本桥所给，请从空标记重新开始。",
        )
    )


def _no_ticket(ticket_id: str) -> NotFound:
    return NotFound(
        Text(
            en=f"There is no ticket {ticket_id} that you are a party to.",
            zh=f"没有您参与的单 {ticket_id}。",
        ),
        ticket_id=ticket_id,
    )
