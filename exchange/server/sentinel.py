"""
The sentinel: looks at the files of trust, and puts in force what changed there, without a restart.

What is new is read as a whole and checked as a whole, away from the event loop; then it is exchanged in
one step, and every call that is inside is judged by it.  If anything in it is wrong, nothing of it counts:
what was in force stays so, and the alarm says which file it is (journal, metrics, `exchange status`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from exchange.errors import ExchangeError
from exchange.server.guard import Guard
from exchange.server.in_force import InForce, Material
from exchange.server.journal import Journal
from exchange.server.metrics import Measures
from exchange.server.trust_files import StillChanging, TrustFiles
from exchange.server.trust_state import Refused, StateFile, TrustState

#: Seconds between two looks.  A change counts once two looks found the same, so that somebody who
#: writes a key and then its certificate is not caught in between; all in all well below a second.
PERIOD = 0.2
#: Looks after which the files are read though nothing seems to have been written: some file systems
#: tell times by the second, or by their own clock.
_READ_ANYWAY = 150


class Sentinel:
    """Watches *files* for *in_force*; lives on the event loop, reads on a thread."""

    def __init__(
        self,
        files: TrustFiles,
        *,
        in_force: InForce,
        guard: Guard,
        clock: Callable[[], datetime],
        journal: Journal,
        measures: Measures,
        state: StateFile,
        period: float = PERIOD,
    ) -> None:
        self._files = files
        self._in_force = in_force
        self._guard = guard
        self._clock = clock
        self._journal = journal
        self._measures = measures
        self._state = state
        self._period = period
        self._stamps = files.stamps()
        self._pending = False
        self._looks = 0
        self._refused: Refused | None = None
        #: The digest of what was read last, whatever came of it.
        self._read = in_force.material.digest
        self._late: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._journal.info("trust-in-force", **self._facts())
        self._look_at_lists()
        self._tell()
        self._task = asyncio.create_task(self._run(), name="sentinel")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  # the next look may find it mended
                self._journal.error("sentinel-stumbled", exc_info=error)

    async def _look(self) -> None:
        self._guard.cut_ended()
        self._looks += 1
        stamps = self._files.stamps()
        if stamps != self._stamps:
            self._stamps, self._pending = stamps, True
        elif self._pending or self._looks % _READ_ANYWAY == 0:
            self._pending = False
            await self._take()
        if self._look_at_lists():
            self._tell()

    async def _take(self) -> None:
        """Read the files, and put in force what they say."""
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(None, self._files.digest)
        if digest == self._read:
            return
        now, store = self._clock(), self._in_force.store
        try:
            material = await loop.run_in_executor(None, self._files.read, now, store)
        except StillChanging:
            self._pending = True
            return
        except ExchangeError as error:
            self._read = digest
            self._refuse(error, now)
        else:
            self._read = material.digest
            self._accept(material)
        self._tell()

    def _accept(self, material: Material) -> None:
        mended, self._refused = self._refused is not None, None
        if material.digest != self._in_force.material.digest:
            self._in_force.replace(material)
            self._journal.warning("trust-in-force", **self._facts())
            self._guard.cut_withdrawn()
        elif mended:
            self._journal.warning("trust-restored", **self._facts())

    def _refuse(self, error: ExchangeError, now: datetime) -> None:
        self._refused = Refused(text=error.text, file=error.facts.get("file", ""), since=now)
        self._journal.error(
            "trust-refused",
            file=self._refused.file,
            generation=self._in_force.generation,
            said=error.text.en,
            said_zh=error.text.zh,
        )

    def _look_at_lists(self) -> bool:
        """Alarm for lists that are too old; return whether that has changed."""
        now, withdrawals = self._clock(), self._in_force.store.withdrawals
        late = frozenset(one.network for one in withdrawals.lists if now > one.ends)
        news = late - self._late
        for one in withdrawals.lists:
            if one.network in news and now > one.ends:
                self._journal.error(
                    "crl-stale",
                    network=one.network,
                    number=one.number,
                    due=one.ends.isoformat(),
                    refused_from=(one.ends + withdrawals.grace).isoformat(),
                )
        changed, self._late = late != self._late, late
        return changed

    def _facts(self) -> dict[str, object]:
        material = self._in_force.material
        withdrawals = material.store.withdrawals
        return {
            "generation": self._in_force.generation,
            "digest": material.digest[:16],
            "networks": ", ".join(sorted(material.store.networks)),
            "lists": [f"{one.network} {one.number}" for one in withdrawals.lists],
            "denied": len(getattr(withdrawals.denials, "entries", ())),
        }

    def _tell(self) -> None:
        """Say how it stands, to the metrics and in the file that `exchange status` reads."""
        in_force, withdrawals = self._in_force, self._in_force.store.withdrawals
        ends: dict[str, datetime] = {}
        for one in withdrawals.lists:
            ends[one.network] = min(one.ends, ends.get(one.network, one.ends))
        self._measures.trusted(in_force.generation, ends, refused=self._refused is not None)
        self._state.write(
            TrustState(
                generation=in_force.generation,
                digest=in_force.material.digest,
                lists=ends,
                grace=withdrawals.grace,
                denied=len(getattr(withdrawals.denials, "entries", ())),
                refused=self._refused,
            )
        )
