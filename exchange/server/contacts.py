"""
When organisations last called: kept in memory, and every quarter of a minute in the database.

For `exchange status`, which is another process.  A call costs an entry in a dictionary; the writing is
`exchange.store.contacts`'s, on a thread, and a failure of it is told once and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from exchange.errors import ExchangeError
from exchange.server.journal import Journal
from exchange.store.contacts import Contacts

#: Seconds between two writings, and so how late the database knows of a call.
PERIOD = 15.0

#: The calls by which an organisation takes part.
CALLS = {
    "/hotline.exchange.v1.ExchangeService/PushMessages": "push",
    "/hotline.exchange.v1.ExchangeService/PullMessages": "pull",
    "/hotline.exchange.v1.ExchangeService/AcknowledgeMessages": "acknowledge",
}


class ContactKeeper:
    """What was heard since the last writing; all but the writing on the event loop's thread."""

    def __init__(
        self, write: Callable[[Contacts], None], *, journal: Journal, period: float = PERIOD
    ) -> None:
        self._write = write
        self._journal = journal
        self._period = period
        self._heard: dict[tuple[str, str], datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self._works = True

    def called(self, organisation: str, method: str, now: datetime) -> None:
        """Hear that *organisation* called *method*, the path of a call."""
        call = CALLS.get(method)
        if call is not None:
            self._heard[organisation, call] = now

    def start(self) -> None:
        """Begin to write, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="contacts")

    async def close(self) -> None:
        """Write what was heard, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._keep()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            await self._keep()

    async def _keep(self) -> None:
        heard, self._heard = self._heard, {}
        if not heard:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._write, heard)
        except ExchangeError as error:
            self._heard = heard | self._heard
            if self._works:
                self._journal.warning("contacts-unwritten", reason=error.reason)
            self._works = False
        else:
            self._works = True
