"""
How the bridge itself stands: what waits for whom and since when, what stopped, who answers.

For its operator, and for the metrics: codes, counts and times, nothing that a citizen said.  What is
read is in proportion to what waits, to what is open and to the newest `NEWEST` entries of the log,
never to what was stored in all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, text

from exchange import tables
from exchange.acts import Urgency
from exchange.query.room import Room
from exchange.store.engines import POSTGRESQL, reading
from exchange.store.records import Content
from exchange.store.rows import WRITTEN
from exchange.ticket import State

#: Rows by the position of what waits first.
Firsts = dict[int, Any]

#: Entries of the log, from its end, over which the lag is taken.
NEWEST = 2000

_MAIL = tables.mailbox.c
_STOP = tables.quarantine.c
_TRAIL = tables.trail.c
_HANDOFF = tables.handoff.c
_TICKET = tables.ticket.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """What waits for one organisation; lanes that stand still are counted apart."""

    organisation: str
    #: Deliveries not yet acknowledged, whether or not they are out just now.
    waiting: int
    #: Those of them that are urgent or more.
    urgent: int
    #: When the first in line was accepted; None where nothing waits.
    oldest: datetime | None
    oldest_urgent: datetime | None
    #: Lanes that stand still, and the deliveries in them.
    stopped: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledged:
    """The message whose receiver has been silent about it for longest."""

    message_id: str
    ticket_id: str
    kind: str
    author: str
    recipient: str
    accepted: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A lane that stands still because its receiver refused a message of it."""

    organisation: str
    #: The hand-off's id, or the ticket's.
    lane: str
    since: datetime
    message_id: str
    #: The refusal as it was signed, for `exchange.wire` to read.
    statement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Seconds from accepted to written, of what an organisation wrote among the newest entries."""

    organisation: str
    median: float
    longest: float
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The log's size, and when its newest checkpoint was signed; None while it is empty."""

    origin: str
    size: int
    checkpoint: datetime | None


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
class Figures:
    """How a bridge's database stands at one moment."""

    mailboxes: tuple[Mailbox, ...]
    unacknowledged: Unacknowledged | None
    stopped: tuple[Stopped, ...]
    lags: tuple[Lag, ...]
    #: By organisation, then by call.
    contacts: dict[str, dict[str, datetime]]
    log: LogHead


class FiguresRoom(Room):
    """Reads one database's figures; raises as `exchange.query.Query` does."""

    def figures(self) -> Figures:
        """Return how the database stands."""
        with reading(self._engines) as connection:
            groups = _groups(connection)
            firsts = _firsts(connection, [group.position for group in groups])
            head = _head(connection)
            return Figures(
                mailboxes=tuple(_mailboxes(groups, firsts, _stopped_lanes(connection))),
                unacknowledged=_unacknowledged(groups, firsts),
                stopped=tuple(_stopped(connection)),
                lags=tuple(_lags(connection, head.size)),
                contacts=_contacts(connection),
                log=head,
            )

    def answering(self, now: datetime) -> list[Answering]:
        """Return who answers for hand-offs, by organisation and state, as of *now*."""
        statement = (
            select(
                _HANDOFF.answers,
                _HANDOFF.state,
                func.count(),
                func.count().filter(_HANDOFF.due < now),
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

    def folder(self) -> Path | None:
        """Return the folder that the database fills; None where it is on another machine or hidden."""
        if self._engines.file is not None:
            return self._engines.file.resolve().parent
        url = self._engines.url
        here = not url.host or url.host.startswith("/") or url.host in _LOOPBACK
        if url.get_backend_name() != POSTGRESQL or not here:
            return None
        with reading(self._engines) as connection:
            # Told only to those who may read all settings.
            found = connection.execute(text(_DATA_DIRECTORY)).scalar()
        return Path(found) if found and Path(found).is_dir() else None


_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DATA_DIRECTORY = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"


def _groups(connection: Connection) -> Sequence[Row[Any]]:
    """Return how many wait and the first of them, by recipient, urgency, content and standstill."""
    stopped = _STOP.lane.is_not(None)
    statement = (
        select(
            _MAIL.recipient,
            _MAIL.urgency,
            _MAIL.content,
            stopped.label("stopped"),
            func.count().label("number"),
            func.min(_MAIL.position).label("position"),
        )
        .outerjoin(
            tables.quarantine, (_STOP.recipient == _MAIL.recipient) & (_STOP.lane == _MAIL.lane)
        )
        .group_by(_MAIL.recipient, _MAIL.urgency, _MAIL.content, stopped)
    )
    return connection.execute(statement).all()


def _firsts(connection: Connection, positions: Sequence[int]) -> Firsts:
    """Return by position when what waits there was accepted, and which message it is."""
    refusal = tables.refusal.c
    refused = _MAIL.content == Content.REFUSED.value
    statement = (
        select(
            _MAIL.position,
            func.coalesce(_TRAIL.time, refusal.time, type_=_TRAIL.time.type).label("accepted"),
            _TRAIL.message_id,
            _TRAIL.ticket_id,
            _TRAIL.kind,
            _TRAIL.author,
        )
        .outerjoin(tables.trail, ~refused & (_TRAIL.leaf_index == _MAIL.source))
        .outerjoin(tables.refusal, refused & (refusal.number == _MAIL.source))
        .where(_MAIL.position.in_(positions))
    )
    return {row.position: row for row in connection.execute(statement).all()}


def _mailboxes(
    groups: Iterable[Row[Any]], firsts: Firsts, stopped: dict[str, int]
) -> Iterable[Mailbox]:
    by_recipient: dict[str, list[Row[Any]]] = defaultdict(list)
    for group in groups:
        by_recipient[group.recipient].append(group)
    for organisation in sorted({*by_recipient, *stopped}):
        mine = by_recipient[organisation]
        going = [group for group in mine if not group.stopped]
        urgent = [group for group in going if group.urgency >= Urgency.URGENT]
        yield Mailbox(
            organisation=organisation,
            waiting=sum(group.number for group in going),
            urgent=sum(group.number for group in urgent),
            oldest=_oldest(going, firsts),
            oldest_urgent=_oldest(urgent, firsts),
            stopped=stopped.get(organisation, 0),
            held=sum(group.number for group in mine if group.stopped),
        )


def _oldest(groups: Iterable[Row[Any]], firsts: Firsts) -> datetime | None:
    return min((firsts[group.position].accepted for group in groups), default=None)


def _unacknowledged(groups: Iterable[Row[Any]], firsts: Firsts) -> Unacknowledged | None:
    messages = [group for group in groups if group.content == Content.MESSAGE.value]
    if not messages:
        return None
    group = min(messages, key=lambda one: firsts[one.position].accepted)
    first = firsts[group.position]
    return Unacknowledged(
        message_id=first.message_id,
        ticket_id=first.ticket_id,
        kind=first.kind,
        author=first.author,
        recipient=group.recipient,
        accepted=first.accepted,
    )


def _stopped_lanes(connection: Connection) -> dict[str, int]:
    statement = select(_STOP.recipient, func.count().label("lanes")).group_by(_STOP.recipient)
    return {row.recipient: row.lanes for row in connection.execute(statement)}


def _stopped(connection: Connection) -> Iterable[Stopped]:
    refusal = tables.refusal.c
    statement = (
        select(_STOP.recipient, _STOP.lane, _STOP.time, refusal.message_id, refusal.statement)
        .join(tables.refusal, refusal.number == _STOP.refusal)
        .order_by(_STOP.time, _STOP.recipient, _STOP.lane)
    )
    for organisation, lane, since, message_id, statement_bytes in connection.execute(statement):
        yield Stopped(
            organisation=organisation,
            lane=lane,
            since=since,
            message_id=message_id,
            statement=bytes(statement_bytes),
        )


def _lags(connection: Connection, size: int) -> Iterable[Lag]:
    said, message = tables.trail.alias("said"), tables.message.c
    statement = (
        select(_TRAIL.author, _TRAIL.time, said.c.time)
        .join(tables.message, message.id == _TRAIL.message_id)
        .join(said, said.c.leaf_index == message.leaf_index)
        .where(_TRAIL.leaf_index >= size - NEWEST, _TRAIL.kind == WRITTEN)
    )
    lags: dict[str, list[float]] = defaultdict(list)
    for organisation, written, accepted in connection.execute(statement):
        lags[organisation].append(max(0.0, (written - accepted).total_seconds()))
    for organisation in sorted(lags):
        mine = lags[organisation]
        yield Lag(
            organisation=organisation, median=median(mine), longest=max(mine), written=len(mine)
        )


def _contacts(connection: Connection) -> dict[str, dict[str, datetime]]:
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    ordered = select(tables.contact).order_by(tables.contact.c.organisation)
    for organisation, method, time in connection.execute(ordered):
        found[organisation][method] = time
    return dict(found)


def _head(connection: Connection) -> LogHead:
    log = tables.log.c
    found = connection.execute(select(log.origin, log.size)).first()
    if found is None:
        return LogHead(origin="", size=0, checkpoint=None)
    newest = select(_TRAIL.time).order_by(_TRAIL.leaf_index.desc()).limit(1)
    return LogHead(
        origin=found.origin, size=found.size, checkpoint=connection.execute(newest).scalar()
    )
