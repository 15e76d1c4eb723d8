"""
Telling the other bridges of a database for whom something new waits, on MariaDB: rows that count.

It has no LISTEN.  Each bridge counts in rows of its own how often it called each organisation, so that no
two write one row; and fifty times a second, while somebody waits here, looks at those of the others.  That
is one question by keys, to which a node answers from memory, without asking the other nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from exchange.store.engines import ask, insisting, translated
from exchange.store.mariadb import in_cluster
from exchange.store.mariadb_driver import Mariadb
from exchange.store.waking import Waking

#: How often is looked, while somebody waits.
LOOK_SECONDS = 0.02

_CALL = (
    "INSERT INTO ring (organisation, origin, times) VALUES (%s, %s, 1)"
    " ON DUPLICATE KEY UPDATE times = times + 1"
)
_CALLED = "SELECT organisation, origin, times FROM ring WHERE organisation {among} AND origin <> {}"
_WAITS = "SELECT 1 FROM mailbox WHERE recipient = {} LIMIT 1"
# What a node has not applied yet is there at the next look; to wait for it fifty times a second is none.
_AT_ONCE = "SET SESSION wsrep_sync_wait = 0"


class MariadbWaking(Waking):
    """One bridge's two lines to the others, as `Waking`."""

    def tell(self, organisations: Collection[str]) -> None:
        """Call *organisations* out to the other bridges; raises `StoreUnavailable`."""
        rows = [(name, self._origin) for name in sorted(organisations)]

        def call(connection: Connection) -> None:
            with _raw(connection).cursor() as cursor:
                cursor.executemany(_CALL, rows)

        insisting(lambda: ask(self._engines, call))

    def waiting(self, organisations: Collection[str]) -> frozenset[str]:
        """Return those for whom anything waits; raises `StoreUnavailable`."""

        def look(connection: Connection) -> frozenset[str]:
            fetch = Mariadb().fetch
            return frozenset(one for one in organisations if fetch(connection, _WAITS, one))

        return ask(self._engines, look)

    @contextmanager
    def listening(
        self,
        seconds: float,  # noqa: ARG002 (each look is told)
        wanted: Callable[[], Collection[str]],
    ) -> Iterator[Iterator[frozenset[str]]]:
        """Listen for those that are *wanted*, as `Waking.listening`."""
        with translated(self._engines), self._engines.asker.connect() as connection:
            connection.detach()
            with _raw(connection).cursor() as cursor:
                if in_cluster(cursor):
                    cursor.execute(_AT_ONCE)
            yield self._looking(connection, wanted)

    def _looking(
        self, connection: Connection, wanted: Callable[[], Collection[str]]
    ) -> Iterator[frozenset[str]]:
        # What was never seen may have been called since somebody began to wait: it counts as called.
        seen: dict[tuple[str, str], int] = {}
        while True:
            names = sorted(wanted())
            rows = Mariadb().fetch(connection, _CALLED, names, self._origin) if names else []
            now = {(name, origin): times for name, origin, times in rows}
            yield frozenset(name for (name, _), times in (now.items() - seen.items()))
            seen |= now
            time.sleep(LOOK_SECONDS)


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
