"""
What the platform says, taken durably and in order.

A record is accepted when it is on disk in the queue of arrivals, and goes from there into its sheet as
soon as what was there before has been said: a platform that reports "signed for" and "settled" within
one second is heard with both.  The same record again is recognised and changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.mapping.document import Document, Writing
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.trying import columns_of
from adapters.staging.tables import (
    DETAIL,
    NEW,
    PLACE,
    SEQUENCE,
    STATUS,
    failures,
    open_records,
    quoted,
)
from adapters.table.records import reference
from exchange.errors import LimitExceeded
from exchange.text import Text

#: So many accepted records may wait for their turn; a platform that sends more is told to wait.
WAITING = 10_000
#: So many arrivals go into their sheets in one turn.
_TURN = 512

_OWN = {STATUS, DETAIL, SEQUENCE, PLACE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One record as the platform gave it, and where it stood (``gd.csv:17``, ``GET /orders``)."""

    sheet: str
    record: Mapping[str, Any]
    place: str = ""
    #: The id of the message that the platform made this record of, where it repeats that.
    echo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Something the platform gave that is no record: kept as it was."""

    place: str
    reason: Text
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handing:
    """What is given to the platform: *number* is what it has answered, None before that."""

    message_id: str
    #: Grows with every message that is given; the same for a repeat.
    seq: int
    sheet: str
    writing: Writing
    content: Mapping[str, Any]
    number: str | None
    #: Whether this was begun before, so that the platform may have it already.
    begun_before: bool


class Records:
    """The queue of arrivals and the sheets of a *staged* document; safe for several threads."""

    def __init__(
        self,
        path: Path,
        document: Document,
        clock: Callable[[], datetime],
        waiting: int = WAITING,
    ) -> None:
        self.path = path
        self.document = document
        self.limit = waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._columns = {name: columns_of(document, name) - _OWN for name in document.sheets}
        self._connection = open_records(path, document)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, failures():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # -- what the platform says

    def accept(
        self,
        said: Sequence[Said],
        *,
        unread: Sequence[Unread] = (),
        mark: tuple[str, str] | None = None,
    ) -> int:
        """
        Take records, what is none, and how far the platform was read, all or nothing; how many are new.

        Raises `Misfit` for a record that nothing can name, `LimitExceeded` where too many wait.
        """
        new = 0
        with self._transaction() as connection:
            for one in said:
                new += self._accept(connection, one)
            if new and self._waiting(connection) > self.limit:
                raise LimitExceeded(_FLOOD.fill(limit=self.limit))
            for other in unread:
                self._put_unread(connection, other)
            if mark is not None:
                connection.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", mark)
        return new

    def _accept(self, connection: sqlite3.Connection, said: Said) -> bool:
        sheet = self.document.sheets[said.sheet]
        content = {
            column: _plain(column, get(said.record, column))
            for column in sorted(self._columns[said.sheet])
        }
        record = reference(sheet, content)
        content |= record.key
        told = json.dumps(content, ensure_ascii=False, sort_keys=True)
        digest = sha256(told.encode()).hexdigest()
        known = connection.execute(
            "SELECT digest FROM arrived WHERE sheet = ? AND record = ?", (said.sheet, record.name)
        ).fetchone()
        if known is not None and known["digest"] == digest:
            return False
        connection.execute(
            "INSERT OR REPLACE INTO arrived VALUES (?, ?, ?)", (said.sheet, record.name, digest)
        )
        connection.execute(
            "INSERT INTO arrival (sheet, record, echo, place, content) VALUES (?, ?, ?, ?, ?)",
            (said.sheet, record.name, said.echo, said.place, told),
        )
        return True

    def _put_unread(self, connection: sqlite3.Connection, one: Unread) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO unread (place, en, zh, original, found) VALUES (?, ?, ?, ?, ?)",
            (one.place, one.reason.en, one.reason.zh, one.original, self._clock().isoformat()),
        )

    def marked(self, name: str) -> str | None:
        """Return how far something of the platform's was read; None before the first time."""
        with self._lock, failures():
            row = self._connection.execute(
                "SELECT value FROM mark WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else str(row["value"])

    def unread(self) -> list[Unread]:
        """Return what was no record, oldest first."""
        with self._lock, failures():
            rows = self._connection.execute("SELECT * FROM unread ORDER BY seq").fetchall()
        return [
            Unread(
                place=row["place"],
                reason=Text(en=row["en"], zh=row["zh"]),
                original=row["original"],
            )
            for row in rows
        ]

    # -- into the sheets

    def turn(self) -> int:
        """Put what has arrived into its sheets, where its turn has come; return how many."""
        done = 0
        with self._transaction() as connection:
            held: set[tuple[str, str]] = set()
            rows = connection.execute("SELECT * FROM arrival ORDER BY seq").fetchall()
            for row in rows:
                if done == _TURN:
                    break
                place = (row["sheet"], row["record"])
                if place in held or not self._may(connection, row):
                    held.add(place)
                    continue
                self._apply(connection, row)
                held.add(place)  # the next one of this record waits until this one is said
                done += 1
        return done

    def _may(self, connection: sqlite3.Connection, row: sqlite3.Row) -> bool:
        """Return whether a record may enter its sheet now."""
        content = json.loads(row["content"])
        sheet = self.document.sheets[row["sheet"]]
        at = " AND ".join(f"{quoted(name)} = ?" for name in sheet.key)
        there = connection.execute(
            f"SELECT {STATUS} FROM {quoted(sheet.table)} WHERE {at}",  # noqa: S608 - our own names
            [content[name] for name in sheet.key],
        ).fetchone()
        if there is not None:
            return bool(there[STATUS] != NEW)
        # It may be what a message, just given to the platform, became there: that is not new to say.
        query = "SELECT message_id FROM handing WHERE sheet = ? AND inserts = 1"
        under_way = {one["message_id"] for one in connection.execute(query, (row["sheet"],))}
        return row["echo"] not in under_way if row["echo"] else not under_way

    def _apply(self, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        content = json.loads(row["content"])
        sheet = self.document.sheets[row["sheet"]]
        content |= {STATUS: NEW, DETAIL: None, SEQUENCE: row["seq"], PLACE: row["place"]}
        names = list(content)
        changes = ", ".join(
            f"{quoted(one)} = excluded.{quoted(one)}" for one in names if one not in sheet.key
        )
        connection.execute(
            f"INSERT INTO {quoted(sheet.table)} ({', '.join(map(quoted, names))}) "  # noqa: S608 - our own names
            f"VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT ({', '.join(map(quoted, sheet.key))}) DO UPDATE SET {changes}",
            [content[one] for one in names],
        )
        connection.execute("DELETE FROM arrival WHERE seq = ?", (row["seq"],))

    def waiting(self) -> int:
        """Return how many accepted records have not entered their sheets."""
        with self._lock, failures():
            return self._waiting(self._connection)

    def _waiting(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM arrival").fetchone()[0])

    # -- what is given to the platform

    def serial(self, message_id: str) -> int:
        """Return the number that is the message's own; no other ever gets it, whichever is given first."""
        with self._transaction() as connection:
            return int(self._reserved(connection, message_id)["seq"])

    def _reserved(self, connection: sqlite3.Connection, message_id: str) -> Any:
        connection.execute(
            "INSERT OR IGNORE INTO handing (message_id, sheet, inserts, content) VALUES (?, '', 0, '')",
            (message_id,),
        )
        query = "SELECT * FROM handing WHERE message_id = ?"
        return connection.execute(query, (message_id,)).fetchone()

    def begin(
        self, message_id: str, sheet: str, writing: Writing, content: Mapping[str, Any]
    ) -> Handing:
        """
        Note that *content* is about to be given to the platform; what was begun before stays as it was.

        What is repeated is therefore the same, word for word, under the same id.
        """
        told = json.dumps(content, ensure_ascii=False, default=str)
        with self._transaction() as connection:
            row = self._reserved(connection, message_id)
            begun_before = bool(row["content"])
            if not begun_before:
                connection.execute(
                    "UPDATE handing SET sheet = ?, inserts = ?, content = ? WHERE message_id = ?",
                    (sheet, writing is Writing.INSERT, told, message_id),
                )
        return Handing(
            message_id=message_id,
            seq=row["seq"],
            sheet=sheet,
            writing=writing,
            content=json.loads(row["content"] or told),
            number=row["number"],
            begun_before=begun_before,
        )

    def begin_anew(self, given: Handing, content: Mapping[str, Any]) -> Handing:
        """Note that *content* is to be given instead: the record that it changes has another number."""
        told = json.dumps(content, ensure_ascii=False, default=str)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE handing SET content = ? WHERE message_id = ?", (told, given.message_id)
            )
        return replace(given, content=json.loads(told))

    def confirm(self, message_id: str, number: str) -> None:
        """Note that the platform has it, under *number* (empty where it names none)."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE handing SET number = ? WHERE message_id = ?", (number, message_id)
            )

    def settle(self, message_id: str) -> None:
        """Forget what was under way: it is written with its marker, or the platform refuses it."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM handing WHERE message_id = ?", (message_id,))

    def flat(self, sheet: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return nested *content* by the columns of *sheet*."""
        found = {column: get(content, column) for column in self._columns[sheet]}
        return {name: _plain(name, value) for name, value in found.items() if value is not None}


def _plain(column: str, value: Any) -> Any:
    """Return *value* as a column holds it; raises `Misfit` for text that is none."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = str(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Misfit(column, _NO_TEXT) from error
    return value


_FLOOD = Text(
    en="{limit} records of the platform wait already. Nothing of this was taken: send it again later.",
    zh="已有 {limit} 条平台记录等候处理。本次内容未接收，请稍后重发。",
)
_NO_TEXT = Text(
    en="holds half of a character (a lone surrogate).", zh="含有不完整的字符（孤立代理项）。"
)
