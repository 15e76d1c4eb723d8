"""Files that tickets cite cross after them, over gRPC: whole, once, and from where they were cut."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from sqlalchemy import func, select

from exchange.attachment_tables import attachment_chunk
from exchange.errors import BridgeUnavailable, StoreUnavailable
from exchange.store.engines import connect, reading
from tests.adapters.attachments.folders import (
    CHUNK,
    PACE,
    Folder,
    content,
    folder_of,
    new_id,
    offer,
    opening,
)
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

#: Forty chunks, the last one short: three calls.
SIZE = 40 * CHUNK - 100


@pytest.fixture
def hotline(link: Link) -> Folder:
    """The hotline's folder."""
    return folder_of(link.folder / "hotline", lambda p, pace: link.runner(CITY_12345, p, pace))


@pytest.fixture
def police(link: Link) -> Folder:
    """The police desk's folder."""
    return folder_of(link.folder / "police", lambda p, pace: link.runner(CITY_110, p, pace))


def kept_chunks(link: Link) -> int:
    """Return how many chunks the bridge keeps."""
    engines = connect(link.bridge.settings.database)
    with reading(engines) as connection:
        found = connection.execute(select(func.count()).select_from(attachment_chunk)).scalar_one()
    engines.close()
    return found


def until_linked(side: Folder) -> None:
    """Ask until the bridge answers: a channel that was refused waits a moment before it dials again."""
    while True:
        try:
            side.runner.client.attachments.check([bytes(32)])
        except BridgeUnavailable:
            continue
        return


def offered(hotline: Folder, *names: str) -> str:
    """Let the hotline open and offer a ticket that cites *names*; return the opening's id."""
    ticket_id = new_id()
    hotline.say(opening(ticket_id, *names), offer(ticket_id, CITY_110.organisation))
    hotline.messages()
    return ticket_id


def test_a_file_follows_its_ticket_and_is_written_under_its_digest(
    hotline: Folder, police: Folder
) -> None:
    """The ticket is there before its file; then the file is, and both platforms are told."""
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    offered(hotline, "photo.jpg")
    police.messages()

    assert {} == police.came()

    hotline.files()
    police.files()

    name = sha256(photo).hexdigest()
    assert {name: photo} == police.came()
    (came,), (left,) = police.told(), hotline.told()
    assert ("whole", name, SIZE) == (came["answer"], came["sha256"], came["size"])
    assert ("whole", name, "A-0") == (left["answer"], left["sha256"], left["attachment_id"])
    assert came["message_id"] == left["message_id"]
    assert list(range(40)) == hotline.watched.put_chunks == police.watched.got_chunks


def test_a_cut_link_costs_no_chunk_that_was_kept(
    hotline: Folder, police: Folder, link: Link
) -> None:
    """The bridge goes in the middle of a file, either way; what it had kept is not sent again."""
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    offered(hotline, "photo.jpg")
    police.messages()
    for side, crossed in (
        (hotline, hotline.watched.put_chunks),
        (police, police.watched.got_chunks),
    ):
        calls = iter([lambda: None, link.bridge.stop])
        side.watched.before = lambda calls=calls: next(calls)()  # type: ignore[misc]
        with pytest.raises(BridgeUnavailable):
            side.files()

        assert list(range(16)) == crossed

        side.watched.before = lambda: None
        link.bridge.start(port=link.bridge.port)
        until_linked(side)
        side.files()

        assert list(range(40)) == crossed

    assert {sha256(photo).hexdigest(): photo} == police.came()


def test_who_is_started_again_goes_on_from_its_spool(
    hotline: Folder, police: Folder, link: Link
) -> None:
    """A new runner over the same spool fetches only what the last one had not made durable."""
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    offered(hotline, "photo.jpg")
    hotline.files()
    police.messages()
    calls = iter([False, False, True])

    def end_in_the_third() -> None:
        if next(calls):
            raise KeyboardInterrupt

    police.watched.before = end_in_the_third
    with pytest.raises(KeyboardInterrupt):
        police.files()
    again = folder_of(police.path, lambda p, pace: link.runner(CITY_110, p, pace))
    again.files()

    assert list(range(32, 40)) == again.watched.got_chunks
    assert {sha256(photo).hexdigest(): photo} == again.came()


def test_the_same_content_is_sent_kept_and_fetched_once(
    hotline: Folder, police: Folder, link: Link
) -> None:
    """Two tickets and two names, one file: forty chunks in all, and both messages are told of."""
    photo = content(SIZE)
    hotline.put("one.jpg", photo)
    hotline.put("two.jpg", photo)
    offered(hotline, "one.jpg")
    hotline.files()
    offered(hotline, "two.jpg")
    hotline.files()
    police.messages()
    police.files()

    assert 40 == len(hotline.watched.put_chunks) == len(police.watched.got_chunks)
    assert 40 == kept_chunks(link)
    assert [sha256(photo).hexdigest()] == [*police.came()]
    assert 2 == len({news["message_id"] for news in police.told()})
    assert 2 == len({news["message_id"] for news in hotline.told()})


def test_a_ticket_overtakes_a_large_file(hotline: Folder, police: Folder) -> None:
    """What the platform says while a file is being sent goes before the file's next chunks."""
    hotline.put("film.mp4", content(SIZE))
    offered(hotline, "film.mp4")
    ticket_id = new_id()

    def say_something() -> None:
        hotline.watched.before = lambda: None
        hotline.say(opening(ticket_id), offer(ticket_id, CITY_110.organisation, "urgent"))
        hotline.runner.collect()

    hotline.watched.before = say_something
    hotline.runner.posting.turn()

    assert list(range(16)) == hotline.watched.put_chunks

    before = hotline.runner.posting.turn()
    hotline.messages()
    police.messages()

    assert 0 == before
    assert ticket_id in {
        json.loads(path.read_text())["ticket_id"]
        for path in (police.path / "inbox").glob("*-offer-*.json")
    }

    hotline.files()

    assert list(range(40)) == hotline.watched.put_chunks


def test_a_restored_bridge_gets_the_files_again(hotline: Folder, link: Link) -> None:
    """What is pushed again brings its file again; the bridge says what it lacks of it."""
    hotline.put("photo.jpg", content(SIZE))
    offered(hotline, "photo.jpg")
    hotline.files()
    hotline.runner.spool.push_all_again(PACE.clock())
    hotline.messages()
    hotline.files()

    assert list(range(40)) == hotline.watched.put_chunks
    assert (0, 0) == hotline.runner.spool.waiting_files()


def test_bytes_changed_on_this_disk_are_no_fault_of_the_author(
    hotline: Folder, police: Folder
) -> None:
    """A part that the disk changed is found before it gets its name, and fetched once more, whole."""
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    offered(hotline, "photo.jpg")
    hotline.files()
    police.messages()
    part = police.runner.spool.files / f"{sha256(photo).hexdigest()}.part"

    def change() -> None:
        if part.stat().st_size:
            police.watched.before = lambda: None
            part.write_bytes(b"?" + part.read_bytes()[1:])

    police.watched.before = change
    with pytest.raises(StoreUnavailable, match="look at this disk"):
        police.files()
    police.files()

    assert {sha256(photo).hexdigest(): photo} == police.came()
    assert [*range(40), *range(40)] == police.watched.got_chunks
