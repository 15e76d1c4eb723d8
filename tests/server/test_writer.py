"""The writer: what is drained together, in which order, and what a failure of it means."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.bridge import Drained
from exchange.errors import BridgeUnavailable, LimitExceeded, StoreUnavailable
from exchange.server.journal import open_journal
from exchange.server.writer import AHEAD, DRAIN_MOST, DRAIN_URGENT, Writer
from exchange.submission import Acknowledged, Outcome, Pushed, Received, Recorded, Retry, Work
from exchange.text import Text
from exchange.ticket import Message

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def pushed(number: int, ticket: str = "", urgency: Urgency = Urgency.ROUTINE) -> Pushed:
    """Return a message that says its *number*."""
    message = Message(
        id=str(number),
        kind=Kind.OPEN_TICKET,
        ticket_id=ticket or f"ticket {number}",
        handoff_id="",
        author="a",
        recipient="",
        previous=b"",
        created=NOW,
        marker=Marker.TEST,
        classification=Classification.ORDINARY,
        urgency=urgency,
        digest=bytes(32),
    )
    received = Received(digest=bytes(32), message_id=str(number), message=message)
    return Pushed(received=received, caller="a", author=None)


def noted(number: int) -> Acknowledged:
    """Return an acknowledgement that says its *number*."""
    return Acknowledged(caller="b", receipt_position=number)


def number_of(piece: Work) -> int:
    """Return the number that `pushed` or `noted` gave."""
    if isinstance(piece, Acknowledged):
        assert piece.receipt_position is not None
        return piece.receipt_position
    return int(piece.received.message_id)


@dataclass
class Ledger:
    """A drain that keeps what it was given, and can be held up or made to fail."""

    drains: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    fail: Callable[[Sequence[Work]], None] = lambda _: None

    def __call__(self, work: Sequence[Work], now: datetime) -> Drained:
        """Write the numbers down."""
        assert now == NOW
        self.begun.set()
        assert self.gate.wait(30)
        self.fail(work)
        self.drains.append([number_of(piece) for piece in work])
        outcomes: list[Outcome] = [Recorded(leaf_index=number_of(piece)) for piece in work]
        return Drained(outcomes=outcomes, woken=frozenset({"b"} if work else ()))


@dataclass
class Bench:
    """A writer over a ledger, and what it told others."""

    ledger: Ledger
    writer: Writer
    journal: io.StringIO
    rung: list[frozenset[str]]
    works: list[bool]

    async def begun(self) -> None:
        """Wait until a drain runs."""
        await asyncio.to_thread(self.ledger.begun.wait, 30)

    def events(self) -> list[str]:
        """Return the names of the journal's events."""
        return [json.loads(line)["event"] for line in self.journal.getvalue().splitlines()]


def run(story: Callable[[Bench], Any], *, gate: bool = True, most_queued: int = 10_000) -> None:
    """Tell *story* on an event loop with a real writing thread."""

    async def tell() -> None:
        ledger, stream = Ledger(), io.StringIO()
        if gate:
            ledger.gate.set()
        rung: list[frozenset[str]] = []
        works: list[bool] = []
        with ThreadPoolExecutor(1) as executor:
            loop = asyncio.get_running_loop()
            writer = Writer(
                lambda work, now: loop.run_in_executor(executor, ledger, work, now),
                clock=lambda: NOW,
                most_queued=most_queued,
                rang=lambda woken, _urgent: rung.append(woken),
                working=works.append,
                journal=open_journal(stream),
                probe_seconds=0.001,
            )
            writer.start()
            try:
                await story(Bench(ledger, writer, stream, rung, works))
            finally:
                ledger.gate.set()
                await writer.close()

    asyncio.run(tell())


def leaves(outcomes: Sequence[Outcome]) -> list[int | None]:
    """Return the leaf index of each outcome, -1 for one that is to be tried again."""
    return [o.leaf_index if isinstance(o, Recorded) else -1 for o in outcomes]


def test_what_queued_during_a_drain_is_drained_together() -> None:
    """Three calls that wait for one commit become the next one; each gets its own outcomes."""

    async def story(bench: Bench) -> None:
        first = asyncio.create_task(bench.writer.submit([pushed(0)]))
        await bench.begun()
        others = [
            asyncio.create_task(bench.writer.submit([pushed(n), pushed(n + 1)])) for n in (1, 3, 5)
        ]
        await asyncio.sleep(0)
        bench.ledger.gate.set()
        assert leaves(await first) == [0]
        assert [leaves(await other) for other in others] == [[1, 2], [3, 4], [5, 6]]
        assert bench.ledger.drains == [[0], [1, 2, 3, 4, 5, 6]]
        assert bench.rung == [frozenset({"b"})] * 2

    run(story, gate=False)


def test_a_large_call_is_split_and_put_together_again() -> None:
    """Outcomes stand in request order, whatever the drains were."""

    async def story(bench: Bench) -> None:
        outcomes = await bench.writer.submit([pushed(n) for n in range(600)])
        assert leaves(outcomes) == list(range(600))
        assert [n for drain in bench.ledger.drains for n in drain] == list(range(600))
        assert list(map(len, bench.ledger.drains[:2])) == [DRAIN_MOST, AHEAD]
        assert max(map(len, bench.ledger.drains)) == DRAIN_MOST

    run(story)


def test_what_is_acknowledged_goes_before_what_is_pushed() -> None:
    """A receiver that acknowledges waits for no push but those that were sent ahead."""

    async def story(bench: Bench) -> None:
        first = asyncio.create_task(bench.writer.submit([pushed(0)]))
        await bench.begun()
        bulk = asyncio.create_task(bench.writer.submit([pushed(n) for n in range(1, 301)]))
        await asyncio.sleep(0)
        acknowledging = asyncio.create_task(bench.writer.submit([noted(900), noted(901)]))
        await asyncio.sleep(0)
        bench.ledger.gate.set()
        await asyncio.gather(first, bulk)
        assert leaves(await acknowledging) == [900, 901]
        assert bench.ledger.drains[2][:3] == [900, 901, AHEAD + 1]

    run(story, gate=False)


def test_urgent_tickets_go_first_and_whole() -> None:
    """It overtakes the bulk except for what was sent ahead; its own earlier message before it."""

    async def story(bench: Bench) -> None:
        first = asyncio.create_task(bench.writer.submit([pushed(0)]))
        await bench.begun()
        bulk = asyncio.create_task(bench.writer.submit([pushed(n) for n in range(1, 301)]))
        await asyncio.sleep(0)
        mixed = [pushed(900), pushed(901, "fire"), pushed(902, "fire", Urgency.IMMEDIATE)]
        urgent = asyncio.create_task(bench.writer.submit(mixed))
        await asyncio.sleep(0)
        bench.ledger.gate.set()
        await asyncio.gather(first, bulk)
        assert leaves(await urgent) == [900, 901, 902]
        assert bench.ledger.drains[:2] == [[0], list(range(1, AHEAD + 1))]
        assert bench.ledger.drains[2][:2] == [901, 902]
        assert len(bench.ledger.drains[2]) == DRAIN_URGENT
        assert bench.ledger.drains[-1][-1] == 900

    run(story, gate=False)


def test_a_full_queue_turns_away() -> None:
    """What is queued is bounded; who comes later is told so, and nothing is half taken."""

    async def story(bench: Bench) -> None:
        first = asyncio.create_task(bench.writer.submit([pushed(0)]))
        await bench.begun()
        second = asyncio.create_task(bench.writer.submit([pushed(1), pushed(2)]))
        await asyncio.sleep(0)
        with pytest.raises(LimitExceeded, match="2 messages waiting"):
            await bench.writer.submit([pushed(3)])
        bench.ledger.gate.set()
        assert [leaves(await first), leaves(await second)] == [[0], [1, 2]]

    run(story, gate=False, most_queued=2)


def test_a_failing_store_fails_the_call_and_health_says_so_until_it_is_back() -> None:
    """UNAVAILABLE without the database's words; an empty drain finds out that it works again."""

    async def story(bench: Bench) -> None:
        down = True

        def fail(_: Sequence[Work]) -> None:
            if down:
                raise StoreUnavailable(Text(en="secret host is away", zh="…"))

        bench.ledger.fail = fail
        with pytest.raises(StoreUnavailable) as raised:
            await bench.writer.submit([pushed(1), pushed(2)])
        assert "secret" not in raised.value.text.en
        assert bench.works == [False]
        down = False
        while bench.works != [False, True]:  # noqa: ASYNC110  # another thread finds out
            await asyncio.sleep(0)
        assert bench.ledger.drains == [[]]
        assert leaves(await bench.writer.submit([pushed(3)])) == [3]

    run(story)


def test_a_store_that_fails_in_the_middle_fails_only_the_rest() -> None:
    """What is durable is answered so; the rest may be sent again."""

    async def story(bench: Bench) -> None:
        def fail(work: Sequence[Work]) -> None:
            if work and number_of(work[0]) >= DRAIN_MOST:
                raise StoreUnavailable(Text(en="away", zh="…"))

        bench.ledger.fail = fail
        outcomes = await bench.writer.submit([pushed(n) for n in range(300)])
        assert leaves(outcomes) == [*range(DRAIN_MOST), *[-1] * (300 - DRAIN_MOST)]

    run(story)


def test_a_defect_fails_the_culprit_alone() -> None:
    """The drain is halved; neighbours are stored; the culprit gets a number that the journal has."""

    async def story(bench: Bench) -> None:
        def fail(work: Sequence[Work]) -> None:
            if any(number_of(piece) == 5 for piece in work):
                raise ZeroDivisionError("张三 13800000000")

        bench.ledger.fail = fail
        outcomes = await bench.writer.submit([pushed(n) for n in range(8)])
        assert leaves(outcomes) == [0, 1, 2, 3, 4, -1, 6, 7]
        broken = outcomes[5]
        assert isinstance(broken, Retry)
        assert isinstance(broken.error, BridgeUnavailable)
        assert broken.error.facts["number"] in bench.journal.getvalue()
        assert "张三" not in bench.journal.getvalue()
        assert set(bench.events()) == {"drain-broke"}

    run(story)


def test_closing_finishes_what_is_queued() -> None:
    """Nothing queued is lost, not even of a call that was given up; later work is turned away."""

    async def story(bench: Bench) -> None:
        given_up = asyncio.create_task(bench.writer.submit([pushed(0)]))
        await bench.begun()
        waiting = asyncio.create_task(bench.writer.submit([pushed(1)]))
        await asyncio.sleep(0)
        given_up.cancel()
        closing = asyncio.create_task(bench.writer.close())
        await asyncio.sleep(0)
        with pytest.raises(BridgeUnavailable):
            await bench.writer.submit([pushed(2)])
        with pytest.raises(BridgeUnavailable):
            await bench.writer.alone(lambda: asyncio.sleep(0))
        bench.ledger.gate.set()
        await closing
        assert leaves(await waiting) == [1]
        assert bench.ledger.drains == [[0], [1]]

    run(story, gate=False)


def test_acknowledgements_are_work_too() -> None:
    """They have no ticket and no urgency of their own, and go with the bulk."""

    async def story(bench: Bench) -> None:
        def fail(work: Sequence[Work]) -> None:
            assert all(isinstance(piece, Acknowledged) for piece in work)
            raise StoreUnavailable(Text(en="seen", zh="…"))

        bench.ledger.fail = fail
        with pytest.raises(StoreUnavailable):
            await bench.writer.submit([Acknowledged(caller="a", receipt_position=1)])
        bench.ledger.fail = lambda _: None

    run(story)
