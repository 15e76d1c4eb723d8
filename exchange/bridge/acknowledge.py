"""
Deciding acknowledgements: the receiver's signed "written", its refusal, or a noted receipt.

An acknowledgement counts by message id, whether its lease still runs or not, and the first one
wins: whatever is said of a message that was written before gets the first one's leaf, and settles
what waits of the message again.  What was set aside may still be written; nothing else can be said of it
until it was put back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from exchange import lifecycle
from exchange.bridge.authentic import AUTHOR_SUITES
from exchange.bridge.decide import InDrain, Working
from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE, Signature, message_digest
from exchange.errors import ExchangeError, Refusal, RefusalCode, VerificationError, refuse
from exchange.making import maker
from exchange.store import Delivery, Known, Noted, Refused, SetAside, Settled, Written
from exchange.submission import Acknowledged, Recorded, Statement
from exchange.text import Text
from exchange.ticket import Handoff

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

_new_written, _new_delivery = maker(Written), maker(Delivery)

Decision = (
    Written | SetAside | Refused | Settled | Noted | Recorded | InDrain | Refusal | ExchangeError
)


@dataclass(slots=True, kw_only=True)
class _Addressed:
    """One message and what one organisation has to do with it."""

    known: Known
    #: Where it waits for the organisation.
    lane: str = ""
    positions: list[int] = field(default_factory=list)
    #: The leaf index, in its log, of its written receipt; None if it has given none.
    receipt: int | None = None
    #: The entry of this drain that is its written receipt.
    entry: int | None = None
    #: Whether it refused the message, so that the lane stands still.
    declined: bool = False
    #: The leaf index, in its log, of what set it aside last; None if nothing did.
    aside: int | None = None
    #: The entry of this drain that sets it aside.
    aside_entry: int | None = None


#: The largest number that a mailbox row can have; the contract's field holds larger ones.
LAST_POSITION = (1 << 63) - 1


class Acknowledging:
    """What one drain knows of the messages that are acknowledged in it."""

    def __init__(self, working: Working, encode_signature: EncodeSignature) -> None:
        self._working = working
        self._encode_signature = encode_signature
        #: By (organisation, message id).
        self._addressed: dict[tuple[str, str], _Addressed] = {}

    def load(self, work: Sequence[Acknowledged]) -> None:
        """Load what these acknowledgements are about."""
        said = [(p.caller, p.statement.message_id) for p in work if p.statement is not None]
        if not said:
            return
        writer = self._working.writer
        ids = {message_id for _, message_id in said}
        known, receipts = writer.messages(ids), writer.receipts(ids)
        asides = writer.asides(ids)
        given_at = {one.leaf_index for by in receipts.values() for one in by.values()}
        indexes = writer.indexes(given_at | {leaf for leaf, _ in asides.values()})
        by_leaf: dict[str, dict[int, _Addressed]] = defaultdict(dict)
        for caller, message_id in said:
            if message_id in known:
                given = receipts.get(message_id, {}).get(caller)
                one = _Addressed(
                    known=known[message_id],
                    receipt=None if given is None else indexes[given.leaf_index],
                )
                if (message_id, caller) in asides:
                    leaf, one.lane = asides[message_id, caller]
                    one.aside = indexes[leaf]
                self._addressed[caller, message_id] = by_leaf[caller][one.known.leaf_index] = one
        for caller, leaves in by_leaf.items():
            for row in writer.mail(caller, leaves):
                leaves[row.source].lane = row.lane
                leaves[row.source].positions.append(row.position)
        self._load_declined(work)
        handoffs = {one.handoff_id for one in known.values()} - {""}
        missing = handoffs - self._working.handoffs.keys()
        self._working.handoffs.update(writer.handoffs(missing))

    def _load_declined(self, work: Sequence[Acknowledged]) -> None:
        declining: dict[str, dict[int, _Addressed]] = defaultdict(dict)
        for piece in work:
            if piece.statement is None or piece.statement.code is None:
                continue
            one = self._of(piece)
            if one is not None:
                declining[piece.caller][one.known.leaf_index] = one
        for caller, leaves in declining.items():
            for leaf in self._working.writer.declined(caller, leaves):
                leaves[leaf].declined = True

    def _of(self, piece: Acknowledged) -> _Addressed | None:
        if piece.statement is None:
            return None
        return self._addressed.get((piece.caller, piece.statement.message_id))

    def decide(self, piece: Acknowledged, index: int) -> Decision:
        """Return what *piece* comes to; if written, it is entry *index* of this drain."""
        if piece.receipt_position is not None:
            if piece.receipt_position > LAST_POSITION:
                return Recorded(
                    leaf_index=None
                )  # of what no mailbox can hold, nothing is left to do
            return Noted(recipient=piece.caller, position=piece.receipt_position)
        statement = piece.statement
        if statement is None:
            return piece.refusal or Refusal(code=RefusalCode.MALFORMED)
        refusal = self._authenticate(piece, statement)
        if refusal is not None:
            return refusal
        one = self._of(piece)
        if one is None:
            return self._not_waiting(statement)
        held = self._working.held_elsewhere(one.known.ticket_id)
        return held or self._judge(statement, one, index)

    def _judge(self, statement: Statement, one: _Addressed, index: int) -> Decision:
        known = one.known
        if known.digest != statement.message_digest:
            return refuse(
                RefusalCode.DIFFERENT_CONTENT, "statement.message_digest", "digest", _OTHER_DIGEST
            )
        if one.receipt is not None:
            if one.positions:
                return Settled(
                    recipient=statement.organisation, source=known.leaf_index, receipt=one.receipt
                )
            return Recorded(leaf_index=one.receipt)
        if one.entry is not None:
            return InDrain(message_id=known.id, entry=one.entry)
        if statement.code is not None and one.aside_entry is not None:
            return InDrain(message_id=known.id, entry=one.aside_entry)
        if not one.positions and one.aside_entry is None:
            if one.aside is None:
                return self._not_waiting(statement)
            if statement.code is not None:
                return Recorded(leaf_index=one.aside)
        deliver = _new_delivery(
            recipient=known.author, lane=one.lane, urgency=1, message_id=known.id
        )
        handoff = self._working.handoffs.get(known.handoff_id)
        if statement.set_aside:
            one.aside_entry, one.declined = index, False
            return set_aside(
                known,
                statement,
                deliver,
                handoff,
                encode=self._encode_signature,
                now=self._working.now,
            )
        if statement.code is not None:
            return self._refused(statement, one, deliver)
        one.entry = index
        return _new_written(
            of=known,
            organisation=statement.organisation,
            statement=statement.statement,
            signature=self._encode_signature(statement.signature),
            digest=message_digest(statement.statement),
            time=self._working.now,
            state=int(handoff.state) if handoff else 0,
            answers=lifecycle.answers(handoff) if handoff else "",
            deliver=deliver,
        )

    def positions(self, piece: Acknowledged) -> list[tuple[str, int]]:
        """Return (recipient, position) of the deliveries that *piece* settles, for their leases."""
        if piece.receipt_position is not None:
            return [(piece.caller, piece.receipt_position)]
        one = self._of(piece)
        return [] if one is None else [(piece.caller, position) for position in one.positions]

    def stopped(self, piece: Acknowledged) -> list[tuple[str, str]]:
        """Return (recipient, lane) of the lane that *piece* stops, if it stops one."""
        one = self._of(piece)
        return [(piece.caller, one.lane)] if one is not None and one.declined else []

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

    def _refused(
        self, statement: Statement, one: _Addressed, deliver: Delivery
    ) -> Refused | Recorded:
        if one.declined:
            return Recorded(leaf_index=None)  # a repeat: its author was told
        one.declined = True
        known = one.known
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


def set_aside(
    known: Known,
    statement: Statement,
    deliver: Delivery,
    handoff: Handoff | None,
    *,
    encode: EncodeSignature,
    now: datetime,
) -> SetAside:
    """Return what to record where a receiver sets *known* aside: nobody else answers for it now."""
    return SetAside(
        of=known,
        organisation=statement.organisation,
        lane=deliver.lane,
        refused=Refused(
            message_id=known.id,
            digest=known.digest,
            refused_by=statement.organisation,
            statement=statement.statement,
            signature=encode(statement.signature),
            time=now,
            deliver=deliver,
        ),
        digest=message_digest(statement.statement),
        time=now,
        state=int(handoff.state) if handoff else 0,
        answers=lifecycle.answers(handoff) if handoff else "",
    )
