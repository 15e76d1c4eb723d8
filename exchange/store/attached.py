"""Checking attachments: what cites a file follows from its message, and each chunk proves itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import Any

from exchange.attachment_tables import attachment
from exchange.attachments import Chunk, proves
from exchange.errors import ExchangeError, TamperingFound
from exchange.keyring import data_key_of
from exchange.merkle import HASH_SIZE
from exchange.store.chunks import ChunkRows, stored
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.rows import Row, cited_row, names
from exchange.store.standing import Reader
from exchange.store.tree import Fetch, finding
from exchange.text import Text
from exchange.ticket import AttachedFile

_CITED = names(attachment)
_PAGE = 100
#: Chunks read at once; each may have half a megabyte.
_SLICE = 8

_CITATIONS = (
    select_form(attachment)
    + " WHERE (leaf_index, root, sha256) > ({}, {}, {}) ORDER BY leaf_index, root, sha256 LIMIT {}"
)
_MESSAGES = (
    "SELECT t.leaf_index, t.time, t.ticket_id, t.author, t.recipient, m.id, m.envelope FROM trail t"
    " JOIN message m ON m.leaf_index = t.leaf_index WHERE t.leaf_index {among}"
)
_CHUNKS = (
    "SELECT c.root, c.number, c.data_key, c.content, c.size, c.path FROM attachment_chunk c"
    " WHERE (c.root, c.number) > ({}, {}) ORDER BY c.root, c.number LIMIT {}"
)
_CITING = "SELECT sha256, size, chunk_count, media_type FROM attachment WHERE root = {}"
_WHOLE = "SELECT sha256, size FROM attachment_file WHERE root = {}"
_UNCITED = (
    "SELECT f.root FROM attachment_file f LEFT JOIN attachment a ON a.root = f.root"
    " WHERE a.root IS NULL ORDER BY f.root LIMIT 100"
)


def check_attachments(engines: Engines, reader: Reader) -> Iterator[Text]:
    """Yield each citation that its message does not make, and each chunk or file that is not what is cited."""
    yield from _citations(engines, reader)
    yield from _chunks(engines)


def _citations(engines: Engines, reader: Reader) -> Iterator[Text]:
    driver = driver_of(engines.reader.dialect.name)
    last: tuple[int, bytes, bytes] = -1, b"", b""
    while True:
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            page = fetch(_CITATIONS, *last, _PAGE)
            if not page:
                return
            said = fetch(_MESSAGES, sorted({row[0] for row in page}))
            kept = [(row[5], bytes(row[6])) for row in said]
            envelopes = engines.at_rest.tried(fetch, kept)
        by_place = {row[0]: (row, one) for row, one in zip(said, envelopes, strict=True)}
        for row in page:
            yield from _citation(row, by_place.get(row[0]), reader)
        last = page[-1][0], bytes(page[-1][1]), bytes(page[-1][2])


def _citation(row: Row, of: tuple[Row, Any] | None, reader: Reader) -> Iterator[Text]:
    if of is None:
        yield finding(
            "attachment", "leaf_index", row[0], "no message belongs to it", "没有对应的消息"
        )
        return
    (index, time, *about), envelope = of[0][:5], of[1]
    kept: list[AttachedFile]
    if envelope == b"":  # in an archive: what is beside the file, the trail says
        kept = [_file(row[1], *row[2:6])]
    elif isinstance(envelope, bytes):
        try:
            kept = [*reader.message(envelope, None).files]
        except ExchangeError:
            return  # the walk along the log names it
    else:
        return  # likewise
    stored_row = _plain(row)
    if stored_row not in [_plain(cited_row(index, one, about, time)) for one in kept]:
        yield finding(
            "attachment", "leaf_index", index,
            f"the file {bytes(row[1]).hex()[:16]}: its message does not cite it so",
            f"文件 {bytes(row[1]).hex()[:16]}：与消息所引用的不符",
        )  # fmt: skip


def _file(root: bytes, digest: bytes, size: int, count: int, media_type: str) -> AttachedFile:
    return AttachedFile(
        root=bytes(root), sha256=bytes(digest), size=size, chunk_count=count, media_type=media_type
    )


def _plain(row: Row) -> Row:
    return tuple(bytes(one) if isinstance(one, memoryview | bytearray) else one for one in row)


class _Whole:
    """One file, chunk after chunk."""

    def __init__(self, fetch: Fetch, root: bytes) -> None:
        self.root = root
        found = fetch(_CITING, root)
        #: Those with this root that a message cites; chunks prove themselves for any that is cut so.
        self.files = [_file(root, *row) for row in found]
        self._kept = [(bytes(row[0]), row[1]) for row in fetch(_WHOLE, root)]
        self._digest, self._size, self._next = sha256(), 0, 0

    def take(self, number: int, content: bytes) -> None:
        """Go on with the chunk of this number."""
        if number == self._next:
            self._digest.update(content)
            self._size += len(content)
            self._next += 1

    def end(self) -> Iterator[Text]:
        """Yield that the file is another one than is kept of it."""
        complete = any(file.chunk_count == self._next for file in self.files)
        if self._kept and complete and self._kept[0] != (self._digest.digest(), self._size):
            yield finding(
                "attachment_file", "root", self.root.hex(), "sha256, size: not the file's",
                "sha256、size：与文件不符",
            )  # fmt: skip


def _chunks(engines: Engines) -> Iterator[Text]:
    driver = driver_of(engines.reader.dialect.name)
    last, whole = (b"", -1), None
    while True:
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            page = fetch(_CHUNKS, *last, _SLICE)
            for row in page:
                root = bytes(row[0])
                if whole is None or whole.root != root:
                    if whole is not None:
                        yield from whole.end()
                    whole = _Whole(fetch, root)
                yield from _chunk(row, whole, ChunkRows(engines, connection))
            if len(page) < _SLICE:
                break
            last = bytes(page[-1][0]), page[-1][1]
    if whole is not None:
        yield from whole.end()
    with reading(engines) as connection:
        for (root,) in driver.fetch(connection, _UNCITED):
            yield finding(
                "attachment_file", "root", bytes(root).hex(), "no message cites it", "没有消息引用"
            )


def _chunk(row: Row, whole: _Whole, rows: ChunkRows) -> Iterator[Text]:
    root, number, data_key, kept, size, path = row
    where = ("attachment_chunk", "root/number", f"{bytes(root).hex()}/{number}")
    try:
        (content,) = rows.opened([stored(row[:4])])
    except TamperingFound as error:
        yield error.text
        return
    packed = bytes(path)
    steps = tuple(packed[at : at + HASH_SIZE] for at in range(0, len(packed), HASH_SIZE))
    chunk = Chunk(root=bytes(root), number=number, content=content, path=steps)
    if not any(proves(file, chunk) for file in whole.files):
        yield finding(
            *where,
            "content, path: not of a file that is cited",
            "content、path：不属于所引用的文件",
        )
    elif size != len(content) or not _under(bytes(kept), data_key):
        yield finding(*where, "size, data_key: not its content's", "size、data_key：与内容不符")
    whole.take(number, content)


def _under(kept: bytes, data_key: str) -> bool:
    """Return whether a chunk that proved itself is *kept* under *data_key*; empty for one in clear."""
    if not data_key:
        return True  # a file in clear may begin with any bytes, such as those that mark what is encrypted
    try:
        return data_key_of(kept) == data_key
    except ValueError:
        return False
