"""
Retention: what closed tickets said moves from the database into archive files.

Envelopes, and the statements and signatures of receipts, leave; every row stays, and with it ids,
digests, the trail, the log.  So a repeated message is still recognised and gets the receipt it got,
lists and trails are as before, and the log verifies.

An archive is a file of JSON lines: a head, the signers' certificates, one line a ticket with what
left and each leaf's proof, and an end.  What is encrypted leaves so; only the database has its key
(`exchange.store.archived.opened`).  It is complete and durable, and the database says so, before
anything leaves; contents then leave ticket by ticket, each looked at once more.  Whatever stops the
work, it is begun again and goes on: at worst a ticket stands in two files.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from errno import EEXIST
from functools import partial
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection

from exchange import tables
from exchange.errors import StoreMismatch, TamperingFound
from exchange.keyring import is_encrypted
from exchange.store.drivers import Driver, Run, driver_of, select_form
from exchange.store.engines import POSTGRESQL, Engines, reading, translated
from exchange.store.rows import TRAIL, WRITTEN, Row, seal, unpack_chain
from exchange.store.tree import proofs_at
from exchange.tables import stamp
from exchange.text import Text

FORMAT = "hotline.exchange/archive/v1"
#: Tickets of one file at most.
TICKETS_A_FILE = 20_000
_TICKETS_A_PAGE = 50

#: Nobody answers for anything, nothing waits or stands still, and nothing was said for long.
_DONE = (
    "t.closed AND (SELECT max(r.time) FROM trail r WHERE r.ticket_id = t.id) < {}"
    " AND EXISTS (SELECT 1 FROM trail r WHERE r.ticket_id = t.id AND r.kind <> 'set_aside'"
    "  AND NOT EXISTS (SELECT 1 FROM archived a WHERE a.leaf_index = r.leaf_index))"
    " AND NOT EXISTS (SELECT 1 FROM handoff h WHERE h.ticket_id = t.id AND h.answers <> '')"
    " AND NOT EXISTS (SELECT 1 FROM trail r JOIN mailbox b ON b.source = r.leaf_index"
    "  AND b.content <> 'refused' WHERE r.ticket_id = t.id)"
    " AND NOT EXISTS (SELECT 1 FROM trail r JOIN refusal f ON f.message_id = r.message_id"
    "  JOIN mailbox b ON b.source = f.number AND b.content = 'refused' WHERE r.ticket_id = t.id)"
    " AND NOT EXISTS (SELECT 1 FROM handoff h JOIN mailbox b ON b.lane = h.id"
    "  WHERE h.ticket_id = t.id)"
    " AND NOT EXISTS (SELECT 1 FROM handoff h JOIN quarantine q ON q.lane = h.id"
    "  WHERE h.ticket_id = t.id)"
)
_NEXT = (
    f"SELECT t.opened, t.id FROM ticket t WHERE {_DONE}"  # noqa: S608 (our own words)
    " AND (t.opened > {} OR (t.opened = {} AND t.id > {})) ORDER BY t.opened, t.id LIMIT {}"
)
_STILL = f"SELECT t.id FROM ticket t WHERE {_DONE} AND t.id {{among}}"  # noqa: S608
# What sets a message aside stays where it is, as every refusal does.
_HERE = (
    "t.kind <> 'set_aside' AND NOT EXISTS (SELECT 1 FROM archived a WHERE a.leaf_index = t.leaf_index)"
    " ORDER BY t.ticket_id, t.leaf_index"
)
_ENTRIES = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)}, m.envelope, r.statement, r.signature"  # noqa: S608
    " FROM trail t LEFT JOIN message m ON m.leaf_index = t.leaf_index"
    f" LEFT JOIN receipt r ON r.leaf_index = t.leaf_index WHERE t.ticket_id {{among}} AND {_HERE}"
)
_ROWS = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)} FROM trail t"  # noqa: S608
    f" WHERE t.ticket_id {{among}} AND {_HERE}"
)
_REFUSALS = (
    "SELECT message_id, refused_by, time, statement, signature FROM refusal"
    " WHERE message_id {among} ORDER BY number"
)
_CHAINS = select_form(tables.certificate) + " ORDER BY key_id"
_ORIGIN = "SELECT origin FROM log ORDER BY number"
_LOCKED = "SELECT id FROM ticket WHERE id {among} ORDER BY id FOR UPDATE"
_HEADS = "SELECT origin FROM log ORDER BY number FOR UPDATE"
_LAST = "SELECT coalesce(max(number), 0) FROM archive"
_EMPTY_MESSAGES = "UPDATE message SET envelope = {} WHERE leaf_index {among}"
_EMPTY_RECEIPTS = "UPDATE receipt SET statement = {}, signature = {} WHERE leaf_index {among}"
_SEAL = "UPDATE trail SET seal = {} WHERE leaf_index = {}"

_NO_LOG = Text(
    en="The database has no log yet: there is nothing to archive.",
    zh="数据库尚无日志，没有可归档的内容。",
)
_MISSING = Text(
    en="A message or receipt of a ticket that is to be archived is missing; nothing of it was moved. "
    "Run: exchange log verify",
    zh="待归档单的消息或回执缺失，未移动其内容。请执行：exchange log verify",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One archive file: how many tickets stand in it, how many of them left, and what left."""

    file: Path
    tickets: int
    left: int
    entries: int
    #: Bytes of the file.
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What would move: tickets, their entries, and the bytes that would leave."""

    tickets: int
    entries: int
    size: int


def due(engines: Engines, before: datetime) -> Due:
    """Return what `move` would move; nothing is changed."""
    archive = _Archive(engines, before)
    tickets = entries = size = 0
    for page in archive.pages():
        tickets += len(page)
        for row in archive.entries(page):
            entries += 1
            size += sum(len(part) for part in row[len(TRAIL) :] if part is not None)
    return Due(tickets=tickets, entries=entries, size=size)


def move(
    engines: Engines,
    folder: Path,
    *,
    before: datetime,
    clock: Callable[[], datetime],
    a_file: int = TICKETS_A_FILE,
) -> Iterator[Moved]:
    """
    Move what closed tickets said, nothing of them being newer than *before*; yield file after file.

    A bridge may go on serving.  Raises `StoreUnavailable` and `OSError`; what was yielded stays.
    """
    archive = _Archive(engines, before)
    pages = archive.pages()
    while first := next(pages, None):
        made = _written(archive, folder, _chain(first, pages, a_file), clock())
        if made is None:
            continue
        number, file, digest, tickets = made
        archive.enter(number, file.name, digest, tickets, clock())
        left, entries = archive.empty(number, file)
        yield Moved(
            file=file, tickets=tickets, left=left, entries=entries, size=file.stat().st_size
        )


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of an archive; the first must say that it is one."""
    with file.open("rb") as lines:
        for place, line in enumerate(lines):
            said = json.loads(line)
            if place == 0 and (not isinstance(said, dict) or said.get("format") != FORMAT):
                raise ValueError(f"{file} is no archive")
            yield said


def digest_of(file: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with file.open("rb") as content:
        digest = sha256()
        while block := content.read(1 << 20):
            digest.update(block)
        return digest.digest()


class _Archive:
    """What is moved from one database."""

    def __init__(self, engines: Engines, before: datetime) -> None:
        self._engines = engines
        self._driver: Driver = driver_of(engines.reader.dialect.name)
        self._before = stamp(before)

    def pages(self) -> Iterator[list[str]]:
        """Yield the ids of the tickets to move, page by page, oldest first."""
        opened, last = "", ""
        while True:
            with reading(self._engines) as connection:
                found = self._driver.fetch(
                    connection, _NEXT, self._before, opened, opened, last, _TICKETS_A_PAGE
                )
            if not found:
                return
            yield [row[1] for row in found]
            opened, last = found[-1]

    def entries(self, tickets: Sequence[str]) -> list[Row]:
        """Return the trail of *tickets* that is not archived yet, with its contents."""
        with reading(self._engines) as connection:
            return self._driver.fetch(connection, _ENTRIES, list(tickets))

    def head(self) -> tuple[str, int, list[tuple[bytes, ...]]]:
        """Return the log's name, the number of the next archive, and every signer's chain."""
        with reading(self._engines) as connection:
            origins = self._driver.fetch(connection, _ORIGIN)
            if not origins:
                raise StoreMismatch(_NO_LOG)
            last = self._driver.fetch(connection, _LAST)[0][0]
            chains = [unpack_chain(bytes(r[1])) for r in self._driver.fetch(connection, _CHAINS)]
        return origins[0][0], last + 1, chains

    def lines(self, tickets: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the line of each of *tickets*."""
        with reading(self._engines) as connection:
            found = self._driver.fetch(connection, _ENTRIES, list(tickets))
            fetch = partial(self._driver.fetch, connection)
            proofs = proofs_at(fetch, [row[0] for row in found])
            ids = sorted({row[5] for row in found if row[4] != WRITTEN})
            refused = self._driver.fetch(connection, _REFUSALS, ids) if ids else []
        for ticket, entries in groupby(found, key=lambda row: row[2]):
            said = [_entry(row, str(proofs[row[0]])) for row in entries]
            named = {one["message_id"] for one in said}
            refusals = [
                {
                    "message_id": row[0],
                    "refused_by": row[1],
                    "time": row[2],
                    "statement": _text(row[3]),
                    "signature": _text(row[4]),
                }
                for row in refused
                if row[0] in named
            ]
            yield {"ticket_id": ticket, "entries": said, "refusals": refusals}

    def enter(self, number: int, file: str, digest: bytes, tickets: int, now: datetime) -> None:
        """Say that the archive is there, before anything leaves."""
        with translated(self._engines), self._engines.writer.begin() as connection:
            row = (number, file, digest, tickets, stamp(now))
            self._driver.insert(connection, tables.archive, [row])

    def empty(self, number: int, file: Path) -> tuple[int, int]:
        """Let what stands in *file* leave, page by page; return how many tickets and entries left."""
        lines = (line for line in read_lines(file) if "ticket_id" in line)
        left = entries = 0
        while page := list(islice(lines, _TICKETS_A_PAGE)):
            held = {
                line["ticket_id"]: [entry["leaf_index"] for entry in line["entries"]]
                for line in page
            }
            with translated(self._engines), self._engines.writer.begin() as connection:
                if connection.dialect.name == POSTGRESQL:
                    # As a drain of several bridges does first, and then every drain.
                    self._driver.fetch(connection, _LOCKED, sorted(held))
                    self._driver.fetch(connection, _HEADS)
                gone = self._leaving(connection, held)
                self._leave(connection, number, [row for rows in gone.values() for row in rows])
            left += len(gone)
            entries += sum(map(len, gone.values()))
        return left, entries

    def _leaving(self, connection: Connection, held: dict[str, list[int]]) -> dict[str, list[Row]]:
        """Return the rows of those tickets that are still done, and of which the file has all."""
        still = self._driver.fetch(connection, _STILL, self._before, sorted(held))
        ids = sorted(row[0] for row in still)
        found = self._driver.fetch(connection, _ROWS, ids) if ids else []
        grouped = {key: list(rows) for key, rows in groupby(found, key=lambda row: row[2])}
        return {key: rows for key, rows in grouped.items() if [row[0] for row in rows] == held[key]}

    def _leave(self, connection: Connection, number: int, rows: Sequence[Row]) -> None:
        if not rows:
            return
        leaves = [row[0] for row in rows]
        written = [row[0] for row in rows if row[4] == WRITTEN]
        messages = sorted(set(leaves) - set(written))
        self._driver.insert(connection, tables.archived, [(leaf, number) for leaf in leaves])
        if messages:
            self._driver.execute(connection, _EMPTY_MESSAGES, b"", messages)
        if written:
            self._driver.execute(connection, _EMPTY_RECEIPTS, b"", b"", written)
        seals = ((seal(row[:10], bytes(row[10])), row[0]) for row in rows)
        self._driver.write(connection, [Run(_SEAL, one) for one in seals])


def _chain(first: list[str], rest: Iterator[list[str]], most: int) -> Iterator[list[str]]:
    """Yield pages until a file has *most* tickets."""
    page: list[str] | None = first
    taken = 0
    while page:
        yield page
        taken += len(page)
        page = next(rest, None) if taken < most else None


def _written(
    archive: _Archive, folder: Path, pages: Iterator[list[str]], now: datetime
) -> tuple[int, Path, bytes, int] | None:
    """Write one archive, durably under its name; return number, path, digest and tickets."""
    origin, number, chains = archive.head()
    file = folder / f"archive-{number:06}-{now:%Y%m%dT%H%M%SZ}.jsonl"
    draft = folder / f".{file.name}.part"
    tickets = entries = 0
    try:
        with draft.open("xb") as out:
            digest = _Digesting(out)
            digest.put({"format": FORMAT, "origin": origin, "number": number, "made": stamp(now)})
            for chain in chains:
                digest.put({"certificates": [_text(der) for der in chain]})
            for page in pages:
                for line in archive.lines(page):
                    digest.put(line)
                    tickets += 1
                    entries += len(line["entries"])
            digest.put({"end": True, "tickets": tickets, "entries": entries})
            out.flush()
            os.fsync(out.fileno())
        if not tickets:
            return None
        if file.exists():
            raise FileExistsError(EEXIST, os.strerror(EEXIST), str(file))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return number, file, digest.value(), tickets


class _Digesting:
    """Writes lines and digests what it writes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._digest = sha256()

    def put(self, line: dict[str, Any]) -> None:
        """Write one line."""
        content = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        self._digest.update(content)
        self._out.write(content)

    def value(self) -> bytes:
        """Return the digest of everything written."""
        return self._digest.digest()


def _entry(row: Row, proof: str) -> dict[str, Any]:
    said: dict[str, Any] = dict(zip(TRAIL, row, strict=False))
    said |= {"digest": bytes(row[10]).hex(), "seal": bytes(row[11]).hex(), "proof": proof}
    del said["ticket_id"]
    envelope, statement, signature = row[len(TRAIL) :]
    if row[4] == WRITTEN:
        return said | {"statement": _text(statement), "signature": _text(signature)}
    # As it is stored: the key of what is encrypted stays in the database, and is destroyed there.
    stored = bytes(envelope or b"")
    return said | {"encrypted" if is_encrypted(stored) else "envelope": _text(envelope)}


def _text(content: bytes | memoryview | None) -> str:
    if content is None:
        raise TamperingFound(_MISSING)
    return b64encode(bytes(content)).decode()
