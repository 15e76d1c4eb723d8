"""What a drain's decisions add up to: what to record, and what to answer afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from exchange.acts import Urgency
from exchange.bridge.acknowledge import EncodeSignature
from exchange.bridge.decide import InDrain, Repeat
from exchange.envelope import REFUSED_TYPE, SigningKey, sign
from exchange.errors import ExchangeError, Refusal
from exchange.log import StoredProof, parse_leaf
from exchange.making import maker
from exchange.store import Accepted, Entry, Noted, Passage, SetAside, Settled, Written
from exchange.store import Refused as RefusedRecord
from exchange.submission import Outcome, Pushed, Recorded, Refused, Retry, Stored, Work

#: Encodes a refusal into the bytes that are signed: (message id, digest, refuser, refusal, time).
EncodeRefusal = Callable[[str, bytes, str, Refusal, datetime], bytes]


_new_stored, _new_recorded = maker(Stored), maker(Recorded)


class Notary:
    """Signs the bridge's own refusals, a drain's together, with the log's key."""

    def __init__(
        self,
        key: SigningKey,
        origin: str,
        encode_refusal: EncodeRefusal,
        encode_signature: EncodeSignature,
    ) -> None:
        self._key = key
        self._origin = origin
        self._encode_refusal = encode_refusal
        self._encode_signature = encode_signature

    def refuse(
        self, refused: Sequence[tuple[Work, Refusal]], now: datetime
    ) -> list[tuple[RefusedRecord, Refused]]:
        """Return each refusal as it is recorded, and as it is answered."""
        subjects = [_subject(piece) for piece, _ in refused]
        statements = [
            self._encode_refusal(*subject, self._origin, refusal, now)
            for subject, (_, refusal) in zip(subjects, refused, strict=True)
        ]
        signatures = sign(REFUSED_TYPE, statements, self._key)
        return [
            (
                RefusedRecord(
                    message_id=message_id,
                    digest=digest,
                    refused_by=self._origin,
                    statement=statement,
                    signature=self._encode_signature(signature),
                    time=now,
                ),
                Refused(refusal=refusal, statement=statement, signature=signature),
            )
            for (message_id, digest), (_, refusal), statement, signature in zip(
                subjects, refused, statements, signatures, strict=True
            )
        ]


class Collected:
    """The decisions of one drain, by the place of their work."""

    def __init__(self, size: int) -> None:
        self.entries: list[Entry] = []
        #: What receivers refused.
        self.records: list[RefusedRecord] = []
        self.noted: list[Noted] = []
        self.settled: list[Settled] = []
        self.passages: list[Passage] = []
        #: Signers' chains by key id.
        self.chains: dict[bytes, tuple[bytes, ...]] = {}
        self.refused: list[tuple[Work, Refusal]] = []
        self._outcomes: list[Outcome | None] = [None] * size
        self._entry_of: dict[int, int] = {}
        self._repeats: dict[int, str] = {}
        self._refused_at: list[int] = []

    @property
    def places(self) -> list[int]:
        """The place of the work that each entry came of."""
        places = [-1] * len(self.entries)
        for place, index in self._entry_of.items():
            if places[index] < 0:
                places[index] = place
        return places

    @property
    def accepted(self) -> int:
        """How many messages were accepted."""
        return sum(isinstance(entry, Accepted) for entry in self.entries)

    @property
    def repeats(self) -> set[str]:
        """The ids of messages that were accepted in an earlier drain."""
        return set(self._repeats.values())

    def take(self, place: int, piece: Work, decision: object) -> None:
        """Take in what the *piece* of work at *place* came to."""
        match decision:
            case Accepted() | Written() | SetAside():
                self._entry_of[place] = len(self.entries)
                self.entries.append(decision)
                self._keep_chain(piece)
            case InDrain():
                self._entry_of[place] = decision.entry
            case Repeat():
                self._repeats[place] = decision.message_id
            case Refusal():
                self.refused.append((piece, decision))
                self._refused_at.append(place)
            case ExchangeError():
                self._outcomes[place] = Retry(error=decision)
            case RefusedRecord():
                self.records.append(decision)
                self._outcomes[place] = Recorded(leaf_index=None)
                self._keep_chain(piece)
            case Noted():
                self.noted.append(decision)
                self._outcomes[place] = Recorded(leaf_index=None)
            case Settled():
                self.settled.append(decision)
                self._outcomes[place] = Recorded(leaf_index=decision.receipt)
            case Passage():
                self.passages.append(decision)
                self._outcomes[place] = Recorded(leaf_index=None)
            case Recorded():
                self._outcomes[place] = decision
            case _:
                raise TypeError(f"no decision: {decision!r}")

    def _keep_chain(self, piece: Work) -> None:
        if piece.author is not None:
            self.chains[piece.author.key.key_id] = piece.author.chain

    def outcomes(
        self,
        proofs: Sequence[StoredProof],
        repeated: Mapping[str, StoredProof | Retry],
        refused: Sequence[Refused],
    ) -> list[Outcome]:
        """Return one outcome for each piece of work, in order."""
        for place, index in self._entry_of.items():
            entry, proof = self.entries[index], proofs[index]
            self._outcomes[place] = (
                _new_stored(message_id=entry.message.id, proof=proof)
                if isinstance(entry, Accepted)
                else _new_recorded(leaf_index=proof.index)
            )
        for place, message_id in self._repeats.items():
            found = repeated[message_id]
            self._outcomes[place] = (
                found if isinstance(found, Retry) else Stored(message_id=message_id, proof=found)
            )
        for place, answer in zip(self._refused_at, refused, strict=True):
            self._outcomes[place] = answer
        return [outcome for outcome in self._outcomes if outcome is not None]

    def woken(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the organisations for whom something new waits, and those for whom something urgent may."""
        woken: set[str] = set()
        urgent: set[str] = set()
        least = Urgency.URGENT
        deliveries = [r.deliver for r in self.records if r.deliver is not None]
        for entry in self.entries:
            if isinstance(entry, Accepted):
                deliveries += entry.deliveries
            elif isinstance(entry, SetAside):
                # What stood behind it in its lane may go on, whatever that is.
                urgent |= {entry.of.author, entry.organisation}
            elif isinstance(entry, Written) and entry.deliver is not None:
                deliveries.append(entry.deliver)
        for delivery in deliveries:
            woken.add(delivery.recipient)
            if delivery.urgency >= least:
                urgent.add(delivery.recipient)
        return frozenset(woken | urgent), frozenset(urgent)


def _subject(piece: Work) -> tuple[str, bytes]:
    """Return the (message id, digest) that an answer to *piece* is about."""
    if isinstance(piece, Pushed):
        return piece.received.message_id, piece.received.digest
    if piece.statement is not None:
        return piece.statement.message_id, piece.statement.message_digest
    if piece.passed is not None:
        return piece.passed.message_id, parse_leaf(piece.passed.proof.leaf).digest
    return "", bytes(32)
