"""The hash tree against an independent, naive reading of RFC 9162 and published vectors."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import VerificationError
from exchange.merkle import (
    MAX_PATH,
    Frontier,
    Growth,
    NodeMemo,
    consistency_proof,
    empty_root,
    frontier_at,
    leaf_hash,
    node_hash,
    node_offset,
    nodes_size,
    root_from_path,
    verify_consistency,
)

LARGEST = 130

# The leaves and roots that Certificate Transparency implementations test each other with.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# -- the naive reading: recursion over lists of entries, word for word from the RFC


def split_point(count: int) -> int:
    """The largest power of two smaller than *count*."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def naive_root(entries: list[bytes]) -> bytes:
    """MTH(D_n)."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split_point(len(entries))
    return sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def naive_path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH(m, D_n)."""
    if len(entries) == 1:
        return []
    k = split_point(len(entries))
    if m < k:
        return [*naive_path(m, entries[:k]), naive_root(entries[k:])]
    return [*naive_path(m - k, entries[k:]), naive_root(entries[:k])]


def naive_proof(m: int, entries: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D_n, b)."""
    if m == len(entries):
        return [] if whole else [naive_root(entries)]
    k = split_point(len(entries))
    if m <= k:
        return [*naive_proof(m, entries[:k], whole), naive_root(entries[k:])]
    return [*naive_proof(m - k, entries[k:], False), naive_root(entries[:k])]


ENTRIES = [b"entry %d" % n for n in range(LARGEST)]
HASHES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [naive_root(ENTRIES[:n]) for n in range(LARGEST + 1)]


def node(level: int, index: int) -> bytes:
    """A getter over the naive tree: the complete node at (level, index)."""
    width = 1 << level
    part = ENTRIES[index * width : (index + 1) * width]
    assert len(part) == width

    return naive_root(part)


def grown(before: int, after: int) -> Growth:
    """The growth from *before* to *after* entries."""
    return Frontier().append(HASHES[:before]).frontier.append(HASHES[before:after])


class TestRoots:
    def test_published_vectors(self) -> None:
        """Roots equal those that Certificate Transparency implementations publish."""
        hashes = [leaf_hash(leaf) for leaf in CT_LEAVES]

        roots = [Frontier().append(hashes[:n]).frontier.root().hex() for n in range(1, 9)]

        assert roots == CT_ROOTS

    def test_empty(self) -> None:
        """The tree without leaves has the hash of nothing as its root."""
        assert sha256(b"").digest() == empty_root() == Frontier().root()

    def test_every_size(self) -> None:
        """One append and many appends of one give the naive root at every size."""
        one_by_one = Frontier()
        for size in range(1, LARGEST + 1):
            one_by_one = one_by_one.append(HASHES[size - 1 : size]).frontier
            at_once = Frontier().append(HASHES[:size]).frontier

            assert at_once == one_by_one
            assert ROOTS[size] == at_once.root()

    @given(st.lists(st.integers(0, 40), max_size=8))
    def test_any_cut_into_appends(self, counts: list[int]) -> None:
        """However the leaves are cut into appends, frontier and nodes come out the same."""
        frontier, done = Frontier(), 0
        nodes: dict[tuple[int, int], bytes] = {}
        for wanted in counts:
            count = min(wanted, LARGEST - done)
            growth = frontier.append(HASHES[done : done + count])
            for level in range(1, 9):
                for index in range(done >> level, (done + count) >> level):
                    at = node_offset(level, index, done, done + count)
                    nodes[level, index] = growth.nodes[at : at + 32]
            frontier, done = growth.frontier, done + count

        assert Frontier().append(HASHES[:done]).frontier == frontier
        assert {
            (level, index): node(level, index)
            for level in range(1, 9)
            for index in range(done >> level)
        } == nodes


class TestNodes:
    def test_every_append(self) -> None:
        """The blob of every append up to 40 leaves is the naive nodes by level, then index."""
        for before in range(41):
            for after in range(before, 41):
                expected = b"".join(
                    node(level, index)
                    for level in range(1, 7)
                    for index in range(before >> level, after >> level)
                )
                nodes = grown(before, after).nodes

                assert expected == nodes
                assert len(nodes) == nodes_size(before, after)

    def test_offset_of_a_foreign_node(self) -> None:
        """Leaves, nodes of earlier appends and incomplete nodes are in no blob."""
        for level, index in ((0, 5), (1, 1), (1, 4), (3, 0), (-1, 0), (1, -1)):
            with pytest.raises(KeyError):
                node_offset(level, index, 4, 7)

    def test_frontier_from_nodes(self) -> None:
        """The frontier of any earlier size is found again from stored nodes."""
        for size in range(LARGEST + 1):
            assert Frontier().append(HASHES[:size]).frontier == frontier_at(size, node)

    def test_packed(self) -> None:
        """A frontier survives being stored as one blob."""
        for size in (0, 1, 7, 128, LARGEST):
            frontier = Frontier().append(HASHES[:size]).frontier

            assert frontier == Frontier.unpack(size, frontier.pack())

    @pytest.mark.parametrize(
        ("size", "packed"),
        [(1, b""), (0, bytes(32)), (3, bytes(63)), (3, bytes(65)), (2, bytes(64)), (-1, bytes(32))],
    )
    def test_packed_wrongly(self, size: int, packed: bytes) -> None:
        """Peaks that cannot be those of the size are refused."""
        with pytest.raises(VerificationError):
            Frontier.unpack(size, packed)

    def test_memo(self) -> None:
        """The remembering join equals the plain one, also after it forgot."""
        memo = NodeMemo(limit=2)
        pairs = [(HASHES[n], HASHES[n + 1]) for n in (0, 1, 2, 0, 0)]

        assert [node_hash(*pair) for pair in pairs] == [memo[a + b] for a, b in pairs]
        assert len(memo) <= 2


class TestInclusion:
    def test_every_leaf_of_every_size(self) -> None:
        """In every size every leaf has the naive path, which leads to the root."""
        for size in range(1, LARGEST + 1):
            paths = Frontier().append(HASHES[:size]).paths()
            if size <= 40:
                assert [tuple(naive_path(m, ENTRIES[:size])) for m in range(size)] == paths
            for index, path in enumerate(paths):
                assert ROOTS[size] == root_from_path(HASHES[index], index, size, path)

    def test_every_append(self) -> None:
        """Paths need only the frontier before: every append gives what the whole tree gives."""
        for after in range(1, LARGEST + 1):
            whole = Frontier().append(HASHES[:after]).paths()
            for before in range(after):
                growth = grown(before, after)

                assert whole[before:] == growth.paths()
                if after in (1, 2, 33, 64, 130):
                    assert whole[before:] == [growth.path(i) for i in range(after - before)]

    def test_no_such_leaf(self) -> None:
        """A position outside the append is an error, not another leaf's path."""
        growth = grown(3, 5)

        for position in (-1, 2):
            with pytest.raises(IndexError):
                growth.path(position)

    def test_empty_append(self) -> None:
        """An append of nothing changes nothing."""
        frontier = grown(0, 5).frontier
        growth = frontier.append([])

        assert (frontier, b"", []) == (growth.frontier, growth.nodes, growth.paths())

    def test_wrong_claims(self) -> None:
        """A path holds for no other index, and no path of another length is taken."""
        for size in range(1, 34):
            for index, path in enumerate(Frontier().append(HASHES[:size]).paths()):
                for other in range(size):
                    if other != index:
                        assert not leads(HASHES[index], other, size, path, ROOTS[size])
                for bad in ((*path, bytes(32)), path[:-1], (bytes(31), *path[1:])):
                    if bad != path:
                        assert not leads(HASHES[index], index, size, bad, ROOTS[size])

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (5, 4)])
    def test_outside_the_tree(self, index: int, size: int) -> None:
        """An index outside the tree is refused."""
        with pytest.raises(VerificationError):
            root_from_path(HASHES[0], index, size, ())

    @pytest.mark.parametrize("step", [b"", bytes(31), bytes(33), bytes(10_000)])
    def test_steps_of_a_wrong_length(self, step: bytes) -> None:
        """A path entry that is no hash is refused, not hashed."""
        with pytest.raises(VerificationError):
            root_from_path(HASHES[0], 0, 2, (step,))
        with pytest.raises(VerificationError):
            root_from_path(step, 0, 1, ())

    def test_endless_path(self) -> None:
        """A path longer than any tree is refused before it is hashed."""
        with pytest.raises(VerificationError):
            root_from_path(HASHES[0], 0, 1 << 80, (bytes(32),) * (MAX_PATH + 1))


def leads(leaf: bytes, index: int, size: int, path: tuple[bytes, ...], root: bytes) -> bool:
    """Whether the path is well formed and leads to *root*."""
    try:
        return root_from_path(leaf, index, size, path) == root
    except VerificationError:
        return False


class TestConsistency:
    def test_every_pair(self) -> None:
        """The proof of every pair of sizes verifies."""
        for second in range(LARGEST + 1):
            for first in range(second + 1):
                proof = consistency_proof(first, second, cached_node)

                verify_consistency(first, ROOTS[first], second, ROOTS[second], proof)

    def test_as_the_rfc_says(self) -> None:
        """The proof of every pair up to 40 is the naive one."""
        for second in range(1, 41):
            for first in range(1, second + 1):
                proof = consistency_proof(first, second, cached_node)

                assert tuple(naive_proof(first, ENTRIES[:second])) == proof

    def test_rewritten_history(self) -> None:
        """No proof of the true history fits a tree in which one early entry was changed."""
        changed = [b"changed", *ENTRIES[1:]]
        for second in range(2, 20):
            for first in range(1, second):
                proof = consistency_proof(first, second, cached_node)
                with pytest.raises(VerificationError):
                    verify_consistency(
                        first, naive_root(changed[:first]), second, ROOTS[second], proof
                    )
                with pytest.raises(VerificationError):
                    verify_consistency(
                        first, ROOTS[first], second, naive_root(changed[:second]), proof
                    )

    def test_altered_proof(self) -> None:
        """A proof that lost, gained or changed an entry is refused."""
        for first, second in ((1, 2), (3, 7), (4, 8), (6, 20), (8, 33), (5, 5), (0, 9)):
            proof = consistency_proof(first, second, cached_node)
            altered = [(*proof, bytes(32)), (bytes(32), *proof), (bytes(31), *proof[1:])]
            altered += [proof[:n] + proof[n + 1 :] for n in range(len(proof))]
            altered += [()] if proof else []
            altered += [(*proof[:n], bytes(32), *proof[n + 1 :]) for n in range(len(proof))]
            for bad in altered:
                with pytest.raises(VerificationError):
                    verify_consistency(first, ROOTS[first], second, ROOTS[second], bad)

    def test_another_size(self) -> None:
        """A proof for four entries does not show that there are five."""
        proof = consistency_proof(3, 4, cached_node)
        with pytest.raises(VerificationError):
            verify_consistency(3, ROOTS[3], 5, ROOTS[4], proof)

    @pytest.mark.parametrize(("first", "second"), [(5, 4), (-1, 4)])
    def test_backwards(self, first: int, second: int) -> None:
        """A log cannot shrink."""
        with pytest.raises(ValueError, match="consistency"):
            consistency_proof(first, second, cached_node)
        with pytest.raises(VerificationError):
            verify_consistency(first, ROOTS[5], second, ROOTS[4], ())

    def test_other_beginnings(self) -> None:
        """The empty tree has one root, and equal sizes need equal roots."""
        with pytest.raises(VerificationError):
            verify_consistency(0, ROOTS[1], 4, ROOTS[4], ())
        with pytest.raises(VerificationError):
            verify_consistency(4, ROOTS[3], 4, ROOTS[4], ())


NODES: dict[tuple[int, int], bytes] = {}


def cached_node(level: int, index: int) -> bytes:
    """`node`, each computed once."""
    if (level, index) not in NODES:
        NODES[level, index] = node(level, index)
    return NODES[level, index]
