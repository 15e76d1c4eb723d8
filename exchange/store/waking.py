"""
Telling the other bridges of a database for whom something new waits: PostgreSQL's LISTEN and NOTIFY
(MariaDB has neither: `exchange.store.mariadb_waking`).

A call costs no disk and is lost where nobody listens, so whoever waits looks now and then all the same.
It is sent after the drain has committed, over a connection of its own: within the drain's transaction,
PostgreSQL would let all drains of all bridges commit one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql
from sqlalchemy import Connection

from exchange.store.engines import Engines, ask, translated

# One PostgreSQL database may hold several bridges' tables in several schemas.
_CHANNEL = "SELECT 'exchange_' || 'log'::regclass::oid::bigint"
_WAITS = (
    "SELECT o FROM unnest(%s::text[]) AS o"
    " WHERE EXISTS (SELECT 1 FROM mailbox b WHERE b.recipient = o)"
)
#: Organisations in one call: a payload has 8000 bytes at most, a code 18 and its comma.
_ORGANISATIONS = 400


class Waking:
    """One bridge's two lines to the others: one listens, one calls; each is used by one thread."""

    def __init__(self, engines: Engines, origin: str) -> None:
        self._engines = engines
        #: The log of the bridge that calls.
        self._origin = origin
        #: The process number, at the server, of our own calling connection: those are not for us.
        self._own = 0

    def close(self) -> None:
        """Close the calling connection; a listening one ends with its `heard`."""
        self._engines.close()

    def tell(self, organisations: Collection[str]) -> None:
        """Call *organisations* out to the other bridges; raises `StoreUnavailable`."""
        names = sorted(organisations)

        def call(connection: Connection) -> None:
            raw = _raw(connection)
            raw.execute("SET synchronous_commit TO off")
            self._own = raw.info.backend_pid
            channel = raw.execute(_CHANNEL).fetchone()[0]
            for start in range(0, len(names), _ORGANISATIONS):
                called = ",".join(names[start : start + _ORGANISATIONS])
                raw.execute("SELECT pg_notify(%s, %s)", (channel, called))

        ask(self._engines, call)

    def waiting(self, organisations: Collection[str]) -> frozenset[str]:
        """Return those for whom anything waits; raises `StoreUnavailable`."""
        names = sorted(organisations)
        found = ask(self._engines, lambda c: _raw(c).execute(_WAITS, (names,)).fetchall())
        return frozenset(row[0] for row in found)

    @contextmanager
    def listening(
        self,
        seconds: float,
        wanted: Callable[[], Collection[str]],  # noqa: ARG002 (all is heard)
    ) -> Iterator[Iterator[frozenset[str]]]:
        """
        Listen: yield what is called, set by set, empty ones where nothing was for so many *seconds*.

        Organisations that are not *wanted* at that moment need not be told of.
        Raises `StoreUnavailable` where the line cannot be had or is cut.
        """
        with translated(self._engines), self._engines.reader.connect() as connection:
            # It waits outside of any transaction, and is not given back to the others.
            connection.detach()
            raw = _raw(connection)
            raw.rollback()
            raw.autocommit = True
            channel = raw.execute(_CHANNEL).fetchone()[0]
            raw.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield self._heard(raw, seconds)

    def _heard(self, raw: Any, seconds: float) -> Iterator[frozenset[str]]:
        while True:
            called: set[str] = set()
            for one in raw.notifies(timeout=seconds, stop_after=1):
                if one.pid != self._own:
                    called.update(one.payload.split(","))
            yield frozenset(called)


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
