"""Who answers for how much, and who owes what by when: counts in proportion to what is open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select, union_all

from exchange import tables
from exchange.provisions import DeadlineKind
from exchange.query.conditions import count_of
from exchange.query.room import Room
from exchange.store.engines import reading
from exchange.ticket import State

_TICKET = tables.ticket.c
_HANDOFF = tables.handoff.c
_DEADLINE = tables.deadline.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How many hand-offs in one state an organisation answers for; None: tickets without any."""

    organisation: str
    state: State | None
    count: int
    overdue: int
    #: Since when the oldest of them is in this state.
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """How many deadlines an organisation owes that are overdue, and that are to be reminded of."""

    organisation: str
    overdue: int
    soon: int


class DutiesRoom(Room):
    """Reads who answers and who owes; raises as `exchange.query.Query` does."""

    def answering(self, now: datetime) -> list[Answering]:
        """Return who answers for hand-offs, by organisation and state, as of *now*."""
        statement = (
            select(
                _HANDOFF.answers,
                _HANDOFF.state,
                func.count(),
                count_of(_HANDOFF.due < now),
                func.min(_HANDOFF.updated, type_=_HANDOFF.updated.type),
            )
            .where(_HANDOFF.answers != "")
            .group_by(_HANDOFF.answers, _HANDOFF.state)
            .order_by(_HANDOFF.answers, _HANDOFF.state)
        )
        with reading(self._engines) as connection:
            return [
                Answering(
                    organisation=organisation,
                    state=State(state),
                    count=count,
                    overdue=overdue,
                    oldest=oldest,
                )
                for organisation, state, count, overdue, oldest in connection.execute(statement)
            ]

    def owing(self, now: datetime) -> list[Owing]:
        """Return who owes something by a deadline that is overdue at *now*, or soon will be."""
        step = select(
            _HANDOFF.decides.label("owes"),
            (_HANDOFF.due < now).label("late"),
            (_HANDOFF.remind <= now).label("soon"),
        ).where(_HANDOFF.due.is_not(None))
        # The time to return is a right that ends, and never overdue.
        owed = _DEADLINE.kind != DeadlineKind.RETURN.value
        beside = select(
            _DEADLINE.owes, and_(_DEADLINE.due < now, owed), _DEADLINE.remind <= now
        ).where(or_(owed, _DEADLINE.due >= now))
        every = union_all(step, beside).subquery()
        late, soon = every.c.late, and_(every.c.soon, ~every.c.late)
        statement = (
            select(every.c.owes, count_of(late), count_of(soon))
            .where(or_(late, every.c.soon))
            .group_by(every.c.owes)
            .order_by(every.c.owes)
        )
        with reading(self._engines) as connection:
            return [
                Owing(organisation=organisation, overdue=overdue, soon=coming)
                for organisation, overdue, coming in connection.execute(statement)
            ]

    def unassigned(self) -> list[Answering]:
        """Return who answers for open tickets without a hand-off in work: their origins."""
        in_work = exists().where(_HANDOFF.ticket_id == _TICKET.id, _HANDOFF.answers != "")
        statement = (
            select(
                _TICKET.origin,
                func.count(),
                func.min(_TICKET.opened, type_=_TICKET.opened.type),
            )
            .where(_TICKET.closed.is_(False), ~in_work.correlate(tables.ticket))
            .group_by(_TICKET.origin)
            .order_by(_TICKET.origin)
        )
        with reading(self._engines) as connection:
            return [
                Answering(organisation=origin, state=None, count=count, overdue=0, oldest=oldest)
                for origin, count, oldest in connection.execute(statement)
            ]
