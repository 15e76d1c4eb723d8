"""
The one way into the store: what queued while the last drain committed is drained together.

No time is added when idle, and throughput grows with load.  Three queues: a drain takes the urgent
first, then what is acknowledged, which ends what was begun and frees its receiver for more, then
what is pushed; of the latter two one of each caller in turn.  A caller's tickets go whole to one
queue, so order within a ticket is kept.  All state lives on the
event loop's thread; the drain itself runs wherever its keeper does (`exchange.server.keeper`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from exchange.acts import Urgency
from exchange.bridge import Drained
from exchange.errors import BridgeUnavailable, ExchangeError, LimitExceeded
from exchange.server.failures import STORE_FAILURES, store_failure
from exchange.server.journal import Journal
from exchange.server.metrics import Measures
from exchange.server.turns import Turns
from exchange.submission import Acknowledged, Outcome, Pushed, Retry, Work
from exchange.text import Text

_T = TypeVar("_T")

#: Messages of one drain at most: more gains little and lets an urgent one wait longer.
DRAIN_MOST = 256
#: A drain that holds an urgent message is filled up with others only so far.
DRAIN_URGENT = 64

#: So many waiting messages are sent to the keeper while it is still at the drain before, so that it
#: need not wait for them; fewer wait for more to join them, more would keep an urgent one waiting.
AHEAD = 128

_FULL = Text(
    en="The bridge has {limit} messages waiting to be stored; try again shortly.",
    zh="网桥待存储消息已达 {limit} 条，请稍后重试。",
)
STOPPING = Text(en="The bridge is stopping; try again shortly.", zh="网桥正在停止，请稍后重试。")
_FAILED = Text(
    en="The bridge failed on this message and stored nothing of it; tell its operator the number "
    "{number}.",
    zh="网桥处理该消息时发生故障，未保存，请将编号 {number} 告知运营方。",
)


class Drain(Protocol):
    """`exchange.bridge.Ledger.drain`, awaited."""

    def __call__(self, work: Sequence[Work], now: datetime) -> Awaitable[Drained]:
        """Decide and record all of *work* in one transaction."""
        ...


@dataclass(slots=True)
class _Call:
    """One call's outcomes, in request order, as its drains fill them in."""

    outcomes: list[Outcome | None]
    left: int
    done: asyncio.Future[None]


_Piece = tuple[Work, _Call, int]


class Writer:
    """
    Drains queued work, one transaction after another.

    *rang* is told whom something new waits for, and whom something urgent may, *working* whether the store takes writes.
    """

    def __init__(
        self,
        drain: Drain,
        *,
        clock: Callable[[], datetime],
        most_queued: int,
        rang: Callable[[frozenset[str], frozenset[str]], None],
        working: Callable[[bool], None],
        journal: Journal,
        probe_seconds: float = 2.0,
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures or Measures()
        self._drain = drain
        self._clock = clock
        self._most_queued = most_queued
        self._rang = rang
        self._working = working
        self._journal = journal
        self._probe_seconds = probe_seconds
        self._urgent: deque[_Piece] = deque()
        self._acknowledged: Turns[_Piece] = Turns()
        self._bulk: Turns[_Piece] = Turns()
        self._arrived = asyncio.Event()
        self._closing = False
        self._works = True
        self._under_way: set[asyncio.Task[None]] = set()
        #: Messages that were sent ahead of their turn, and wait for it there.
        self._ahead = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many messages wait for a drain."""
        return self._waiting() + self._ahead

    def _waiting(self) -> int:
        return len(self._urgent) + len(self._acknowledged) + len(self._bulk)

    def start(self) -> None:
        """Begin to drain, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="writer")

    async def submit(self, work: Sequence[Work]) -> list[Outcome]:
        """
        Return what became of each piece of *work*, in order, once it is durable.

        Raises `LimitExceeded` when the queue is full, `BridgeUnavailable` when it is closed, and
        one of `STORE_FAILURES` when the store took nothing of it.
        """
        if self._closing:
            raise BridgeUnavailable(STOPPING)
        if not work:
            return []
        if len(self) + len(work) > self._most_queued:
            raise LimitExceeded(
                _FULL.fill(limit=self._most_queued), limit="queue", retry_after="0.5"
            )
        call = _Call([None] * len(work), len(work), asyncio.get_running_loop().create_future())
        urgent = urgent_tickets(work)
        for place, piece in enumerate(work):
            if isinstance(piece, Acknowledged):
                self._acknowledged.append(piece.caller, (piece, call, place))
            elif urgent and _ticket(piece) in urgent:
                self._urgent.append((piece, call, place))
            else:
                self._bulk.append(piece.caller, (piece, call, place))
        self._arrived.set()
        await call.done
        outcomes = [outcome for outcome in call.outcomes if outcome is not None]
        first = outcomes[0]
        if (
            isinstance(first, Retry)
            and isinstance(first.error, STORE_FAILURES)
            and all(
                isinstance(o, Retry) and (o.error is first.error or not o.error.retryable)
                for o in outcomes
            )
        ):
            raise first.error
        return outcomes

    async def alone(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Return what *function* gives, which the keeper does between two drains."""
        if self._closing:
            raise BridgeUnavailable(STOPPING)
        return await function()

    async def close(self) -> None:
        """Take no more work, drain what is queued, and end."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while True:
            if self._may_begin():
                pieces = self._take()
                self._ahead = len(pieces) if self._under_way else 0
                commit = asyncio.create_task(self._commit(pieces))
                self._under_way.add(commit)
                commit.add_done_callback(self._ended)
            elif self._closing and not self._under_way:
                return
            else:
                self._arrived.clear()
                await self._idle()

    def _may_begin(self) -> bool:
        """Return whether to begin a drain: one at a time, and a full one ahead of its turn."""
        waiting = self._waiting()
        if self._under_way:
            return len(self._under_way) == 1 and waiting >= AHEAD
        return waiting > 0

    def _ended(self, commit: asyncio.Task[None]) -> None:
        self._under_way.discard(commit)
        self._ahead = 0
        self._arrived.set()

    async def _idle(self) -> None:
        """Wait for work; while the store fails, look now and then whether it is back."""
        if self._works or self._under_way:
            await self._arrived.wait()
            return
        try:
            await asyncio.wait_for(self._arrived.wait(), self._probe_seconds)
        except TimeoutError:
            await self._commit([])

    def _take(self) -> list[_Piece]:
        most = DRAIN_URGENT if self._urgent else AHEAD if self._under_way else DRAIN_MOST
        taken: list[_Piece] = []
        while self._urgent and len(taken) < DRAIN_MOST:
            taken.append(self._urgent.popleft())
        for queue in (self._acknowledged, self._bulk):
            while queue and len(taken) < most:
                taken.append(queue.popleft())
        return taken

    async def _commit(self, pieces: list[_Piece]) -> None:
        work = [piece for piece, _, _ in pieces]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcomes: list[Outcome]
        try:
            drained = await self._drain(work, self._clock())
        except ExchangeError as error:
            self._journal.error(
                "drain-failed", reason=error.reason, messages=len(work), exc_info=error
            )
            self._report(works=False)
            self._measures.drain_failed()
            failure = store_failure(error)
            outcomes = [Retry(error=failure)] * len(work)
        except Exception as error:  # noqa: BLE001  # a defect: one message must not fail its neighbours
            number = secrets.token_hex(8)
            self._journal.error("drain-broke", number=number, messages=len(work), exc_info=error)
            if len(pieces) > 1:
                half = len(pieces) // 2
                await self._commit(pieces[:half])
                await self._commit(pieces[half:])
                return
            broken = BridgeUnavailable(_FAILED.fill(number=number), number=number)
            outcomes = [Retry(error=broken)] * len(work)
        else:
            self._report(works=True)
            self._journal.debug(
                "drained", messages=len(work), ms=round((loop.time() - begun) * 1000, 2)
            )
            if drained.woken:
                self._rang(drained.woken, drained.urgent)
            outcomes = drained.outcomes
            self._measures.drained(work, outcomes, loop.time() - begun)
        for (_, call, place), outcome in zip(pieces, outcomes, strict=True):
            call.outcomes[place] = outcome
            call.left -= 1
            if not call.left and not call.done.done():
                call.done.set_result(None)

    def _report(self, *, works: bool) -> None:
        if works != self._works:
            self._works = works
            self._working(works)


def _ticket(piece: Work) -> str:
    if isinstance(piece, Acknowledged) or piece.received.message is None:
        return ""
    return piece.received.message.ticket_id


def urgent_tickets(work: Sequence[Work]) -> set[str]:
    """Return the ids of the tickets of urgent messages in *work*."""
    return {
        piece.received.message.ticket_id
        for piece in work
        if isinstance(piece, Pushed)
        and piece.received.message is not None
        and piece.received.message.urgency >= Urgency.URGENT
    }
