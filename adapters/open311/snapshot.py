"""
What one look at the bridge gives: the public matters and tickets, all of them, at one moment.

The public is answered from the newest snapshot alone and never causes a call to the bridge.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from adapters.open311.projection import (
    Choices,
    Matter,
    Report,
    Service,
    Ticket,
    is_public,
    report,
    services,
)
from exchange.divisions import Divisions, divisions
from exchange.errors import ExchangeError
from exchange.text import Text

#: Tickets that are asked for in one call.
PAGE = 500
#: What is older is not shown: a matter may have become confidential since.
STALE = timedelta(hours=24)


class Tickets(Protocol):
    """The reading call that is used of `exchange.client.Reader.tickets`."""

    def list(
        self, *, region: str = "", opened_from: datetime | None = None, page_size: int = 100
    ) -> Iterable[Ticket]:
        """Yield the heads of tickets, newest first."""


class Matters(Protocol):
    """The reading call that is used of `exchange.client.Reader.directory`."""

    def matters(self) -> Iterable[Matter]:
        """Yield the catalogue."""


class Bridge(Protocol):
    """What a snapshot is read from: an `exchange.client.Reader`."""

    @property
    def tickets(self) -> Tickets:
        """The tickets that the organisation is party to."""

    @property
    def directory(self) -> Matters:
        """The catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was public at *taken*: services in the catalogue's order, reports newest first."""

    taken: datetime
    services: Mapping[str, Service]
    reports: tuple[Report, ...]
    by_id: Mapping[str, Report]


def look(
    bridge: Bridge,
    choices: Choices,
    *,
    key: bytes,
    now: datetime,
    days: int,
    table: Divisions,
) -> Snapshot:
    """
    Return what is public *now*; raises `ExchangeError` where the bridge does not answer.

    Within a day, or an hour, reports stand in the order of their numbers, which says nothing.
    """
    known = services(bridge.directory.matters(), choices)
    since = now - timedelta(days=days)
    tickets = bridge.tickets.list(region=choices.jurisdiction, opened_from=since, page_size=PAGE)
    found = [
        report(one, known, choices, key, table) for one in tickets if is_public(one, known, choices)
    ]
    found.sort(key=lambda one: one.id)
    found.sort(key=lambda one: one.requested, reverse=True)
    return Snapshot(
        taken=now, services=known, reports=tuple(found), by_id={one.id: one for one in found}
    )


class Gallery:
    """Holds the newest snapshot, and a thread that takes a new one every *refresh* seconds."""

    def __init__(
        self,
        bridge: Bridge,
        choices: Choices,
        key: bytes,
        *,
        days: int,
        refresh: float,
        clock: Callable[[], datetime],
        notice: Callable[[Text | None], None],
    ) -> None:
        self._bridge = bridge
        self._choices = choices
        self._key = key
        self._days = days
        self._refresh = refresh
        self._clock = clock
        self._notice = notice
        self._table = divisions()
        self._newest: Snapshot | None = None
        self._stop = threading.Event()

    def current(self) -> Snapshot | None:
        """Return the newest snapshot, None where there is none yet or it is older than `STALE`."""
        newest = self._newest
        if newest is None or self._clock() - newest.taken > STALE:
            return None
        return newest

    def renew(self) -> None:
        """Take a new snapshot in place of the old one; raises `ExchangeError`, and keeps the old one."""
        self._newest = look(
            self._bridge,
            self._choices,
            key=self._key,
            now=self._clock(),
            days=self._days,
            table=self._table,
        )

    def run(self) -> None:
        """Renew until `stop`; a bridge that is away is told of, and asked again."""
        while not self._stop.is_set():
            try:
                self.renew()
            except ExchangeError as failure:
                self._notice(failure.text)
            except ValueError:
                if not self._stop.is_set():
                    raise
                return  # grpc, of a channel that was closed between two calls
            else:
                self._notice(None)
            self._stop.wait(self._refresh)

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()
