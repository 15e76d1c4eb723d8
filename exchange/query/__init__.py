"""
The read side: who has what, who answers for what, and what happened (可查、可看、可追溯).

Everything is seen with someone's eyes: an organisation's, which sees the tickets it is a party to
(as their origin, or as sender or receiver of one of their hand-offs) and those that a hand-off's scope
lets it know of, in its regions; or the operator's (None), which sees all.  Who is no party, the operator
too, sees neither matter nor region of a confidential ticket.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from exchange import tables
from exchange.acts import Classification, Kind
from exchange.deadlines import Deadline
from exchange.errors import NotFound
from exchange.knowing import Shown, is_party, known_by, shown
from exchange.query.conditions import conditions, count_of
from exchange.query.few import ids_first
from exchange.query.kept import (
    destroyed,
    envelopes_at,
    erasures,
    opened,
    passages,
    set_aside,
)
from exchange.query.places import read_index, read_place
from exchange.query.room import Room
from exchange.query.scope import ANYWHERE
from exchange.query.statements import EVERY_TICKET, not_hidden, seen_by
from exchange.store import StoredReceipt
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, reading
from exchange.store.rows import (
    HANDOFF,
    NO_MESSAGE,
    SET_ASIDE,
    WRITTEN,
    further_of,
    standing_of,
    ticket_of,
    unpack_chain,
)
from exchange.store.tree import proofs_at
from exchange.tables import moment_of, stamp
from exchange.text import Text
from exchange.ticket import Handoff, State, Ticket
from exchange.views import (
    EVERY_GROUP,
    EVERYTHING,
    Content,
    Filters,
    HandoffView,
    TicketView,
    TrailEntry,
    Workload,
)

__all__ = [
    "EVERYTHING",
    "Content",
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


class Query(Room):
    """Reads one database; safe to use from several threads."""

    def __init__(self, engines: Engines) -> None:
        super().__init__(engines)
        self._driver = driver_of(engines.reader.dialect.name)

    def ticket(
        self, ticket_id: str, caller: str | None, *, regions: Sequence[str] = ANYWHERE
    ) -> TicketView:
        """Return one ticket; raises `NotFound` when it is not there for *caller* in *regions*."""
        with reading(self._engines) as connection:
            return _seen(connection, ticket_id, caller, regions)

    def envelopes(
        self,
        ticket_id: str,
        caller: str | None,
        *,
        limit: int = 50,
        page_token: str = "",
        regions: Sequence[str] = ANYWHERE,
    ) -> tuple[list[Content], str]:
        """
        Return a page of the messages of a ticket's opening and supplements, oldest first, and the
        token of the next page.

        A party gets the opening and the supplements that it said or that were said to it, a knower the
        opening and those of the hand-offs that it knows of; each group of them only where `Content.shown`
        shows it.  Raises `NotFound` when the ticket is not there for *caller*, `InvalidRequest` for a strange
        token.
        """
        after = read_index(page_token)
        with reading(self._engines) as connection:
            view = _seen(connection, ticket_id, caller, regions)
            handoffs = [one.standing.handoff for one in view.handoffs]
            said = or_(
                _TRAIL.kind == Kind.OPEN_TICKET.value,
                and_(_TRAIL.kind == Kind.SUPPLEMENT.value, *_heard(caller, handoffs)),
            )
            statement = (
                select(
                    _TRAIL.leaf_index,
                    _TRAIL.author,
                    _TRAIL.recipient,
                    _TRAIL.handoff_id,
                    tables.message.c.id,
                    tables.message.c.envelope,
                )
                .join(tables.trail, _TRAIL.leaf_index == tables.message.c.leaf_index)
                .where(_TRAIL.ticket_id == ticket_id, said, _TRAIL.leaf_index > after)
                .order_by(_TRAIL.leaf_index)
                .limit(limit + 1)
            )
            found = connection.execute(statement).all()
            # One that was archived or destroyed is empty here.
            there = [row for row in found[:limit] if row.envelope]
            envelopes = opened(
                connection, self._engines.at_rest, [(row.id, bytes(row.envelope)) for row in there]
            )
        page = [
            Content(envelope=envelope, shown=_shown(caller, view.ticket, handoffs, row))
            for row, envelope in zip(there, envelopes, strict=True)
        ]
        return page, str(found[limit - 1][0]) if len(found) > limit else ""

    def offers(self, ticket_id: str) -> list[bytes]:
        """Return the envelopes of a ticket's offers: keys to what is sealed are handed on with them."""
        with reading(self._engines) as connection:
            places = select(_TRAIL.leaf_index).where(
                _TRAIL.ticket_id == ticket_id, _TRAIL.kind == Kind.OFFER.value
            )
            found = connection.scalars(places).all()
            return list(envelopes_at(connection, found, self._engines.at_rest).values())

    def tickets(
        self,
        caller: str | None,
        filters: Filters = EVERYTHING,
        *,
        limit: int = 50,
        page_token: str = "",
        regions: Sequence[str] = ANYWHERE,
    ) -> tuple[list[TicketView], str]:
        """
        Return a page of tickets, newest first, and the token of the next one (empty on the last).

        Raises `InvalidRequest` when *page_token* is not one that this function gave.
        """
        wanted = [*seen_by(caller, regions), *conditions(filters)]
        if filters.region or filters.matter:
            wanted.append(not_hidden(caller))
        if page_token:
            before, ticket_id = read_place(page_token)
            wanted.append(
                or_(
                    _TICKET.opened < before,
                    and_(_TICKET.opened == before, _TICKET.id < ticket_id),
                )
            )
        with reading(self._engines) as connection:
            among = ids_first(connection, caller, filters)
            if among is None:
                newest_first = EVERY_TICKET.where(*wanted).order_by(
                    _TICKET.opened.desc(), _TICKET.id.desc()
                )
                found = _views(connection, newest_first.limit(limit + 1), caller)
            else:
                # Sorted here: an order asked for could lead the database along all tickets after all.
                these = select(_TICKET.opened, _TICKET.id).where(_TICKET.id.in_(among), *wanted)
                places = sorted(map(tuple, connection.execute(these)), reverse=True)[: limit + 1]
                page = [ticket_id for _, ticket_id in places]
                found = _views(connection, EVERY_TICKET.where(_TICKET.id.in_(page)), caller)
                found.sort(key=lambda view: page.index(view.ticket.id))
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1].ticket
        return found[:limit], f"{stamp(last.opened)}/{last.id}"

    def trail(
        self,
        ticket_id: str,
        caller: str | None,
        *,
        limit: int = 100,
        page_token: str = "",
        regions: Sequence[str] = ANYWHERE,
    ) -> tuple[list[TrailEntry], str]:
        """
        Return a page of a ticket's trail, oldest first, and the token of the next one.

        Each entry comes with its leaf's proof and what was signed, byte for byte as it was given.
        Raises `NotFound` when the ticket is not there for *caller*, `InvalidRequest` for a strange
        token, and `TamperingFound` where the stored log does not give the proofs.
        """
        after = read_index(page_token)
        statement = (
            select(tables.trail)
            .where(_TRAIL.ticket_id == ticket_id, _TRAIL.leaf_index > after)
            .order_by(_TRAIL.leaf_index)
            .limit(limit + 1)
        )
        with reading(self._engines) as connection:
            _seen(connection, ticket_id, caller, regions)
            found = connection.execute(statement).all()
            page = found[:limit]
            places = [row.leaf_index for row in page]
            proofs = proofs_at(partial(self._driver.fetch, connection), places)
            receipts = _receipts(
                connection, [row.leaf_index for row in page if row.kind == WRITTEN]
            ) | set_aside(connection, [row.leaf_index for row in page if row.kind == SET_ASIDE])
            said = [row.leaf_index for row in page if row.kind not in NO_MESSAGE]
            envelopes = envelopes_at(connection, said, self._engines.at_rest)
            gone = destroyed(connection, said)
            onward = passages(connection, [row.leaf_index for row in page])
        entries = [
            TrailEntry(
                leaf_index=proofs[row.leaf_index].index,
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
                onward=onward.get(row.leaf_index, ()),
                erased=row.leaf_index in gone,
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
                count_of(_HANDOFF.due < now),
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


def _views(connection: Connection, statement: Select[Any], caller: str | None) -> list[TicketView]:
    found = connection.execute(statement).all()
    handoffs: dict[str, list[HandoffView]] = {row[0]: [] for row in found}
    if found:
        columns = [
            column.cast(tables.plain(27)) if isinstance(column.type, tables.Moment) else column
            for column in tables.handoff.columns
        ]
        of_these = select(*columns).where(_HANDOFF.ticket_id.in_(sorted(handoffs)))
        rows = connection.execute(of_these.order_by(_HANDOFF.offered, _HANDOFF.id)).all()
        further = _further(connection, [row[0] for row in rows])
        for row in rows:
            standing = standing_of(row, further.get(row[0], ()))
            view = HandoffView(standing=standing, updated=moment_of(row[_UPDATED]))
            handoffs[standing.handoff.ticket_id].append(view)
    erased = erasures(connection, sorted(handoffs)) if found else {}
    views = [
        TicketView(
            ticket=ticket_of(row),
            updated=row[-1] or moment_of(row[tables.ticket.columns.keys().index("opened")]),
            handoffs=tuple(handoffs[row[0]]),
            erased=erased.get(row[0]),
        )
        for row in found
    ]
    return [_for_third(view, caller) for view in views]


def _further(connection: Connection, handoff_ids: Sequence[str]) -> dict[str, tuple[Deadline, ...]]:
    """Return what is due on these hand-offs beside their next steps."""
    column = tables.deadline.c
    raw = [
        one.cast(tables.plain(27)) if isinstance(one.type, tables.Moment) else one for one in column
    ]
    return further_of(
        connection.execute(select(*raw).where(column.handoff_id.in_(handoff_ids))).all()
    )


def _for_third(view: TicketView, caller: str | None) -> TicketView:
    """Return *view* without what who is no party, the operator too, is not shown of a confidential ticket."""
    ordinary = view.ticket.classification is Classification.ORDINARY
    sides = (one.standing.handoff for one in view.handoffs)
    if ordinary or (caller is not None and is_party(caller, view.ticket, sides)):
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


def _seen(
    connection: Connection, ticket_id: str, caller: str | None, regions: Sequence[str]
) -> TicketView:
    """Return the ticket; raises `NotFound` when it is not there for *caller* in *regions*."""
    wanted = EVERY_TICKET.where(_TICKET.id == ticket_id, *seen_by(caller, regions))
    found = _views(connection, wanted, caller)
    if not found:
        raise _no_ticket(ticket_id)
    return found[0]


def _shown(caller: str | None, ticket: Ticket, handoffs: Sequence[Handoff], row: Any) -> Shown:
    if caller is None:
        return EVERY_GROUP
    return shown(
        caller,
        ticket,
        handoffs,
        author=row.author,
        recipient=row.recipient,
        handoff_id=row.handoff_id,
    )


def _heard(caller: str | None, handoffs: Sequence[Handoff]) -> list[ColumnElement[bool]]:
    """Return that a note was said by *caller*, to it, or in a hand-off that it may know of."""
    if caller is None:
        return []
    known = sorted(known_by(caller, handoffs))
    return [or_(_TRAIL.author == caller, _TRAIL.recipient == caller, _TRAIL.handoff_id.in_(known))]


def _no_ticket(ticket_id: str) -> NotFound:
    return NotFound(
        Text(
            en=f"There is no ticket {ticket_id} that you are a party to.",
            zh=f"没有您参与的单 {ticket_id}。",
        ),
        ticket_id=ticket_id,
    )
