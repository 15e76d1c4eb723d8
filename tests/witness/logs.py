"""Logs that tests grow, fork and put back, answering as a bridge does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from exchange.log import LeafKind, leaf_bytes, sign_checkpoint
from exchange.merkle import Frontier, consistency_proof, leaf_hash
from exchange.note import LogKey

KEY = LogKey.from_seed("bridge.example/log/1", bytes([9] * 32))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Log:
    """
    One history of a log; *given* is what a witness submitted.

    It answers honestly of its own history, whichever that is.
    """

    leaves: tuple[bytes, ...] = ()
    key: LogKey = KEY
    source: str = "bridge.example:5110"
    given: list[bytes] = field(default_factory=list)

    def grown(self, count: int, salt: int = 0) -> Log:
        """Return a log that goes on from this one by *count* entries, other ones for another *salt*."""
        first = len(self.leaves)
        new = tuple(
            leaf_bytes(LeafKind.MESSAGE, bytes([salt, number % 251] * 16), NOON)
            for number in range(first, first + count)
        )
        return replace(self, leaves=self.leaves + new, given=[])

    def note(self) -> bytes:
        """Return the newest checkpoint."""
        hashes = [leaf_hash(leaf) for leaf in self.leaves]
        return sign_checkpoint(Frontier().append(hashes).frontier, self.key)

    def checkpoint(self, origin: str) -> bytes:
        """Return the newest checkpoint."""
        assert origin == self.key.name
        return self.note()

    def proof(self, origin: str, first: int, second: int) -> Sequence[bytes]:
        """Return the consistency proof."""
        assert origin == self.key.name

        def node(level: int, index: int) -> bytes:
            hashes = [leaf_hash(leaf) for leaf in self.leaves[index << level : index + 1 << level]]
            return Frontier().append(hashes).frontier.root()

        return consistency_proof(first, second, node)

    def submit(self, note: bytes) -> None:
        """Take a co-signed checkpoint."""
        self.given.append(note)
