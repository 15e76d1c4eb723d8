"""
The announcer: enters into the log what authorities did, what this bridge puts in force, and what was destroyed.

It looks at the copies of journals as the sentinel looks at the files of trust, and is told when the trust has
changed.  A journal that does not hold changes nothing and is alarmed once for each state of its file; a
database that fails is tried again.  No call waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from exchange.bridge import Announced, Declared
from exchange.chain import IN_FORCE
from exchange.erasure import erasure_act, is_of
from exchange.errors import ConfigurationError, ExchangeError
from exchange.query.acts import ActsRoom
from exchange.server.in_force import InForce
from exchange.server.journal import Journal
from exchange.server.journals import parts, read_journal_copy
from exchange.server.keeper import Keeper
from exchange.server.metrics import Measures
from exchange.server.trust_files import Stamp, stamp_of
from exchange.server.trust_state import Refused, StateFile

#: Seconds between two looks; a journal counts once two looks found the same.
PERIOD = 0.5
#: Looks after which what failed is tried again: the database may be back, a root imported.
_AGAIN = 20
#: Looks after which the database is asked what was destroyed.
_ASK = 4


class Announcer:
    """Watches *files* (network to journal) and *in_force* for one bridge; lives on the event loop."""

    def __init__(
        self,
        files: Mapping[str, Path],
        *,
        origin: str,
        acts: ActsRoom,
        reader: Executor,
        shared: bool,
        in_force: InForce,
        keeper: Keeper,
        alone: Callable[[Callable[[], Awaitable[Announced]]], Awaitable[Announced]],
        entered: Callable[[bytes], None],
        clock: Callable[[], datetime],
        journal: Journal,
        measures: Measures,
        state: StateFile,
    ) -> None:
        """
        Record by *keeper*, *alone* between two drains; tell *entered* the log's new checkpoint.

        *acts* are those of the log *origin*'s database, which other bridges write, too, if it is *shared*;
        *reader* asks for them.
        """
        self._files = dict(files)
        self._origin = origin
        self._acts = acts
        self._reader = reader
        self._shared = shared
        self._destroyed: set[str] | None = None
        self._statement = 0
        self._in_force = in_force
        self._keeper = keeper
        self._alone = alone
        self._entered = entered
        self._clock = clock
        self._journal = journal
        self._measures = measures
        self._state = state
        self._stamps: dict[str, Stamp] = {}
        self._due = set(files)
        self._recorded: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._generation = 0
        self._looks = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="announcer")

    async def close(self) -> None:
        """End; what was being recorded is."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        waits = ""
        while True:
            try:
                await self._look()
                if self._looks % _ASK == 1:  # the database was asked, and answered
                    waits = ""
            except ExchangeError as error:  # the next look may find the database mended
                if error.text.en != waits:
                    waits = error.text.en
                    self._journal.warning("acts-wait", reason=error.reason, said=waits)
            except Exception as error:  # noqa: BLE001  # likewise; nothing else may stop with it
                self._journal.error("announcer-stumbled", exc_info=error)
            await asyncio.sleep(PERIOD)

    async def _look(self) -> None:
        self._looks += 1
        if self._generation != self._in_force.generation:
            await self._declare()
            self._due |= set(self._files)  # a root that was imported may vouch for more
        for network, path in self._files.items():
            stamp = stamp_of(path)
            if stamp != self._stamps.get(network):
                self._stamps[network] = stamp
                self._due.add(network)
                if self._looks > 1:
                    continue  # once more, when nobody is writing it
            if network in self._due or (network in self._refused and self._looks % _AGAIN == 0):
                await self._take(network, path)
                self._due.discard(network)
        if self._looks % _ASK == 1:
            await self._enter_destroyed()

    async def _declare(self) -> None:
        generation, facts = self._in_force.generation, said_of(self._in_force)
        # A bridge with nothing but its roots has nothing to say before something changes.
        begins = bool(generation > 1 or facts["lists"] or facts["denied"] or self._files)
        said, now = Declared(facts=facts, salt=secrets.token_hex(16), begins=begins), self._clock()
        done = await self._alone(lambda: self._keeper.enter(said, now))
        self._generation = generation
        self._tell(done, "this bridge")

    async def _enter_destroyed(self) -> None:
        """Enter the statements about what was destroyed beside this bridge that the log does not have."""
        loop = asyncio.get_running_loop()
        if self._destroyed is None:
            self._destroyed = {*await loop.run_in_executor(self._reader, self._acts.destroyed)}
        found = await loop.run_in_executor(self._reader, self._acts.statements, self._statement)
        for number, note in found:
            facts = erasure_act(note)
            ours = not self._shared or is_of(note, self._origin)
            if ours and facts["statement"] not in self._destroyed:
                said = Declared(facts=facts, salt=secrets.token_hex(16), begins=True)
                self._tell(
                    await self._alone(_asking(self._keeper, said, self._clock())), "this bridge"
                )
                self._destroyed.add(facts["statement"])
            self._statement = number

    async def _take(self, network: str, path: Path) -> None:
        loop, roots = asyncio.get_running_loop(), self._in_force.store.roots(network)
        try:
            lines = await loop.run_in_executor(None, read_journal_copy, network, path, roots)
            for part in parts(network, lines, self._recorded.get(network, 0)):
                now = self._clock()
                ask = _asking(self._keeper, part, now)
                done = await self._alone(ask)
                self._recorded[network] = done.number
                self._tell(done, network)
        except ConfigurationError as error:
            self._refuse(network, path, error)
        else:
            if self._refused.pop(network, ""):
                self._state.refuse(network, None)
                self._journal.warning("acts-restored", network=network)
            self._measures.announced(network, self._recorded[network], refused=False)

    def _refuse(self, network: str, path: Path, error: ConfigurationError) -> None:
        self._measures.announced(network, self._recorded.get(network, 0), refused=True)
        if self._refused.get(network) != error.text.en:
            refused = Refused(text=error.text, file=str(path), since=self._clock())
            self._state.refuse(network, refused)
            self._journal.error(
                "acts-refused", network=network, file=str(path), rule=error.facts.get("rule", ""),
                said=error.text.en, said_zh=error.text.zh,
            )  # fmt: skip
        self._refused[network] = error.text.en

    def _tell(self, done: Announced, source: str) -> None:
        if done.new:
            self._entered(done.checkpoint)
            self._journal.info("acts-entered", source=source, acts=done.new, newest=done.number)


def _asking(keeper: Keeper, part: Any, now: datetime) -> Callable[[], Awaitable[Announced]]:
    return lambda: keeper.enter(part, now)


def said_of(in_force: InForce) -> dict[str, Any]:
    """Return what this bridge has in force, as its act says it: whom it trusts, which lists count, whom it denies."""
    material = in_force.material
    store, withdrawals = material.store, material.store.withdrawals
    return {
        "act": IN_FORCE,
        "generation": in_force.generation,
        "files": material.digest,
        "networks": {
            network: sorted(_fingerprint(root) for root in store.roots(network))
            for network in sorted(store.networks)
        },
        "lists": [
            {
                "network": one.network,
                "authority": one.name.hex(),
                "number": one.number,
                "digest": one.digest.hex(),
                "until": one.ends.isoformat(),
                "root": any(one.is_of(root) for root in store.roots(one.network)),
            }
            for one in withdrawals.lists
        ],
        # Why, and by whom, is the operator's own; whom it is about both networks may know.
        "denied": [
            {**one.thing, "since": one.since.isoformat()}
            for one in getattr(withdrawals.denials, "entries", ())
        ],
    }


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()
