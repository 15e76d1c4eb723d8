"""
Watching for what callers know and this bridge does not: a database that was put back from a backup.

A caller shows the newest checkpoint it holds.  Where this log's key signed it and this database
cannot have given it, the bridge is behind its own word.  Then it takes and hands out nothing more:
every further signature would belong to a second history of the same name.  That is kept in the
database, so that a restart does not forget it; `exchange log begin-anew` goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime, timedelta

from exchange.config import Settings
from exchange.errors import StoreUnusable
from exchange.identity import Caller
from exchange.note import LogKey
from exchange.server.journal import Journal
from exchange.store.sightings import Judgement, Sightings

#: What a checkpoint says is asked of the calls of this service.
_SERVICE = "/hotline.exchange.v1.ExchangeService/"
#: A gateway's checkpoints are looked at when it first shows one, and again after so long: in between
#: it shows what it got from here.  Two machines may share a gateway's name.
LOOK_AGAIN = timedelta(seconds=10)


class Lookout:
    """
    Judges the checkpoints that callers show.

    *alarmed*, once set, is told on the event loop when the bridge is found to be behind.
    """

    def __init__(
        self, sightings: Sightings, journal: Journal, executor: Executor | None = None
    ) -> None:
        self._sightings = sightings
        self._journal = journal
        self._executor = executor or ThreadPoolExecutor(1, "lookout")
        self._looked: dict[tuple[str, int], datetime] = {}
        #: Why this bridge may write nothing more; None while it may.
        self.behind: StoreUnusable | None = None
        self.alarmed: Callable[[], None] = _nothing

    @classmethod
    def open(cls, settings: Settings, journal: Journal) -> Lookout:
        """
        Return the lookout of the bridge that *settings* describe; its database must be open already.

        Raises `StoreUnusable` where the bridge is known to be behind.
        """
        sightings = Sightings.open(settings.database, LogKey.load(settings.log_key).verifier)
        try:
            sightings.require_none()
        except BaseException:
            sightings.close()
            raise
        return cls(sightings, journal)

    def close(self) -> None:
        """Wait for what runs, and close the connections."""
        self._executor.shutdown(wait=True)
        self._sightings.close()

    async def look(self, method: str, checkpoint: str, caller: Caller, now: datetime) -> None:
        """
        Look at the *checkpoint* that *caller* shows (empty for none) before its call is answered.

        Raises `StoreUnusable` where the bridge is behind, `StoreUnavailable` where the database
        cannot say.
        """
        if not method.startswith(_SERVICE):
            return
        if self.behind is not None:
            raise self.behind
        who = (caller.organisation, caller.gateway)
        looked = self._looked.get(who)
        if not checkpoint or (looked is not None and now - looked < LOOK_AGAIN):
            return
        loop = asyncio.get_running_loop()
        note = checkpoint.encode()
        judged = await loop.run_in_executor(self._executor, self._sightings.judge, note)
        if judged is not Judgement.BEYOND:
            self._looked[who] = now
            return
        if self.behind is None:
            self.behind = await loop.run_in_executor(
                self._executor, self._sightings.record, note, caller.organisation, now
            )
            self._journal.error(
                "log-behind",
                organisation=caller.organisation,
                gateway=caller.gateway,
                run="exchange log begin-anew",
                exc_info=self.behind,
            )
            self.alarmed()
        raise self.behind


def _nothing() -> None:
    """Tell nobody."""
