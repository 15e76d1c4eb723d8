"""
The real programs in one process: a bridge, or two that a relay joins, and three desks; they are
started, killed and started again.

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
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import grpc.aio
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256

import certs.logkey
import exchange.server.known
import exchange.server.opening
import exchange.server.serving
import exchange.store.schema
from adapters.notes import Notice
from adapters.runner import Pace, Runner
from adapters.spool import Spool
from adapters.sqlite_desk import Desk
from adapters.sqlite_desk import Office as DeskOffice
from certs.development import Desk as Office
from certs.development import build
from certs.logkey import create_log_key
from exchange import profile
from exchange.client import ExchangeClient, Patience, Sealer, derived_salts, read_certificates
from exchange.config import Settings, load_settings
from exchange.envelope import SigningKey
from exchange.errors import ExchangeError
from exchange.note import NoteVerifier
from exchange.server import lookout
from exchange.server.contacts import ContactKeeper
from exchange.server.in_force import InForce
from exchange.server.serving import Executors
from exchange.store.claim import Claim
from exchange.trust import TrustStore
from tests.adapters.province import CITY_LOG, COUNTY_PROFILE, RELAY, Papers, write_site
from tests.adapters.province import COUNTY_12345 as COUNTY_BEYOND
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import write_settings
from tests.simulation.dice import Dice
from tests.simulation.disk import Disk, Disks, copy_file
from tests.simulation.haste import SHELF, hastened
from tests.simulation.loop import Loop
from tests.simulation.wire import Carry, Channel, Connection, InProcessServer

OFFICES = (CITY_12345, CITY_110, COUNTY_12345)
#: The same, where the county has a bridge of its own.
BEYOND = (CITY_12345, CITY_110, COUNTY_BEYOND)
_begin_claim = Claim.__init__
#: Where the ground is made, if not in memory: workers' folders are removed by who started them.
FOLDER = "EXCHANGE_SIMULATION_FOLDER"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One bridge as it is configured; *further* are the log keys of those beyond its relay."""

    name: str
    settings: Settings
    verifier: NoteVerifier
    further: tuple[NoteVerifier, ...] = ()


class Ground:
    """
    What every run begins with, made once: certificates, configuration and empty databases.

    *joined*, there are two bridges with different profiles, and a relay between them: the county
    hotline's bridge has a profile of its own, of which the city's bridge has never heard.
    """

    def __init__(self, folder: Path, *, joined: bool) -> None:
        self.folder = folder
        self.joined = joined
        now = START - timedelta(days=30)
        self.offices = BEYOND if joined else OFFICES
        everybody = (*self.offices, RELAY) if joined else self.offices
        with _given_log_key(1):
            made = build(folder / "pki", desks=everybody, now=now)
        self.pki = Pki(development=made, defects={}, made_at=now)
        self.trust = TrustStore.load(made.trust)
        self.sites = self._two_sites() if joined else self._one_site()
        self.verifiers = [site.verifier for site in self.sites]
        self.signers = {one.organisation: self._signer(one) for one in self.offices}
        self.chains = {
            one.organisation: read_certificates(self.pki.signer(one).certificate)
            for one in self.offices
        }
        self.dialled = {one.organisation: self._connection(one) for one in everybody}
        self.empty = {name: folder / f"empty-{name}.db" for name in ("bridge", "spool", "desk")}
        self._make_empty()

    def _one_site(self) -> tuple[Site, ...]:
        settings = load_settings(write_settings(self.pki, self.folder))
        verifier = NoteVerifier.load(self.pki.development.log_verifier)
        return (Site(name="bridge", settings=settings, verifier=verifier),)

    def _two_sites(self) -> tuple[Site, ...]:
        made = self.pki.development
        with _given_log_key(2):
            papers = Papers(made=made, city_log=create_log_key(self.folder / "city-log", CITY_LOG))
        found = []
        for name, vkey, other in zip(
            ("county", "city"), papers.vkeys(), reversed(papers.vkeys()), strict=True
        ):
            written = write_site(papers, self.folder / name, city=name == "city")
            settings = load_settings(written.config)
            key, beyond = NoteVerifier.load(vkey), NoteVerifier.load(other)
            found.append(
                Site(name=f"{name}-bridge", settings=settings, verifier=key, further=(beyond,))
            )
        return tuple(found)

    def site_of(self, office: Office) -> Site:
        """Return the bridge that *office* dials."""
        return self.sites[-1] if office.organisation != COUNTY_12345.organisation else self.sites[0]

    def pinned_by(self, party: Office) -> DeskOffice:
        """Return what a desk of *party*'s pins; the county's, where it has one, its own profile."""
        national = profile.load("national")
        own = self.joined and self.site_of(party) is self.sites[0]
        return DeskOffice(
            service="110" if party.organisation == CITY_110.organisation else "12345",
            region=party.region,
            profile=COUNTY_PROFILE if own else national.name,
            profile_edition=national.edition,
            catalogue_edition=national.catalogue.edition,
            prefix="W" if party.organisation == CITY_12345.organisation else "J",
        )

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
        Desk(self.empty["desk"], any_sealer, self.pinned_by(CITY_110)).close()


@cache
def ground(*, joined: bool = False) -> Ground:
    """Return this process's ground of one kind, in memory where the system has such a folder."""
    shm = Path("/dev/shm")
    parent = Path(os.environ.get(FOLDER, "")) if FOLDER in os.environ else shm
    if not os.access(parent, os.W_OK):
        parent = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="exchange-simulation-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Ground(folder, joined=joined)


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
        self,
        site: Site,
        trusting: Ground,
        disk: Disk,
        dice: Dice,
        *,
        seconds: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        """Begin; raises what the real one raises when it cannot start."""
        self.disk = disk
        self._site, self._ground = site, trusting
        self.loop = Loop(dice, seconds)  # type: ignore[abstract]  # what nobody asks it for
        self.journal = Silent()
        self.preempted = False
        self.rpc = InProcessServer()
        self._claims: list[Claim] = []
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._database = f"sqlite:///{disk.path}"
        SHELF.begin(str(disk.path))
        try:
            with self._seams(), self.loop.inside():
                self.server = self._finish(self._opened(clock))
                self._finish(self.server.start("simulated:1", None))
        except BaseException:
            self._end()
            raise

    def _opened(self, clock: Callable[[], datetime]) -> Any:
        settings = replace(self._site.settings, database=self._database, keeper="thread")
        journal: Any = self.journal
        return exchange.server.opening.open_server(
            settings,
            trust=InForce.of(self._ground.trust),
            journal=journal,
            clock=clock,
            watching=False,
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
        answer = self.rpc.answer(method, raw, self._ground.dialled[organisation])
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
        made: Ground,
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
        organisation = party.organisation
        self.disks = (desk, spool)
        salts = derived_salts(organisation.encode().ljust(32, b"\0"))
        sealer = Sealer(organisation, made.signers[organisation], salts=salts)
        self.spool = Spool(spool.path, organisation)
        self.desk = Desk(
            desk.path,
            sealer,
            made.pinned_by(party),
            remind=lambda item: remind(item.message_id),
            clock=clock,
        )
        self.client = ExchangeClient(
            Channel(carry),
            sealer=sealer,
            certificates=made.chains[organisation],
            trust=made.trust,
            logs=made.verifiers,
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


def begin_files(made: Ground) -> dict[str, Path]:
    """Lay out empty databases as every run begins with them; return them by name."""
    folder = made.folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = {}
    for site in made.sites:
        found[site.name] = folder / f"{site.name}.db"
        copy_file(made.empty["bridge"], found[site.name])
    for office in made.offices:
        for kind in ("spool", "desk"):
            path = folder / f"{kind}-{office.organisation}.db"
            found[f"{kind} {office.organisation}"] = path
            copy_file(made.empty[kind], path)
    return found


@contextmanager
def _given_log_key(number: int) -> Iterator[None]:
    """
    Let a log's key that is made meanwhile, *number* so many, be the same in every process.

    What a bridge itself did stands in its log signed by the log's key: a seed would not be the same run again.
    """
    given = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))
    made = mock.Mock(Ed25519PrivateKey=mock.Mock(generate=lambda: given))
    with mock.patch.object(certs.logkey, "ed25519", made):
        yield


@contextmanager
def program(disks: Disks) -> Iterator[None]:
    """Let the program's files be *disks*, and what never changes be read once."""
    with ExitStack() as stack:
        stack.enter_context(disks.mounted())
        stack.enter_context(hastened())
        schema: Any = exchange.store.schema
        opening: Any = exchange.server.opening
        stack.enter_context(mock.patch.object(opening, "open_directory", _directory))
        # The salt of a bridge's own act is in its leaf: a seed would not be the same run again.
        salt = SimpleNamespace(token_hex=lambda size: "00" * size)
        stack.enter_context(mock.patch.object(exchange.server.known, "secrets", salt))
        for module, name, value in (
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


#: What the registers and profiles say, by the register's file: no run changes them.
_directories: dict[Path | None, Any] = {}
_real_directory: Any = exchange.server.opening.open_directory  # type: ignore[attr-defined]


def _directory(settings: Settings, _now: datetime) -> Any:
    if settings.register not in _directories:
        _directories[settings.register] = _real_directory(settings, START)
    return _directories[settings.register]


@cache
def _newest() -> str:
    return exchange.store.schema.newest()
