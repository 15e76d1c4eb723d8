"""What a bridge keeps of its witnesses, on each engine."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange.cosignature import WitnessKey, cosign, cosignatures, with_lines
from exchange.log import Checkpoint, StoredProof, TrustedLogs, parse_leaf
from exchange.merkle import verify_consistency
from exchange.note import LogKey, split_note
from exchange.query.evidence import EvidenceRoom
from exchange.store.cosignatures import Cosignatures
from tests.cli.town import Shell, matter_lines, write_lines
from tests.pki import Pki
from tests.witness.place import open_place


def test_proofs_and_cosignatures_on_each_engine(
    pki: Pki, database_url: str, exchange: Shell, tmp_path: Path
) -> None:
    """Heads are consistent, the first and the newest co-signature of each witness cover every entry."""
    keys = [LogKey.from_seed(f"{name}.example/witness/1", name.encode() * 32) for name in "ab"]
    public, log = [WitnessKey.of(key) for key in keys], LogKey.load(pki.development.log_key)
    now, notes, tickets = datetime.now(UTC), [], []
    with ExitStack() as stack:
        place = stack.enter_context(open_place(pki, tmp_path / "place", database_url))
        kept = Cosignatures.open(database_url)
        stack.callback(kept.close)
        for number in range(3):
            ticket, lines = matter_lines()
            file = write_lines(tmp_path / f"{number}.jsonl", lines)
            assert exchange("push", file, "--config", place.hotline).code == 0
            tickets.append(ticket)
            notes.append(kept.checkpoint(log.name))
            for key in keys:
                line = cosign(split_note(notes[-1])[0], key, now + timedelta(seconds=number)).line
                for _ in range(2):
                    kept.keep(with_lines(notes[-1], [line]), public, now)
        found = [Checkpoint.parse(split_note(note)[0]) for note in notes]
        for one in found:
            for other in found[found.index(one) :]:
                proof = kept.proof(log.name, one.size, other.size)
                verify_consistency(one.size, one.root, other.size, other.root, proof)
        room = EvidenceRoom.open(database_url)
        stack.callback(room.close)
        (first, *_) = room.of_ticket(tickets[0])
        proofs = first.cosigned[first.place]
        newest = kept.newest()

    # Before the messages stands the act that says by which rules the bridge reckons.
    assert [(one.witness, one.size) for one in newest] == [(key.name, 7) for key in keys]
    assert [_head(proof, log).size for proof in proofs] == [3, 7]
    assert [len(cosignatures(proof.note, public)) for proof in proofs] == [2, 2]


def _head(proof: StoredProof, log: LogKey) -> Checkpoint:
    leaf = parse_leaf(proof.leaf)
    return proof.verify(leaf.kind, leaf.digest, TrustedLogs([log.verifier]))[1]
