"""
Lanes handed out by several bridges on MariaDB: as `exchange.store.leasing`, in its words.

Whoever looks into a mailbox writes into that mailbox's row: at one node it is locked, and of two looks at
two nodes the cluster undoes the later one, which looks again and then sees what the first one gave.  A
look that hands out nothing has decided nothing and is taken back, so that it costs no disk.

Each node of a cluster has a clock of its own.  There a lane stays out two seconds longer than its lease
lasts, and a lease counts though it was given two seconds hence: nodes whose clocks differ by less hand
nothing out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, event

from exchange import tables
from exchange.records import Waiting
from exchange.store.engines import closed_on_failure, insisting, translated
from exchange.store.leasing import SECOND, LeasingOutbox, Look
from exchange.store.mariadb import enter, in_cluster
from exchange.store.outbox import WAITING, waiting_of

#: By how many seconds the clocks of a cluster's nodes may differ.
APART_SECONDS = 2

_NOW = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
_ENTER = (
    "INSERT INTO lease (recipient, lane, token, taken, expires, upto, attempt)"
    " VALUES ({}, '', '', 0, 0, 0, 0) ON DUPLICATE KEY UPDATE taken = taken + 1"
)
_SETTLED = (
    "DELETE FROM lease WHERE recipient = {} AND lane <> '' AND NOT EXISTS"
    " (SELECT 1 FROM mailbox o WHERE o.lane = lease.lane AND o.recipient = lease.recipient"
    "  AND o.position <= lease.upto)"
)
_OUT = (
    "FROM lease l WHERE l.recipient = {} AND l.lane <> ''"
    f" AND l.taken <= {_NOW} + {{}} AND l.expires > {_NOW} - {{}}"
)
_LANES_OUT = f"SELECT {_NOW}, count(*), min(l.expires) {_OUT}"
_FOUND = WAITING.format(
    "{}", "{}", "{}", skipped=f"NOT IN (SELECT l.lane {_OUT})", after="", limit="{}"
)
_GIVE_BACK = "DELETE FROM lease WHERE recipient = {} AND token {among}"
_CHANGES = ("token", "taken", "expires", "upto", "attempt")

# Nobody waits long for one that stands still with a mailbox locked.
_SESSION = "SET SESSION idle_transaction_timeout = 5"
_APART = "exchange.apart"


class MariadbLeasing(LeasingOutbox):
    """The mailboxes of one database on MariaDB; used by one thread at a time."""

    def _begin(self) -> None:
        # It writes leases alone, and no drain reads those.
        event.remove(self._engines.writer, "begin", enter)
        event.listen(self._engines.writer, "connect", _prepare)

    def lease(
        self,
        recipient: str,
        limit: int,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        least: int = 0,
    ) -> Look:
        """Hand out what waits for *recipient*, as `LeasingOutbox.lease`."""
        return insisting(lambda: self._look(recipient, limit, fitting, least))

    def _look(
        self,
        recipient: str,
        limit: int,
        fitting: Callable[[Sequence[Waiting]], int],
        least: int,
    ) -> Look:
        with (
            translated(self._engines),
            self._engines.writer.connect() as connection,
            connection.begin() as transaction,
        ):
            fetch = partial(self._driver.fetch, connection)
            self._driver.execute(connection, _ENTER, recipient)
            self._driver.execute(connection, _SETTLED, recipient)
            apart = connection.info[_APART]
            out = recipient, apart, apart
            ((now, count, first),) = fetch(_LANES_OUT, *out)
            rows = fetch(_FOUND, recipient, least, recipient, *out, limit)
            found = self._in_clear([waiting_of(row) for row in rows], fetch)
            found = found[: fitting(found)]
            leased = self._take(connection, recipient, found, now) if found else []
            if not leased:
                transaction.rollback()
        ends = None if first is None else first + apart
        return self._looked(leased, count + len({one.lane for one in found}), ends, now)

    def _write(
        self,
        connection: Connection,
        recipient: str,
        token: str,
        now: int,
        taken: Sequence[tuple[str, int, int]],
    ) -> None:
        ends = now + self._length
        rows = [(recipient, lane, token, now, ends, upto, times) for lane, upto, times in taken]
        self._driver.upsert(connection, tables.lease, rows, _CHANGES)

    def give_back(self, recipient: str, tokens: Iterable[str]) -> None:
        """End leases that nobody took."""
        given = sorted(set(tokens))

        def give() -> None:
            with translated(self._engines), self._engines.writer.begin() as connection:
                self._driver.execute(connection, _GIVE_BACK, recipient, given)

        insisting(give)


def _prepare(connection: Any, record: Any) -> None:
    with closed_on_failure(connection), connection.cursor() as cursor:
        cursor.execute(_SESSION)
        record.info[_APART] = APART_SECONDS * SECOND if in_cluster(cursor) else 0
