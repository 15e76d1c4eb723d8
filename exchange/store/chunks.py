"""
Chunks as they stand in their rows: in clear, or under the data key of a ticket that cites their file.

A file that several tickets cite is there once, under the key of one of them.  Whoever destroys that
ticket hands the file over to another first (`hand_over`); what it alone cites goes with its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from exchange import tables
from exchange.errors import TamperingFound, VerificationError
from exchange.keyring import DataKey
from exchange.store.at_rest import HELD
from exchange.store.drivers import Run, driver_of
from exchange.store.engines import POSTGRESQL, Engines
from exchange.store.rows import Row
from exchange.store.tree import finding

_CLEAR = "SELECT root, number, data_key, content FROM attachment_chunk WHERE data_key = '' LIMIT {}"
_HOW_MANY_CLEAR = "SELECT count(*) FROM attachment_chunk WHERE data_key = ''"
_CITING = "SELECT ticket_id FROM attachment WHERE root = {} ORDER BY leaf_index LIMIT 1"
_CITING_TOO = (
    "SELECT ticket_id FROM attachment WHERE root = {} AND ticket_id <> {}"
    " ORDER BY leaf_index LIMIT 1"
)
_SHARED = (
    "SELECT c.root, c.number, c.data_key, c.content FROM attachment_chunk c WHERE c.data_key {among}"
    " AND EXISTS (SELECT 1 FROM attachment a WHERE a.root = c.root AND a.ticket_id <> {}) LIMIT 1"
)
_KEEP = "UPDATE attachment_chunk SET data_key = {}, content = {} WHERE root = {} AND number = {}"
_CLEAR_OF_TICKET = (
    "SELECT count(*) FROM attachment_chunk WHERE data_key = ''"
    " AND root IN (SELECT root FROM attachment WHERE ticket_id = {})"
)
_DROP = "DELETE FROM attachment_chunk WHERE root = {} AND number = {}"
_UNJUDGED = "DELETE FROM attachment_file WHERE root = {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """One row: *data_key* is empty where *content* stands in clear."""

    root: bytes
    number: int
    data_key: str
    content: bytes

    @property
    def place(self) -> str:
        """What binds its content to its row."""
        return f"{self.root.hex()}/{self.number}"


class ChunkRows:
    """Closes and opens chunks over one *connection*, whose transaction holds the keys it closes with."""

    def __init__(self, engines: Engines, connection: Connection) -> None:
        self._at_rest = engines.at_rest
        self._connection = connection
        self._driver = driver_of(connection.dialect.name)
        self._fetch = partial(self._driver.fetch, connection)
        self._held = HELD if connection.dialect.name == POSTGRESQL else ""

    def closed(self, chunk: StoredChunk, ticket_id: str, now: datetime) -> StoredChunk:
        """
        Return *chunk*, in clear, as it is stored for *ticket_id*, whose key is made if it has none.

        Raises `StoreUnusable` where the ring does not serve: nothing is stored in clear instead.
        """
        if not self._at_rest.on:
            return chunk
        key = self._key(ticket_id, now)
        content = key.encrypt(chunk.place, chunk.content)
        return StoredChunk(root=chunk.root, number=chunk.number, data_key=key.id, content=content)

    def _key(self, ticket_id: str, now: datetime) -> DataKey:
        held = self._at_rest.held(self._fetch, {ticket_id}, self._held)
        if ticket_id in held:
            return held[ticket_id]
        ((key, row),) = self._at_rest.made([ticket_id], now)
        self._driver.insert(self._connection, tables.data_key, [row])
        return key

    def opened(self, chunks: Sequence[StoredChunk]) -> list[bytes]:
        """
        Return what *chunks* hold.

        Raises `StoreUnusable` where a key of the ring is wanted, `TamperingFound` naming the row that
        does not hold what was encrypted for it.
        """
        locked = [one for one in chunks if one.data_key]
        found = self._at_rest.tried(self._fetch, [(one.place, one.content) for one in locked])
        clear: dict[str, bytes] = {}
        for one, content in zip(locked, found, strict=True):
            if isinstance(content, VerificationError):
                why = content.text
                row = finding("attachment_chunk", "root/number", one.place, why.en, why.zh)
                raise TamperingFound.from_findings([row]) from content
            clear[one.place] = content
        return [clear.get(one.place, one.content) for one in chunks]

    def put_back(self, chunk: StoredChunk) -> None:
        """Put a chunk that is there in its row's place."""
        self._driver.execute(
            self._connection, _KEEP, chunk.data_key, chunk.content, chunk.root, chunk.number
        )

    def hand_over(self, ticket_id: str, keys: Sequence[str], now: datetime) -> None:
        """Put what stands under *keys*, those of *ticket_id*, and others cite, under another's key."""
        if not keys:
            return
        while found := self._fetch(_SHARED, keys, ticket_id):
            chunk = stored(found[0])
            ((other,),) = self._fetch(_CITING_TOO, chunk.root, ticket_id)
            (content,) = self.opened([chunk])
            clear = StoredChunk(root=chunk.root, number=chunk.number, data_key="", content=content)
            self.put_back(self.closed(clear, other, now))

    def clear_of(self, ticket_id: str) -> int:
        """Return how many chunks of files that *ticket_id* cites stand in clear."""
        return int(self._fetch(_CLEAR_OF_TICKET, ticket_id)[0][0])

    def encrypt_some(self, most: int, now: datetime) -> int:
        """Encrypt up to *most* chunks that stand in clear, or drop those that nobody cites; return how many."""
        found = [stored(row) for row in self._fetch(_CLEAR, most)]
        for chunk in found:
            citing = self._fetch(_CITING, chunk.root)
            if citing:
                self.put_back(self.closed(chunk, citing[0][0], now))
                continue
            gone = [
                Run(_UNJUDGED, (chunk.root,)),
                Run(_DROP, (chunk.root, chunk.number)),
            ]
            self._driver.write(self._connection, gone)
        return len(found)


def stored(row: Row) -> StoredChunk:
    """Return the chunk of a row: root, number, data_key, content."""
    root, number, data_key, content = row
    return StoredChunk(root=bytes(root), number=number, data_key=data_key, content=bytes(content))


def clear_chunks(engines: Engines, connection: Connection) -> int:
    """Return how many chunks stand in clear."""
    return int(driver_of(engines.reader.dialect.name).fetch(connection, _HOW_MANY_CLEAR)[0][0])
