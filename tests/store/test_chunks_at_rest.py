"""Attachments under encryption at rest: chunks are encrypted, rotated and destroyed with their ticket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import exchange.store.attachments
from exchange import tables
from exchange.attachment_tables import attachment, attachment_chunk
from exchange.attachments import AttachmentRefusal, Chunk
from exchange.errors import InvalidRequest, StoreUnusable, TamperingFound
from exchange.keyring import RingFile, load_ring, save_ring
from exchange.store.attachments import Attachments
from exchange.store.engines import connect
from exchange.store.rewrapping import encrypt, encrypt_chunks, inventory, rewrap
from tests.bridge.world import HOTLINE, POLICE, Matter
from tests.store.site import Site, destroyed, everything, more, on_sqlite, rows
from tests.store.test_attachments import BOUNDS, CONTENT, cites, cut

_CHUNK, _CITED, _KEY = attachment_chunk.c, attachment.c, tables.data_key.c
OTHER = CONTENT[::-1]
#: The fourth is all zeros, which stand in every database.
TELLING = [one for one in cut(CONTENT) if any(one.content)]


class Files:
    """A site whose openings cite files, and the attachments beside it."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.world = site.world
        self.kept = self.opened()
        self.cited: list[bytes] = [CONTENT]
        opening = self.world.opening

        def citing(matter: Matter) -> Any:
            each = [cites(one)["attachments"][0] for one in self.cited]
            said = opening(matter)
            return replace(said, groups={**said.groups, "attachment": {"attachments": each}})

        monkeypatch.setattr(self.world, "opening", citing)

    def opened(self, ring: RingFile | None = None) -> Attachments:
        """Return the attachments under a ring, the world's if none is given."""
        return Attachments.open(self.world.url, BOUNDS, ring or self.world.ring)

    def finished(self, *contents: bytes) -> Matter:
        """Finish a matter whose opening cites *contents*, and bring them."""
        self.cited = list(contents)
        matter = self.site.finished()
        for content in contents:
            for chunk in cut(content):
                assert self.kept.put({HOTLINE}, chunk, self.world.now) is None
        return matter

    def get(self, content: bytes) -> list[Chunk] | AttachmentRefusal:
        """Return every chunk of *content*, as the police get them."""
        chunks = cut(content)
        numbers = range(len(chunks))
        return self.kept.chunks({POLICE}, chunks[0].root, numbers, self.world.now, 10_000)


@pytest.fixture
def files(encrypted: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """Attachments at a site with encryption on."""
    made = Files(encrypted, monkeypatch)
    yield made
    made.kept.close()


@pytest.fixture
def clear(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """Attachments at a site with encryption off."""
    site = Site(database_url, tmp_path)
    made = Files(site, monkeypatch)
    yield made
    made.kept.close()
    site.close()


def test_no_chunk_stands_in_the_database(files: Files) -> None:
    """Neither in its tables nor in its files; whoever may have it gets every byte, and the whole is judged."""
    matter = files.finished(CONTENT)
    found = everything(files.site)

    assert [] == [one.number for one in TELLING if one.content in found]
    assert cut(CONTENT) == files.get(CONTENT)
    (key,) = {key for (key,) in rows(files.site, _CHUNK.data_key)}
    assert [(matter.ticket_id,)] == rows(files.site, _KEY.ticket_id)
    assert [(key,)] == rows(files.site, _KEY.id)


@on_sqlite
def test_what_stood_in_clear_is_encrypted_afterwards(
    clear: Files, ring: RingFile, tmp_path: Path
) -> None:
    """Off, it is found there; turned on and encrypted, it is not, in no page; what nobody cites goes."""
    clear.finished(CONTENT, OTHER)
    site = clear.site
    assert all(one.content in everything(site) for one in TELLING)
    with site.engines.writer.begin() as connection:
        gone = cut(OTHER)[0].root
        connection.execute(attachment.delete().where(_CITED.root == gone))
    site.close()
    clear.kept.close()
    site.engines = connect(clear.world.url, ring=ring)
    clear.kept = clear.opened(ring)
    assert cut(CONTENT) == clear.get(CONTENT)
    assert (6, 10) == (inventory(site.engines).clear, inventory(site.engines).clear_chunks)

    assert 6 == sum(encrypt(site.engines, now=clear.world.now))
    assert 10 == sum(encrypt_chunks(site.engines, now=clear.world.now, a_batch=3))

    found = everything(site)
    assert [] == [one.number for one in (*TELLING, *cut(OTHER)[:1]) if one.content in found]
    assert cut(CONTENT) == clear.get(CONTENT)
    assert 0 == inventory(site.engines).clear_chunks
    assert 5 == len(rows(site, _CHUNK.number))


def test_a_destroyed_ticket_takes_its_files_along(files: Files) -> None:
    """What it alone cites goes; what another cites, too, stays, under that one's key, and can go with it."""
    matter = files.finished(CONTENT, OTHER)
    other = files.finished(OTHER)
    files.world.now += timedelta(days=1)
    assert 1 == len({*rows(files.site, _CHUNK.data_key)})
    destroyed(files.site, matter)

    assert {cut(OTHER)[0].root} == {bytes(root) for (root,) in rows(files.site, _CHUNK.root)}
    assert matter.ticket_id not in {one for (one,) in rows(files.site, _CITED.ticket_id)}
    assert AttachmentRefusal.NOT_CITED == files.kept.put(
        {HOTLINE}, cut(CONTENT)[0], files.world.now
    )
    files.kept.close()
    files.kept = files.opened()  # nothing is remembered of the key that is gone
    assert cut(OTHER) == files.get(OTHER)
    assert [(other.ticket_id,)] == rows(files.site, _KEY.ticket_id)

    destroyed(files.site, other)

    assert [] == rows(files.site, _CHUNK.number)
    assert [] == files.site.findings()


def test_who_destroys_between_two_steps_is_not_undone(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk on its way while its ticket is destroyed is not kept, and no key is made for it."""
    files.cited = [CONTENT]
    matter = files.site.finished()
    files.world.now += timedelta(days=1)

    def proved(*_: object) -> bool:
        destroyed(files.site, matter)
        return True

    monkeypatch.setattr(exchange.store.attachments, "proves", proved)

    assert AttachmentRefusal.NOT_CITED == files.kept.put(
        {HOTLINE}, cut(CONTENT)[0], files.world.now
    )
    assert ([], []) == (rows(files.site, _CHUNK.number), rows(files.site, _KEY.id))


@on_sqlite
def test_clear_chunks_keep_a_ticket_from_being_called_destroyed(files: Files) -> None:
    """One piece in clear, which copies would show: encrypt first."""
    matter = files.finished(CONTENT)
    files.world.now += timedelta(days=1)
    with files.site.engines.writer.begin() as connection:
        connection.execute(
            update(attachment_chunk).where(_CHUNK.number == 0).values(data_key="", content=b"x")
        )

    with pytest.raises(InvalidRequest, match="0 messages and 1 pieces"):
        destroyed(files.site, matter)


@on_sqlite
def test_a_new_ring_key_serves_chunks_too(files: Files, ring: RingFile) -> None:
    """Rotation touches no chunk: they are read under the new key, and no more once that is gone."""
    files.finished(CONTENT)
    before = rows(files.site, _CHUNK.content)
    more(ring)
    assert 1 == sum(rewrap(files.site.engines))
    save_ring(load_ring(ring.file).without(1))
    files.kept.close()
    files.kept = files.opened(RingFile(ring.file))

    assert before == rows(files.site, _CHUNK.content)
    assert cut(CONTENT) == files.get(CONTENT)

    files.kept.close()
    files.kept = Attachments.open(files.world.url, BOUNDS)
    with pytest.raises(StoreUnusable, match="no key ring is configured"):
        files.get(CONTENT)


@on_sqlite
def test_a_chunk_belongs_to_its_row(files: Files) -> None:
    """Two chunks exchanged: the row is named, nothing is given out."""
    files.finished(CONTENT)
    with files.site.engines.writer.begin() as connection:
        one = select(_CHUNK.content).where(_CHUNK.number == 1)
        moved = connection.execute(one).scalar_one()
        connection.execute(update(attachment_chunk).where(_CHUNK.number == 2).values(content=moved))

    with pytest.raises(TamperingFound, match="attachment_chunk"):
        files.get(CONTENT)
