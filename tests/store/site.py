"""A world whose operator archives what it said."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from exchange import tables
from exchange.acts import Kind
from exchange.client.messages import SealedMessage
from exchange.keyring import SIZE, KeyRing, RingFile, empty, load_ring, save_ring
from exchange.query import Query
from exchange.store import archive
from exchange.store.archive import move
from exchange.store.archived import check_archives
from exchange.store.audit import audit
from exchange.store.engines import Engines, connect
from exchange.store.erasing import Destroyed, destroy
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, START, Matter, World, recorded, stored
from tests.store.test_audit import WorldReader

LONG = timedelta(days=730)


class Site:
    """A world, and an operator who archives what it said."""

    def __init__(
        self, url: str, folder: Path, ring: RingFile | None = None, *, says_rules: bool = False
    ) -> None:
        self.world = World(url, ring=ring, says_rules=says_rules)
        self.folder = folder
        self.engines: Engines = connect(url, ring=ring)
        #: What was pushed, by matter.
        self.sealed: dict[str, list[tuple[str, SealedMessage]]] = {}

    def close(self) -> None:
        """Close every connection."""
        self.world.bridge.store.close()
        self.engines.close()

    @property
    def before(self) -> datetime:
        """Nothing newer than two years goes."""
        return self.world.now - LONG

    def say(self, matter: Matter, by: str, kind: Kind, **fields: object) -> bytes:
        """Push one message; return its digest."""
        message = self.world.message(kind, matter, **fields)
        return self._push(matter, by, *self.world.parties[by].seal(message))

    def _push(self, matter: Matter, by: str, *sealed: SealedMessage) -> bytes:
        for outcome in self.world.drain(*self.world.parties[by].pushes(sealed)):
            stored(outcome)
        self.sealed.setdefault(matter.ticket_id, []).extend((by, one) for one in sealed)
        return sealed[-1].digest

    def finished(self, *, delivered: bool = True) -> Matter:
        """Let a ticket be opened, handed over, worked on and closed; with everything *delivered*."""
        matter, world = Matter(), self.world
        opening = world.parties[HOTLINE].seal(world.opening(matter), world.offer(matter, POLICE))
        offer = self._push(matter, HOTLINE, *opening)
        take = self.say(matter, POLICE, Kind.TAKE, recipient=HOTLINE, previous=offer)
        result = self.say(
            matter, POLICE, Kind.RESULT, recipient=HOTLINE, previous=take,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已现场处置完毕。"}},
        )  # fmt: skip
        self.say(matter, HOTLINE, Kind.CLOSE, recipient=POLICE, previous=result)
        self.say(matter, HOTLINE, Kind.CLOSE_TICKET)
        if delivered:
            self.deliver()
        return matter

    def visit(self, matter: Matter) -> None:
        """Say a note on a closed ticket, as those who visit after closing do."""
        groups = {"visit": {"visit_id": "V-1", "visit_time": self.world.now.isoformat()}}
        act = {"satisfaction": 1}
        self.say(matter, HOTLINE, Kind.VISIT, recipient=POLICE, act=act, groups=groups)

    def deliver(self) -> None:
        """Let everybody write what waits, receipts too."""
        while any(
            [recorded(one) for one in self.world.write(who, *self.world.pull(who))]
            for who in (HOTLINE, POLICE, HOTLINE)
        ):
            pass

    def archive(self, **how: int) -> list[archive.Moved]:
        """Archive what is older than two years."""
        clock = lambda: self.world.now  # noqa: E731
        return list(move(self.engines, self.folder, before=self.before, clock=clock, **how))

    def findings(self, *, archives: bool = True) -> list[str]:
        """Return what the audit finds, the archives' contents included."""
        reader = WorldReader(self.world)
        found = list(audit(self.engines, LOG_KEY.verifier, reader))
        if archives:
            found += check_archives(self.engines, self.folder, reader)
        assert all(one.zh for one in found)
        # A world's keys have no certificates.
        return [one.en for one in found if "table certificate" not in one.en]

    def contents(self, ticket_id: str) -> set[bytes]:
        """Return every envelope and statement that the database holds of a ticket."""
        query = Query.open(self.world.url, self.world.ring)
        try:
            entries, _ = query.trail(ticket_id, None)
        finally:
            query.close()
        return {one.envelope or (one.receipt.statement if one.receipt else b"") for one in entries}


#: For what does not depend on the engine.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
#: What `World.opening` and `Site.finished` say in words.
MARKERS = tuple(words.encode() for words in ("井盖", "存在安全隐患", "已现场处置完毕", "值班长"))


def more(ring: RingFile) -> KeyRing:
    """Give the ring in the file one more key, the current one."""
    before = load_ring(ring.file) if ring.file.exists() else empty(ring.file)
    after = before.with_new(START, os.urandom(SIZE))
    save_ring(after)
    return after


def destroyed(site: Site, matter: Matter, *, confirmed: bool = True, days: int = 0) -> Destroyed:
    """Destroy what was said about *matter*."""
    return destroy(
        site.engines, LOG_KEY, matter.ticket_id,
        now=site.world.now, before=site.world.now - timedelta(days=days), keep_days=days,
        by="档案管理员", ground="保管期满", confirmed=confirmed,
    )  # fmt: skip


def everything(site: Site) -> bytes:
    """Return every byte of the database: SQLite's files, or PostgreSQL's rows."""
    file = site.engines.file
    if file is not None:
        found = [Path(f"{file}{end}") for end in ("", "-wal")]
        return b"".join(one.read_bytes() for one in found if one.exists())
    said = bytearray()
    with site.engines.reader.connect() as connection:
        for table in tables.metadata.tables.values():
            for row in connection.execute(select(table)):
                for value in row:
                    said += value if isinstance(value, bytes) else str(value).encode()
    return bytes(said)


def rows(site: Site, *columns: Any) -> list[Any]:
    """Return these columns of their table."""
    with site.engines.reader.connect() as connection:
        return list(connection.execute(select(*columns)).all())
