"""Checking archives against the database that they came from: contents, signatures, standing."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from exchange import tables
from exchange.errors import ExchangeError, TamperingFound
from exchange.merkle import leaf_hash
from exchange.records import Content
from exchange.store.archive import digest_of, read_lines
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.rows import NO_MESSAGE, TRAIL, WRITTEN, Row, seal
from exchange.store.standing import Reader, check_ticket
from exchange.store.tree import Fetch, finding
from exchange.submission import Statement
from exchange.tables import moment_of
from exchange.text import Text
from exchange.ticket import Message

_ARCHIVES = "SELECT number, file, digest FROM archive ORDER BY number"
_COUNT = "SELECT count(*) FROM archived WHERE archive = {}"
_ALL = "SELECT count(*) FROM archived WHERE archive > 0"
_FILES = (
    "SELECT file FROM archive WHERE number IN (SELECT a.archive FROM trail t"
    " JOIN archived a ON a.leaf_index = t.leaf_index WHERE t.ticket_id = {}) ORDER BY number"
)
_TRAIL = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)}, a.archive FROM trail t"  # noqa: S608
    " LEFT JOIN archived a ON a.leaf_index = t.leaf_index WHERE t.ticket_id = {}"
)
_DESTROYED = (
    "SELECT t.leaf_index FROM trail t JOIN archived a ON a.leaf_index = t.leaf_index"
    " WHERE t.ticket_id = {} AND a.archive < 0"
)
_TICKET = select_form(tables.ticket) + " WHERE id = {}"
_HANDOFFS = select_form(tables.handoff) + " WHERE ticket_id = {}"


def archived_entries(engines: Engines) -> int:
    """Return how many entries of the log have their contents in archives."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        return int(driver.fetch(connection, _ALL)[0][0])


def archives_of(engines: Engines, ticket_id: str) -> list[str]:
    """Return the names of the archive files in which contents of a ticket stand, oldest first."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        return [row[0] for row in driver.fetch(connection, _FILES, ticket_id)]


def opened(engines: Engines, line: dict[str, Any]) -> dict[str, Any]:
    """
    Return the *line* of a ticket with its envelopes in clear; those that were destroyed are left out.

    Raises `StoreUnusable` where a key of the ring is wanted, `TamperingFound` where an entry does not
    hold what was encrypted for its message.
    """
    locked = [entry for entry in line["entries"] if "encrypted" in entry]
    if not locked:
        return line
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        fetch: Fetch = partial(driver.fetch, connection)
        gone = {row[0] for row in fetch(_DESTROYED, line["ticket_id"])}
        here = [entry for entry in locked if entry["leaf_index"] not in gone]
        stored = [(entry["message_id"], b64decode(entry["encrypted"])) for entry in here]
        envelopes = engines.at_rest.decrypted(fetch, stored)
    clear = {
        entry["leaf_index"]: entry | {"envelope": b64encode(envelope).decode()}
        for entry, envelope in zip(here, envelopes, strict=True)
    }
    entries = [
        clear.get(entry["leaf_index"], entry)
        for entry in line["entries"]
        if entry["leaf_index"] not in gone
    ]
    return line | {"entries": entries}


def check_archives(engines: Engines, folder: Path, reader: Reader) -> Iterator[Text]:
    """
    Yield what does not fit of the archives in *folder*; every archive of the database must be there.

    Each file must be byte for byte the one that was written; what it holds must be what the log
    proves, signed as when it was accepted, and leave tickets and hand-offs as they stand.
    """
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        archives = driver.fetch(connection, _ARCHIVES)
    for number, name, digest in archives:
        file = folder / name
        if not file.is_file():
            yield finding(
                "archive", "number", number, f"{name} is not in {folder}", f"{folder} 中没有 {name}"
            )
            continue
        if digest_of(file) != bytes(digest):
            yield finding("archive", "number", number, f"{file} was changed", f"{file} 被改动")
            continue
        yield from _check_file(engines, number, file, reader)


def _check_file(engines: Engines, number: int, file: Path, reader: Reader) -> Iterator[Text]:
    driver = driver_of(engines.reader.dialect.name)
    covered = 0
    for line in read_lines(file):
        if "ticket_id" not in line:
            continue
        try:
            line = opened(engines, line)  # noqa: PLW2901
        except TamperingFound as error:
            yield finding("archive", "number", number, error.text.en, error.text.zh)
            continue
        once = _Once(reader)
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            rows = {row[0]: row for row in fetch(_TRAIL, line["ticket_id"])}
            ours = [entry for entry in line["entries"] if _is_ours(entry, rows, number)]
            covered += len(ours)
            for entry in ours:
                yield from _check_entry(entry, rows[entry["leaf_index"]], once)
            yield from _check_standing(fetch, line, rows, once)
    with reading(engines) as connection:
        missing = driver.fetch(connection, _COUNT, number)[0][0] - covered
    if missing:
        yield finding(
            "archive", "number", number, f"{missing} entries that left are not in {file}",
            f"有 {missing} 条已移出的条目不在 {file} 中",
        )  # fmt: skip


class _Once:
    """Reads each message of a ticket once: its entry is checked, then the ticket's standing asks again."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._read: dict[bytes, Message] = {}

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in *envelope*; what was read *at* its time need not be again without."""
        known = self._read.get(envelope) if at is None else None
        if known is None:
            known = self._read[envelope] = self._reader.message(envelope, at)
        return known

    def statement(
        self, kind: Content, statement: bytes, signature: bytes, at: datetime | None
    ) -> Statement:
        """Return what *statement* says."""
        return self._reader.statement(kind, statement, signature, at)


def _is_ours(entry: dict[str, Any], rows: dict[int, Row], number: int) -> bool:
    """Return whether the entry left into this archive; what stayed is checked where it is."""
    row = rows.get(entry["leaf_index"])
    return row is not None and row[-1] == number


def _check_entry(entry: dict[str, Any], row: Row, reader: Reader) -> Iterator[Text]:
    """Yield where what the archive holds is not what the trail's row, and so the log, is about."""
    kept = dict(zip(TRAIL, row, strict=False)) | {"digest": bytes(row[10]).hex()}
    at = moment_of(row[1])
    where = ("archived", "leaf_index", row[0])
    try:
        if row[4] == WRITTEN:
            contents = [b64decode(entry["statement"]), b64decode(entry["signature"])]
            stated = reader.statement(Content.WRITTEN, contents[0], contents[1], at)
            said = {
                "message_id": stated.message_id,
                "author": stated.organisation,
                "digest": leaf_hash(contents[0]).hex(),
            }
        else:
            contents = [b64decode(entry["envelope"])]
            message = reader.message(contents[0], at)
            said = {
                "message_id": message.id,
                "author": message.author,
                "ticket_id": message.ticket_id,
                "handoff_id": message.handoff_id,
                "kind": message.kind.value,
                "digest": message.digest.hex(),
            }
    except ExchangeError as error:
        yield finding(*where, f"contents: {error.text.en}", f"内容：{error.text.zh}")
        return
    for name, value in said.items():
        if kept[name] != value:
            yield finding(*where, f"{name}: not the archived one's", f"{name}：与归档内容不符")
    if seal(row[:10], bytes(row[10]), *contents).hex() != entry["seal"]:
        yield finding(
            *where, "seal: the trail's row was changed since", "seal：追溯记录在归档后被改动"
        )


def _check_standing(
    fetch: Fetch, line: dict[str, Any], rows: dict[int, Row], reader: Reader
) -> Iterator[Text]:
    """Yield where the ticket does not stand as its archived messages leave it."""
    said = [entry for entry in line["entries"] if "envelope" in entry]
    if len(said) != sum(row[4] not in NO_MESSAGE for row in rows.values()):
        return  # the rest stands elsewhere
    ticket_id = line["ticket_id"]
    trail: Sequence[Row] = [
        (ticket_id, leaf, rows[leaf][1], rows[leaf][8], rows[leaf][9], b64decode(entry["envelope"]))
        for entry in said
        if (leaf := entry["leaf_index"]) in rows
    ]
    handoffs = {row[0]: row for row in fetch(_HANDOFFS, ticket_id)}
    for ticket in fetch(_TICKET, ticket_id):
        yield from check_ticket(ticket, list(trail), handoffs, reader)
