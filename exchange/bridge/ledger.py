"""
The part of the bridge that writes: one drain is one transaction; two copies are compared.

It may stand in a process of its own (`exchange.server.keeper`): what goes in and what comes out is
plain data, and nothing of it is shared with the part that hands out (`exchange.bridge.mailboxes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.bridge import reconcile
from exchange.bridge.acknowledge import Acknowledging, EncodeSignature
from exchange.bridge.decide import Working
from exchange.bridge.outcomes import Collected, EncodeRefusal, Notary
from exchange.bridge.policy import Policy
from exchange.bridge.reconcile import Head, Reconciled, Since
from exchange.envelope import SigningKey
from exchange.errors import (
    ExchangeError,
    RefusalCode,
    StoreUnavailable,
    TamperingFound,
    VerificationError,
    refuse,
)
from exchange.log import StoredProof
from exchange.store import RowsRefused, Store
from exchange.submission import Acknowledged, Outcome, Pushed, Recorded, Retry, Work
from exchange.text import Text

_UNSTORABLE = Text(
    en="The bridge's database does not take this message ({why}); tell the bridge's operator.",
    zh="网桥数据库无法保存该消息（{why}），请告知网桥运营方。",
)
_REST_FAILED = Text(
    en="The bridge cannot write at present and has stored nothing of this message; try again later.",
    zh="网桥目前无法写入，该消息未保存，请稍后重试。",
)
_NO_RECEIPT = Text(
    en="Message {id} was accepted before, but its receipt cannot be given again: the bridge's stored "
    "log does not hold. Tell its operator to run: exchange log verify",
    zh="消息 {id} 此前已接受，但网桥存储的日志有误，无法重新出具回执。请告知运营方执行：exchange log verify",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """
    What a drain came to: one outcome per piece of work, and what mailboxes must know of it.

    *woken*: whom something new waits for; *settled*: (recipient, position) of what left a mailbox;
    *stopped*: (recipient, lane) that stand still; *checkpoint*: the log's newest.
    """

    outcomes: list[Outcome]
    woken: frozenset[str] = frozenset()
    settled: tuple[tuple[str, int], ...] = ()
    stopped: frozenset[tuple[str, str]] = frozenset()
    checkpoint: bytes = b""


class Ledger:
    """What one bridge writes into one store; called by one thread at a time."""

    def __init__(
        self,
        *,
        store: Store,
        policy: Policy,
        key: SigningKey,
        origin: str,
        encode_refusal: EncodeRefusal,
        encode_signature: EncodeSignature,
    ) -> None:
        self.store = store
        self.policy = policy
        self._encode_signature = encode_signature
        self._notary = Notary(key, origin, encode_refusal, encode_signature)

    def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """
        Decide and record all of *work* in one transaction; one outcome each, in order.

        Where the database refuses the rows, the drain is halved until the culprit alone is refused.

        Raises `StoreUnavailable` if the database fails: then nothing of it was written.
        """
        try:
            return self._drain(work, now)
        except RowsRefused as error:
            if len(work) == 1:
                return self._refuse_unstorable(work[0], error, now)
            half = len(work) // 2
            first = self.drain(work[:half], now)
            try:
                second = self.drain(work[half:], now)
            except ExchangeError:
                # The first half is durable: its receipts and wakings are not given up.
                rest: Outcome = Retry(error=StoreUnavailable(_REST_FAILED))
                second = Drained(outcomes=[rest] * (len(work) - half))
            return Drained(
                outcomes=first.outcomes + second.outcomes,
                woken=first.woken | second.woken,
                settled=first.settled + second.settled,
                stopped=first.stopped | second.stopped,
                checkpoint=second.checkpoint or first.checkpoint,
            )

    def _drain(self, work: Sequence[Work], now: datetime) -> Drained:
        collected = Collected(len(work))
        with self.store.writing() as writer:
            working = Working(writer, self.policy, now)
            working.load([piece for piece in work if isinstance(piece, Pushed)])
            acknowledging = Acknowledging(working, self._encode_signature)
            acknowledging.load([piece for piece in work if isinstance(piece, Acknowledged)])
            for place, piece in enumerate(work):
                index = len(collected.entries)
                if isinstance(piece, Pushed):
                    collected.take(place, piece, working.decide(piece, index))
                else:
                    collected.take(place, piece, acknowledging.decide(piece, index))
            refused = self._notary.refuse(collected.refused, now)
            # Before the commit: once it is done, nothing may fail any more.
            repeated = self._repeated(collected.repeats)
            proofs = writer.record(
                collected.entries,
                now=now,
                refusals=[*collected.records, *(record for record, _ in refused)],
                noted=collected.noted,
                settled=collected.settled,
                certificates=collected.chains,
            )
        outcomes = collected.outcomes(proofs, repeated, [answer for _, answer in refused])
        counted = [
            piece
            for piece, outcome in zip(work, outcomes, strict=True)
            if isinstance(piece, Acknowledged) and isinstance(outcome, Recorded)
        ]
        return Drained(
            outcomes=outcomes,
            woken=collected.woken(),
            settled=tuple(
                (piece.caller, position)
                for piece in counted
                for position in acknowledging.positions(piece)
            ),
            stopped=frozenset((piece.caller, acknowledging.stopped(piece)) for piece in counted),
            checkpoint=self.store.checkpoint(),
        )

    def _refuse_unstorable(self, piece: Work, error: RowsRefused, now: datetime) -> Drained:
        # The database's own words can hold what others stored; the kind of its error cannot.
        cause = error.__cause__
        text = _UNSTORABLE.fill(why=type(getattr(cause, "orig", None) or cause).__name__)
        path = "envelope" if isinstance(piece, Pushed) else "statement"
        refusal = refuse(RefusalCode.FIELD_INVALID, path, "storable", text)
        ((record, answer),) = self._notary.refuse([(piece, refusal)], now)
        with self.store.writing() as writer:
            writer.record(refusals=[record], now=now)
        return Drained(outcomes=[answer], checkpoint=self.store.checkpoint())

    def _repeated(self, message_ids: set[str]) -> dict[str, StoredProof | Retry]:
        """Return the proofs of messages accepted before; a retry where the stored log is broken."""
        try:
            return dict(self.store.stored_proofs(message_ids))
        except (TamperingFound, VerificationError):
            if len(message_ids) > 1:
                return {key: one for m in message_ids for key, one in self._repeated({m}).items()}
            (message_id,) = message_ids
            return {message_id: Retry(error=StoreUnavailable(_NO_RECEIPT.fill(id=message_id)))}

    # -- reconcile

    def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None = None
    ) -> Reconciled:
        """
        Compare *organisation*'s copy of hand-offs with the store's, one finding per head.

        What the caller misses, or what was accepted *since*, it finds in its mailbox again (R50b).
        """
        with self.store.writing() as writer:
            return reconcile.reconcile(writer, organisation, heads, now, since)
