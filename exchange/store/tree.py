"""Reading the stored logs: their nodes, their frontiers, and proofs as they were given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import NamedTuple

from exchange.errors import TamperingFound
from exchange.log import LeafKind, StoredProof, leaf_bytes, rebuild_proof
from exchange.merkle import HASH_SIZE, Frontier, frontier_at, leaf_hash, node_offset
from exchange.store.places import LOG_ROOM, log_key
from exchange.store.rows import ACT, SET_ASIDE, SUCCESSION, WRITTEN, Row
from exchange.tables import moment_of
from exchange.text import Text

#: Runs a query: statement in the driver's template form, then its parameters.
Fetch = Callable[..., list[Row]]

_LEAVES = (
    "SELECT kind, digest, time FROM trail WHERE leaf_index >= {} AND leaf_index < {}"
    " ORDER BY leaf_index"
)
_DRAIN = (
    "SELECT size_after, size_before, nodes, note, place FROM drain WHERE size_after >= {}"
    " ORDER BY size_after LIMIT 1"
)
_AT = (
    "SELECT size_after, size_before, place FROM drain WHERE place <= {} ORDER BY place DESC LIMIT 1"
)

_LEAF_KINDS = {
    WRITTEN: LeafKind.WRITTEN,
    SET_ASIDE: LeafKind.SET_ASIDE,
    SUCCESSION: LeafKind.ADMINISTRATIVE,
    ACT: LeafKind.ADMINISTRATIVE,
}


def leaf_of(kind: str, digest: bytes, time: str) -> bytes:
    """Return the leaf that a row of the trail stands for."""
    leaf = _LEAF_KINDS.get(kind, LeafKind.MESSAGE)
    return leaf_bytes(leaf, bytes(digest), moment_of(time))


class StoredDrain(NamedTuple):
    """A row of `drain`; sizes are the log's own, *place* is that of the first leaf."""

    after: int
    before: int
    nodes: bytes
    note: bytes
    place: int

    @classmethod
    def of(cls, row: Row, number: int) -> StoredDrain:
        """Return the drain in *row* (the table's columns), of the log with this *number*."""
        base = log_key(number, 0)
        after, before, nodes, note, place = row
        return cls(
            after - base, before - base, bytes(nodes), bytes(note),
            place if isinstance(place, int) else before,
        )  # fmt: skip


class StoredTree:
    """One log as it is stored, read through *fetch*; what it has read it remembers."""

    def __init__(self, fetch: Fetch, number: int = 0) -> None:
        self._fetch = fetch
        self._number = number
        self._drains: dict[int, StoredDrain] = {}

    def leaves(self, first: int, end: int) -> list[bytes]:
        """
        Return the leaves from *first* to before *end*, all of one drain.

        Raises `TamperingFound` if one is gone.
        """
        if self._number == 0:
            # A database's only log: place and index are the same.
            found = self._fetch(_LEAVES, first, end)
            if len(found) == end - first:
                return [leaf_of(*row) for row in found]
        drain = self.drain(first)
        place = drain.place + first - drain.before
        found = self._fetch(_LEAVES, place, place + end - first)
        if len(found) != end - first:
            raise _gone("trail", "leaf_index", f"{place}–{place + end - first - 1}")
        return [leaf_of(*row) for row in found]

    def drain(self, index: int) -> StoredDrain:
        """Return the drain that brought the leaf at *index*."""
        drain = self._drains.get(index)
        if drain is None:
            found = self._fetch(_DRAIN, log_key(self._number, index + 1))
            drain = StoredDrain.of(found[0], self._number) if found else None
            if drain is None or not drain.before <= index < drain.after:
                raise _gone("drain", "size_after", f"> {log_key(self._number, index)}")
            self._drains[index] = drain
        return drain

    def node(self, level: int, index: int) -> bytes:
        """Return the complete node at (*level*, *index*)."""
        if level == 0:
            return leaf_hash(self.leaves(index, index + 1)[0])
        drain = self.drain(((index + 1) << level) - 1)
        at = node_offset(level, index, drain.before, drain.after)
        return drain.nodes[at : at + HASH_SIZE]

    def frontier(self, size: int) -> Frontier:
        """Return the frontier that the log had at *size* leaves."""
        return frontier_at(size, self.node)

    def proofs(self, indexes: Collection[int]) -> dict[int, StoredProof]:
        """Return the proofs of the leaves at *indexes*, byte for byte as they were given."""
        proofs: dict[int, StoredProof] = {}
        wanted: dict[int, list[int]] = {}
        drains: dict[int, StoredDrain] = {}
        end = -1
        for index in sorted(indexes):
            if index >= end:
                drain = self.drain(index)
                end = drain.after
                drains[end] = drain
            wanted.setdefault(end, []).append(index)
        for after, ours in wanted.items():
            drain = drains[after]
            leaves = self.leaves(drain.before, after)
            frontier = self.frontier(drain.before)
            for index in ours:
                proofs[index] = rebuild_proof(frontier, leaves, index, drain.note)
        return proofs


def located(fetch: Fetch, places: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return log number and leaf index of each of *places*; raises `TamperingFound` if one is gone."""
    found: dict[int, tuple[int, int]] = {}
    number = index = first = end = 0
    for place in sorted(places):
        if place < LOG_ROOM:
            found[place] = 0, place
            continue
        if not first <= place < end:
            rows = fetch(_AT, place)
            if rows:
                after, before, first = rows[0]
                number, index = divmod(before, LOG_ROOM)
                end = first + after - before
            if not rows or place >= end:
                raise _gone("drain", "place", f"≤ {place}")
        found[place] = number, index + place - first
    return found


def proofs_at(fetch: Fetch, places: Collection[int]) -> dict[int, StoredProof]:
    """Return the proofs of the leaves at *places*, each of its own log, byte for byte as given."""
    logs: dict[int, dict[int, int]] = defaultdict(dict)
    for place, (number, index) in located(fetch, places).items():
        logs[number][index] = place
    return {
        wanted[index]: proof
        for number, wanted in logs.items()
        for index, proof in StoredTree(fetch, number).proofs(wanted).items()
    }


def finding(table: str, column: str, which: object, en: str, zh: str) -> Text:
    """Return what is wrong with the row of *table* whose *column* is *which*."""
    return Text(
        en=f"table {table}, row {column} = {which}: {en}",
        zh=f"表 {table}，行 {column} = {which}：{zh}",
    )


def _gone(table: str, column: str, which: str) -> TamperingFound:
    return TamperingFound.from_findings([finding(table, column, which, "it is missing", "缺失")])
