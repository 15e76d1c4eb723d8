"""Both ways of a relay at work, until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from adapters import bulletin
from adapters.relay.chunks import ChunkWay
from adapters.relay.standing import BULLETIN, WAYS
from adapters.relay.way import Way
from exchange.client import Carrier
from exchange.errors import ExchangeError, Refusal
from exchange.text import Text

#: How often lanes that stand still are tried again: what the other bridge refused may be mended.
REOPEN = timedelta(hours=1)
#: How often the bulletin is renewed where nothing happens.
_RENEW = timedelta(seconds=20)

#: How often is looked for attachments while some come; where none do, less and less often.
_LOOK, _SELDOM = timedelta(seconds=1), timedelta(seconds=30)

Say = Callable[[Text], None]


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Relay:
    """Joins the bridges *lower* and *upper*; each way has a thread of its own, and one for attachments."""

    def __init__(
        self,
        lower: Carrier,
        upper: Carrier,
        folder: Path,
        say: Say,
        *,
        wait: timedelta = timedelta(seconds=25),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.ways = (
            Way(name="up", source=lower, target=upper, clock=clock, notice=self._refused),
            Way(name="down", source=upper, target=lower, clock=clock, notice=self._refused),
        )
        self._file = folder / BULLETIN
        self._say = say
        self._wait = wait
        self._clock = clock
        self._stop = threading.Event()
        self._posting = threading.Lock()
        self._failing: dict[str, str] = {}
        self._linked: set[str] = set()

    def stop(self) -> None:
        """Let `run` return as soon as what is under way is done; nothing is lost by it."""
        self._stop.set()
        for way in self.ways:
            way.source.interrupt()

    def run(self) -> None:
        """Carry both ways until `stop`."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        down = threading.Thread(target=self._loop, args=(self.ways[1],), name="down")
        files = [
            threading.Thread(target=self._carry_chunks, args=(way,), name=f"chunks {way.name}")
            for way in self.ways
        ]
        for thread in (down, *files):
            thread.start()
        try:
            self._loop(self.ways[0])
        finally:
            self.stop()
            for thread in (down, *files):
                thread.join()
            self._post()

    def _loop(self, way: Way) -> None:
        """Repeat the turns of *way*; pause after a failure, longer after each, with jitter."""
        retrying = Retrying(
            retry=retry_if_exception_type(ExchangeError),
            wait=wait_random_exponential(multiplier=0.25, max=30),
            sleep=sleep_using_event(self._stop),
            stop=stop_when_event_set(self._stop),
            before_sleep=lambda state: self._failed(way, state),
        )
        reopened: datetime | None = None

        def turn() -> None:
            nonlocal reopened
            now = self._clock()
            if reopened is None or not timedelta(0) <= now - reopened < REOPEN:
                way.source.reopen()
                reopened = now
            # A link that is new, or was lost, is not waited on to be found in order.
            linked = way.name in self._linked and way.name not in self._failing
            brought = way.turn(min(self._wait, _RENEW) if linked else timedelta(0))
            self._well(way, brought)

        while not self._stop.is_set():
            try:
                retrying(turn)
            except RetryError:
                return

    def _carry_chunks(self, way: Way) -> None:
        """Bring attachments, beside the messages of *way* and never before them."""
        chunks = ChunkWay(way.source, way.target, self._stop.is_set)
        pause = _LOOK
        while not self._stop.is_set():
            moved, failure = 0, None
            try:
                moved = chunks.turn()
                failure = chunks.trouble
            except ExchangeError as error:
                failure = error.text
            known = way.tally.chunk_error
            way.tally.chunks += moved
            way.tally.chunk_error = failure
            if failure is not None and failure != known and not self._stop.is_set():
                self._tell(way, failure)
            pause = _LOOK if moved else min(pause * 2, _SELDOM)
            self._stop.wait(pause.total_seconds())

    # -- what is said

    def _well(self, way: Way, brought: int) -> None:
        self._post()  # first: whoever hears of it finds it in the status, too
        failure = way.tally.error
        if failure is not None:
            self._note(way, failure)
        else:
            if way.name not in self._linked:
                self._linked.add(way.name)
                self._tell(way, _LINKED.fill(by=way.source.origin or way.source.target))
            elif self._failing.pop(way.name, None) is not None:
                self._tell(way, _BACK)
            self._failing.pop(way.name, None)
        if brought:
            self._tell(way, _CARRIED.fill(count=brought, to=way.target.target))
        if way.tally.waiting and not brought:
            self._stop.wait(0.5)

    def _failed(self, way: Way, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, ExchangeError) and not self._stop.is_set():
            way.tally.error = failure.text
            self._post()
            self._note(way, failure.text)

    def _note(self, way: Way, failure: Text) -> None:
        if self._failing.get(way.name) != failure.en:
            self._failing[way.name] = failure.en
            said = Text(en=_LOST.en.format(why=failure.en), zh=_LOST.zh.format(why=failure.zh))
            self._tell(way, said)

    def _tell(self, way: Way, text: Text) -> None:
        name = WAYS[way.name]
        self._say(Text(en=f"{name.en}: {text.en}", zh=f"{name.zh}：{text.zh}"))

    def _refused(self, bridge: str, refusal: Refusal) -> None:
        self._say(Text(en=f"REFUSED by {bridge}: {refusal.code.name}: {refusal.text.en}",
                       zh=f"{bridge} 拒绝：{refusal.code.name}：{refusal.text.zh}"))  # fmt: skip

    def _post(self) -> None:
        with self._posting:
            bulletin.post(self._file, self.facts())

    def facts(self) -> dict[str, Any]:
        """Return how the relay stands, as its bulletin says it."""
        now = self._clock()
        found: dict[str, Any] = {"time": now.isoformat()}
        for way in self.ways:
            tally, error = way.tally, way.tally.error
            lag = (now - tally.oldest).total_seconds() if tally.oldest is not None else 0.0
            found[way.name] = {
                "from": way.source.origin or way.source.target,
                "to": way.target.origin or way.target.target,
                "passed": tally.passed,
                "receipts": tally.receipts,
                "refused": tally.refused,
                "chunks": tally.chunks,
                "waiting": tally.waiting,
                "lag_seconds": lag,
                "last": tally.last.isoformat() if tally.last is not None else "",
                "error": {"en": error.en, "zh": error.zh} if error is not None else None,
            }
        return found


_LINKED = Text(en="linked with {by}", zh="已与 {by} 连通")
_BACK = Text(en="the link is back", zh="连接已恢复")
_CARRIED = Text(en="{count} brought to {to}", zh="已转送 {count} 件至 {to}")
_LOST = Text(
    en="{why} It is tried again by itself; nothing is lost.", zh="{why} 将自动重试，不会丢失内容。"
)
