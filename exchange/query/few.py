"""
Lists by their ids first: where a condition leaves few tickets, these are looked up and nothing is scanned.

A list is walked newest first until its page is full.  For whoever has few tickets among very many
that walk would lead through all of them, so what a condition can be told from by an index is asked
first, for at most `FEW` tickets.  Where there are more, the walk finds a page soon.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from exchange import tables
from exchange.query.conditions import names_knower, others, steps
from exchange.views import Filters

#: Up to so many tickets are looked up one by one.
FEW = 1000

_TICKET = tables.ticket.c
_HANDOFF = tables.handoff.c
_DEADLINE = tables.deadline.c

_Ids = tuple[Select[tuple[str]], ...]

#: Before every deadline: a range, so that the index of those that there are is taken.
_EVER = datetime.min.replace(tzinfo=UTC)


def ids_first(connection: Connection, caller: str | None, filters: Filters) -> list[str] | None:
    """
    Return ids among which is every ticket that *caller* may see and *filters* ask for, in any order.

    None where no condition is known to leave at most `FEW`.
    """
    for sources in _narrowing(caller, filters):
        found: set[str] = set()
        for source in sources:
            found.update(connection.scalars(source.limit(FEW + 1)))
            if len(found) > FEW:
                break
        else:
            return sorted(found)
    return None


def _narrowing(caller: str | None, filters: Filters) -> Iterator[_Ids]:
    """Yield, for each condition that an index tells, what together gives all of its tickets."""
    if caller:
        yield *_of_party(caller), _by(*names_knower(caller))
    if filters.organisation:
        yield _of_party(filters.organisation)
    if filters.answers:
        # Where no hand-off has an answerer, the origin answers.
        ours = _by(_HANDOFF.answers == filters.answers, _HANDOFF.answers != "")
        yield ours, _opened_by(filters.answers)
    if filters.owes or filters.overdue_at is not None or filters.reminded_at is not None:
        beside = (
            select(_HANDOFF.ticket_id)
            .join(tables.deadline, _DEADLINE.handoff_id == _HANDOFF.id)
            .where(_DEADLINE.remind > _EVER, *others(filters))
        )
        # Not each once: for that SQLite would walk along all hand-offs by their tickets.
        step = select(_HANDOFF.ticket_id).where(_HANDOFF.due > _EVER, *steps(filters))
        yield step, beside


def _of_party(organisation: str) -> _Ids:
    return (
        _by(_HANDOFF.sender == organisation),
        _by(_HANDOFF.receiver == organisation),
        _opened_by(organisation),
    )


def _by(*conditions: Any) -> Select[tuple[str]]:
    return select(_HANDOFF.ticket_id).where(*conditions).distinct()


def _opened_by(organisation: str) -> Select[tuple[str]]:
    return select(_TICKET.id).where(_TICKET.origin == organisation)
