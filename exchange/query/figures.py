"""
How the bridge itself stands: what waits for whom and since when, what stopped.

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

from sqlalchemy import Connection, Row, func, select, text

from exchange import tables
from exchange.acts import Urgency
from exchange.errors import NotFound
from exchange.query.duties import DutiesRoom
from exchange.query.evidence import log_named
from exchange.records import Content
from exchange.store.engines import POSTGRESQL, reading
from exchange.store.places import log_key
from exchange.store.rows import WRITTEN

#: Rows by the position of what waits first.
Firsts = dict[int, Any]

#: Entries of the log, from its end, over which the lag is taken.
NEWEST = 2000

_MAIL = tables.mailbox.c
_STOP = tables.quarantine.c
_TRAIL = tables.trail.c


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
    #: What the trail tells of the message; empty for one that is not in it.
    kind: str
    author: str
    ticket_id: str
    #: How many deliveries stand in the lane, the message among them.
    waiting: int


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
class Figures:
    """How a bridge's database stands at one moment."""

    mailboxes: tuple[Mailbox, ...]
    unacknowledged: Unacknowledged | None
    stopped: tuple[Stopped, ...]
    lags: tuple[Lag, ...]
    #: By organisation, then by call.
    contacts: dict[str, dict[str, datetime]]
    log: LogHead


class FiguresRoom(DutiesRoom):
    """Reads one database's figures; raises as `exchange.query.Query` does."""

    def figures(self, origin: str = "") -> Figures:
        """Return how the database stands, and of its logs *origin*, or the first."""
        with reading(self._engines) as connection:
            groups = _groups(connection)
            firsts = _firsts(connection, [group.position for group in groups])
            head = _head(connection, origin)
            return Figures(
                mailboxes=tuple(_mailboxes(groups, firsts, _stopped_lanes(connection))),
                unacknowledged=_unacknowledged(groups, firsts),
                stopped=tuple(_stopped(connection)),
                lags=tuple(_lags(connection)),
                contacts=_contacts(connection),
                log=head,
            )

    def stopped(self) -> list[Stopped]:
        """Return the lanes that stand still, the one that has for longest first."""
        with reading(self._engines) as connection:
            return list(_stopped(connection))

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
    waiting = (
        select(func.count())
        .where(_MAIL.recipient == _STOP.recipient, _MAIL.lane == _STOP.lane)
        .scalar_subquery()
    )
    statement = (
        select(
            _STOP.recipient,
            _STOP.lane,
            _STOP.time,
            refusal.message_id,
            refusal.statement,
            _TRAIL.kind,
            _TRAIL.author,
            _TRAIL.ticket_id,
            waiting.label("waiting"),
        )
        .join(tables.refusal, refusal.number == _STOP.refusal)
        .outerjoin(tables.trail, _TRAIL.leaf_index == _STOP.source)
        .order_by(_STOP.time, _STOP.recipient, _STOP.lane)
    )
    for row in connection.execute(statement):
        yield Stopped(
            organisation=row.recipient,
            lane=row.lane,
            since=row.time,
            message_id=row.message_id,
            statement=bytes(row.statement),
            kind=row.kind or "",
            author=row.author or "",
            ticket_id=row.ticket_id or "",
            waiting=row.waiting,
        )


def _lags(connection: Connection) -> Iterable[Lag]:
    oldest = (
        select(_TRAIL.leaf_index).order_by(_TRAIL.leaf_index.desc()).offset(NEWEST - 1).limit(1)
    )
    first = connection.execute(oldest).scalar() or 0
    said, message = tables.trail.alias("said"), tables.message.c
    statement = (
        select(_TRAIL.author, _TRAIL.time, said.c.time)
        .join(tables.message, message.id == _TRAIL.message_id)
        .join(said, said.c.leaf_index == message.leaf_index)
        .where(_TRAIL.leaf_index >= first, _TRAIL.kind == WRITTEN)
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


def _head(connection: Connection, origin: str) -> LogHead:
    try:
        found = log_named(connection, origin)
    except NotFound:
        return LogHead(origin="", size=0, checkpoint=None)
    drain = tables.drain.c
    first = func.coalesce(drain.place, drain.size_before)
    newest = (
        select(_TRAIL.time)
        .join(tables.drain, _TRAIL.leaf_index == first)
        .where(drain.size_after == log_key(found.number, found.size))
    )
    return LogHead(
        origin=found.origin, size=found.size, checkpoint=connection.execute(newest).scalar()
    )
