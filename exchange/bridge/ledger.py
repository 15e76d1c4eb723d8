"""
The part of the bridge that writes: one drain is one transaction; two copies are compared.

It may stand in a process of its own (`exchange.server.keeper`): what goes in and what comes out is
plain data, and nothing of it is shared with the part that hands out (`exchange.bridge.mailboxes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from exchange.bridge import announcing, reconcile
from exchange.bridge.acknowledge import Acknowledging, EncodeSignature
from exchange.bridge.announcing import Announced, Declared, Part
from exchange.bridge.carried import Carrying
from exchange.bridge.decide import NotNew, Working
from exchange.bridge.heard import Begun, begun_in
from exchange.bridge.openings import opens_only
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
from exchange.store import RowsRefused, RowsWanted, Store, Writer
from exchange.submission import Acknowledged, Outcome, Pushed, Recorded, Retry, Work
from exchange.text import Text

#: Up to so many messages, tickets that seem new are always taken to be new; see `Ledger.drain`.
LOOK_LATER = 16
#: After a larger drain that held something else, so many larger ones ask first: who repeats much or is
#: refused much lets few drains be done twice.
ASK_FIRST = 64

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


#: How often a drain is tried that another bridge was in the way of.
_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """
    What a drain came to: one outcome per piece of work, and what mailboxes must know of it.

    *woken*: whom something new waits for, *urgent*: whom something urgent may; *settled*: (recipient, position) of what left a mailbox;
    *stopped*: (recipient, lane) that stand still; *checkpoint*: the log's newest; *begun*: all that
    is new for those who get nothing but lanes that begin here.
    """

    outcomes: list[Outcome]
    woken: frozenset[str] = frozenset()
    urgent: frozenset[str] = frozenset()
    settled: tuple[tuple[str, int], ...] = ()
    stopped: frozenset[tuple[str, str]] = frozenset()
    checkpoint: bytes = b""
    begun: tuple[Begun, ...] = ()


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
        rules: Declared | None = None,
    ) -> None:
        """
        Write into *store* by *policy*, with the log's *key*.

        *rules* are what deadlines are reckoned by (`exchange.reckoning.said_of`): they are entered into the
        log before the first drain, unless they are those that it has.
        """
        self._rules = rules
        self.store = store
        self.policy = policy
        self._key, self._origin = key, origin
        self._encode_signature = encode_signature
        self._notary = Notary(key, origin, encode_refusal, encode_signature)
        #: Larger drains that ask first, from here on.
        self._asking = 0

    def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """
        Decide and record all of *work* in one transaction; one outcome each, in order.

        Where the database refuses the rows, the drain is halved until the culprit alone is refused.
        Where another bridge wanted the same rows, it is done again as a whole.

        Raises `StoreUnavailable` if the database fails: then nothing of it was written.
        """
        if self._rules is not None:
            self.enter(self._rules, now)
            self._rules = None
        if self._seems_new(work):
            # What opens a ticket is nearly always new, and then nothing need be asked.
            try:
                return self._drain(work, now, expect_new=True)
            except (NotNew, RowsRefused):
                if len(work) > LOOK_LATER:
                    self._asking = ASK_FIRST
            except RowsWanted as wanted:
                if wanted.locked and not self.store.shared:
                    raise  # it has been waited for
        try:
            return self._again(work, now)
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
                urgent=first.urgent | second.urgent,
                settled=first.settled + second.settled,
                stopped=first.stopped | second.stopped,
                checkpoint=second.checkpoint or first.checkpoint,
                begun=_both(first, second, half),
            )

    def _seems_new(self, work: Sequence[Work]) -> bool:
        """Return whether what is pushed of *work* is nothing but tickets that are taken to be new."""
        pushed = [piece for piece in work if isinstance(piece, Pushed)]
        if self.store.shared and (len(work) > LOOK_LATER or len(pushed) < len(work)):
            # Two that want the same rows would wait for all of each other's; and what is acknowledged is of
            # tickets that are there, which are held before anything is decided about them.
            return False
        if len(work) > LOOK_LATER and self._asking:
            self._asking -= 1
            return False
        return opens_only(pushed)

    def _again(self, work: Sequence[Work], now: datetime) -> Drained:
        """Drain *work*, again as a whole where another transaction wanted the same rows."""
        patient = True
        for _ in range(_TRIES - 1):
            try:
                return self._drain(work, now, patient=patient)
            except RowsWanted as wanted:
                if wanted.locked and not self.store.shared:
                    raise  # no other bridge holds it, and whoever does has been waited for
                # Whoever holds a ticket for so long may stand still: the others need not wait too.
                patient = patient and not wanted.waited
            except RowsRefused as refused:
                if not (refused.there and self.store.shared):
                    raise
        return self._drain(work, now, patient=patient)

    def _drain(
        self,
        work: Sequence[Work],
        now: datetime,
        *,
        expect_new: bool = False,
        patient: bool = True,
    ) -> Drained:
        """
        Decide and record *work*, having asked what is stored of it.

        With *expect_new* nothing is asked of what is pushed: what is there already, or refused, ends the
        transaction (`RowsRefused`, `NotNew`), since a repeat gets the receipt that it got before.  *patient*
        waits for the tickets that another bridge holds.
        """
        collected = Collected(len(work))
        with self.store.writing() as writer:
            first_leaf = writer.head.frontier.size
            held: frozenset[str] = frozenset()
            if self.store.shared and not expect_new:  # what is new is nobody else's
                held = writer.hold(*_about(work), patient=patient)
            working = Working(writer, self.policy, now, held)
            pushed = [piece for piece in work if isinstance(piece, Pushed)]
            if expect_new:
                working.expect_new(pushed)
            else:
                working.load(pushed)
            acknowledging = Acknowledging(working, self._encode_signature)
            carrying = Carrying(working, self._encode_signature)
            said = [piece for piece in work if isinstance(piece, Acknowledged)]
            carried = {id(piece) for piece in said if carrying.takes(piece)}
            acknowledging.load([piece for piece in said if id(piece) not in carried])
            carrying.load([piece for piece in said if id(piece) in carried])
            for place, piece in enumerate(work):
                index = len(collected.entries)
                if isinstance(piece, Pushed):
                    collected.take(place, piece, working.decide(piece, index))
                elif id(piece) in carried:
                    collected.take(place, piece, carrying.decide(piece, index))
                else:
                    collected.take(place, piece, acknowledging.decide(piece, index))
            if expect_new and collected.accepted < len(pushed):
                raise NotNew
            refused = self._notary.refuse(collected.refused, now)
            # Before the commit: once it is done, nothing may fail any more.
            repeated = self._repeated(collected.repeats)
            proofs = writer.record(
                collected.entries,
                now=now,
                refusals=[*collected.records, *(record for record, _ in refused)],
                noted=collected.noted,
                settled=collected.settled,
                passages=collected.passages,
                certificates=collected.chains,
            )
            begun: tuple[Begun, ...] = ()
            if not self.store.shared:  # elsewhere others hand it out, too
                begun = begun_in(writer.mailed, collected.entries, first_leaf, collected.places)
        outcomes = collected.outcomes(proofs, repeated, [answer for _, answer in refused])
        woken, urgent = collected.woken()
        settled: list[tuple[str, int]] = []
        stopped: set[tuple[str, str]] = set()
        for piece, outcome in zip(work, outcomes, strict=True):
            if isinstance(piece, Acknowledged) and isinstance(outcome, Recorded):
                known = carrying if id(piece) in carried else acknowledging
                settled += known.positions(piece)
                stopped.update(known.stopped(piece))
        return Drained(
            outcomes=outcomes,
            woken=woken,
            urgent=urgent,
            settled=tuple(settled),
            stopped=frozenset(stopped),
            checkpoint=self.store.checkpoint(),
            begun=begun,
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

    # -- acts

    def enter(self, act: Part | Declared, now: datetime) -> Announced:
        """
        Record what is new of an authority's journal, or what the bridge itself did.

        Raises as `announcing.announce`, and the store's failures.
        """
        if isinstance(act, Part):
            return self._one(lambda writer: announcing.announce(writer, act, now))
        key, log = self._key, self._origin
        return self._one(lambda writer: announcing.declare(writer, act, log=log, key=key, now=now))

    def _one(self, record: Callable[[Writer], Announced]) -> Announced:
        for left in reversed(range(_TRIES)):
            try:
                with self.store.writing() as writer:
                    found = record(writer)
                return replace(found, checkpoint=self.store.checkpoint())
            except RowsRefused as refused:  # another bridge recorded the same a moment ago
                if not (refused.there and self.store.shared and left):
                    raise
            except RowsWanted as wanted:
                if wanted.locked or not left:
                    raise
        raise AssertionError("unreachable")

    # -- reconcile

    def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None = None
    ) -> Reconciled:
        """
        Compare *organisation*'s copy of hand-offs with the store's, one finding per head.

        What the caller misses, or what was accepted *since*, it finds in its mailbox again (R50b).
        With neither heads nor *since*, whatever stands still for it is delivered again.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self.store.writing() as writer:
                    if not heads and since is None:
                        return reconcile.reopen(writer, organisation, now)
                    return reconcile.reconcile(writer, organisation, heads, now, since)
            except RowsWanted as wanted:
                if wanted.locked or not left:
                    raise
        raise AssertionError("unreachable")


def _about(work: Sequence[Work]) -> tuple[set[str], set[str]]:
    """Return the tickets that *work* names, and the messages that it acknowledges."""
    tickets, messages = set(), set()
    for piece in work:
        if isinstance(piece, Pushed):
            if piece.received.message is not None:
                tickets.add(piece.received.message.ticket_id)
        elif piece.statement is not None:
            messages.add(piece.statement.message_id)
        elif piece.passed is not None:
            messages.add(piece.passed.message_id)
    return tickets, messages


def _both(first: Drained, second: Drained, half: int) -> tuple[Begun, ...]:
    """Return what both halves began, for those who got nothing else in either."""
    moved = tuple(replace(begun, place=begun.place + half) for begun in second.begun)
    partly = (first.woken - {begun.recipient for begun in first.begun}) | (
        second.woken - {begun.recipient for begun in second.begun}
    )
    return tuple(begun for begun in first.begun + moved if begun.recipient not in partly)
