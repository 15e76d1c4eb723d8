"""
The chunks of attachments: kept once, given to whoever may know them, gone after a while.

They stand outside the log and are written over a connection of their own, one chunk a transaction:
a drain waits for one of them at most.  What may be kept or given follows from the citations alone
that were recorded with their messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, or_, select

from exchange import tables
from exchange.attachment_tables import attachment, attachment_chunk, attachment_file
from exchange.attachments import (
    MOST_NAMED,
    AttachmentRefusal,
    AttachmentStanding,
    Bounds,
    Chunk,
    proves,
)
from exchange.keyring import RingFile
from exchange.merkle import HASH_SIZE
from exchange.store.chunks import ChunkRows, StoredChunk
from exchange.store.engines import Engines, RowsRefused, connect, insisting, reading, translated
from exchange.store.schema import check_version
from exchange.ticket import AttachedFile

_CITED, _CHUNK, _FILE = attachment.c, attachment_chunk.c, attachment_file.c

_STORED = (_CHUNK.root, _CHUNK.number, _CHUNK.data_key, _CHUNK.content)

#: Chunks read at once to hash a file, and removed in one transaction.
_SLICE = 8
#: Citations looked at for one answer: more than one message has, so that each page gets on.
_PAGE = 2 * MOST_NAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One citation of a file: whose message, accepted when; *refusal* says why its bytes do not travel."""

    place: int
    file: AttachedFile
    ticket_id: str
    author: str
    refusal: AttachmentRefusal | None


class Attachments:
    """Keeps and gives chunks within *bounds*; safe to use from several threads."""

    def __init__(self, engines: Engines, bounds: Bounds) -> None:
        self._engines = engines
        self._bounds = bounds

    @classmethod
    def open(cls, url: str, bounds: Bounds, ring: RingFile | None = None) -> Self:
        """
        Open the database at *url*; with *ring*, chunks are encrypted from now on.

        Raises as `Store.open` does, but needs no log's key.
        """
        engines = connect(url, ring=ring)
        try:
            check_version(engines)
        except BaseException:
            engines.close()
            raise
        return cls(engines, bounds)

    def close(self) -> None:
        """Close every connection."""
        self._engines.close()

    # -- how files stand

    def standings(
        self, organisations: Collection[str], roots: Sequence[bytes], now: datetime
    ) -> list[AttachmentStanding]:
        """Return how these files stand for whoever speaks for *organisations*, in the order of *roots*."""
        with reading(self._engines) as connection:
            cited = self._cited(
                connection, now, _CITED.root.in_(set(roots)), _known_to(organisations)
            )
        best = {root: _best(found) for root, found in cited.items()}
        return [
            self._standing(best[root], now)
            if root in best
            else AttachmentStanding(root=root, refusal=AttachmentRefusal.NOT_CITED)
            for root in roots
        ]

    def lacking(
        self, organisations: Collection[str], now: datetime, begin: int
    ) -> tuple[list[AttachmentStanding], int]:
        """
        Return files that *organisations* have cited and that lack chunks, oldest first.

        Those cited from the place *begin* on, up to twice as many as one message may cite, and from where
        the next are: 0 once there are no more.
        """
        # `_cited` joins what was here whole.
        open_ = or_(_FILE.sha256.is_(None), _FILE.sha256 != _CITED.sha256)
        statement = (
            _CITED.leaf_index >= begin,
            _CITED.author.in_(sorted(organisations)),
            _CITED.time >= now - self._bounds.keep,
            open_,
        )
        with reading(self._engines) as connection:
            cited = self._cited(connection, now, *statement, limit=_PAGE)
        found = sorted((one for many in cited.values() for one in many), key=lambda one: one.place)
        standings = [self._standing(one, now) for one in found if one.refusal is None]
        wanted = [one for one in standings if one.missing and one.refusal is None]
        return wanted, found[-1].place if len(found) == _PAGE else 0

    def _standing(self, cited: Citation, now: datetime) -> AttachmentStanding:
        file, refusal = cited.file, cited.refusal
        missing: tuple[int, ...] = ()
        count = 0
        if refusal is None:
            with reading(self._engines) as connection:
                count = file.chunk_count - _held(connection, file.root)
                if count:
                    missing = tuple(_first_missing(connection, file))
            # A process that was killed behind the last chunk left the whole file unjudged.
            refusal = None if count else self._judge(file, now)
        return AttachmentStanding(
            root=file.root, file=file, missing=missing, missing_count=count, refusal=refusal
        )

    # -- chunks

    def put(
        self, organisations: Collection[str], chunk: Chunk, now: datetime
    ) -> AttachmentRefusal | None:
        """Keep *chunk*, durably, for whoever speaks for *organisations*; return why not."""
        with reading(self._engines) as connection:
            citing = _CITED.root == chunk.root
            found = self._cited(connection, now, citing, _known_to(organisations))
            if chunk.root not in found:
                return AttachmentRefusal.NOT_CITED
            cited = _best(found[chunk.root])
            if cited.refusal is not None:
                return cited.refusal
            if not proves(cited.file, chunk):
                return AttachmentRefusal.CHUNK_INVALID
            here = _is_here(connection, chunk)
            full = None if here else self._full(connection, cited.author, len(chunk.content))
        if full is not None:
            return full
        if not here and not insisting(lambda: self._keep(cited, chunk, now)):
            return AttachmentRefusal.NOT_CITED
        return self._judge(cited.file, now)

    def chunks(
        self,
        organisations: Collection[str],
        root: bytes,
        numbers: Sequence[int],
        now: datetime,
        most: int,
    ) -> list[Chunk] | AttachmentRefusal:
        """Return those of the chunks that are here, in their order, of *most* bytes in all; or why not."""
        with reading(self._engines) as connection:
            citing = _CITED.root == root
            found = self._cited(connection, now, citing, _known_to(organisations))
            if root not in found:
                return AttachmentRefusal.NOT_CITED
            cited = _best(found[root])
            if cited.refusal is not None:
                return cited.refusal
            rows = ChunkRows(self._engines, connection)
            given: list[Chunk] = []
            size = 0
            for number in dict.fromkeys(numbers):
                one = and_(_CHUNK.root == root, _CHUNK.number == number)
                row = connection.execute(select(*_STORED, _CHUNK.path).where(one)).first()
                if row is None:
                    continue
                (content,) = rows.opened([_stored(row)])
                size += len(content)
                if given and size > most:
                    break
                given.append(Chunk(root=root, number=number, content=content, path=_path(row.path)))
            return given

    def _full(self, connection: Connection, author: str, size: int) -> AttachmentRefusal | None:
        of_one = select(func.count()).where(_CHUNK.owner == author)
        if (connection.execute(of_one).scalar() or 0) >= self._bounds.chunks_of_one:
            return AttachmentRefusal.QUOTA_EXCEEDED
        total = connection.execute(select(func.sum(_CHUNK.size))).scalar() or 0
        if int(total) + size > self._bounds.total_bytes:
            return AttachmentRefusal.STORE_FULL
        return None

    def _keep(self, cited: Citation, chunk: Chunk, now: datetime) -> bool:
        """Keep *chunk*; return whether it is cited still: what it belongs to may have been destroyed."""
        clear = StoredChunk(
            root=chunk.root, number=chunk.number, data_key="", content=chunk.content
        )
        row = {"owner": cited.author, "size": len(chunk.content), "path": b"".join(chunk.path)}
        try:
            with translated(self._engines), self._engines.writer.begin() as connection:
                # First: whoever destroys the ticket waits for its key, or has taken the citation along.
                found = ChunkRows(self._engines, connection).closed(clear, cited.ticket_id, now)
                if not _is_cited(connection, cited):
                    connection.rollback()
                    return False
                if not _is_here(connection, chunk):
                    connection.execute(insert(attachment_chunk).values(**row, **asdict(found)))
        except RowsRefused as refused:  # another bridge put it there a moment ago
            if not refused.there:
                raise
        return True

    # -- whole files

    def _judge(self, file: AttachedFile, now: datetime) -> AttachmentRefusal | None:
        """Hold a file that is here whole against the digest its author signed; drop what is another."""
        with reading(self._engines) as connection:
            if _held(connection, file.root) < file.chunk_count:
                return None
            known = _judged(connection, file.root)
            digest, size = known or self._digest(connection, file)
        if known is None:
            insisting(lambda: self._remember(file.root, digest, size, now))
        if (digest, size) == (file.sha256, file.size):
            return None
        cited = and_(_CITED.root == file.root, _CITED.sha256 == digest, _CITED.size == size)
        with reading(self._engines) as connection:
            right = connection.execute(select(_CITED.root).where(cited).limit(1)).first()
        if right is None:
            self._remove(file.root)
        return AttachmentRefusal.DIGEST_MISMATCH

    def _digest(self, connection: Connection, file: AttachedFile) -> tuple[bytes, int]:
        """Return the digest and size of a file that is here whole."""
        rows = ChunkRows(self._engines, connection)
        digest, size = sha256(), 0
        for first in range(0, file.chunk_count, _SLICE):
            some = and_(
                _CHUNK.root == file.root, _CHUNK.number >= first, _CHUNK.number < first + _SLICE
            )
            found = connection.execute(select(*_STORED).where(some).order_by(_CHUNK.number))
            for content in rows.opened([_stored(row) for row in found]):
                digest.update(content)
                size += len(content)
        return digest.digest(), size

    def _remember(self, root: bytes, digest: bytes, size: int, now: datetime) -> None:
        row = {"root": root, "sha256": digest, "size": size, "time": now}
        try:
            with translated(self._engines), self._engines.writer.begin() as connection:
                if _judged(connection, root) is None:
                    connection.execute(insert(attachment_file).values(**row))
        except RowsRefused as refused:
            if not refused.there:
                raise

    def sweep(self, now: datetime) -> int:
        """Remove the chunks of files that nobody has cited lately; return of how many files."""
        lately = exists().where(_CITED.root == _CHUNK.root, _CITED.time >= now - self._bounds.keep)
        with reading(self._engines) as connection:
            old = select(_CHUNK.root).where(~lately).distinct()
            stale = connection.execute(old).scalars().all()
        for root in stale:
            with translated(self._engines), self._engines.writer.begin() as connection:
                # First: were it left behind, the file would seem to be here when it is cited again.
                connection.execute(delete(attachment_file).where(_FILE.root == root))
            self._remove(bytes(root))
        return len(stale)

    def _remove(self, root: bytes) -> None:
        """Remove a file's chunks, few at a time: a drain waits for each of these transactions."""
        while insisting(lambda: self._remove_some(root)):
            pass

    def _remove_some(self, root: bytes) -> int:
        with translated(self._engines), self._engines.writer.begin() as connection:
            some = select(_CHUNK.number).where(_CHUNK.root == root).limit(_SLICE)
            numbers = connection.execute(some).scalars().all()
            gone = and_(_CHUNK.root == root, _CHUNK.number.in_(numbers))
            connection.execute(delete(attachment_chunk).where(gone))
        return len(numbers)

    # -- citations

    def _cited(
        self,
        connection: Connection,
        now: datetime,
        *conditions: ColumnElement[bool],
        limit: int | None = None,
    ) -> dict[bytes, list[Citation]]:
        """Return the citations for which *conditions* hold, by root, oldest first."""
        statement = (
            select(attachment, _FILE.sha256.label("real"), _FILE.size.label("real_size"))
            .outerjoin(attachment_file, _FILE.root == _CITED.root)
            .where(*conditions)
            .order_by(_CITED.leaf_index)
            .limit(limit)
        )
        found: dict[bytes, list[Citation]] = defaultdict(list)
        for row in connection.execute(statement):
            found[bytes(row.root)].append(self._citation(row, now))
        return dict(found)

    def _citation(self, row: Any, now: datetime) -> Citation:
        file = AttachedFile(
            root=bytes(row.root),
            sha256=bytes(row.sha256),
            size=row.size,
            chunk_count=row.chunk_count,
            media_type=row.media_type,
        )
        refusal = self._bounds.refusal(file, row.time, now)
        other = row.real is not None and (bytes(row.real), row.real_size) != (
            file.sha256,
            file.size,
        )
        if other and (refusal is None or refusal > AttachmentRefusal.DIGEST_MISMATCH):
            refusal = AttachmentRefusal.DIGEST_MISMATCH
        return Citation(
            place=row.leaf_index,
            file=file,
            ticket_id=row.ticket_id,
            author=row.author,
            refusal=refusal,
        )


def _known_to(organisations: Collection[str]) -> ColumnElement[bool]:
    """Return that one of *organisations* is party to the message: said it, was told it, or has a part."""
    who = sorted(organisations)
    ticket, handoff = tables.ticket.c, tables.handoff.c
    origin = exists().where(ticket.id == _CITED.ticket_id, ticket.origin.in_(who))
    side = or_(handoff.sender.in_(who), handoff.receiver.in_(who))
    part = exists().where(handoff.ticket_id == _CITED.ticket_id, side)
    return or_(
        _CITED.author.in_(who),
        _CITED.recipient.in_(who),
        and_(_CITED.recipient == "", or_(origin, part)),
    )


def _best(cited: Sequence[Citation]) -> Citation:
    """Return a citation whose bytes travel, else the newest one."""
    return next((one for one in cited if one.refusal is None), cited[-1])


def _held(connection: Connection, root: bytes) -> int:
    return connection.execute(select(func.count()).where(_CHUNK.root == root)).scalar() or 0


def _is_cited(connection: Connection, cited: Citation) -> bool:
    one = and_(_CITED.leaf_index == cited.place, _CITED.root == cited.file.root)
    return connection.execute(select(_CITED.leaf_index).where(one)).first() is not None


def _stored(row: Any) -> StoredChunk:
    return StoredChunk(
        root=bytes(row.root), number=row.number, data_key=row.data_key, content=bytes(row.content)
    )


def _is_here(connection: Connection, chunk: Chunk) -> bool:
    one = and_(_CHUNK.root == chunk.root, _CHUNK.number == chunk.number)
    return connection.execute(select(_CHUNK.number).where(one)).first() is not None


def _first_missing(connection: Connection, file: AttachedFile) -> Iterator[int]:
    statement = select(_CHUNK.number).where(_CHUNK.root == file.root)
    held = set(connection.execute(statement).scalars())
    found = 0
    for number in range(file.chunk_count):
        if number not in held:
            yield number
            found += 1
            if found == MOST_NAMED:
                return


def _judged(connection: Connection, root: bytes) -> tuple[bytes, int] | None:
    statement = select(_FILE.sha256, _FILE.size).where(_FILE.root == root)
    row = connection.execute(statement).first()
    return None if row is None else (bytes(row.sha256), row.size)


def _path(packed: bytes) -> tuple[bytes, ...]:
    return tuple(packed[i : i + HASH_SIZE] for i in range(0, len(packed), HASH_SIZE))
