"""
Lanes handed out by several bridges: leases that stand in the database.

Whoever looks into a mailbox first locks that mailbox's row, so that one bridge at a time decides what of
it is handed out, and sees every lease given before.  A lease tells up to which position its lane was
handed out; once nothing up to there waits any more the lane is free, in the very transaction that took
the last of it out of the mailbox.  So drains neither read nor write leases, and a bridge that is gone
leaves nothing but a time: its lanes are free when that has come.

Times are the database's own, so that the clocks of machines need not agree.  Leases are not synced, and
a crash of the database forgets them all: that costs redeliveries and nothing else.  These are PostgreSQL's
words; MariaDB's are `exchange.store.mariadb_leasing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, event

from exchange.records import Waiting
from exchange.store.drivers import Run
from exchange.store.engines import Engines, closed_on_failure, translated
from exchange.store.outbox import WAITING, Outbox, waiting_of

SECOND = 1_000_000
_NOW = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
_ENTER = (
    "INSERT INTO lease (recipient, lane, token, taken, expires, upto, attempt)"
    " VALUES ({}, '', '', 0, 0, 0, 0)"
    " ON CONFLICT (recipient, lane) DO UPDATE SET taken = 0 RETURNING lane"
)
#: Lanes of which all that was handed out was settled since.
_SETTLED = (
    "DELETE FROM lease l WHERE l.recipient = {} AND l.lane <> '' AND NOT EXISTS"
    " (SELECT 1 FROM mailbox o WHERE o.lane = l.lane AND o.recipient || '' = l.recipient"
    "  AND o.position <= l.upto) RETURNING l.lane"
)
#: Out: handed out by a clock that was not set back since, and not over.
_OUT = (
    "FROM lease l WHERE l.recipient = {} AND l.lane <> ''"
    f" AND l.taken <= {_NOW} AND l.expires > {_NOW}"
)
_LANES_OUT = f"SELECT {_NOW}, count(*), min(l.expires) {_OUT}"
_FOUND = WAITING.format(
    "{}", "{}", "{}", skipped=f"NOT IN (SELECT l.lane {_OUT})", after="", limit="{}"
)
_BEFORE = "SELECT lane, upto, attempt FROM lease WHERE recipient = {} AND lane {among}"
_TAKE = (
    "INSERT INTO lease (recipient, lane, token, taken, expires, upto, attempt)"
    " SELECT {}, n.lane, {}, {}::bigint, {}::bigint, n.upto, n.attempt"
    " FROM unnest({}::text[], {}::bigint[], {}::int[]) AS n(lane, upto, attempt)"
    " ON CONFLICT (recipient, lane) DO UPDATE SET"
    " token = excluded.token, taken = excluded.taken, expires = excluded.expires,"
    " upto = excluded.upto, attempt = excluded.attempt"
)
_GIVE_BACK = "DELETE FROM lease WHERE recipient = {} AND token {among}"

# Unsynced, and nobody waits long for one that stands still with a mailbox locked.
_SESSION = (
    "SELECT set_config('synchronous_commit', 'off', false),"
    " set_config('idle_in_transaction_session_timeout', '5000', false)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """One thing handed out: how often it was, and for how many seconds nobody else gets it."""

    waiting: Waiting
    token: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What looking into a mailbox gave: how many lanes are out, and in how many seconds one is free."""

    leased: list[Leased]
    out: int
    next_free: float | None


class LeasingOutbox(Outbox):
    """The mailboxes of one database that several bridges hand out; used by one thread at a time."""

    def __init__(self, engines: Engines, seconds: float) -> None:
        super().__init__(engines)
        self._length = int(seconds * SECOND)
        self._begin()

    def _begin(self) -> None:
        event.listen(self._engines.writer, "connect", _prepare)

    def lease(
        self,
        recipient: str,
        limit: int,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        least: int = 0,
    ) -> Look:
        """
        Hand out up to *limit* of what waits for *recipient*: urgent lanes first, then oldest.

        Only lanes of the urgency *least* or more count.  *fitting* says how many of what was found are taken, from the first on.  Raises
        `StoreUnavailable` when the database fails: then nothing was handed out.
        """
        with translated(self._engines), self._engines.writer.begin() as connection:
            _, _, ((now, out, first),), rows = self._driver.fetch_all(
                connection,
                (_ENTER, recipient),
                (_SETTLED, recipient),
                (_LANES_OUT, recipient),
                (_FOUND, recipient, least, recipient, recipient, limit),
            )
            fetch = partial(self._driver.fetch, connection)
            found = self._in_clear([waiting_of(row) for row in rows], fetch)
            found = found[: fitting(found)]
            lanes = {one.lane for one in found}
            leased = self._take(connection, recipient, found, now) if found else []
        return self._looked(leased, out + len(lanes), first, now)

    def _looked(self, leased: list[Leased], out: int, first: int | None, now: int) -> Look:
        ends = [end for end in (first, now + self._length if leased else None) if end is not None]
        return Look(
            leased=leased,
            out=out,
            next_free=max(0.0, (min(ends) - now) / SECOND) if ends else None,
        )

    def _take(
        self, connection: Connection, recipient: str, found: Sequence[Waiting], now: int
    ) -> list[Leased]:
        lanes: dict[str, int] = {}
        for one in found:
            lanes[one.lane] = max(one.position, lanes.get(one.lane, 0))
        before = {
            lane: (upto, attempt)
            for lane, upto, attempt in self._driver.fetch(
                connection, _BEFORE, recipient, sorted(lanes)
            )
        }
        token = secrets.token_hex(16)
        leased = [
            Leased(
                waiting=one,
                token=token,
                attempt=_attempt(one, *before.get(one.lane, (0, 0))),
                seconds=self._length / SECOND,
            )
            for one in found
        ]
        most: dict[str, int] = {}
        for given in leased:
            lane = given.waiting.lane
            most[lane] = max(given.attempt, most.get(lane, 0))
        ordered = sorted(lanes)
        taken = [(lane, lanes[lane], most[lane]) for lane in ordered]
        self._write(connection, recipient, token, now, taken)
        return leased

    def _write(
        self,
        connection: Connection,
        recipient: str,
        token: str,
        now: int,
        taken: Sequence[tuple[str, int, int]],
    ) -> None:
        """Write the leases of lanes that are *taken*: up to which position, for the how-many-th time."""
        columns = [list(column) for column in zip(*taken, strict=True)]
        values = (recipient, token, now, now + self._length, *columns)
        self._driver.write(connection, [Run(_TAKE, values)], commit=True)

    def give_back(self, recipient: str, tokens: Iterable[str]) -> None:
        """End leases that nobody took."""
        with translated(self._engines), self._engines.writer.begin() as connection:
            self._driver.execute(connection, _GIVE_BACK, recipient, sorted(set(tokens)))


def _attempt(one: Waiting, upto: int, attempt: int) -> int:
    """Return how often *one* was handed out, this time included, its lane's lease before being this."""
    return attempt + 1 if one.position <= upto else 1


def _prepare(connection: Any, _record: Any) -> None:
    with closed_on_failure(connection):
        connection.execute(_SESSION)
        connection.commit()
