"""The vectors' log: leaves, checkpoints and proofs."""

from __future__ import annotations

from typing import Any

from vector_story import START, Story, log_key

from exchange.log import Drain, LeafKind, advance, leaf_bytes
from exchange.merkle import Frontier, consistency_proof, empty_root, leaf_hash, node_hash


def leaves(story: Story) -> list[bytes]:
    """Return the leaves of the vectors' log: seven messages and one written receipt."""
    found = [
        leaf_bytes(LeafKind.MESSAGE, said.digest, story.time(place))
        for place, said in enumerate(story.said[:7])
    ]
    return [*found, leaf_bytes(LeafKind.WRITTEN, leaf_hash(b"a statement"), START)]


def drains(story: Story) -> list[Drain]:
    """Return the log's three drains, of one, four and three leaves."""
    entries, frontier, found = leaves(story), Frontier(), []
    for start, end in ((0, 1), (1, 5), (5, 8)):
        drain = advance(frontier, entries[start:end], log_key())
        frontier = drain.frontier
        found.append(drain)
    return found


def log_told(story: Story) -> dict[str, Any]:
    """Return leaves, checkpoints, inclusion and consistency proofs."""
    entries = leaves(story)

    def node(level: int, index: int) -> bytes:
        if not level:
            return leaf_hash(entries[index])
        return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    proofs = [proof for drain in drains(story) for proof in drain.proofs]
    return {
        "verifier_key": str(log_key().verifier),
        "empty_root": empty_root().hex(),
        "leaves": [{"bytes": leaf.hex(), "leaf_hash": leaf_hash(leaf).hex()} for leaf in entries],
        # What a leaf of each kind is; the tree above has messages and one written receipt alone.
        "kinds": [
            {
                "kind": int(kind),
                "name": kind.name.lower(),
                "digest": leaf_hash(kind.name.encode()).hex(),
                "bytes": leaf_bytes(kind, leaf_hash(kind.name.encode()), START).hex(),
            }
            for kind in LeafKind
        ],
        "checkpoints": [
            {
                "size": drain.frontier.size,
                "root": drain.frontier.root().hex(),
                "note": drain.note.decode(),
            }
            for drain in drains(story)
        ],
        "inclusion": [
            {
                "index": proof.index,
                "path": [step.hex() for step in proof.path],
                "tlog_proof": str(proof),
            }
            for proof in proofs
        ],
        "consistency": [
            {
                "from": first,
                "to": second,
                "proof": [step.hex() for step in consistency_proof(first, second, node)],
            }
            for first, second in ((1, 5), (1, 8), (5, 8), (8, 8))
        ],
    }
