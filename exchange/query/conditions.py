"""What a list of tickets asks for, as conditions of SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, or_

from exchange import tables
from exchange.provisions import DeadlineKind
from exchange.views import Filters

_TICKET = tables.ticket.c
_HANDOFF = tables.handoff.c
_DEADLINE = tables.deadline.c


def of_ticket(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return that the ticket has a hand-off for which *conditions* hold."""
    return exists().where(_HANDOFF.ticket_id == _TICKET.id, *conditions).correlate(tables.ticket)


def party(organisation: str) -> ColumnElement[bool]:
    """Return that *organisation* is a party to the ticket."""
    side = or_(_HANDOFF.sender == organisation, _HANDOFF.receiver == organisation)
    return or_(_TICKET.origin == organisation, of_ticket(side))


def known_to(organisation: str) -> ColumnElement[bool]:
    """Return that the scope of one of the ticket's hand-offs names *organisation*."""
    return of_ticket(*names_knower(organisation))


def names_knower(organisation: str) -> list[ColumnElement[bool]]:
    """Return that a hand-off's scope names *organisation*; see `exchange.store.rows.handoff_row`."""
    # As the index of the few that name anybody has it.
    named = _HANDOFF.rest.like(literal_column(tables.NAMES_KNOWERS))
    return [named, _HANDOFF.rest.contains(f'"{organisation}"')]


def conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Return what must hold of a ticket, and of its hand-offs and deadlines, by *filters*."""
    found: list[ColumnElement[bool]] = []
    if filters.state is not None:
        found.append(of_ticket(_HANDOFF.state == int(filters.state)))
    if filters.region:
        found.append(_begins(_TICKET.region, _region_prefix(filters.region)))
    if filters.matter:
        found.append(
            or_(_TICKET.matter == filters.matter, _begins(_TICKET.matter, filters.matter + "."))
        )
    if filters.organisation:
        found.append(party(filters.organisation))
    if filters.answers:
        # Where no hand-off has an answerer, the origin answers for the open ticket.
        alone = and_(_TICKET.origin == filters.answers, ~of_ticket(_HANDOFF.answers != ""))
        # On a closed ticket one may still answer: for an own duty below what was taken over.
        duty = of_ticket(_HANDOFF.answers == filters.answers)
        found.append(or_(and_(~_TICKET.closed, alone), duty))
    if filters.opened_from is not None:
        found.append(_TICKET.opened >= filters.opened_from)
    if filters.opened_until is not None:
        found.append(_TICKET.opened < filters.opened_until)
    found += _due(filters)
    if filters.open_only:
        found.append(~_TICKET.closed)
    return found


def _due(filters: Filters) -> list[ColumnElement[bool]]:
    """Return that one deadline of the ticket is as asked for: a step, or one beside it."""
    if not filters.owes and filters.overdue_at is None and filters.reminded_at is None:
        return []
    step, beside = steps(filters), others(filters)
    ours = exists().where(_DEADLINE.handoff_id == _HANDOFF.id, *beside).correlate(tables.handoff)
    return [or_(of_ticket(*step), of_ticket(ours))]


def steps(filters: Filters) -> list[ColumnElement[bool]]:
    """Return what must hold of a hand-off whose next step is as *filters* ask of a deadline."""
    found: list[ColumnElement[bool]] = [_HANDOFF.due.is_not(None)]
    if filters.owes:
        found.append(_HANDOFF.decides == filters.owes)
    if (now := filters.overdue_at) is not None:
        found.append(_HANDOFF.due < now)
    if (now := filters.reminded_at) is not None:
        found.append(or_(_HANDOFF.remind <= now, _HANDOFF.due < now))
    return found


def others(filters: Filters) -> list[ColumnElement[bool]]:
    """Return what must hold of a deadline beside the step that is as *filters* ask."""
    # The time to return is a right that ends, and never overdue.
    owed = _DEADLINE.kind != DeadlineKind.RETURN.value
    found: list[ColumnElement[bool]] = []
    if filters.owes:
        found.append(_DEADLINE.owes == filters.owes)
    if (now := filters.overdue_at) is not None:
        # What is due before then was to be reminded of before then: there is an index of that.
        found += [owed, _DEADLINE.due < now, _DEADLINE.remind < now]
    if (now := filters.reminded_at) is not None:
        found += [_DEADLINE.remind <= now, or_(owed, _DEADLINE.due >= now)]
    return found


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


def count_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Return for how many rows *condition* holds; FILTER is not every database's."""
    return func.count(case((condition, 1)))
