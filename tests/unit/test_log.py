"""The log's leaves, checkpoints and proofs: what holds, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.envelope import message_digest
from exchange.errors import VerificationError
from exchange.log import (
    LEAF_SIZE,
    Checkpoint,
    Drain,
    Leaf,
    LeafKind,
    StoredProof,
    TrustedLogs,
    advance,
    leaf_bytes,
    parse_leaf,
    rebuild_proof,
    sign_checkpoint,
)
from exchange.merkle import Frontier, empty_root, leaf_hash
from exchange.note import LogKey, sign_note

KEY = LogKey.from_seed("bridge.example/log", bytes(range(32)))
OTHER = LogKey.from_seed("other.example/log", bytes(32))
TIME = datetime(2026, 5, 4, 3, 2, 1, 654321, tzinfo=UTC)
DIGESTS = [message_digest(b"header %d" % n) for n in range(40)]
LEAVES = [leaf_bytes(LeafKind.MESSAGE, digest, TIME) for digest in DIGESTS]
LOGS = TrustedLogs([KEY.verifier])


def drains(*counts: int) -> list[Drain]:
    """Consecutive drains of these sizes."""
    done, result, frontier = 0, [], Frontier()
    for count in counts:
        result.append(advance(frontier, LEAVES[done : done + count], KEY))
        frontier, done = result[-1].frontier, done + count
    return result


PROOF = drains(5, 6)[1].proofs[3]
DIGEST = DIGESTS[8]


def proves(proof: StoredProof, digest: bytes = DIGEST, kind: LeafKind = LeafKind.MESSAGE) -> bool:
    """Whether the proof convinces a reader who has seen nothing before."""
    try:
        proof.verify(kind, digest, TrustedLogs([KEY.verifier]))
    except VerificationError:
        return False
    return True


class TestLeaf:
    def test_layout(self) -> None:
        """A leaf is version, kind, digest and microseconds, 42 bytes."""
        leaf = leaf_bytes(LeafKind.WRITTEN, bytes(32), datetime(1970, 1, 2, tzinfo=UTC))

        assert leaf == b"\x01\x02" + bytes(32) + (86_400_000_000).to_bytes(8)
        assert len(leaf) == LEAF_SIZE

    @given(
        kind=st.sampled_from(LeafKind),
        digest=st.binary(min_size=32, max_size=32),
        time=st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    )
    def test_round_trip(self, kind: LeafKind, digest: bytes, time: datetime) -> None:
        """Every leaf reads back, to the microsecond."""
        expected = Leaf(kind=kind, digest=digest, time=time)

        assert parse_leaf(leaf_bytes(kind, digest, time)) == expected

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            LEAVES[0][:-1],
            LEAVES[0] + b"\x00",
            b"\x00" + LEAVES[0][1:],
            b"\x02" + LEAVES[0][1:],
            b"\x01\x00" + LEAVES[0][2:],
            bytes([1, max(LeafKind) + 1]) + LEAVES[0][2:],
            LEAVES[0][:34] + b"\xff" * 8,
        ],
    )
    def test_malformed(self, data: bytes) -> None:
        """Other lengths, versions, kinds and impossible times are no leaves."""
        with pytest.raises(VerificationError):
            parse_leaf(data)

    def test_unfit(self) -> None:
        """A short digest or a time before 1970 makes no leaf."""
        with pytest.raises(ValueError, match="32-byte"):
            leaf_bytes(LeafKind.MESSAGE, bytes(31), TIME)
        with pytest.raises(ValueError, match="1970"):
            leaf_bytes(LeafKind.MESSAGE, bytes(32), datetime(1969, 12, 31, tzinfo=UTC))

    def test_other_zone(self) -> None:
        """The same instant in another zone is the same leaf."""
        local = TIME.astimezone(timezone(timedelta(hours=8)))

        assert leaf_bytes(LeafKind.MESSAGE, DIGESTS[0], local) == LEAVES[0]


class TestCheckpoint:
    def test_the_specification(self) -> None:
        """The specification's example is read and written alike."""
        text = (
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        )
        checkpoint = Checkpoint.parse(text)

        assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
        assert str(checkpoint) == text

    def test_extensions(self) -> None:
        """Extension lines are carried untouched."""
        text = f"origin\n0\n{'A' * 43}=\nmore\nlines\n"

        assert Checkpoint.parse(text).extensions == ("more", "lines")
        assert str(Checkpoint.parse(text)) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "origin\n",
            "origin\n1\n",
            f"origin\n1\n{'A' * 43}=",
            f"\n1\n{'A' * 43}=\n",
            f"origin\n01\n{'A' * 43}=\n",
            f"origin\n+1\n{'A' * 43}=\n",
            f"origin\n-1\n{'A' * 43}=\n",
            f"origin\n1 \n{'A' * 43}=\n",
            f"origin\n１\n{'A' * 43}=\n",
            f"origin\n1_0\n{'A' * 43}=\n",
            f"origin\n\n{'A' * 43}=\n",
            f"origin\n{1 << 63}\n{'A' * 43}=\n",
            f"origin\n{'9' * 5000}\n{'A' * 43}=\n",
            f"origin\n1\n{'A' * 42}B=\n",
            f"origin\n1\n{'A' * 40}\n",
            f"origin\n1\n{'A' * 43}=\n\n",
            f"origin\n1\n{'A' * 43}=\n\nmore\n",
        ],
    )
    def test_malformed(self, text: str) -> None:
        """Missing, empty and oddly spelled lines are refused."""
        with pytest.raises(VerificationError):
            Checkpoint.parse(text)

    def test_empty_log(self) -> None:
        """A new log has a signed head before its first drain."""
        checkpoint = LOGS.checkpoint(sign_checkpoint(Frontier(), KEY))

        assert (checkpoint.size, checkpoint.root) == (0, empty_root())

    def test_only_its_own_log_signs_it(self) -> None:
        """A trusted log cannot speak for another, also one that is trusted too."""
        note = sign_note(str(Checkpoint(origin=OTHER.name, size=1, root=bytes(32))), KEY)
        for trusted in ([KEY.verifier], [KEY.verifier, OTHER.verifier]):
            with pytest.raises(VerificationError, match="not signed by that log"):
                TrustedLogs(trusted).checkpoint(note)

    def test_a_signed_note_that_is_no_checkpoint(self) -> None:
        """A trusted signature under another text makes no checkpoint."""
        with pytest.raises(VerificationError):
            LOGS.checkpoint(sign_note("hello\n", KEY))

    def test_many_checkpoints(self) -> None:
        """A reader that has seen very many checkpoints still reads the next one."""
        logs = TrustedLogs([KEY.verifier])
        for size in range(1100):
            note = sign_note(str(Checkpoint(origin=KEY.name, size=size, root=bytes(32))), KEY)

            assert logs.checkpoint(note).size == size


class TestDrain:
    @given(st.lists(st.integers(1, 12), max_size=3))
    def test_every_leaf_is_proved(self, counts: list[int]) -> None:
        """Each leaf of each drain is proved under that drain's checkpoint."""
        done = 0
        for drain in drains(*counts):
            assert drain.size_before == done
            for proof in drain.proofs:
                leaf, checkpoint = proof.verify(LeafKind.MESSAGE, DIGESTS[done], LOGS)

                assert (proof.index, leaf.time) == (done, TIME)
                assert (checkpoint.origin, checkpoint.size) == (KEY.name, drain.frontier.size)
                assert checkpoint.root == drain.frontier.root()
                done += 1

    def test_same_tree_however_cut(self) -> None:
        """The checkpoint depends on the leaves alone."""
        assert drains(3, 9, 20)[-1].note == drains(32)[-1].note

    def test_rebuilt(self) -> None:
        """The proof rebuilt from what is stored is the same, byte for byte."""
        frontier, done = Frontier(), 0
        for drain in drains(1, 7, 13, 19):
            leaves = LEAVES[done : drain.frontier.size]
            for proof in drain.proofs:
                again = rebuild_proof(frontier, leaves, proof.index, drain.note)

                assert again == proof
                assert str(again) == str(proof)
            frontier, done = drain.frontier, drain.frontier.size

    def test_rebuilt_from_changed_leaves(self) -> None:
        """A stored leaf that was changed is noticed before a proof goes out."""
        first, second = drains(5, 6)
        leaves = [*LEAVES[5:10], LEAVES[0]]
        for bad in (leaves, LEAVES[5:10], LEAVES[5:12], []):
            with pytest.raises(VerificationError, match="from 5 on"):
                rebuild_proof(first.frontier, bad, 8, second.note)

    def test_rebuilt_for_no_leaf(self) -> None:
        """An index outside the drain is an error, not another leaf's proof."""
        first, second = drains(5, 6)
        for index in (4, 11):
            with pytest.raises(IndexError):
                rebuild_proof(first.frontier, LEAVES[5:11], index, second.note)


class TestProof:
    def test_holds(self) -> None:
        """The proof that the following tests change holds."""
        assert proves(PROOF)

    @given(st.data())
    def test_any_flipped_bit(self, data: st.DataObject) -> None:
        """One flipped bit in leaf, path, note or digest is refused."""
        part = data.draw(st.sampled_from(("leaf", "note", "digest", *range(len(PROOF.path)))))
        if part == "digest":
            assert not proves(PROOF, digest=flipped(data, DIGEST))
        elif part == "leaf":
            assert not proves(replace(PROOF, leaf=flipped(data, PROOF.leaf)))
        elif part == "note":
            assert not proves(replace(PROOF, note=flipped(data, PROOF.note)))
        elif isinstance(part, int):
            path = list(PROOF.path)
            path[part] = flipped(data, path[part])
            assert not proves(replace(PROOF, path=tuple(path)))

    @given(st.integers(-3, 20))
    def test_any_other_index(self, index: int) -> None:
        """The proof holds at its own index only."""
        assert proves(replace(PROOF, index=index)) == (index == PROOF.index)

    @pytest.mark.parametrize(
        "bad",
        [
            replace(PROOF, leaf=b""),
            replace(PROOF, leaf=PROOF.leaf[:-1]),
            replace(PROOF, leaf=PROOF.leaf + b"\x00"),
            replace(PROOF, leaf=LEAVES[0]),
            replace(PROOF, path=()),
            replace(PROOF, path=PROOF.path[:-1]),
            replace(PROOF, path=(*PROOF.path, bytes(32))),
            replace(PROOF, path=PROOF.path * 100_000),
            replace(PROOF, path=(PROOF.path[0][:-1], *PROOF.path[1:])),
            replace(PROOF, note=b""),
            replace(PROOF, note=PROOF.note[:-1]),
            replace(PROOF, note=PROOF.note + b"\n"),
            replace(PROOF, note=PROOF.note * 2),
            replace(PROOF, note=b"x" * (1 << 20)),
            replace(PROOF, note=drains(5)[0].note),
            replace(PROOF, note=drains(5, 6, 1)[2].note),
            replace(PROOF, index=1 << 70),
        ],
        ids=range(17),
    )
    def test_malformed(self, bad: StoredProof) -> None:
        """Truncated, oversized and foreign parts are refused."""
        assert not proves(bad)

    def test_as_another_kind(self) -> None:
        """That a message was accepted proves no written receipt of the same digest."""
        assert not proves(PROOF, kind=LeafKind.WRITTEN)

    def test_log_not_trusted(self) -> None:
        """A proof from a log that the reader does not trust is refused."""
        with pytest.raises(VerificationError):
            PROOF.verify(LeafKind.MESSAGE, DIGEST, TrustedLogs([OTHER.verifier]))

    def test_same_name_other_key(self) -> None:
        """A log that takes another's name but not its key proves nothing."""
        forger = LogKey.from_seed(KEY.name, bytes(32))

        assert not proves(advance(Frontier(), LEAVES[8:9], forger).proofs[0])

    def test_backdated(self) -> None:
        """The time of acceptance is part of what is proved."""
        earlier = leaf_bytes(LeafKind.MESSAGE, DIGEST, TIME - timedelta(hours=1))

        assert not proves(replace(PROOF, leaf=earlier))


class TestProofFile:
    def test_layout(self) -> None:
        """The file is header, leaf, index, path, an empty line and the checkpoint verbatim."""
        header, extra, index, *rest = str(PROOF).split("\n")
        end = rest.index("")

        assert header == "c2sp.org/tlog-proof@v1"
        assert extra.startswith("extra AQ")
        assert index == "index 8"
        assert end == len(PROOF.path)
        assert "\n".join(rest[end + 1 :]).encode() == PROOF.note

    def test_round_trip(self) -> None:
        """Every proof reads back as it was written."""
        for drain in drains(1, 2, 30):
            for proof in drain.proofs:
                assert StoredProof.parse(str(proof)) == proof

    @given(st.data())
    def test_any_flipped_bit(self, data: st.DataObject) -> None:
        """A file with one flipped bit is refused when it is read or when it is verified."""
        raw = flipped(data, str(PROOF).encode())

        assert not reads_and_proves(raw.decode(errors="surrogateescape"))

    @given(st.integers(0, len(str(PROOF)) - 1))
    def test_truncated(self, length: int) -> None:
        """No beginning of a file is a file that proves anything."""
        assert not reads_and_proves(str(PROOF)[:length])

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("tlog-proof@v1", "tlog-proof@v2"),
            ("\nextra ", "\nEXTRA "),
            ("extra ", "extra  "),
            ("index 8", "index 08"),
            ("index 8", "index -8"),
            ("index 8", "index 8 "),
            ("index 8\n", "index 8\nAAAA\n"),
            ("index 8\n", "index 8\n" + "\n".join(["A" * 43 + "="] * 65) + "\n"),
            ("index 8\n", ""),
            ("\n\n", "\n"),
            ("\n", "\r\n"),
        ],
    )
    def test_malformed(self, old: str, new: str) -> None:
        """Other spellings are refused when the file is read."""
        with pytest.raises(VerificationError):
            StoredProof.parse(str(PROOF).replace(old, new))


def reads_and_proves(text: str) -> bool:
    """Whether the text reads as a proof that convinces."""
    try:
        return proves(StoredProof.parse(text))
    except VerificationError:
        return False


def flipped(data: st.DataObject, good: bytes) -> bytes:
    """*good* with one bit flipped."""
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    return (int.from_bytes(good) ^ 1 << bit).to_bytes(len(good))


class TestLeafHash:
    def test_the_log_hashes_leaf_bytes(self) -> None:
        """A log of one leaf has that leaf's hash as its root."""
        [drain] = drains(1)

        assert drain.frontier.root() == leaf_hash(LEAVES[0])
