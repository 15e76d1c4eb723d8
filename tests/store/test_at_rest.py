"""Encryption at rest: what is said stands nowhere in clear, belongs to its row, and rotates."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from exchange import tables
from exchange.doctor import storage
from exchange.errors import StoreMismatch, StoreUnusable, TamperingFound
from exchange.keyring import SIZE, RingFile, empty, load_ring, save_ring
from exchange.query import Query
from exchange.store import Outbox, Store
from exchange.store.rewrapping import encrypt, inventory, rewrap
from exchange.store.schema import check_version
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, START, Matter, refused
from tests.store import test_archive as archiving
from tests.store.site import MARKERS, Site, everything, more, on_sqlite, rows
from tests.store.test_audit import fill

# A part of the archive's own promises, with encryption on.
test_contents_leave_and_the_log_still_verifies = (
    archiving.test_contents_leave_and_the_log_still_verifies
)
test_a_repeat_gets_the_receipt_it_got = archiving.test_a_repeat_gets_the_receipt_it_got
test_what_is_said_later_is_archived_later = archiving.test_what_is_said_later_is_archived_later


@pytest.fixture
def site(encrypted: Site) -> Site:
    """Return a site with encryption on."""
    return encrypted


def test_nothing_that_is_said_stands_in_the_database(site: Site) -> None:
    """Neither in the file nor in its write-ahead log; each ticket has a key of its own; the log holds."""
    fill(site.world)
    for _ in range(3):
        site.finished()
    words = {"person": {"telephone": "存在安全隐患" * 9}, "matter": {"title": "井盖" * 200}}
    refused(site.world.push(HOTLINE, replace(site.world.opening(Matter()), groups=words))[0])
    found = everything(site)

    assert [] == [one.decode() for one in MARKERS if one in found]
    assert POLICE.encode() in found  # what stands in clear is found that way
    assert 6 == len(rows(site, tables.data_key.c.id)) == len(rows(site, tables.ticket.c.id))
    assert [] == site.findings()


@on_sqlite
def test_without_a_ring_it_stands_there(database_url: str, tmp_path: Path) -> None:
    """The check above would find it: off, everything is as it came."""
    site = Site(database_url, tmp_path)
    site.finished()

    assert [] == [one.decode() for one in MARKERS[:3] if one not in everything(site)]
    assert [] == rows(site, tables.data_key.c.id)
    site.close()


def test_whoever_waits_gets_the_bytes_that_were_pushed(site: Site) -> None:
    """A mailbox, a ticket's contents, and the trail give the envelope as it came, after a restart too."""
    matter = site.finished(delivered=False)
    pushed = [one.envelope for _, one in site.sealed[matter.ticket_id]]
    site.world.restart()
    outbox = Outbox.read(site.world.url, site.world.ring)
    waiting = outbox.waiting(POLICE, 10)
    joined = outbox.waiting_for_any([POLICE, HOTLINE], 50)
    outbox.close()
    query = Query.open(site.world.url, site.world.ring)
    contents, _ = query.envelopes(matter.ticket_id, None)
    query.close()

    assert pushed[0] == waiting[0].payload
    assert set(pushed) >= {one.payload for one in joined if not one.signature}
    assert pushed[:1] == [one.envelope for one in contents]
    assert {*pushed} <= site.contents(matter.ticket_id)


@on_sqlite
def test_ciphertexts_belong_to_their_rows(site: Site) -> None:
    """Exchanged between two messages of a ticket, or two tickets' keys: each row is named."""
    matter, other = site.finished(), site.finished()
    message, key = tables.message.c, tables.data_key.c
    first, second = rows(site, message.leaf_index, message.envelope)[:2]
    with site.engines.writer.begin() as connection:
        for leaf, envelope in ((first[0], second[1]), (second[0], first[1])):
            connection.execute(
                update(tables.message).where(message.leaf_index == leaf).values(envelope=envelope)
            )
    assert 2 == sum("not what was encrypted for this row" in one for one in site.findings())
    with pytest.raises(TamperingFound, match="not what was encrypted for this row"):
        site.contents(matter.ticket_id)

    with site.engines.writer.begin() as connection:
        connection.execute(
            update(tables.data_key)
            .where(key.ticket_id == other.ticket_id)
            .values(ticket_id=matter.ticket_id)
        )
    fresh = Query.open(site.world.url, site.world.ring)
    with pytest.raises(TamperingFound, match="not what was encrypted for this row"):
        fresh.envelopes(other.ticket_id, None)
    fresh.close()


@on_sqlite
def test_a_lost_data_key_is_named(site: Site) -> None:
    """Content without its key, and nobody signed for that: the audit names each row."""
    matter = site.finished()
    with site.engines.writer.begin() as connection:
        connection.execute(delete(tables.data_key))

    messages = len(site.sealed[matter.ticket_id])
    assert messages == sum("its data key is not there" in one for one in site.findings())


@on_sqlite
def test_a_bridge_does_not_start_without_the_key_it_needs(site: Site, ring: RingFile) -> None:
    """No ring, another ring, one that lacks the key: each is named with its mend; nothing is half-done."""
    site.finished()
    site.world.bridge.store.close()
    other = RingFile(ring.file.with_name("other.ring"))
    more(other)
    lacking = RingFile(ring.file.with_name("lacking.ring"))
    save_ring(empty(lacking.file).with_new(START, bytes(SIZE)).with_new(START, bytes(SIZE)))
    save_ring(load_ring(lacking.file).without(1))

    for found, why in (
        (None, "no key ring is configured"),
        (other, "Key 1 of the key ring .* is not the one"),
        (lacking, "Key 1 is not in the key ring"),
        (RingFile(ring.file.with_name("gone.ring")), "There is no key ring"),
    ):
        with pytest.raises(StoreUnusable, match=why):
            Store.open(site.world.url, LOG_KEY, ring=found)
        ill = {one.probe: one for one in storage.database(site.world.url, None, 0, found)}
        assert re.search(why, str(ill["keys"].cause))
    well = storage.database(site.world.url, None, 0, ring)
    assert ["keys"] == [one.probe for one in well if one.what.en.startswith("The key ring opens")]
    site.world.bridge = site.world.open()
    assert [] == site.findings()


@on_sqlite
def test_programs_that_know_no_encryption_are_shut_out(site: Site) -> None:
    """Once it is on, the tables say that older programs may not serve them."""
    assert [("0013",)] == rows(site, tables.serves.c.oldest)
    with site.engines.writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    check_version(site.engines)  # this one may
    with site.engines.writer.begin() as connection:
        connection.execute(text("UPDATE serves SET oldest = '9998'"))
    with pytest.raises(StoreMismatch):
        check_version(site.engines)


@on_sqlite
def test_a_ring_that_does_not_serve_stops_what_would_be_lost(site: Site, ring: RingFile) -> None:
    """While the ring cannot be read a new ticket is not stored, in clear least of all; then it goes on."""
    site.finished()
    ring.file.chmod(0o644)
    os.utime(ring.file, ns=(1, 1))
    with pytest.raises(StoreUnusable, match=r"open to others.*chmod 600"):
        site.finished()
    ring.file.chmod(0o600)

    site.finished()
    assert [] == site.findings()


def test_rotation_goes_on_where_it_stopped_while_the_bridge_serves(
    site: Site, ring: RingFile
) -> None:
    """A new current key is used at once; old data keys are wrapped anew, batch by batch."""
    matters = [site.finished() for _ in range(5)]
    more(ring)
    site.finished()
    assert {1: 5, 2: 1} == inventory(site.engines).wrapped

    batches = rewrap(site.engines, a_batch=2)
    assert 2 == next(batches)
    batches.close()
    assert {1: 3, 2: 3} == inventory(site.engines).wrapped
    site.visit(matters[0])
    assert 3 == sum(rewrap(site.engines, a_batch=2))
    assert {2: 6} == inventory(site.engines).wrapped

    save_ring(load_ring(ring.file).without(1))
    site.world.restart()
    site.deliver()
    assert [] == site.findings()


def test_what_stood_there_before_is_encrypted_on_demand(
    database_url: str, tmp_path: Path, ring: RingFile
) -> None:
    """Turned on later, old rows stay readable in clear; then nothing of them is left, and all holds."""
    before = Site(database_url, tmp_path)
    first, second = before.finished(), before.finished()
    before.close()
    site = Site(database_url, tmp_path, ring)
    site.world.parties = before.world.parties
    site.visit(first)
    clear = inventory(site.engines).clear
    contents = site.contents(first.ticket_id)
    assert 12 == clear

    batches = encrypt(site.engines, now=site.world.now, a_batch=5)
    assert 5 == next(batches)
    batches.close()
    assert clear - 5 == inventory(site.engines).clear
    assert clear - 5 == sum(encrypt(site.engines, now=site.world.now, a_batch=5))

    assert 0 == inventory(site.engines).clear
    assert 2 == len(rows(site, tables.data_key.c.id))
    found = everything(site)
    assert [] == [one.decode() for one in MARKERS if one in found]
    assert contents == site.contents(first.ticket_id)
    assert second.ticket_id
    site.deliver()
    assert [] == site.findings()
    site.close()
