"""The bridge: one drain is one transaction; what waits is leased; two copies are compared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.bridge import reconcile
from exchange.bridge.acknowledge import Acknowledging, EncodeSignature
from exchange.bridge.decide import Working
from exchange.bridge.outcomes import Collected, EncodeRefusal, Notary
from exchange.bridge.policy import Policy
from exchange.bridge.reconcile import Head, Reconciled, Since
from exchange.delivery import Leases
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
from exchange.store import Content, RowsRefused, Store, Waiting
from exchange.submission import Acknowledged, Delivered, Outcome, Pushed, Recorded, Retry, Work
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
    """What a drain came to: one outcome per piece of work, and whom something new waits for."""

    outcomes: list[Outcome]
    woken: frozenset[str]


class Bridge:
    """
    One bridge over one store.

    `drain` and `reconcile` write and must be called by one thread at a time; `pull` may be called
    by another, and by one thread at a time too.
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: Policy,
        key: SigningKey,
        origin: str,
        encode_refusal: EncodeRefusal,
        encode_signature: EncodeSignature,
        leases: Leases | None = None,
    ) -> None:
        self.store = store
        self.policy = policy
        self.origin = origin
        self._leases = leases or Leases()
        self._leasing = threading.Lock()
        self._encode_signature = encode_signature
        self._notary = Notary(key, origin, encode_refusal, encode_signature)

    # -- push and acknowledge

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
                second = Drained(outcomes=[rest] * (len(work) - half), woken=frozenset())
            return Drained(
                outcomes=first.outcomes + second.outcomes, woken=first.woken | second.woken
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
        self._release(work, outcomes, acknowledging)
        return Drained(outcomes=outcomes, woken=collected.woken())

    def _refuse_unstorable(self, piece: Work, error: RowsRefused, now: datetime) -> Drained:
        # The database's own words can hold what others stored; the kind of its error cannot.
        cause = error.__cause__
        text = _UNSTORABLE.fill(why=type(getattr(cause, "orig", None) or cause).__name__)
        path = "envelope" if isinstance(piece, Pushed) else "statement"
        refusal = refuse(RefusalCode.FIELD_INVALID, path, "storable", text)
        ((record, answer),) = self._notary.refuse([(piece, refusal)], now)
        with self.store.writing() as writer:
            writer.record(refusals=[record], now=now)
        return Drained(outcomes=[answer], woken=frozenset())

    def _repeated(self, message_ids: set[str]) -> dict[str, StoredProof | Retry]:
        """Return the proofs of messages accepted before; a retry where the stored log is broken."""
        try:
            return dict(self.store.stored_proofs(message_ids))
        except (TamperingFound, VerificationError):
            if len(message_ids) > 1:
                return {key: one for m in message_ids for key, one in self._repeated({m}).items()}
            (message_id,) = message_ids
            return {message_id: Retry(error=StoreUnavailable(_NO_RECEIPT.fill(id=message_id)))}

    def _release(
        self, work: Sequence[Work], outcomes: Sequence[Outcome], done: Acknowledging
    ) -> None:
        settled: dict[str, list[int]] = {}
        stopped: set[tuple[str, str]] = set()
        for piece, outcome in zip(work, outcomes, strict=True):
            if isinstance(piece, Acknowledged) and isinstance(outcome, Recorded):
                settled.setdefault(piece.caller, []).extend(done.positions(piece))
                stopped.add((piece.caller, done.stopped(piece)))
        with self._leasing:
            for recipient, positions in settled.items():
                self._leases.settle(recipient, positions)
            for recipient, lane in stopped:
                self._leases.stop(recipient, lane)

    # -- pull

    def pull(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
    ) -> list[Delivered]:
        """
        Lease up to *limit* of what waits for *organisation*: urgent lanes first, then oldest.

        *fitting* says how many of what was found are taken, from the first on.
        """
        with self._leasing:
            held = self._leases.begin(organisation, now)
        rows: list[Waiting] = []
        try:
            rows = self.store.waiting(organisation, limit, skip_lanes=held)
            rows = rows[: fitting(rows)]
        finally:
            with self._leasing:
                gone = self._leases.end(organisation)
                rows = [row for row in rows if row.position not in gone]
                taken = [self._leases.take(organisation, r.lane, r.position, now) for r in rows]
        delivered = []
        for row, (attempt, expires) in zip(rows, taken, strict=True):
            delivered.append(
                Delivered(
                    position=row.position,
                    lane=row.lane,
                    attempt=attempt,
                    lease_expires=expires,
                    message_id=row.message_id,
                    envelope=row.payload if row.content is Content.MESSAGE else b"",
                    written=(row.payload, row.signature)
                    if row.content is Content.WRITTEN
                    else None,
                    refused=(row.payload, row.signature)
                    if row.content is Content.REFUSED
                    else None,
                )
            )
        return delivered

    def give_back(self, organisation: str, positions: Iterable[int]) -> None:
        """End the leases of deliveries that nobody took."""
        with self._leasing:
            self._leases.release(organisation, positions)

    def next_expiry(self, organisation: str) -> datetime | None:
        """Return when the first lease of *organisation* ends; None if nothing is out."""
        with self._leasing:
            return self._leases.next_expiry(organisation)

    def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint of the log; empty before the first drain."""
        return self.store.checkpoint()

    # -- reconcile

    def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None = None
    ) -> Reconciled:
        """
        Compare *organisation*'s copy of hand-offs with the store's, one finding per head.

        What the caller misses, or what was accepted *since*, it finds in its mailbox again (R50b).
        """
        with self.store.writing() as writer:
            found = reconcile.reconcile(writer, organisation, heads, now, since)
        with self._leasing:
            self._leases.settle(organisation, found.withdrawn)
        return found
