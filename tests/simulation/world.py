"""
The real programs in one process: a bridge and three desks, started, killed and started again.

Every seam of the simulation with the product is in this file: the server is `open_server`'s, with
`grpc.aio.server`, its threads and `sqlite3.connect` replaced; the desk is the reference desk with its
own runner and spool.  Nothing of ours stands in for what is tested.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import grpc.aio
from cryptography.hazmat.primitives.hashes import SHA256

import exchange.server.opening
import exchange.server.serving
import exchange.store.schema
from adapters.runner import Notice, Pace, Runner
from adapters.spool import Spool
from adapters.sqlite_desk import Desk
from certs.development import Desk as Office
from certs.development import build
from exchange.client import ExchangeClient, Patience, Sealer, derived_salts, read_certificates
from exchange.config import Settings, load_settings
from exchange.envelope import SigningKey
from exchange.errors import ExchangeError
from exchange.note import NoteVerifier
from exchange.server import lookout
from exchange.server.contacts import ContactKeeper
from exchange.server.serving import Executors
from exchange.store.claim import Claim
from exchange.trust import TrustStore
from tests.adapters.linked import office
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import write_settings
from tests.simulation.dice import Dice
from tests.simulation.disk import Disk, Disks, copy_file
from tests.simulation.loop import Loop
from tests.simulation.wire import Carry, Channel, Connection, InProcessServer

OFFICES = (CITY_12345, CITY_110, COUNTY_12345)
_begin_claim = Claim.__init__
#: Where the ground is made, if not in memory: workers' folders are removed by who started them.
FOLDER = "EXCHANGE_SIMULATION_FOLDER"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Ground:
    """What every run begins with, made once: certificates, configuration and empty databases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        now = START - timedelta(days=30)
        made = build(folder / "pki", desks=OFFICES, now=now)
        self.pki = Pki(development=made, defects={}, made_at=now)
        self.settings: Settings = load_settings(write_settings(self.pki, folder))
        self.trust = TrustStore.load(made.trust)
        line = made.log_verifier.read_text(encoding="utf-8").strip()
        self.verifier = NoteVerifier.parse(line)
        self.signers = {one.organisation: self._signer(one) for one in OFFICES}
        self.chains = {
            one.organisation: read_certificates(self.pki.signer(one).certificate) for one in OFFICES
        }
        self.dialled = {one.organisation: self._connection(one) for one in OFFICES}
        self.empty = {name: folder / f"empty-{name}.db" for name in ("bridge", "spool", "desk")}
        self._make_empty()

    def _signer(self, one: Office) -> SigningKey:
        files = self.pki.signer(one)
        return SigningKey.load(files.key, files.certificate)

    def _connection(self, one: Office) -> Connection:
        pem = self.pki.gateway(one).certificate.read_bytes()
        end = b"-----END CERTIFICATE-----\n"
        leaf = pem.partition(end)[0] + end
        return Connection(leaf, pem)

    def _make_empty(self) -> None:
        url = f"sqlite:///{self.empty['bridge']}"
        exchange.store.schema.migrate(url)
        any_sealer = Sealer(CITY_110.organisation, self.signers[CITY_110.organisation])
        Spool(self.empty["spool"], CITY_110.organisation).close()
        Desk(self.empty["desk"], any_sealer, office(CITY_110)).close()


@cache
def ground() -> Ground:
    """Return the ground of this process, in memory where the system has such a folder."""
    shm = Path("/dev/shm")
    parent = Path(os.environ.get(FOLDER, "")) if FOLDER in os.environ else shm
    if not os.access(parent, os.W_OK):
        parent = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="exchange-simulation-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Ground(folder)


class Silent:
    """A journal that keeps what an operator would be shown as an error."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def error(self, event: str, **facts: Any) -> None:
        """Keep an error."""
        cause = facts.get("exc_info")
        self.errors.append((event, f"{type(cause).__name__}: {cause}" if cause else ""))

    def info(self, event: str, **facts: Any) -> None:
        """Pass over it."""

    debug = warning = info


class BridgeProcess:
    """One life of the bridge, from its start to its end."""

    def __init__(
        self, disk: Disk, dice: Dice, seconds: Callable[[], float], clock: Callable[[], datetime]
    ) -> None:
        """Begin; raises what the real one raises when it cannot start."""
        self.disk = disk
        self.loop = Loop(dice, seconds)  # type: ignore[abstract]  # what nobody asks it for
        self.journal = Silent()
        self.preempted = False
        self.rpc = InProcessServer()
        self._claims: list[Claim] = []
        self._tasks: set[asyncio.Task[bytes]] = set()
        try:
            with self._seams(), self.loop.inside():
                self.server = self._finish(self._opened(clock))
                self._finish(self.server.start("simulated:1", None))
        except BaseException:
            self._end()
            raise

    def _opened(self, clock: Callable[[], datetime]) -> Any:
        settings = replace(ground().settings, database=f"sqlite:///{self.disk.path}")
        if "keeper" in {one.name for one in fields(settings)}:
            settings = replace(settings, keeper="thread")
        journal: Any = self.journal
        return exchange.server.opening.open_server(
            settings, trust=ground().trust, journal=journal, clock=clock
        )

    @contextmanager
    def _seams(self) -> Iterator[None]:
        """Put this process's loop where the program would make threads, sockets and locks."""

        def thread(*_: Any) -> Any:
            return self.loop.executor()

        executors = Executors(**{one.name: thread() for one in fields(Executors)})

        def make_server(**options: Any) -> InProcessServer:
            self.rpc.configure(**options)
            return self.rpc

        def remember(claim: Claim, descriptor: int | None = None) -> None:
            _begin_claim(claim, descriptor)
            self._claims.append(claim)

        with ExitStack() as stack:
            for target, name, seam in (
                (grpc.aio, "server", make_server),
                (Executors, "threads", lambda: executors),
                (exchange.server.serving, "listen", lambda *_: 1),
                (Claim, "__init__", remember),
            ):
                stack.enter_context(mock.patch.object(target, name, seam))
            stack.enter_context(mock.patch.object(lookout, "ThreadPoolExecutor", thread))
            # Every quarter of a minute is often where a minute takes a millisecond.
            defaults: Any = ContactKeeper.__init__.__kwdefaults__
            stack.enter_context(mock.patch.dict(defaults, period=240.0))
            yield

    def _finish(self, begun: Any) -> Any:
        """Return what *begun* comes to, where it is to be awaited."""
        if not inspect.isawaitable(begun):
            return begun
        task: asyncio.Task[Any] = self.loop.create_task(begun)  # type: ignore[arg-type]
        while not task.done():
            if not self.loop.step():
                raise AssertionError("the bridge waits for nothing")
        return task.result()

    def begin(self, organisation: str, method: str, raw: bytes) -> asyncio.Task[bytes]:
        """Begin to answer a call; the loop's steps do it."""
        answer = self.rpc.answer(method, raw, ground().dialled[organisation])
        task = self.loop.create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """Stop as on SIGTERM: what is inside is answered, what is queued is written."""
        with self.loop.inside():
            self._finish(self.server.stop())
        self._end()

    def kill(self, *, power_cut: bool) -> None:
        """End at once."""
        self.disk.dead = True
        self._end()
        self.disk.close(power_cut=power_cut)

    def _end(self) -> None:
        self.loop.kill()
        for claim in self._claims:
            claim.close()


class DeskProcess:
    """One life of a desk with its runner: from its start to its end."""

    def __init__(
        self,
        party: Office,
        desk: Disk,
        spool: Disk,
        carry: Carry,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        attempts: int,
        notice: Notice,
        remind: Callable[[str], None],
    ) -> None:
        organisation, made = party.organisation, ground()
        self.disks = (desk, spool)
        salts = derived_salts(organisation.encode().ljust(32, b"\0"))
        sealer = Sealer(organisation, made.signers[organisation], salts=salts)
        self.spool = Spool(spool.path, organisation)
        self.desk = Desk(
            desk.path,
            sealer,
            office(party),
            remind=lambda item: remind(item.message_id),
            clock=clock,
        )
        self.client = ExchangeClient(
            Channel(carry),
            sealer=sealer,
            certificates=made.chains[organisation],
            trust=made.trust,
            logs=[made.verifier],
            patience=Patience(attempts=attempts, clock=clock, sleep=sleep),
        )
        pace = Pace(look=timedelta(0), wait=timedelta(seconds=5), clock=clock)
        self.runner = Runner(self.desk, self.spool, self.client, pace, notice)

    def out(self) -> None:
        """Do one turn of the runner's outgoing loop."""
        self._turn(self.runner._out, "push")

    def take_in(self) -> None:
        """Do one turn of the runner's incoming loop."""
        self._turn(self.runner._in, "pull")

    def _turn(self, turn: Callable[[], None], name: str) -> None:
        """Do what `Runner._loop` does around a turn, but for its pauses."""
        try:
            turn()
        except Exception as error:  # noqa: BLE001 - as the loop: whatever it is, it is tried again
            try:
                self.runner._note_error(name, error)
            except ExchangeError:
                return  # the spool itself fails

    def replay(self, since: datetime) -> None:
        """Ask for everything since a moment again, as who restored a backup is told to do."""
        self.client.reconcile(since=since)

    def kill(self, *, power_cut: bool) -> None:
        """End at once."""
        for disk in self.disks:
            disk.dead = True
            disk.close(power_cut=power_cut)


def begin_files(folder: Path, organisations: tuple[str, ...]) -> dict[str, Path]:
    """Lay out empty databases in *folder* as every run begins with them; return them by name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = {"bridge": folder / "bridge.db"}
    copy_file(ground().empty["bridge"], made["bridge"])
    for organisation in organisations:
        for kind in ("spool", "desk"):
            made[f"{kind} {organisation}"] = folder / f"{kind}-{organisation}.db"
            copy_file(ground().empty[kind], made[f"{kind} {organisation}"])
    return made


@contextmanager
def program(disks: Disks) -> Iterator[None]:
    """Let the program's files be *disks*, and what never changes be read once."""
    with ExitStack() as stack:
        stack.enter_context(disks.mounted())
        schema: Any = exchange.store.schema
        opening: Any = exchange.server.opening
        for module, name, value in (
            (opening, "open_directory", _directory()),
            (schema, "newest", _newest()),
            (schema, "_require_known", None),
            (schema, "_found", _newest()),
        ):
            stack.enter_context(mock.patch.object(module, name, return_value=value))
        stack.enter_context(mock.patch.object(TrustStore, "chain", _chain))
        yield


#: Paths by network and leaf: every clock here stays within every certificate's time.
_chains: dict[tuple[str, bytes], Any] = {}
_real_chain = TrustStore.chain


def _chain(store: TrustStore, network: str, leaf: Any, intermediates: Any, at: datetime) -> Any:
    key = (network, leaf.fingerprint(SHA256()))
    if key not in _chains:
        _chains[key] = _real_chain(store, network, leaf, intermediates, at)
    return _chains[key]


@cache
def _directory() -> Any:
    opening: Any = exchange.server.opening
    return opening.open_directory(ground().settings, START)


@cache
def _newest() -> str:
    return exchange.store.schema.newest()
