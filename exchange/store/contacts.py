"""
When organisations last called: a small record beside the log, on which nothing rests.

It is written by the process that hears the calls, over a connection of its own and without waiting for
the disk, so that no drain waits for a second one's sync: the next drain's takes it along.  What a power
failure may cost is its last seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import event, insert, update

from exchange import tables
from exchange.errors import StoreUnavailable
from exchange.store.engines import (
    POSTGRESQL,
    SQLITE,
    Engines,
    closed_on_failure,
    connect,
    insisting,
    translated,
)
from exchange.text import Text

_CONTACT = tables.contact.c
_UNSYNCED = {
    SQLITE: "PRAGMA synchronous = NORMAL",
    POSTGRESQL: "SET synchronous_commit TO off",
}
_ANOTHER_FILE = Text(
    en="The database file {file} is not the one that the bridge began with.",
    zh="数据库文件 {file} 已不是网桥启动时的文件。",
)

#: Organisation and call (``push``, ``pull``, ``acknowledge``) -> when.
Contacts = Mapping[tuple[str, str], datetime]


class ContactBook:
    """Writes the table `contact` of one database; nothing stays connected in between."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._began = self._identity()

    def write(self, contacts: Contacts) -> None:
        """Keep *contacts*, but never an earlier time than is known; raises `StoreUnavailable`."""
        if self._identity() != self._began:
            # Its write-ahead log has the other file's name.
            raise StoreUnavailable(_ANOTHER_FILE.fill(file=connect(self._url).place))
        engines = connect(self._url)
        try:

            def unsynced(connection: Any, _record: Any) -> None:
                with closed_on_failure(connection):
                    connection.execute(_UNSYNCED[engines.url.get_backend_name()])
                    connection.commit()

            if engines.url.get_backend_name() in _UNSYNCED:  # MariaDB syncs by server alone
                event.listen(engines.writer, "connect", unsynced)
            insisting(lambda: _write(engines, contacts))
        finally:
            engines.close()

    def _identity(self) -> tuple[int, int] | None:
        """Return device and number of SQLite's file; None where there is none to look at."""
        file = connect(self._url).file
        if file is None or not file.exists():
            return None
        found = file.stat()
        return found.st_dev, found.st_ino


def _write(engines: Engines, contacts: Contacts) -> None:
    with translated(engines), engines.writer.begin() as connection:
        for (organisation, method), moment in sorted(contacts.items()):
            mine = (_CONTACT.organisation == organisation) & (_CONTACT.method == method)
            connection.execute(
                update(tables.contact).where(mine, _CONTACT.time < moment).values(time=moment)
            )
            known = connection.execute(tables.contact.select().where(mine)).first()
            if known is None:
                connection.execute(
                    insert(tables.contact).values(
                        organisation=organisation, method=method, time=moment
                    )
                )
