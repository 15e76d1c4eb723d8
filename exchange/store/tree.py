"""Reading the stored log: its nodes, its frontier, and proofs as they were given."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from exchange.errors import TamperingFound
from exchange.log import LeafKind, StoredProof, leaf_bytes, rebuild_proof
from exchange.merkle import HASH_SIZE, Frontier, frontier_at, leaf_hash, node_offset
from exchange.store.rows import SUCCESSION, WRITTEN, Row
from exchange.tables import moment_of
from exchange.text import Text

#: Runs a query: statement in the driver's template form, then its parameters.
Fetch = Callable[..., list[Row]]

_LEAVES = (
    "SELECT kind, digest, time FROM trail WHERE leaf_index >= {} AND leaf_index < {}"
    " ORDER BY leaf_index"
)
_DRAIN = (
    "SELECT size_after, size_before, nodes, note FROM drain WHERE size_after >= {}"
    " ORDER BY size_after LIMIT 1"
)

_LEAF_KINDS = {WRITTEN: LeafKind.WRITTEN, SUCCESSION: LeafKind.ADMINISTRATIVE}


def leaf_of(kind: str, digest: bytes, time: str) -> bytes:
    """Return the leaf that a row of the trail stands for."""
    leaf = _LEAF_KINDS.get(kind, LeafKind.MESSAGE)
    return leaf_bytes(leaf, bytes(digest), moment_of(time))


class StoredTree:
    """The log as it is stored, read through *fetch*; what it has read it remembers."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._drains: dict[int, Row] = {}

    def leaves(self, first: int, end: int) -> list[bytes]:
        """Return the leaves from *first* to before *end*; raises `TamperingFound` if one is gone."""
        found = [leaf_of(*row) for row in self._fetch(_LEAVES, first, end)]
        if len(found) != end - first:
            raise _gone("trail", "leaf_index", f"{first}–{end - 1}")
        return found

    def drain(self, index: int) -> Row:
        """Return the drain that brought the leaf at *index*: sizes after and before, nodes, note."""
        row = self._drains.get(index)
        if row is None:
            found = self._fetch(_DRAIN, index + 1)
            if not found or not found[0][1] <= index < found[0][0]:
                raise _gone("drain", "size_after", f"> {index}")
            row = self._drains[index] = found[0]
        return row

    def node(self, level: int, index: int) -> bytes:
        """Return the complete node at (*level*, *index*)."""
        if level == 0:
            return leaf_hash(self.leaves(index, index + 1)[0])
        after, before, nodes, _ = self.drain(((index + 1) << level) - 1)
        at = node_offset(level, index, before, after)
        return bytes(nodes[at : at + HASH_SIZE])

    def frontier(self, size: int) -> Frontier:
        """Return the frontier that the log had at *size* leaves."""
        return frontier_at(size, self.node)

    def proofs(self, indexes: Collection[int]) -> dict[int, StoredProof]:
        """Return the proofs of the leaves at *indexes*, byte for byte as they were given."""
        proofs: dict[int, StoredProof] = {}
        wanted: dict[int, list[int]] = {}
        rows: dict[int, Any] = {}
        end = -1
        for index in sorted(indexes):
            if index >= end:
                row = self.drain(index)
                end = row[0]
                rows[end] = row
            wanted.setdefault(end, []).append(index)
        for after, ours in wanted.items():
            _, before, _, note = rows[after]
            leaves = self.leaves(before, after)
            frontier = self.frontier(before)
            for index in ours:
                proofs[index] = rebuild_proof(frontier, leaves, index, bytes(note))
        return proofs


def finding(table: str, column: str, which: object, en: str, zh: str) -> Text:
    """Return what is wrong with the row of *table* whose *column* is *which*."""
    return Text(
        en=f"table {table}, row {column} = {which}: {en}",
        zh=f"表 {table}，行 {column} = {which}：{zh}",
    )


def _gone(table: str, column: str, which: str) -> TamperingFound:
    return TamperingFound.from_findings([finding(table, column, which, "it is missing", "缺失")])
