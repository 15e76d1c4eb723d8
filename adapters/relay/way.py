"""
One way of a relay: what waits at one bridge for those beyond it is brought to the other.

1. Fetch: envelopes, and the receipts of messages that came from beyond; all of it leased.
2. Bring: push the envelopes, acknowledge the receipts, at the other bridge.
3. Answer where it came from: ``passed`` with the other bridge's stored receipt, its signed refusal,
   or that the receipt was noted.  What was not decided stays in the mailbox and comes again.

Killed at any point, the lease ends and the same comes again; the other bridge then knows it and gives
the same receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exchange.client import Answer, Carrier, Load
from exchange.errors import ExchangeError, Refusal
from exchange.text import Text

#: What failed is brought again for so long, well within the usual lease; then it is fetched again.
HELD = timedelta(seconds=15)
#: While something failed, a fetch waits no longer than this.
SHORT = timedelta(seconds=1)

#: Told of each thing that a bridge refused: which bridge, and the refusal.
Notice = Callable[[str, Refusal], None]


@dataclass(slots=True)
class Tally:
    """What one way has done since it began, and how it stands; times are aware UTC."""

    passed: int = 0
    receipts: int = 0
    refused: int = 0
    last: datetime | None = None
    #: What could not be brought yet, and since when its oldest has been said.
    waiting: int = 0
    oldest: datetime | None = None
    error: Text | None = None
    #: Chunks of attachments that were brought, and why some were not.
    chunks: int = 0
    chunk_error: Text | None = None


@dataclass(slots=True)
class _Held:
    load: Load
    since: datetime


@dataclass(kw_only=True)
class Way:
    """One direction, called *name*; `turn` is the whole of it."""

    name: str
    source: Carrier
    target: Carrier
    clock: Callable[[], datetime]
    notice: Notice = field(default=lambda _bridge, _refusal: None)
    tally: Tally = field(default_factory=Tally)
    _held: list[_Held] = field(default_factory=list)

    def turn(self, wait: timedelta = timedelta(0)) -> int:
        """
        Carry what has come, waiting up to *wait* for it; return how many things were brought.

        Raises the `ExchangeError` of a bridge that cannot be reached; nothing is lost by it.
        """
        now = self.clock()
        self._held = [held for held in self._held if now - held.since < HELD]
        fetched = self.source.fetch(wait=min(wait, SHORT) if self._held else wait)
        since = self.clock()
        loads = [*self._held, *(_Held(load, since) for load in fetched)]
        # Envelopes first: fewer calls, and a receipt never depends on its own batch.
        loads.sort(key=lambda held: not held.load.envelope)
        self._held = loads  # until it is known better
        answers = self.target.bring([held.load for held in loads])
        brought = self._answer(loads, answers)
        failure = next((a.failure for a in answers if a.failure is not None), None)
        self._tell(failure)
        return brought

    def _answer(self, loads: Sequence[_Held], answers: Sequence[Answer]) -> int:
        """Say where each thing came from what became of it; keep what was not decided."""
        back: list[Load] = []
        noted: list[int] = []
        undecided: list[_Held] = []
        for held, answer in zip(loads, answers, strict=True):
            if answer.failure is not None:
                undecided.append(held)
                continue
            if answer.refusal is not None:
                self.tally.refused += 1
                self.notice(self.target.target, answer.refusal)
            if answer.acknowledgement:
                back.append(Load(acknowledgement=answer.acknowledgement))
            elif answer.refusal is None:
                noted.append(held.load.position)
        said = self.source.bring(back)
        self.source.note(noted)
        self._held = undecided
        refusals = [one.refusal for one in said if one.refusal is not None]
        for refusal in refusals:
            self.notice(self.source.target, refusal)
        for one in said:
            if one.failure is not None:
                raise one.failure
        self.tally.passed += len(back) - len(refusals)
        self.tally.receipts += len(noted)
        if back or noted:
            self.tally.last = self.clock()
        self.tally.error = refusals[0].text if refusals else None
        return len(back) + len(noted)

    def _tell(self, failure: ExchangeError | None) -> None:
        if failure is not None:
            self.tally.error = failure.text
        self.tally.waiting = len(self._held)
        said = [held.load.created or held.since for held in self._held]
        self.tally.oldest = min(said, default=None)
