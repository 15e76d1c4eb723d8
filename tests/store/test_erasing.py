"""Destroying what was said about a ticket: gone for good, and everything else stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError

from exchange import tables
from exchange.acts import Kind
from exchange.bridge import Declared, Head
from exchange.erasure import erasure_act, open_erasure
from exchange.errors import InvalidRequest, NotFound, StoreUnusable
from exchange.keyring import RingFile, load_ring, save_ring
from exchange.query import Query
from exchange.store import Accepted, Store
from exchange.store.archived import archived_entries
from exchange.store.audit import audit
from exchange.store.backup import backup
from exchange.store.engines import connect
from exchange.store.erasing import destroy
from exchange.store.renewal import begin_anew
from exchange.store.rewrapping import rewrap
from exchange.store.rows import seal
from exchange.wire.headers import read_envelope
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, Matter, stored
from tests.store.site import LONG, MARKERS, Site, destroyed, everything, more, on_sqlite, rows
from tests.store.test_audit import FORGER, WorldReader


@pytest.fixture
def site(encrypted: Site) -> Site:
    """Return a site with encryption on."""
    return encrypted


def test_destroyed_for_good_and_everything_else_stays(site: Site) -> None:
    """No envelope, no key; list, trail, receipts and log as before; a repeat gets its receipt; a mark."""
    matter, other = site.finished(), site.finished()
    pushed = site.sealed[matter.ticket_id]

    def repeat() -> list[str]:
        again = [(site.world.parties[by].pushes([one])) for by, one in pushed]
        return [str(stored(site.world.drain(*work)[0]).proof) for work in again]

    receipts, wrapped = (
        repeat(),
        dict(rows(site, tables.data_key.c.ticket_id, tables.data_key.c.wrapped)),
    )
    site.world.now += timedelta(days=1)

    told = destroyed(site, matter, confirmed=False)
    assert (6, 1, b"") == (told.messages, told.keys, told.note)
    assert site.contents(matter.ticket_id) >= {one.envelope for _, one in pushed}
    told = destroyed(site, matter)

    assert told.emptied
    said = open_erasure(told.note, [LOG_KEY.verifier])
    assert (matter.ticket_id, "档案管理员", "保管期满", 6) == (
        said.ticket_id, said.by, said.ground, said.count,
    )  # fmt: skip
    query = Query.open(site.world.url, site.world.ring)
    seen = {one.ticket.id: one.erased for one in query.tickets(None)[0]}
    entries, _ = query.trail(matter.ticket_id, None)
    assert ([], "") == query.envelopes(matter.ticket_id, None)
    query.close()
    assert {matter.ticket_id: site.world.now, other.ticket_id: None} == seen
    assert [one.kind != "written" for one in entries] == [one.erased for one in entries]
    assert all(one.receipt for one in entries if one.kind == "written")
    assert receipts == repeat()
    assert [] == site.findings()
    assert 0 == archived_entries(site.engines)
    if site.engines.file is not None:
        found = everything(site)
        assert bytes(wrapped[other.ticket_id]) in found
        assert bytes(wrapped[matter.ticket_id]) not in found
    site.world.restart()
    assert [] == site.world.pull(POLICE)
    asked = [Head(handoff_id=matter.handoff_id, digest=b"")]
    assert 0 == site.world.bridge.reconcile(POLICE, asked, site.world.now).redelivered
    with pytest.raises(InvalidRequest, match="Nothing is left to destroy"):
        destroyed(site, matter)
    site.world.now += LONG * 2
    assert 2 == sum(one.left for one in site.archive())  # of one, its receipts
    assert [] == site.findings()


def test_what_is_said_afterwards_has_a_new_key_and_can_be_destroyed_too(site: Site) -> None:
    """A visit after the destruction is kept, delivered and checked; in time it goes as well."""
    matter = site.finished()
    site.world.now += timedelta(days=1)
    destroyed(site, matter)
    site.visit(matter)
    with pytest.raises(InvalidRequest, match="still waits for"):
        destroyed(site, matter)
    site.deliver()
    assert [] == site.findings()
    site.world.now += timedelta(days=1)

    assert 1 == destroyed(site, matter).messages
    assert [] == site.findings()
    assert [] == rows(site, tables.data_key.c.id)


@pytest.mark.parametrize(
    "database_url",
    [pytest.param("postgresql", marks=pytest.mark.postgresql)],
    indirect=True,
)
def test_a_drain_holds_the_keys_under_which_it_records(site: Site) -> None:
    """Until its commit nobody can destroy them: what it records would be lost with them."""
    matter = site.finished()
    key = tables.data_key.c
    wanted = select(key.id).where(key.ticket_id == matter.ticket_id).with_for_update(nowait=True)

    with site.world.bridge.store.writing() as writer:
        said = {"disposal": {"content": "已回访。"}}
        message = site.world.message(Kind.PROGRESS, matter, recipient=POLICE, groups=said)
        (sealed,) = site.world.parties[HOTLINE].seal(message)
        read = read_envelope(sealed.envelope).message
        assert read is not None
        writer.record([Accepted(message=read, time=site.world.now)], now=site.world.now)
        writer.send()
        with (
            pytest.raises(OperationalError, match="could not obtain lock"),
            site.engines.writer.begin() as other,
        ):
            other.execute(wanted)
    with site.engines.writer.begin() as other:
        assert len(other.execute(wanted).all()) == 1


def test_what_is_needed_is_not_destroyed(site: Site) -> None:
    """Open, answered for, undelivered, too young, unknown, in clear: each is refused and says why."""
    opened, waiting, young = (
        Matter(),
        site.finished(delivered=False),
        site.finished(delivered=False),
    )
    site.world.push(HOTLINE, site.world.opening(opened))
    with pytest.raises(InvalidRequest, match="is open"):
        destroyed(site, opened)
    with pytest.raises(InvalidRequest, match="still waits for"):
        destroyed(site, waiting)
    site.deliver()
    with pytest.raises(InvalidRequest, match=r"The last word .* until 2 days"):
        destroyed(site, young, days=2)
    with pytest.raises(NotFound):
        destroyed(site, Matter())
    with site.engines.writer.begin() as connection:
        connection.execute(update(tables.handoff).values(answers=POLICE))
    with pytest.raises(InvalidRequest, match="still answers"):
        destroyed(site, young)

    assert 3 == len(rows(site, tables.data_key.c.id))
    assert [] == rows(site, tables.erasure.c.number)


@on_sqlite
def test_what_stands_in_clear_is_not_called_destroyed(database_url: str, tmp_path: Path) -> None:
    """Without a key there is nothing to destroy that a copy would lack: in the database, in an archive."""
    site = Site(database_url, tmp_path)
    matter = site.finished()
    site.world.now += LONG + timedelta(days=1)
    with pytest.raises(InvalidRequest, match="exchange keys encrypt"):
        destroyed(site, matter)
    (moved,) = site.archive()
    with pytest.raises(InvalidRequest, match=f"archived in clear, in {moved.file.name}"):
        destroyed(site, matter)
    site.close()


def test_an_archive_cannot_be_read_after_its_keys_are_destroyed(site: Site) -> None:
    """What left encrypted stays so in the file; with its key gone the file verifies, and says nothing."""
    matter, other = site.finished(), site.finished()
    site.world.now += LONG + timedelta(days=1)
    (moved,) = site.archive()
    content = moved.file.read_bytes()

    told = destroyed(site, matter)

    assert (moved.file.name,) == told.archives
    assert [] == [one.decode() for one in MARKERS if one in content]
    assert b'"encrypted"' in content
    assert b'"envelope"' not in content
    assert [] == site.findings()
    assert [] == site.findings(archives=False)
    assert other.ticket_id in {row[0] for row in rows(site, tables.data_key.c.ticket_id)}


@on_sqlite
@pytest.mark.parametrize("harm", ["row", "note", "other"])
def test_nobody_can_empty_a_row_and_call_it_destroyed(site: Site, harm: str) -> None:
    """An emptied row without a statement, one of another's key, one about less: each is found."""
    matter, other = site.finished(), site.finished()
    site.world.now += timedelta(days=1)
    key = FORGER if harm == "note" else LOG_KEY
    destroy(
        site.engines, key, matter.ticket_id, now=site.world.now, before=site.world.now, keep_days=0,
        by="x", ground="y", confirmed=True,
    )  # fmt: skip
    trail = tables.trail.c
    with site.engines.writer.begin() as connection:
        if harm == "row":
            connection.execute(delete(tables.erasure))
        elif harm == "other":
            row = connection.execute(
                select(tables.trail).where(trail.ticket_id == other.ticket_id).limit(1)
            ).one()
            of = row.leaf_index
            connection.execute(
                update(tables.message)
                .where(tables.message.c.leaf_index == of).values(envelope=b"")
            )  # fmt: skip
            connection.execute(tables.archived.insert().values(leaf_index=of, archive=-1))
            plain = connection.exec_driver_sql(f"SELECT * FROM trail WHERE leaf_index = {of}").one()
            resealed = seal(plain[:10], bytes(plain[10]))
            connection.execute(
                update(tables.trail).where(trail.leaf_index == of).values(seal=resealed)
            )

    expected = {
        "row": "no statement says so", "note": "note: No trusted key", "other": "other messages",
    }  # fmt: skip
    assert any(expected[harm] in one for one in site.findings())


@on_sqlite
def test_an_act_in_the_log_keeps_the_statement_from_vanishing(site: Site) -> None:
    """Who takes statement and rows away has the log's own leaf against him."""
    matter = site.finished()
    site.world.now += timedelta(days=1)
    note = destroyed(site, matter).note
    said = Declared(facts=erasure_act(note), salt="0" * 32, begins=True)
    done = site.world.bridge.ledger.enter(said, site.world.now)
    again = site.world.bridge.ledger.enter(said, site.world.now)
    assert ((1, 0), []) == ((done.new, again.new), site.findings())

    with site.engines.writer.begin() as connection:
        connection.execute(delete(tables.erasure))

    assert any("what it says was destroyed has no statement" in one for one in site.findings())


@on_sqlite
def test_a_backup_has_the_keys_of_its_day(site: Site, ring: RingFile, tmp_path: Path) -> None:
    """A copy from before is readable with its ring: only a ring key that is gone ends that."""
    matter = site.finished()
    site.world.now += timedelta(days=1)
    copy = tmp_path / "copy.db"
    backup(site.world.url, copy)
    destroyed(site, matter)
    url = f"sqlite:///{copy}"

    query = Query.open(url, ring)
    contents, _ = query.envelopes(matter.ticket_id, None)
    query.close()
    assert 1 == len(contents)
    more(ring)
    sum(rewrap(site.engines))
    save_ring(load_ring(ring.file).without(1))
    late = Query.open(url, RingFile(ring.file))
    with pytest.raises(StoreUnusable, match="Key 1 is not in the key ring"):
        late.envelopes(matter.ticket_id, None)
    late.close()
    assert [] == site.findings()


@on_sqlite
def test_a_new_log_goes_on_with_it(site: Site) -> None:
    """After begin-anew the content is read, and destroyed content stays accounted for."""
    matter, other = site.finished(), site.finished()
    site.world.now += timedelta(days=1)
    destroyed(site, matter)
    site.world.bridge.store.close()
    new = LOG_KEY.from_seed("bridge.example/second", b"\x07" * 32)
    begin_anew(site.world.url, LOG_KEY, new, now=datetime.now(UTC), salt="0" * 32)

    opened = Store.open(site.world.url, new, ring=site.world.ring)
    opened.close()
    engines = connect(site.world.url, ring=site.world.ring)
    found = [one.en for one in audit(engines, new.verifier, WorldReader(site.world))]
    engines.close()
    assert [] == [one for one in found if "table certificate" not in one]
    assert b"" not in site.contents(other.ticket_id)
