"""
The log: one append-only RFC 9162 tree a bridge, its head a signed C2SP checkpoint.

Formats are public ones, so that others can check us with their own tools: checkpoints
(c2sp.org/tlog-checkpoint) as signed notes, and proof files (c2sp.org/tlog-proof).

A drain appends its leaves with `advance`; its one signature is the checkpoint, and each leaf's
`StoredProof` is the "stored" receipt.  Index and checkpoint are kept, the proof is rebuilt byte
for byte (`rebuild_proof`).  `TrustedLogs` is what a reader trusts: the verifier keys of bridges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache

from exchange.errors import VerificationError
from exchange.making import maker
from exchange.merkle import (
    HASH_SIZE,
    MAX_PATH,
    Frontier,
    Growth,
    NodeMemo,
    leaf_hash,
    root_from_path,
)
from exchange.note import (
    LogKey,
    NoteVerifier,
    decode_base64,
    encode_base64,
    note_broken,
    open_note,
    sign_note,
    split_note,
)
from exchange.text import Text

LEAF_SIZE = 42

_LEAF_VERSION = 1
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_REMEMBERED_NOTES = 1024


# -- checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log's head: *root* is the tree's root at *size* leaves."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the checkpoint that a note's *text* is; raises `VerificationError` if none."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise note_broken()
        origin, size, root, *extensions = lines
        return cls(
            origin=origin,
            size=_number(size),
            root=_hash(root),
            extensions=tuple(extensions),
        )

    def __str__(self) -> str:
        head = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in head)


class TrustedLogs:
    """
    The logs whose verifier keys a reader trusts.

    It remembers the checkpoints and nodes it has checked: the proofs of one drain share them.
    """

    def __init__(self, verifiers: Iterable[NoteVerifier]) -> None:
        self._verifiers = tuple(verifiers)
        self._checkpoints: dict[bytes, Checkpoint] = {}
        self.join = NodeMemo()

    def checkpoint(self, note: bytes) -> Checkpoint:
        """Return the checkpoint in *note*; raises `VerificationError` unless its own log signed."""
        known = self._checkpoints.get(note)
        if known is None:
            text, names = open_note(note, self._verifiers)
            known = Checkpoint.parse(text)
            if known.origin not in names:
                raise _broken(
                    f"The checkpoint of {known.origin} is not signed by that log.",
                    f"{known.origin} 的检查点未由该日志签名。",
                )
            if len(self._checkpoints) >= _REMEMBERED_NOTES:
                self._checkpoints.clear()
            self._checkpoints[note] = known
        return known


# -- leaves


class LeafKind(IntEnum):
    """What a leaf records."""

    #: A message was accepted; the digest is the message's.
    MESSAGE = 1
    #: A receiver stated that it has written a message; the digest is the statement's.
    WRITTEN = 2
    #: An administrative act: the digest is that of its signed line (`exchange.chain`), or of the statement
    #: with which a log goes on from another.
    ADMINISTRATIVE = 3
    #: A receiver stated that it sets a message aside; the digest is the statement's.
    SET_ASIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One entry of the log; *time* is when the bridge accepted it (UTC)."""

    kind: LeafKind
    digest: bytes
    time: datetime


def leaf_bytes(kind: LeafKind, digest: bytes, time: datetime) -> bytes:
    """
    Return the 42 bytes of a leaf.

    Version (1 byte, 1), kind (1 byte), digest (32 bytes), microseconds since 1970 UTC (8 bytes,
    big-endian).  Raises `ValueError` for a digest of another length or a time before 1970.
    """
    if len(digest) != HASH_SIZE or time < _EPOCH:
        raise ValueError("a leaf takes a 32-byte digest and a time after 1970")
    return bytes((_LEAF_VERSION, kind)) + digest + _microseconds(time)


@lru_cache(maxsize=64)
def _microseconds(time: datetime) -> bytes:
    """Return the last 8 bytes of a leaf; those of one drain share them."""
    return ((time - _EPOCH) // _MICROSECOND).to_bytes(8)


def parse_leaf(data: bytes) -> Leaf:
    """Return the leaf that `leaf_bytes` wrote; raises `VerificationError` if *data* is none."""
    if len(data) != LEAF_SIZE or data[0] != _LEAF_VERSION:
        raise _leaf_broken()
    try:
        kind = LeafKind(data[1])
        time = _EPOCH + int.from_bytes(data[34:]) * _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise _leaf_broken() from error
    return Leaf(kind=kind, digest=data[2:34], time=time)


def digest_and_time(leaf: bytes) -> tuple[bytes, int]:
    """Return what `parse_leaf` finds, as a receipt says it: the digest, and microseconds since 1970."""
    if len(leaf) != LEAF_SIZE or leaf[0] != _LEAF_VERSION:
        raise _leaf_broken()
    return leaf[2:34], int.from_bytes(leaf[34:])


# -- proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProof:
    """That a log holds *leaf* at *index*: the path to the root that the checkpoint *note* signs."""

    leaf: bytes
    index: int
    path: tuple[bytes, ...]
    note: bytes

    def verify(self, kind: LeafKind, digest: bytes, logs: TrustedLogs) -> tuple[Leaf, Checkpoint]:
        """
        Return the leaf and the checkpoint that prove *digest* was logged as *kind*.

        Raises `VerificationError` when the leaf records something else, the checkpoint is not
        signed by a trusted log, or the path does not lead from the one to the other.
        """
        leaf = parse_leaf(self.leaf)
        if leaf.kind is not kind or leaf.digest != digest:
            raise _broken(
                "The log entry of this receipt records something else.",
                "该回执所附的日志条目记录的是其他内容。",
            )
        checkpoint = logs.checkpoint(self.note)
        hashed = leaf_hash(self.leaf)
        root = root_from_path(hashed, self.index, checkpoint.size, self.path, logs.join)
        if root != checkpoint.root:
            raise _broken(
                f"The log {checkpoint.origin} does not hold this entry at {self.index}.",
                f"日志 {checkpoint.origin} 的第 {self.index} 条并非该条目。",
            )
        return leaf, checkpoint

    def __str__(self) -> str:
        """Return the proof as a ``.tlog-proof`` file; the leaf travels as its extra data."""
        path = "".join(f"{encode_base64(step)}\n" for step in self.path)
        head = f"{_PROOF_HEADER}\nextra {encode_base64(self.leaf)}\nindex {self.index}\n{path}\n"
        return head + self.note.decode()

    @classmethod
    def parse(cls, text: str) -> StoredProof:
        """
        Return the proof that ``str()`` gave.

        Raises `VerificationError` when *text* is none; whether it proves anything, `verify` says.
        """
        head, empty, note = text.partition("\n\n")
        lines = head.split("\n")
        if not empty or not 3 <= len(lines) <= 3 + MAX_PATH or lines[0] != _PROOF_HEADER:
            raise note_broken()
        extra, index, *path = lines[1:]
        if not extra.startswith("extra ") or not index.startswith("index "):
            raise note_broken()
        try:
            signed = note.encode()
        except UnicodeEncodeError as error:
            raise note_broken() from error
        return cls(
            leaf=decode_base64(extra.removeprefix("extra ")),
            index=_number(index.removeprefix("index ")),
            path=tuple(_hash(step) for step in path),
            note=signed,
        )


_new_proof = maker(StoredProof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What one append to the log gives: rows to store and the proofs to answer with."""

    origin: str
    size_before: int
    #: What the next drain starts from; its size is the log's.
    frontier: Frontier
    #: Interior nodes that became complete, laid out as `exchange.merkle.Growth.nodes`.
    nodes: bytes
    #: The signed checkpoint.
    note: bytes
    #: One a leaf, in the order of the leaves.
    proofs: tuple[StoredProof, ...]


def sign_checkpoint(frontier: Frontier, key: LogKey) -> bytes:
    """Return the signed checkpoint of the log that stands at *frontier*; its origin is the key's name."""
    head = Checkpoint(origin=key.name, size=frontier.size, root=frontier.root())
    return sign_note(str(head), key)


def advance(before: Frontier, leaves: Sequence[bytes], key: LogKey) -> Drain:
    """Append *leaves* (`leaf_bytes`) to the log that stands at *before*."""
    growth = before.append([leaf_hash(leaf) for leaf in leaves])
    note = sign_checkpoint(growth.frontier, key)
    proved = zip(leaves, growth.paths(), strict=True)
    return Drain(
        origin=key.name,
        size_before=before.size,
        frontier=growth.frontier,
        nodes=growth.nodes,
        note=note,
        proofs=tuple(
            _new_proof(leaf=leaf, index=index, path=path, note=note)
            for index, (leaf, path) in enumerate(proved, before.size)
        ),
    )


def rebuild_proof(
    before: Frontier, leaves: Sequence[bytes], index: int, note: bytes
) -> StoredProof:
    """
    Return the proof that `advance` gave for the leaf at *index* (in the log), byte for byte.

    *leaves* are all leaves of that drain.  Raises `VerificationError` when they do not give the
    checkpoint's root: what was stored has been changed.
    """
    growth = _regrown(before, tuple(leaves), note)
    position = index - before.size
    return StoredProof(leaf=leaves[position], index=index, path=growth.path(position), note=note)


# A repeated batch, a trail and an archive ask for one proof after another of the same drain: to hash it
# again for each took 0.7 ms a proof.
@lru_cache(maxsize=4)
def _regrown(before: Frontier, leaves: tuple[bytes, ...], note: bytes) -> Growth:
    growth = before.append([leaf_hash(leaf) for leaf in leaves])
    checkpoint = Checkpoint.parse(split_note(note)[0])
    if (checkpoint.size, checkpoint.root) != (growth.frontier.size, growth.frontier.root()):
        raise _broken(
            f"The stored leaves from {before.size} on do not give the root of their checkpoint.",
            f"自第 {before.size} 条起存储的日志条目与其检查点的根不符。",
        )
    return growth


def _number(text: str) -> int:
    """Return a number in its one spelling: ASCII digits, no leading zero, below 2**63."""
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise note_broken()
    return int(text)


def _hash(text: str) -> bytes:
    data = decode_base64(text)
    if len(data) != HASH_SIZE:
        raise note_broken()
    return data


def _leaf_broken() -> VerificationError:
    return _broken("This is no entry of a log.", "这不是日志条目。")


def _broken(en: str, zh: str) -> VerificationError:
    return VerificationError(Text(en=en, zh=zh))
