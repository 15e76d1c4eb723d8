"""Archiving: what closed tickets said leaves the database; what was promised about it stays."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from exchange import tables
from exchange.bridge import Agreement, Head, Since
from exchange.errors import StoreUnavailable
from exchange.store import archive
from exchange.store.archive import Due, due, move
from exchange.store.archived import archived_entries
from tests.bridge.world import POLICE, Matter, stored
from tests.store.site import LONG, Site
from tests.store.test_audit import fill


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """Yield a site on each engine."""
    made = Site(database_url, tmp_path / "archive")
    made.folder.mkdir()
    yield made
    made.close()


def test_contents_leave_and_the_log_still_verifies(site: Site) -> None:
    """Old closed tickets leave whole; with and without the archive everything holds."""
    old = [site.finished() for _ in range(3)]
    site.world.now += LONG + timedelta(days=1)
    recent = site.finished()

    (moved,) = site.archive()

    assert (3, 3) == (moved.tickets, moved.left)
    assert archived_entries(site.engines) == moved.entries > 3 * 6
    for matter in old:
        assert {b""} == site.contents(matter.ticket_id)
    assert b"" not in site.contents(recent.ticket_id)
    assert [] == site.findings(archives=False)
    assert [] == site.findings()


def test_a_repeat_gets_the_receipt_it_got(site: Site) -> None:
    """Byte for byte, and other content under the same id is still refused; so with receipts."""
    matter = site.finished()
    pushed = site.sealed[matter.ticket_id]
    first = [stored(site.world.drain(*site.world.parties[by].pushes([m]))[0]) for by, m in pushed]
    site.world.now += LONG + timedelta(days=1)
    site.archive()
    site.world.restart()

    again = [stored(site.world.drain(*site.world.parties[by].pushes([m]))[0]) for by, m in pushed]

    assert [str(one.proof) for one in first] == [str(one.proof) for one in again]
    assert [] == site.findings()
    assert [] == site.world.pull(POLICE)


@pytest.mark.parametrize("young", [True, False])
def test_what_is_not_done_stays(site: Site, young: bool) -> None:
    """Open tickets, undelivered mail, receipts nobody noted, stopped lanes, and what is too young."""
    if young:
        site.finished()
        site.world.now += LONG - timedelta(days=1)
    else:
        fill(site.world)  # open hand-offs, quarantine, own duties
        site.finished(delivered=False)
        site.world.now += LONG * 2

    assert Due(tickets=0, entries=0, size=0) == due(site.engines, site.before)
    assert [] == site.archive()
    assert [] == list(site.folder.iterdir())


def test_what_would_go_is_counted_and_stays(site: Site) -> None:
    """A dry run tells what `move` will move."""
    site.finished()
    site.world.now += LONG + timedelta(days=1)

    found = due(site.engines, site.before)
    (moved,) = site.archive()

    assert (found.tickets, found.entries) == (1, moved.entries)
    assert found.size > 1000
    assert Due(tickets=0, entries=0, size=0) == due(site.engines, site.before)


def test_archives_are_bounded_and_nothing_is_archived_twice(site: Site) -> None:
    """File after file; a second run finds nothing."""
    for _ in range(5):
        site.finished()
    site.world.now += LONG + timedelta(days=1)
    site.world.now += timedelta(seconds=1)

    moved = site.archive(a_file=1)  # pages hold fifty

    assert [5] == [one.left for one in moved]
    assert [] == site.archive()
    assert [] == site.findings()


@pytest.mark.parametrize("step", ["enter", "empty", "_leave"])
@pytest.mark.parametrize("after", [False, True])
def test_stopped_anywhere_it_loses_nothing_and_goes_on(site: Site, step: str, after: bool) -> None:
    """Fail before or after each step: whatever left stands in an archive, and the next run goes on."""
    for _ in range(2):
        site.finished()
    site.world.now += LONG + timedelta(days=1)
    original = getattr(archive._Archive, step)

    def stopped(self: object, *arguments: object) -> None:
        if after:
            original(self, *arguments)
        raise StoreUnavailable(archive._NO_LOG)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive._Archive, step, stopped)
        with pytest.raises(StoreUnavailable):
            site.archive()

    assert (24 if (step, after) == ("empty", True) else 0) == archived_entries(site.engines)
    assert [] == site.findings()
    site.world.now += timedelta(seconds=1)
    assert (0 if (step, after) == ("empty", True) else 2) == sum(m.left for m in site.archive())
    assert [] == site.findings()
    assert not list(site.folder.glob(".*.part"))


@pytest.mark.parametrize("set_back", [False, True])
def test_what_happens_meanwhile_keeps_its_ticket_here(site: Site, set_back: bool) -> None:
    """A note between writing the archive and leaving, by a clock that was set back, too: it stays."""
    matter = site.finished()
    began = site.world.now
    site.world.now += LONG + timedelta(days=1)
    entered = archive._Archive.enter

    def enter(self: archive._Archive, *arguments: Any) -> None:
        entered(self, *arguments)
        late = site.world.now
        site.world.now = began if set_back else late
        site.visit(matter)
        if set_back:
            site.deliver()
        site.world.now = late

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive._Archive, "enter", enter)
        (moved,) = site.archive()

    assert (1, 0) == (moved.tickets, moved.left)
    assert 0 == archived_entries(site.engines)
    assert [] == site.findings()


def test_what_is_said_later_is_archived_later(site: Site) -> None:
    """A note on an archived ticket is accepted, delivered and in time archived; all is checked."""
    matter = site.finished()
    site.world.now += LONG + timedelta(days=1)
    site.archive()
    site.visit(matter)
    assert [] == site.archive()
    site.deliver()
    assert [] == site.findings()
    site.world.now += LONG + timedelta(days=1)

    (moved,) = site.archive()

    assert 2 == moved.entries
    assert {b""} == site.contents(matter.ticket_id)
    assert [] == site.findings()


def test_reconciling_delivers_nothing_that_is_not_there(site: Site) -> None:
    """A desk that asks for what was archived gets none of it, and no empty message either."""
    matter = site.finished()
    site.world.now += LONG + timedelta(days=1)
    site.archive()
    began = Since(time=site.world.now - LONG * 2)

    found = site.world.bridge.reconcile(
        POLICE, [Head(handoff_id=matter.handoff_id, digest=b"")], site.world.now, began
    )

    assert [Agreement.CALLER_BEHIND] == [one.agreement for one in found.findings]
    assert 0 == found.redelivered
    assert [] == site.world.pull(POLICE)
    assert [] == site.findings()


def _lose(file: Path) -> None:
    file.unlink()


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [_lose, _flip])
def test_a_lost_or_changed_archive_is_named(site: Site, harm: Callable[[Path], None]) -> None:
    """The file is named; the live log holds all the same."""
    site.finished()
    site.world.now += LONG + timedelta(days=1)
    (moved,) = site.archive()

    harm(moved.file)

    assert [] == site.findings(archives=False)
    (found,) = site.findings()
    assert moved.file.name in found


def test_a_forged_archive_does_not_pass(site: Site) -> None:
    """Who can write files and database, both, still cannot change what was signed."""
    site.finished()
    site.finished()
    site.world.now += LONG + timedelta(days=1)
    (moved,) = site.archive()
    lines = [json.loads(line) for line in moved.file.read_text("utf-8").splitlines()]
    one, other = [line for line in lines if "ticket_id" in line]
    for here, there in zip(one["entries"], other["entries"], strict=True):
        if "envelope" in here:
            here["envelope"], there["envelope"] = there["envelope"], here["envelope"]
    moved.file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    digest = archive.digest_of(moved.file)
    with site.engines.writer.begin() as connection:
        connection.execute(update(tables.archive).values(digest=digest))

    found = site.findings()

    assert any("digest: not the archived one's" in text for text in found)
    assert any("seal: the trail's row was changed" in text for text in found)


@pytest.mark.parametrize("table", ["trail", "message", "receipt"])
def test_changes_to_what_stays_are_found(site: Site, table: str) -> None:
    """The rows of archived tickets are checked as ever; contents may not come back unseen."""
    site.finished()
    site.world.now += LONG + timedelta(days=1)
    site.archive()
    changes: dict[str, dict[str, object]] = {
        "trail": {"answers": POLICE}, "message": {"envelope": b"x"}, "receipt": {"statement": b"x"},
    }  # fmt: skip
    change = changes[table]
    with site.engines.writer.begin() as connection:
        connection.execute(update(tables.metadata.tables[table]).values(change))

    assert any(f"table {table}" in one for one in site.findings(archives=False))


def test_a_full_disk_leaves_everything_where_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive cannot be made durable: no draft stays, nothing left the database."""
    site.finished()
    site.world.now += LONG + timedelta(days=1)

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        site.archive()
    monkeypatch.undo()

    assert [] == list(site.folder.iterdir())
    assert 0 == archived_entries(site.engines)


def test_a_bridge_goes_on_meanwhile(site: Site) -> None:
    """Tickets are handed over and closed without a failure while old ones leave, page by page."""
    for _ in range(60):
        site.finished(delivered=False)
    site.deliver()
    site.world.now += LONG + timedelta(days=1)
    before, done = site.before, threading.Event()
    new: list[Matter] = []

    def go_on() -> None:
        while not done.is_set() or not new:
            new.append(site.finished())

    with ThreadPoolExecutor(1) as bridge:
        going = bridge.submit(go_on)
        try:
            now = site.world.now
            moved = list(move(site.engines, site.folder, before=before, clock=lambda: now))
        finally:
            done.set()
        going.result()

    assert [60] == [one.left for one in moved]
    for matter in new:
        assert b"" not in site.contents(matter.ticket_id)
    assert [] == site.findings()


def test_an_archive_is_read_line_by_line(site: Site) -> None:
    """Head, certificates, one line a ticket, an end; each entry proves its leaf by itself."""
    site.finished()
    site.world.now += LONG + timedelta(days=1)
    (moved,) = site.archive()

    head, *rest = islice(archive.read_lines(moved.file), 100)

    assert archive.FORMAT == head["format"]
    assert {"end": True, "tickets": 1, "entries": moved.entries} == rest[-1]
    (line,) = [one for one in rest if "ticket_id" in one]
    for entry in line["entries"]:
        assert entry["proof"].startswith("c2sp.org/tlog-proof@v1\n")
    with pytest.raises(ValueError, match="is no archive"):
        next(archive.read_lines(_other(site.folder)))


def _other(folder: Path) -> Path:
    path = folder / "other.jsonl"
    path.write_text('{"kind": "offer"}\n', "utf-8")
    return path
