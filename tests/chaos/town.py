"""A city under load: bridge, database, three desks and their people, every wire through the proxy."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from tests.chaos.awake import looks
from tests.chaos.databases import Database, database
from tests.chaos.load import DeskDriver, Driver, driver_of, reading
from tests.chaos.namespace import Namespace
from tests.chaos.place import COUNTY, POSTS, Place, Post
from tests.chaos.processes import ROOT, Service
from tests.chaos.proxy import FaultProxy, Link, Mode

#: Seconds until a bridge that starts must listen.
_STARTING = 60
_ANSWERED = (
    "SELECT 1 FROM (SELECT state, decided FROM outgoing ORDER BY seq DESC LIMIT 400) "
    "WHERE decided > ? LIMIT 1"
)
_WAITING = "SELECT count(*) FROM outgoing WHERE state = 'waiting'"
_NOTES = "SELECT name, fact FROM note"


class Town:
    """Everything that runs; made by `town`."""

    def __init__(
        self, place: Place, data: Database, proxy: FaultProxy, namespace: Namespace | None
    ) -> None:
        self.place = place
        self.database = data
        self.namespace = namespace
        #: Why there is no namespace, where there is none.
        self.no_namespace = ""
        #: Whether a signer's certificate ended in this run.
        self.signers_ended = False
        self.links: dict[str, Link] = {}
        self._listens = threading.Event()
        self.bridge = Service(
            "bridge",
            ["exchange", "--lang", "en", "serve", "--config", str(place.bridge_config)],
            log=place.folder / "bridge.log",
            heard=self._heard,
        )
        self.desks: dict[str, Service] = {}
        self.drivers: dict[str, Driver] = {}
        for post in POSTS:
            inside = namespace if post is COUNTY else None
            host = inside.address if inside is not None else "127.0.0.1"
            link = proxy.link(post.name, ("127.0.0.1", place.port), host)
            self.links[post.name] = link
            place.write_gateway(post, f"{host}:{link.port}")
        if data.link is not None:
            self.links["database"] = data.link
        place.write_bridge(data.url)

    def _heard(self, line: str) -> None:
        if " listens on " in line:
            self._listens.set()

    def open(self, seed: str, rate: float) -> None:
        """Make the database, start everything, and let people begin."""
        created = self.exchange("migrate", "--create", "--database", self.database.direct)
        if created.returncode:
            raise RuntimeError(created.stdout + created.stderr)
        self.bridge.start()
        if not self._listens.wait(_STARTING):
            raise RuntimeError(f"The bridge does not listen; see {self.bridge.log}")
        for post in POSTS:
            driver = driver_of(post, self.place, seed, rate)
            prefix = self.namespace.prefix if self.namespace and post is COUNTY else ()
            self.drivers[post.name] = driver
            service = self.desks[post.name] = Service(
                post.name,
                self.place.adapter(post),
                log=self.place.folder / f"{post.name}.log",
                heard=driver.hear if isinstance(driver, DeskDriver) else None,
                prefix=prefix,
            )
            if isinstance(driver, DeskDriver):
                driver.service = service
            service.start()
        for driver in self.drivers.values():
            driver.start()

    def services(self) -> list[Service]:
        """Return the bridge and every desk's adapter."""
        return [self.bridge, *self.desks.values()]

    def exchange(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the program's, with the bridge's configuration where it takes one."""
        return subprocess.run(
            [sys.executable, "-m", "exchange", "--lang", "en", *arguments,
             "--config", str(self.place.bridge_config)],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=600,
        )  # fmt: skip

    # -- how it goes

    def spool(self, post: Post) -> Path:
        """Return the file of a desk's spool."""
        return self.place.home(post) / "spool.db"

    def answered_since(self, post: Post, moment: datetime) -> bool:
        """Return whether *post* had an answer from the bridge and a pull since *moment*."""
        try:
            with reading(self.spool(post)) as spool:
                notes = dict(spool.execute(_NOTES).fetchall())
                pulled = notes.get("pulled", "")
                idle = spool.execute(_WAITING).fetchone()[0] == 0 and self.drivers[post.name].ending
                answered = spool.execute(_ANSWERED, (moment.isoformat(),)).fetchone()
                return (idle or answered is not None) and pulled > moment.isoformat()
        except sqlite3.Error:
            return False

    def troubles(self) -> set[str]:
        """Return which failures the adapters note at this moment, by their reasons."""
        found = set()
        for post in POSTS:
            try:
                with reading(self.spool(post)) as spool:
                    notes = dict(spool.execute(_NOTES).fetchall())
            except sqlite3.Error:
                continue
            for name in ("push_error", "pull_error", "platform_error", "acknowledge_error"):
                if fact := notes.get(name, ""):
                    found.add(fact.partition(":")[0][:40])
        return found

    def check(self) -> None:
        """Raise what made people stop working, if anything did."""
        for driver in self.drivers.values():
            if driver.failed is not None:
                raise driver.failed

    # -- the end

    def heal(self) -> None:
        """Undo whatever is broken."""
        for link in self.links.values():
            link.set(Mode.PASS)
        if self.namespace is not None:
            self.namespace.join()
        if self.database.disk is not None:
            self.database.disk.free()
        self.database.heal()

    def quiet(self, seconds: float) -> bool:
        """Let people conclude what is open; return whether all came to rest in time."""
        for driver in self.drivers.values():
            driver.ending = True
        rest = 0
        for _ in looks(seconds, 0.5):
            self.check()
            rest = rest + 1 if self._rests() else 0
            if rest == 3:  # nothing moved in between either
                return True
        return False

    def _rests(self) -> bool:
        try:
            return all(driver.idle() for driver in self.drivers.values()) and not self.under_way()
        except sqlite3.Error:
            return False

    def under_way(self) -> dict[str, int]:
        """Return what waits anywhere, by place."""
        from tests.chaos.ledger import mailbox  # noqa: PLC0415 - only asked at the end

        found = {"mailbox": mailbox(self.database.direct)}
        for post in POSTS:
            with reading(self.spool(post)) as spool:
                found[f"{post.name} spool"] = spool.execute(_WAITING).fetchone()[0]
                query = "SELECT count(*) FROM incoming WHERE acknowledged = 0"
                found[f"{post.name} unacknowledged"] = spool.execute(query).fetchone()[0]
            if post.kind == "desk":
                with reading(self.place.home(post) / "desk.db") as desk:
                    query = "SELECT count(*) FROM outbox"
                    found[f"{post.name} outbox"] = desk.execute(query).fetchone()[0]
                    query = "SELECT count(*) FROM event WHERE answer = 'waiting'"
                    found[f"{post.name} undecided"] = desk.execute(query).fetchone()[0]
        return {name: count for name, count in found.items() if count}

    def rest(self) -> None:
        """Let everybody go home: people first, then adapters and bridge, in good order."""
        for driver in self.drivers.values():
            driver.close()
        for service in (*self.desks.values(), self.bridge):
            service.stop()

    def close(self) -> None:
        """End everything without grace."""
        for driver in self.drivers.values():
            driver.close()
        for service in self.services():
            service.close()


@contextmanager
def town(kind: str, folder: Path, *, apart: bool) -> Iterator[Town]:
    """
    Give a town over a database of *kind*, everything of it in *folder*.

    *apart* puts the county's desk into a network namespace of its own, where that is allowed.
    """
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy())
        data = stack.enter_context(database(kind, folder, proxy))
        namespace = stack.enter_context(Namespace.made()) if apart else None
        usable = namespace if namespace is not None and not namespace.why else None
        place = Place.make(folder, ["127.0.0.1", *([usable.address] if usable else [])])
        found = Town(place, data, proxy, usable)
        if usable is None:
            found.no_namespace = namespace.why if namespace is not None else "not asked for"
        stack.callback(found.close)
        yield found
