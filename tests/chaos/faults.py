"""
What the monkey can do to a town: one function a fault, which breaks something, waits, and mends it.

Each returns what it did, in a few words.  A process that ends is started again by its `Service`.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Literal

from tests.chaos.databases import PostgresBehindProxy, SqliteFile
from tests.chaos.place import POSTS, Post
from tests.chaos.processes import Service, signal_one
from tests.chaos.proxy import Link, Mode
from tests.chaos.town import Town

#: Seconds that a short-lived certificate lives, and that it is left in place once it has ended.
SHORT_LIFE = 5
_EXPIRED = 3.0
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

Work = Callable[[Town, Random], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault; two at once never touch the same *area*."""

    name: str
    area: Literal["bridge", "desk", "link", "database", "database link", "disk", "certificate"]
    work: Work
    #: On which databases it can be had.
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    #: Why it cannot be had in this town; empty where it can.
    missing: Callable[[Town], str] = lambda _: ""


def _hold(chance: Random, least: float = 0.5, most: float = 3.0) -> float:
    seconds = chance.uniform(least, most)
    time.sleep(seconds)
    return seconds


# -- processes


def _one(service: Service, chance: Random) -> int:
    """Return one process of a service's whole tree; 0 where it is just down."""
    pids = service.pids()
    return chance.choice(pids) if pids else 0


def _kill(service: Service, chance: Random, number: signal.Signals = signal.SIGKILL) -> str:
    pid = _one(service, chance)
    place = service.pids().index(pid) if pid in service.pids() else 0
    signal_one(pid, number) if pid else None
    which = f"process {place} of " if place else ""
    return f"{number.name} to {which}{service.name}"


def _freeze(service: Service, chance: Random, most: float) -> str:
    pid = _one(service, chance)
    if not pid:
        return f"{service.name} was just down"
    signal_one(pid, signal.SIGSTOP)
    try:
        seconds = _hold(chance, 0.5, most)
    finally:
        signal_one(pid, signal.SIGCONT)
    return f"{service.name} stood still for {seconds:.1f} s"


def kill_bridge(town: Town, chance: Random) -> str:
    """SIGKILL to any process of the bridge's."""
    return _kill(town.bridge, chance)


def end_bridge(town: Town, chance: Random) -> str:
    """Restart the bridge in good order, as an operator does."""
    code = town.bridge.restart()
    return f"bridge restarted in good order (exit code {code})"


def freeze_bridge(town: Town, chance: Random) -> str:
    """SIGSTOP, and SIGCONT after a while."""
    return _freeze(town.bridge, chance, 6.0)


def kill_desk(town: Town, chance: Random) -> str:
    """SIGKILL to an adapter."""
    return _kill(town.desks[chance.choice(POSTS).name], chance)


def freeze_desk(town: Town, chance: Random) -> str:
    """SIGSTOP an adapter for longer than its leases last, or shorter."""
    return _freeze(town.desks[chance.choice(POSTS).name], chance, 7.0)


# -- connections


def _gateway_link(town: Town, chance: Random) -> Link:
    return town.links[chance.choice(POSTS).name]


def _database_link(town: Town, _chance: Random) -> Link:
    return town.links["database"]


def _cut(which: Callable[[Town, Random], Link], *, reset: bool) -> Work:
    def work(town: Town, chance: Random) -> str:
        link = which(town, chance)
        count = link.cut(reset=reset)
        return f"{count} connections of {link.name} {'reset' if reset else 'closed'}"

    return work


def _tear(which: Callable[[Town, Random], Link]) -> Work:
    def work(town: Town, chance: Random) -> str:
        link = which(town, chance)
        return f"{link.tear()} connections of {link.name} cut in the middle of a message"

    return work


def _mode(which: Callable[[Town, Random], Link], mode: Mode, most: float = 3.0) -> Work:
    def work(town: Town, chance: Random) -> str:
        link = which(town, chance)
        link.latency = chance.uniform(0.05, 0.6)
        count = link.set(mode)
        try:
            seconds = _hold(chance, 1.0, most)
        finally:
            link.set(Mode.PASS)
        return f"{link.name} {mode.value} for {seconds:.1f} s ({count} connections)"

    return work


def part_namespace(town: Town, chance: Random) -> str:
    """Cut the cable into the county's network namespace: packets vanish in both directions."""
    assert town.namespace is not None
    town.namespace.part()
    try:
        seconds = _hold(chance, 1.0, 5.0)
    finally:
        town.namespace.join()
    return f"the cable to the county's desk was cut for {seconds:.1f} s"


# -- databases


def _postgres(town: Town) -> PostgresBehindProxy:
    assert isinstance(town.database, PostgresBehindProxy)
    return town.database


def _restart(kind: Literal["fast", "immediate", "killed"]) -> Work:
    def work(town: Town, chance: Random) -> str:
        data = _postgres(town)
        if kind == "fast":
            data.server.stop()
        elif kind == "immediate":
            data.server.kill()
        else:
            for pid in data.pids()[:1]:
                signal_one(pid, signal.SIGKILL)
        seconds = _hold(chance, 0.2, 2.0)
        data.heal()
        return f"PostgreSQL {kind}, down for {seconds:.1f} s"

    return work


def kill_backend(town: Town, chance: Random) -> str:
    """SIGKILL to one of PostgreSQL's processes: it ends every connection and recovers."""
    pids = _postgres(town).pids()[1:]
    if pids:
        signal_one(chance.choice(pids), signal.SIGKILL)
    return "SIGKILL to a process of PostgreSQL"


def freeze_postgres(town: Town, chance: Random) -> str:
    """SIGSTOP to all of PostgreSQL."""
    data = _postgres(town)
    data.signal_all(signal.SIGSTOP)
    try:
        seconds = _hold(chance, 1.0, 6.0)
    finally:
        data.signal_all(signal.SIGCONT)
    return f"PostgreSQL stood still for {seconds:.1f} s"


def hold_lock(town: Town, chance: Random) -> str:
    """Hold SQLite's write lock from another process, longer than the bridge waits, or shorter."""
    assert isinstance(town.database, SqliteFile)
    connection = sqlite3.connect(town.database.path, isolation_level=None, timeout=10)
    with closing(connection), contextlib.suppress(sqlite3.OperationalError):
        connection.execute("BEGIN IMMEDIATE")
        seconds = _hold(chance, 1.0, 7.0)
        connection.execute("ROLLBACK")
        return f"the write lock was held for {seconds:.1f} s"
    return "the write lock could not be had"


# -- disks


def fill_disk(town: Town, chance: Random) -> str:
    """No space left on the disk of the SQLite file, or of PostgreSQL's write-ahead log."""
    disk = town.database.disk
    assert disk is not None
    until = time.monotonic() + chance.uniform(2.0, 4.0)
    try:
        while time.monotonic() < until:
            disk.fill()
            time.sleep(0.1)
    finally:
        disk.free()
        town.database.heal()
    return "the disk was full (ENOSPC)"


def limit_bridge(town: Town, chance: Random) -> str:
    """The bridge's files may not grow any more (RLIMIT_FSIZE)."""
    assert isinstance(town.database, SqliteFile)
    log = town.database.path.with_name("bridge.db-wal")
    return _limited(town.bridge, log.stat().st_size if log.exists() else 0, chance)


def limit_desk(town: Town, chance: Random) -> str:
    """One desk's files may not grow any more: its platform's database, its spool."""
    post = chance.choice(POSTS)
    return _limited(town.desks[post.name], 65_536, chance)


def _limited(service: Service, size: int, chance: Random) -> str:
    limits = (size + 16_384, resource.RLIM_INFINITY)
    pids = service.pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    try:
        seconds = _hold(chance, 1.0, 4.0)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, _UNLIMITED)
    return f"no file of {service.name} could grow for {seconds:.1f} s (EFBIG)"


# -- certificates


def _wait_for(moment: datetime, more: float) -> None:
    time.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0.0) + more)


def expire_gateway(town: Town, chance: Random) -> str:
    """A desk dials with a certificate that ends; then a new one is installed by a restart."""
    return _expire(town, chance.choice(POSTS), "gateway-tls")


def expire_signer(town: Town, chance: Random) -> str:
    """A desk signs with a certificate that ends while messages wait; then it gets a new one."""
    town.signers_ended = True
    # What is refused must be said again, which a person at a desk does, and files do not.
    return _expire(town, chance.choice([p for p in POSTS if p.kind == "desk"]), "signer")


def _expire(town: Town, post: Post, kind: Literal["gateway-tls", "signer"]) -> str:
    service = town.desks[post.name]
    ends = town.place.reissue(kind, post, SHORT_LIFE)
    try:
        service.restart()
        _wait_for(ends, _EXPIRED)
    finally:
        town.place.reissue(kind, post, None)
        service.restart()
    return f"the {kind} certificate of {post.name} ended"


def expire_bridge(town: Town, chance: Random) -> str:
    """The bridge's own certificate ends; then a new one is installed by a restart."""
    ends = town.place.reissue("bridge-tls", None, SHORT_LIFE)
    try:
        town.bridge.restart()
        _wait_for(ends, 0.2)
        for post in POSTS:  # whoever dials anew finds it
            town.links[post.name].cut(reset=False)
        time.sleep(_EXPIRED)
    finally:
        town.place.reissue("bridge-tls", None, None)
        town.bridge.restart()
    return "the bridge's own certificate ended"


# -- all of them

_SQLITE = ("sqlite",)
_POSTGRESQL = ("postgresql",)


def _no_disk(town: Town) -> str:
    return town.database.no_disk


def _no_namespace(town: Town) -> str:
    return town.no_namespace


def _links(
    prefix: str, area: Literal["link", "database link"], databases: tuple[str, ...]
) -> list[Fault]:
    which = _gateway_link if area == "link" else _database_link
    works: dict[str, Work] = {
        "closed": _cut(which, reset=False),
        "reset": _cut(which, reset=True),
        "torn": _tear(which),
        "refused": _mode(which, Mode.REFUSE),
        "delayed": _mode(which, Mode.DELAY),
        "trickled": _mode(which, Mode.TRICKLE),
        "half-open": _mode(which, Mode.HALF_OPEN),
        "mute": _mode(which, Mode.MUTE),
    }
    return [
        Fault(name=f"{prefix}-{name}", area=area, work=work, databases=databases)
        for name, work in works.items()
    ]


FAULTS: Sequence[Fault] = (
    Fault(name="bridge-killed", area="bridge", work=kill_bridge),
    Fault(name="bridge-restarted", area="bridge", work=end_bridge),
    Fault(name="bridge-frozen", area="bridge", work=freeze_bridge),
    Fault(name="desk-killed", area="desk", work=kill_desk),
    Fault(name="desk-frozen", area="desk", work=freeze_desk),
    *_links("link", "link", ("sqlite", "postgresql")),
    Fault(name="link-namespace", area="link", work=part_namespace, missing=_no_namespace),
    *_links("database-link", "database link", _POSTGRESQL),
    Fault(name="database-fast", area="database", work=_restart("fast"), databases=_POSTGRESQL),
    Fault(
        name="database-immediate", area="database", work=_restart("immediate"),
        databases=_POSTGRESQL,
    ),
    Fault(name="database-killed", area="database", work=_restart("killed"), databases=_POSTGRESQL),
    Fault(name="database-process", area="database", work=kill_backend, databases=_POSTGRESQL),
    Fault(name="database-frozen", area="database", work=freeze_postgres, databases=_POSTGRESQL),
    Fault(name="database-locked", area="database", work=hold_lock, databases=_SQLITE),
    Fault(name="disk-full", area="database", work=fill_disk, missing=_no_disk),
    Fault(name="disk-limited", area="bridge", work=limit_bridge, databases=_SQLITE),
    Fault(name="desk-disk-limited", area="desk", work=limit_desk),
    Fault(name="gateway-expired", area="desk", work=expire_gateway),
    Fault(name="signer-expired", area="desk", work=expire_signer),
    Fault(name="bridge-expired", area="bridge", work=expire_bridge),
)  # fmt: skip
