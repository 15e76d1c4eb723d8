"""
The other bridges of the same database: calling to them, and hearing them.

A call on one bridge wakes the pulls that wait on the others (`exchange.store.waking`).  What a bridge
calls is lost when it is killed between its commit and its call, or while a line is cut; so every other
second each bridge looks for those who wait with it, whether or not it heard anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from exchange.errors import ExchangeError
from exchange.server.bells import Bells
from exchange.server.journal import Journal
from exchange.store.waking import Waking

#: Seconds between two looks for those who wait.
LOOK_SECONDS = 2.0
#: Seconds after which the listening thread sees that it is to end.
_LISTEN_SECONDS = 0.25


class Neighbours:
    """The lines to the other bridges; all but its threads is on the event loop's thread."""

    def __init__(
        self, waking: Waking, journal: Journal, *, look_seconds: float | None = None
    ) -> None:
        self._waking = waking
        self._journal = journal
        self._look_seconds = LOOK_SECONDS if look_seconds is None else look_seconds
        self._caller = ThreadPoolExecutor(1, "neighbours")
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_tell: set[str] = set()
        self._telling = False
        self._bells = Bells()
        self._works = True

    def start(self, bells: Bells) -> None:
        """Begin to hear for *bells*, and to call what they ring; on the running event loop."""
        self._bells = bells
        bells.abroad = self.tell
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._listen, args=(loop,), name="listening", daemon=True
        )
        self._thread.start()
        self._begin(self._look())

    def tell(self, organisations: Iterable[str]) -> None:
        """Call *organisations* out; several rings in a row are one call."""
        self._to_tell.update(organisations)
        if self._to_tell and not self._telling:
            self._telling = True
            self._begin(self._tell())

    async def close(self) -> None:
        """Hear and call no more."""
        self._ending.set()
        self._bells.abroad = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            await loop.run_in_executor(None, self._thread.join)
        await loop.run_in_executor(None, self._caller.shutdown)
        self._waking.close()

    def _begin(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._to_tell:
                called = frozenset(self._to_tell)
                self._to_tell.clear()
                try:
                    await loop.run_in_executor(self._caller, self._waking.tell, called)
                except ExchangeError as error:
                    self._failed("calling", error)  # they look for themselves soon
        finally:
            self._telling = False

    async def _look(self) -> None:
        """Look now and then whether anything waits for those who wait here."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_seconds)
            organisations = self._bells.organisations()
            if not organisations:
                continue
            try:
                found = await loop.run_in_executor(
                    self._caller, self._waking.waiting, organisations
                )
            except ExchangeError as error:
                self._failed("looking", error)
            else:
                self._bells.hear(found)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear what others call, until the end; the line is taken up again when it was cut."""
        while not self._ending.is_set():
            try:
                with self._waking.listening(_LISTEN_SECONDS, self._bells.organisations) as calls:
                    loop.call_soon_threadsafe(self._listens)
                    for called in calls:
                        if self._ending.is_set():
                            return
                        if called:
                            loop.call_soon_threadsafe(self._bells.hear, called)
            except ExchangeError as error:
                if not self._ending.is_set():
                    loop.call_soon_threadsafe(self._failed, "listening", error)
            self._ending.wait(1.0)

    def _listens(self) -> None:
        """What was called while nobody listened is looked for: everyone who waits looks."""
        self._works = True
        self._bells.hear(self._bells.organisations())

    def _failed(self, what: str, error: ExchangeError) -> None:
        if self._works:
            self._journal.warning("neighbours-unheard", what=what, exc_info=error)
        self._works = False
