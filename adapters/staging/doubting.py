"""
What the platform was given and may have lost, as when its own database was put back from a backup.

Whoever compares asks the platform, and *doubts* what it does not hold; the doubt stands durably beside
the records.  Nothing is forgotten by that: when the message comes again, the platform is asked once more,
and only what it does not hold even then is given anew.  The marker goes, and the doubt stays, in one
transaction, and the doubt goes with the new marker: killed anywhere in between, the same happens again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import Connection

from adapters.mapping.document import Document, Writing
from adapters.staging.tables import failures, make_doubted
from exchange.acts import Kind

#: For so many seconds another process may keep the records to itself.
PATIENCE = 10.0

_COLUMNS = "message_id, sheet, record, key, ticket_id, inserts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A message that the platform was given, and the record that it became or changed."""

    message_id: str
    sheet: str
    record: str
    #: The first column of the record's key: its number in the platform.
    key: str
    ticket_id: str
    #: Whether it made the record; else it changed it.
    inserts: bool
    #: When it was written; another moment after it was given anew.
    written: str = ""

    @property
    def writing(self) -> Writing:
        """What it did to its sheet."""
        return Writing.INSERT if self.inserts else Writing.UPDATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """
    A message that the platform may have lost; one that *follows* is lost if its record is.

    *looked*: somebody looked, and said that nothing that was asked for is there any more.
    """

    given: Given
    follows: bool
    looked: bool = False


#: Whether the platform holds a record; None where nothing says how to ask; raises where it cannot be told.
Holds = Callable[[Doubt], bool | None]


def given_in(path: Path, document: Document) -> dict[str, Given]:
    """Return what the platform was given, by the records in the file at *path*, oldest first."""
    with _opened(path) as connection:
        keys = {
            row["record"]: str(next(iter(json.loads(row["row_key"]).values()), ""))
            for row in connection.execute("SELECT record, row_key FROM exchange_link")
        }
        rows = connection.execute(
            "SELECT message_id, kind, sheet, record, ticket_id, number, written FROM exchange_marker "
            "WHERE sheet <> '' ORDER BY seq"
        ).fetchall()
    found: dict[str, Given] = {}
    begun: set[str] = set()
    for row in rows:
        record = row["record"]
        found[row["message_id"]] = Given(
            message_id=row["message_id"],
            sheet=row["sheet"],
            record=record,
            key=keys.get(record, row["number"]),
            ticket_id=row["ticket_id"],
            inserts=_inserts(document, row["sheet"], Kind(row["kind"]), first=record not in begun),
            written=row["written"],
        )
        begun.add(record)
    return found


def witnesses(path: Path, document: Document, given: Given, most: int) -> list[Given]:
    """Return what else was given by the same call and is not doubted, newest first, *most* at most."""
    found = given_in(path, document)
    with _opened(path) as connection:
        doubted = {
            row["message_id"] for row in connection.execute("SELECT message_id FROM doubted")
        }
    same = [
        one
        for name, one in found.items()
        if name not in doubted and (one.sheet, one.writing) == (given.sheet, given.writing)
    ]
    return same[: -most - 1 : -1]


def _inserts(document: Document, sheet: str, kind: Kind, *, first: bool) -> bool:
    """Return whether a message of *kind* made its record; where rules do both, the *first* did."""
    ways = {rule.writing for rule in document.hear if rule.sheet == sheet and rule.hears(kind)}
    return first if len(ways) != 1 else Writing.INSERT in ways


def doubt(path: Path, doubts: Iterable[Doubt], now: datetime) -> int:
    """Note *doubts* durably beside the records at *path*, which the adapter may use meanwhile; how many."""
    rows = [
        (
            one.given.message_id, one.given.sheet, one.given.record, one.given.key,
            one.given.ticket_id, one.given.inserts, one.follows, one.looked, now.isoformat(),
        )
        for one in doubts
    ]  # fmt: skip
    with _opened(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        make_doubted(connection)
        connection.executemany(
            f"INSERT OR REPLACE INTO doubted ({_COLUMNS}, follows, looked, noted) "  # noqa: S608 - our own names
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.execute("COMMIT")
    return len(rows)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open records that another process may be using; raises `StoreUnavailable`, whatever fails of it."""
    with (
        failures(),
        closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        yield connection


# -- in a transaction of the adapter's


def doubted(connection: Connection, message_id: str) -> Doubt | None:
    """Return the doubt about a message, None where there is none."""
    query = text(f"SELECT {_COLUMNS}, follows, looked FROM doubted WHERE message_id = :id")  # noqa: S608
    row = connection.execute(query, {"id": message_id}).mappings().first()
    if row is None:
        return None
    facts = {name: row[name] for name in _COLUMNS.split(", ")} | {"inserts": bool(row["inserts"])}
    return Doubt(given=Given(**facts), follows=bool(row["follows"]), looked=bool(row["looked"]))


def record_doubted(connection: Connection, record: str) -> bool:
    """Return whether it is doubted that *record* itself, not a change of it, is there."""
    query = text("SELECT 1 FROM doubted WHERE record = :record AND inserts = 1")
    return connection.execute(query, {"record": record}).first() is not None


def trust(connection: Connection, doubt: Doubt) -> None:
    """End a doubt: the platform holds it, and with a record what follows it."""
    settle(connection, doubt.given.message_id)
    if doubt.given.inserts:
        followers = text("DELETE FROM doubted WHERE record = :record AND follows = 1")
        connection.execute(followers, {"record": doubt.given.record})


def settle(connection: Connection, message_id: str) -> None:
    """End a doubt: the message is written, again or still."""
    connection.execute(text("DELETE FROM doubted WHERE message_id = :id"), {"id": message_id})


def given_away(connection: Connection, given: Given) -> bool:
    """Return whether the platform gave the record's number to another since: then it lost this one."""
    query = text(
        "SELECT 1 FROM exchange_marker WHERE record = :record AND ticket_id <> :ticket_id AND seq > "
        "(SELECT seq FROM exchange_marker WHERE message_id = :message_id)"
    )
    facts = {
        "record": given.record, "ticket_id": given.ticket_id, "message_id": given.message_id,
    }  # fmt: skip
    return connection.execute(query, facts).first() is not None


def forget(connection: Connection, given: Given) -> bool:
    """
    Forget that a message was written, and whose its record is; the doubt stays.

    Returns whether the record itself goes: not where its number belongs to another by now.
    """
    goes = given.inserts and not given_away(connection, given)
    facts = {"record": given.record, "ticket_id": given.ticket_id}
    connection.execute(
        text("DELETE FROM exchange_marker WHERE message_id = :id"), {"id": given.message_id}
    )
    if given.inserts:
        connection.execute(
            text("DELETE FROM exchange_link WHERE record = :record AND ticket_id = :ticket_id"),
            facts,
        )
    return goes


def leave_to(connection: Connection, record: str, ticket_id: str) -> None:
    """Forget that *record* was about other tickets: the platform gave its number anew."""
    connection.execute(
        text("DELETE FROM exchange_link WHERE record = :record AND ticket_id <> :ticket_id"),
        {"record": record, "ticket_id": ticket_id},
    )
