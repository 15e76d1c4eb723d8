"""
Deciding acknowledgements: the receiver's signed "written", its refusal, or a noted receipt.

An acknowledgement counts by message id, whether its lease still runs or not, and the first one
wins: a second "written" for the same message gets the first one's leaf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from exchange import lifecycle
from exchange.bridge.authentic import AUTHOR_SUITES
from exchange.bridge.decide import InDrain, Working
from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE, Signature, message_digest
from exchange.errors import Refusal, RefusalCode, VerificationError, refuse
from exchange.store import Delivery, Known, Noted, Refused, StoredReceipt, Written
from exchange.submission import Acknowledged, Recorded, Statement
from exchange.text import Text

#: Encodes a signature for the store, the contract's way.
EncodeSignature = Callable[[Signature], bytes]

_NOT_YOURS = Text(
    en="Message {id} does not wait for {organisation}.",
    zh="消息 {id} 不在 {organisation} 的信箱中。",
)
_OTHER_DIGEST = Text(
    en="The statement names another digest than that of the delivered message.",
    zh="回执中的摘要与所投递消息的摘要不符。",
)
_NOT_SIGNER = Text(
    en="The statement says {organisation}, but {signer} signed it and {caller} sent it.",
    zh="回执机构为 {organisation}，签名者为 {signer}，发送者为 {caller}。",
)

Decision = Written | Refused | Noted | Recorded | InDrain | Refusal


class Acknowledging:
    """What one drain knows of the messages that are acknowledged in it."""

    def __init__(self, working: Working, encode_signature: EncodeSignature) -> None:
        self._working = working
        self._encode_signature = encode_signature
        self._known: dict[str, Known] = {}
        self._receipts: dict[str, dict[str, StoredReceipt]] = {}
        #: (position, lane) of what waits, by recipient and leaf index.
        self._mail: dict[tuple[str, int], list[tuple[int, str]]] = {}
        self._written: dict[tuple[str, str], int] = {}
        #: (recipient, leaf index) of what its recipient refused before, and what stands still so.
        self._declined: set[tuple[str, int]] = set()

    def load(self, work: Sequence[Acknowledged]) -> None:
        """Load what these acknowledgements are about."""
        ids = {piece.statement.message_id for piece in work if piece.statement is not None}
        if not ids:
            return
        writer = self._working.writer
        self._known = writer.messages(ids)
        self._receipts = writer.receipts(ids)
        wanted: dict[str, set[int]] = defaultdict(set)
        for piece in work:
            if piece.statement is not None and piece.statement.message_id in self._known:
                wanted[piece.caller].add(self._known[piece.statement.message_id].leaf_index)
        for recipient, leaves in wanted.items():
            for row in writer.mail(recipient, leaves):
                self._mail.setdefault((recipient, row.source), []).append((row.position, row.lane))
        declining: dict[str, set[int]] = defaultdict(set)
        for piece in work:
            if piece.statement is not None and piece.statement.code is not None:
                known = self._known.get(piece.statement.message_id)
                if known is not None:
                    declining[piece.caller].add(known.leaf_index)
        for recipient, leaves in declining.items():
            found = writer.declined(recipient, leaves)
            self._declined |= {(recipient, leaf) for leaf in found}
        handoffs = {known.handoff_id for known in self._known.values()} - {""}
        missing = handoffs - self._working.handoffs.keys()
        self._working.handoffs.update(writer.handoffs(missing))

    def decide(self, piece: Acknowledged, index: int) -> Decision:
        """Return what *piece* comes to; if written, it is entry *index* of this drain."""
        if piece.receipt_position is not None:
            return Noted(recipient=piece.caller, position=piece.receipt_position)
        statement = piece.statement
        if statement is None:
            return piece.refusal or Refusal(code=RefusalCode.MALFORMED)
        refusal = self._authenticate(piece, statement)
        if refusal is not None:
            return refusal
        known = self._known.get(statement.message_id)
        if known is None:
            return self._not_waiting(statement)
        if known.digest != statement.message_digest:
            return refuse(
                RefusalCode.DIFFERENT_CONTENT, "statement.message_digest", "digest", _OTHER_DIGEST
            )
        earlier = self._receipts.get(known.id, {}).get(piece.caller)
        if earlier is not None:
            return Recorded(leaf_index=earlier.leaf_index)
        in_drain = self._written.get((known.id, piece.caller))
        if in_drain is not None:
            return InDrain(message_id=known.id, entry=in_drain)
        waiting = self._mail.get((piece.caller, known.leaf_index))
        if not waiting:
            return self._not_waiting(statement)
        deliver = Delivery(
            recipient=known.author, lane=waiting[0][1], urgency=1, message_id=known.id
        )
        if statement.code is not None:
            return self._refused(statement, known, deliver)
        self._written[known.id, piece.caller] = index
        handoff = self._working.handoffs.get(known.handoff_id)
        return Written(
            of=known,
            organisation=piece.caller,
            statement=statement.statement,
            signature=self._encode_signature(statement.signature),
            digest=message_digest(statement.statement),
            time=self._working.now,
            state=int(handoff.state) if handoff else 0,
            answers=lifecycle.answers(handoff) if handoff else "",
            deliver=deliver,
        )

    def positions(self, piece: Acknowledged) -> list[int]:
        """Return the mailbox positions of the deliveries that *piece* settles, for their leases."""
        if piece.receipt_position is not None:
            return [piece.receipt_position]
        if piece.statement is None or piece.statement.message_id not in self._known:
            return []
        leaf = self._known[piece.statement.message_id].leaf_index
        return [position for position, _ in self._mail.get((piece.caller, leaf), [])]

    def _authenticate(self, piece: Acknowledged, statement: Statement) -> Refusal | None:
        if piece.author is None:
            return refuse(RefusalCode.SIGNER_NOT_TRUSTED, "signature.key_id")
        kind = WRITTEN_TYPE if statement.code is None else REFUSED_TYPE
        try:
            self._working.verifier.verify(
                kind,
                statement.statement,
                statement.signature,
                piece.author.key,
                allowed=AUTHOR_SUITES,
            )
        except VerificationError as error:
            return refuse(RefusalCode.SIGNATURE_INVALID, "signature", "signature", error.text)
        if not statement.organisation == piece.author.organisation == piece.caller:
            text = _NOT_SIGNER.fill(
                organisation=statement.organisation,
                signer=piece.author.organisation,
                caller=piece.caller,
            )
            return refuse(RefusalCode.AUTHOR_MISMATCH, "statement.organisation", "signer", text)
        return None

    def _refused(self, statement: Statement, known: Known, deliver: Delivery) -> Refused | Recorded:
        place = statement.organisation, known.leaf_index
        if place in self._declined:
            return Recorded(leaf_index=None)  # a repeat: its author was told
        self._declined.add(place)
        return Refused(
            message_id=known.id,
            digest=known.digest,
            refused_by=statement.organisation,
            statement=statement.statement,
            signature=self._encode_signature(statement.signature),
            time=self._working.now,
            of=known,
            deliver=deliver,
        )

    @staticmethod
    def _not_waiting(statement: Statement) -> Refusal:
        text = _NOT_YOURS.fill(id=statement.message_id, organisation=statement.organisation)
        return refuse(RefusalCode.NOT_A_PARTY, "statement.message_id", "mailbox", text)
