"""
The hash tree of RFC 9162 over SHA-256: one way to hash for signed batches and for the log.

Everything here is a pure function of bytes.  A tree that only grows needs just its *frontier* (the
roots of its complete subtrees) to grow further, so a log of any length appends a drain with a few
hundred bytes at hand::

    growth = frontier.append([leaf_hash(entry) for entry in entries])
    growth.frontier        # what the next append starts from
    growth.frontier.root() # the root that a checkpoint signs
    growth.nodes           # one blob to store: every interior node that became complete
    growth.paths()         # the inclusion path of every appended leaf in the tree that now is

A node is named by its level (0 is the leaves) and its index in that level; only complete nodes,
which never change again, are named and stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.errors import VerificationError
from exchange.text import Text

HASH_SIZE = 32

# Deeper than any tree of 2**63 leaves; a longer path is an attack on the verifier's time.
MAX_PATH = 64

_NODE = b"\x01"

#: Returns the complete node at (level, index); level 0 gives leaf hashes.
NodeGetter = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node (RFC 9162, 2.1.1)."""
    return sha256(_NODE + left + right).digest()


def empty_root() -> bytes:
    """Return the root of the tree without leaves."""
    return sha256(b"").digest()


class NodeMemo(dict[bytes, bytes]):
    """
    The hash of each pair of nodes, remembered: paths of one batch share nearly all their nodes.

    ``memo[left + right]`` is `node_hash`.  It forgets everything when it reaches *limit* entries
    (about 200 bytes each), so that hostile paths cannot fill the memory.
    """

    __slots__ = ("_limit",)

    def __init__(self, limit: int = 65_536) -> None:
        super().__init__()
        self._limit = limit

    def __missing__(self, pair: bytes) -> bytes:
        """Hash a pair that is met for the first time."""
        if len(self) >= self._limit:
            self.clear()
        found = self[pair] = sha256(_NODE + pair).digest()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """
    The complete subtrees of a tree of *size* leaves, largest first: one peak per set bit of *size*.

    Raises `VerificationError` when the peaks cannot be those of *size* leaves.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if (
            self.size < 0
            or len(self.peaks) != self.size.bit_count()
            or any(len(peak) != HASH_SIZE for peak in self.peaks)
        ):
            raise _broken(
                f"These are not the peaks of a tree of {self.size} leaves.",
                f"所给峰值不属于含 {self.size} 个叶子的树。",
            )

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Frontier:
        """Return the frontier that was stored as *packed*; the inverse of `pack`."""
        peaks = (packed[i : i + HASH_SIZE] for i in range(0, len(packed), HASH_SIZE))
        return cls(size=size, peaks=tuple(peaks))

    def pack(self) -> bytes:
        """Return the peaks as one blob, 32 bytes each, largest subtree first."""
        return b"".join(self.peaks)

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.peaks:
            return empty_root()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def append(self, leaf_hashes: Sequence[bytes]) -> Growth:
        """Return what grows when *leaf_hashes* are appended, in their order."""
        if not leaf_hashes:
            return Growth(before=self, frontier=self, nodes=b"", rows=())
        levels = (level for level in range(self.size.bit_length()) if self.size >> level & 1)
        old = dict(zip(levels, reversed(self.peaks), strict=True))
        first, after, level = self.size, self.size + len(leaf_hashes), 0
        row = list(leaf_hashes)
        rows: list[list[bytes]] = []
        nodes: list[bytes] = []
        peaks: list[bytes] = []
        while True:
            complete = (after >> level) - first
            if level:
                nodes += row[:complete]
            if after >> level & 1:
                peaks.append(row[complete - 1] if complete else old[level])
            if first & 1:
                row.insert(0, old[level])
            rows.append(row)
            first >>= 1
            level += 1
            if len(row) == 1 and not first:
                break
            halves = iter(row)
            above = [
                sha256(_NODE + left + right).digest()
                for left, right in zip(halves, halves, strict=False)
            ]
            if len(row) & 1:  # without a sibling yet: it stands for its parent until one comes
                above.append(row[-1])
            row = above
        frontier = Frontier(size=after, peaks=tuple(reversed(peaks)))
        return Growth(before=self, frontier=frontier, nodes=b"".join(nodes), rows=tuple(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """
    What one append did: the new frontier, the nodes to store, and the paths of its leaves.

    ``nodes`` holds every interior node (level 1 and up) that became complete by this append, 32
    bytes each, by level from the lowest, then by index; see `node_offset`.
    """

    before: Frontier
    frontier: Frontier
    nodes: bytes
    #: Per level, from an even index on: old left sibling where needed, then new and edge nodes.
    rows: tuple[list[bytes], ...] = field(repr=False)

    def path(self, position: int) -> tuple[bytes, ...]:
        """
        Return the inclusion path of the appended leaf at *position* (0 is this append's first).

        Raises `IndexError` when the append has no such leaf.
        """
        first = self.before.size
        index = first + position
        if not first <= index < self.frontier.size:
            raise IndexError(position)
        path = []
        for level, row in enumerate(self.rows[:-1]):
            sibling = ((index >> level) - (first >> level & ~1)) ^ 1
            if sibling < len(row):
                path.append(row[sibling])
        return tuple(path)

    def paths(self) -> list[tuple[bytes, ...]]:
        """Return the inclusion paths of all appended leaves; far cheaper than one by one."""
        if not self.rows:
            return []
        first = self.before.size
        ways: list[tuple[bytes, ...]] = [()]
        for level in range(len(self.rows) - 2, -1, -1):
            row = self.rows[level]
            # The row above may begin with an old sibling that has no children in this row.
            skip = first >> (level + 1) & 1
            last = len(row) - 1
            below: list[tuple[bytes, ...]] = []
            for k in range(0, last, 2):
                way = ways[skip + (k >> 1)]
                below += ((row[k + 1], *way), (row[k], *way))
            if not last & 1:
                below.append(ways[skip + (last >> 1)])
            ways = below
        return ways[first & 1 :]


def nodes_size(before: int, after: int) -> int:
    """Return the length in bytes of the node blob of an append from *before* to *after* leaves."""
    return HASH_SIZE * ((after - after.bit_count()) - (before - before.bit_count()))


def node_offset(level: int, index: int, before: int, after: int) -> int:
    """
    Return where node (*level*, *index*) begins in the blob of the append *before* → *after*.

    Raises `KeyError` when the node did not become complete by that append; leaves (level 0) are
    not in blobs.
    """
    if level < 1 or not before >> level <= index < after >> level:
        raise KeyError((level, index))
    lower = sum((after >> n) - (before >> n) for n in range(1, level))
    return HASH_SIZE * (lower + index - (before >> level))


def frontier_at(size: int, node: NodeGetter) -> Frontier:
    """Return the frontier that the tree had at *size* leaves, from stored nodes."""
    return Frontier(size=size, peaks=tuple(_peaks(0, size, node)))


def root_from_path(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], nodes: NodeMemo | None = None
) -> bytes:
    """
    Return the root that *path* leads to from the leaf hash at *index* in a tree of *size* leaves.

    The caller compares it with the root it trusts (RFC 9162, 2.1.3.2).  *nodes* are the pairs that
    were hashed before.  Raises `VerificationError` when a path of this length or with such entries
    cannot belong there.
    """
    if not 0 <= index < size or len(path) > MAX_PATH or len(leaf) != HASH_SIZE:
        raise _path_broken()
    known = NodeMemo() if nodes is None else nodes
    rest, last, root = index, size - 1, leaf
    for step in path:
        if not last or len(step) != HASH_SIZE:
            raise _path_broken()
        if rest & 1 or rest == last:
            root = known[step + root]
            while not rest & 1 and rest:
                rest >>= 1
                last >>= 1
        else:
            root = known[root + step]
        rest >>= 1
        last >>= 1
    if last:
        raise _path_broken()
    return root


def consistency_proof(first: int, second: int, node: NodeGetter) -> tuple[bytes, ...]:
    """
    Return the proof that the tree of *first* leaves is a beginning of that of *second*.

    RFC 9162, 2.1.4.1; empty when *first* is 0 or equals *second*.  Raises `ValueError` when
    *first* is greater than *second* or negative.
    """
    if not 0 <= first <= second:
        raise ValueError(f"no consistency proof from {first} to {second} leaves")
    proof: list[bytes] = []
    low, high, whole = 0, second, True
    while 0 < first < high - low:
        split = 1 << (high - low - 1).bit_length() - 1
        if first <= split:
            proof.append(_subtree(low + split, high, node))
            high = low + split
        else:
            proof.append(_subtree(low, low + split, node))
            low, first, whole = low + split, first - split, False
    if not whole:
        proof.append(_subtree(low, high, node))
    return tuple(reversed(proof))


def inclusion_path(index: int, size: int, node: NodeGetter) -> tuple[bytes, ...]:
    """
    Return the path from the leaf at *index* to the root of the tree of *size* leaves.

    RFC 9162, 2.1.3.1.  Raises `ValueError` when that tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size} leaves")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        split = low + (1 << (high - low - 1).bit_length() - 1)
        if index < split:
            path.append(_subtree(split, high, node))
            high = split
        else:
            path.append(_subtree(low, split, node))
            low = split
    return tuple(reversed(path))


def verify_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """
    Check that the tree of *second* leaves begins with the tree of *first* (RFC 9162, 2.1.4.2).

    Raises `VerificationError` when it does not, or when *proof* does not show it.
    """
    if not 0 <= first <= second or len(proof) > 2 * MAX_PATH:
        raise _history_broken(first, second)
    if first in (0, second):
        expected = second_root if first else empty_root()
        if proof or first_root != expected:
            raise _history_broken(first, second)
        return
    if roots_shown(first, first_root, second, proof) != (first_root, second_root):
        raise _history_broken(first, second)


def roots_shown(
    first: int, first_root: bytes, second: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """
    Return the roots at *first* and *second* leaves that *proof* leads to, for 0 < first < second.

    Where the second is one that a log has signed, the first is what that log has there now.  Of a
    *first* that is a power of two the proof itself says nothing: *first_root* is then where it begins.
    Raises `VerificationError` where it is no proof between these sizes.
    """
    steps = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    if not steps or len(steps) > 2 * MAX_PATH + 1 or any(len(step) != HASH_SIZE for step in steps):
        raise _history_broken(first, second)
    rest, last = first - 1, second - 1
    while rest & 1:
        rest >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if not last:
            raise _history_broken(first, second)
        if rest & 1 or rest == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not rest & 1 and rest:
                rest >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        rest >>= 1
        last >>= 1
    if last:
        raise _history_broken(first, second)
    return old, new


def _peaks(low: int, high: int, node: NodeGetter) -> list[bytes]:
    """Return the complete subtrees of the leaves [low, high), largest first; *low* is aligned."""
    size = high - low
    levels = (level for level in reversed(range(size.bit_length())) if size >> level & 1)
    return [node(level, (high >> level) - 1) for level in levels]


def _subtree(low: int, high: int, node: NodeGetter) -> bytes:
    """Return the root over the leaves [low, high) of one RFC 9162 subtree."""
    size = high - low
    return Frontier(size=size, peaks=tuple(_peaks(low, high, node))).root()


def _broken(en: str, zh: str) -> VerificationError:
    return VerificationError(Text(en=en, zh=zh))


def _path_broken() -> VerificationError:
    return _broken(
        "The inclusion path does not belong to this place in the tree.",
        "包含路径与其在树中的位置不符。",
    )


def _history_broken(first: int, second: int) -> VerificationError:
    return _broken(
        f"The log of {second} entries is not shown to begin with the log of {first} entries.",
        f"未能证明含 {second} 条的日志以含 {first} 条的日志为开头。",
    )
