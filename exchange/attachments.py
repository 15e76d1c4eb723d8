"""
Files in chunks: how one is cut, what proves a chunk, and why its bytes may not travel.

A message cites a file by its size, its number of chunks and the root of the tree over them; the
author's signature covers all three.  Every chunk but the last has the same size, so size and number
say where each begins.  A chunk with its path to the root proves itself, whoever brings it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from exchange.errors import VerificationError
from exchange.merkle import (
    HASH_SIZE,
    frontier_at,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_from_path,
)
from exchange.text import Text
from exchange.ticket import AttachedFile

#: Bytes of one chunk at most; the contract's limit.
MAX_CHUNK = 524_288
#: The media type of what travels encrypted: a bridge knows no other.
SEALED_TYPE = "application/vnd.hotline-exchange.sealed-file"
#: Bytes by which a chunk is longer that travels encrypted.
SEALED_MORE = 16
#: Roots in one question, and numbers of lacking chunks in one answer, at most; likewise.
MOST_NAMED = 64


class AttachmentRefusal(IntEnum):
    """Why a file, or a chunk, is not kept or given; the contract's numbers, in order of precedence."""

    NOT_CITED = 1
    TYPE_NOT_ALLOWED = 2
    TOO_LARGE = 3
    MISCUT = 4
    CHUNK_INVALID = 5
    DIGEST_MISMATCH = 6
    QUOTA_EXCEEDED = 7
    STORE_FULL = 8
    EXPIRED = 9

    @property
    def text(self) -> Text:
        """What it says to people, with what to do."""
        return _TEXTS[self]

    @property
    def passes(self) -> bool:
        """Whether the same chunk may be taken later."""
        return self in {AttachmentRefusal.QUOTA_EXCEEDED, AttachmentRefusal.STORE_FULL}


_TEXTS = {
    AttachmentRefusal.NOT_CITED: Text(
        en="No accepted message that you are party to cites this file; push the message first.",
        zh="没有您参与且已受理的消息引用该文件，请先推送消息。",
    ),
    AttachmentRefusal.TYPE_NOT_ALLOWED: Text(
        en="The bridge does not carry files of this media type; hand it over by other means.",
        zh="网桥不传送该媒体类型的文件，请以其他方式移交。",
    ),
    AttachmentRefusal.TOO_LARGE: Text(
        en="The file is larger than the bridge carries; hand it over by other means.",
        zh="文件超过网桥的附件大小上限，请以其他方式移交。",
    ),
    AttachmentRefusal.MISCUT: Text(
        en="Size and number of chunks do not fit: every chunk but the last has size / chunk_count "
        "bytes, rounded up, at most 524,288. Cite the file anew.",
        zh="文件大小与分片数不符：除末片外每片为 size / chunk_count（向上取整）字节，且不超过 524,288。请重新引用该文件。",
    ),
    AttachmentRefusal.CHUNK_INVALID: Text(
        en="The chunk's length or path does not fit the root that the author signed: it was changed, or "
        "is another's. Send the right bytes.",
        zh="分片的长度或路径与作者签署的分片根不符：内容被改动或属于其他文件。请发送正确的内容。",
    ),
    AttachmentRefusal.DIGEST_MISMATCH: Text(
        en="The whole file has another digest or size than the author signed; nothing of it is kept. Cite "
        "the file anew.",
        zh="整个文件的摘要或大小与作者签署的不符，未予保存。请重新引用该文件。",
    ),
    AttachmentRefusal.QUOTA_EXCEEDED: Text(
        en="The author's organisation has as many chunks at the bridge as it may; this one waits until "
        "older ones are gone.",
        zh="作者机构在网桥保存的分片已达上限，须待较早的附件清除后再传。",
    ),
    AttachmentRefusal.STORE_FULL: Text(
        en="The bridge has no room for attachments now; its operator can raise attachments.total_mib.",
        zh="网桥附件空间已满；运营方可调高 attachments.total_mib。",
    ),
    AttachmentRefusal.EXPIRED: Text(
        en="The message is older than the bridge keeps attachments for; ask its author for the file.",
        zh="该消息已超过网桥的附件保存期，请向作者索取文件。",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Chunk *number* of the file whose root is *root*; *path* leads from its leaf to there."""

    root: bytes
    number: int
    content: bytes
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentStanding:
    """
    How the file *root* stands at a bridge: the first of the *missing* chunks' numbers, and how many.

    *file* is None where it is refused as not cited.
    """

    root: bytes
    file: AttachedFile | None = None
    missing: tuple[int, ...] = ()
    missing_count: int = 0
    refusal: AttachmentRefusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a bridge carries of attachments."""

    #: Media types.
    types: frozenset[str]
    #: Bytes of one file at most.
    file_bytes: int
    #: Chunks that one organisation has cited and that are here, at most.
    chunks_of_one: int
    #: Bytes of all chunks at most.
    total_bytes: int
    #: For how long after its message was accepted.
    keep: timedelta

    def refusal(
        self, file: AttachedFile, cited: datetime, now: datetime
    ) -> AttachmentRefusal | None:
        """Return why *file*, of a message accepted at *cited*, does not travel; the first in order."""
        if file.media_type not in self.types:
            return AttachmentRefusal.TYPE_NOT_ALLOWED
        if file.size > self.file_bytes:
            return AttachmentRefusal.TOO_LARGE
        if not is_well_cut(file.size, file.chunk_count):
            return AttachmentRefusal.MISCUT
        if now - cited > self.keep:
            return AttachmentRefusal.EXPIRED
        return None


def chunks_of(size: int, most: int = MAX_CHUNK) -> int:
    """Return into how many chunks of at most *most* bytes a file of *size* is cut."""
    return -(-size // most)


def chunk_bytes(size: int, count: int) -> int:
    """Return the bytes of every chunk but the last."""
    return -(-size // count)


def is_well_cut(size: int, count: int) -> bool:
    """Return whether *count* chunks of at most `MAX_CHUNK` bytes make *size*, none of them empty."""
    each = chunk_bytes(size, count)
    return each <= MAX_CHUNK and each * (count - 1) < size


def span(file: AttachedFile, number: int) -> tuple[int, int]:
    """Return where chunk *number* of *file* begins, and its bytes."""
    each = chunk_bytes(file.size, file.chunk_count)
    begin = each * number
    return begin, min(each, file.size - begin)


def leaf_of(content: bytes) -> bytes:
    """Return the leaf hash of one chunk (RFC 9162, 2.1.1)."""
    return leaf_hash(content)


def proves(file: AttachedFile, chunk: Chunk) -> bool:
    """Return whether *chunk* is the one of its number in *file*, by length, path and root."""
    if not 0 <= chunk.number < file.chunk_count:
        return False
    if len(chunk.content) != span(file, chunk.number)[1]:
        return False
    leaf = leaf_hash(chunk.content)
    try:
        root = root_from_path(leaf, chunk.number, file.chunk_count, chunk.path)
    except VerificationError:
        return False
    return root == file.root


class ChunkTree:
    """The tree over the chunks of one file, from `leaf_of` each in order, one after the other."""

    def __init__(self, leaves: bytes) -> None:
        row = [leaves[at : at + HASH_SIZE] for at in range(0, len(leaves), HASH_SIZE)]
        self._levels = [row]
        while len(row := self._levels[-1]) > 1:
            pairs = zip(row[::2], row[1::2], strict=False)
            self._levels.append([node_hash(left, right) for left, right in pairs])

    def _node(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def root(self) -> bytes:
        """Return the root that a message cites."""
        return frontier_at(len(self._levels[0]), self._node).root()

    def path(self, number: int) -> tuple[bytes, ...]:
        """Return the path from chunk *number* to the root."""
        return inclusion_path(number, len(self._levels[0]), self._node)
