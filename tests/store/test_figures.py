"""How a database stands, for its operator: queues, lags, contacts; on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from exchange.acts import Kind, Urgency
from exchange.errors import StoreUnavailable
from exchange.query.figures import FiguresRoom
from exchange.store import Store, create
from exchange.store.contacts import ContactBook
from exchange.ticket import State
from tests.store.stories import HOTLINE, NOW, POLICE, Story, handoff_of, ticket_of


@pytest.fixture
def room(migrated_url: str) -> Iterator[FiguresRoom]:
    """Yield the figures of the store's database."""
    opened = FiguresRoom.open(migrated_url)
    yield opened
    opened.close()


def test_an_empty_database_has_empty_figures(room: FiguresRoom, store: Store) -> None:
    """Nothing waits, nobody called, the log has no checkpoint."""
    found = room.figures()

    assert (found.mailboxes, found.stopped, found.lags, found.contacts) == ((), (), (), {})
    assert (found.unacknowledged, found.log.size, found.log.checkpoint) == (None, 0, None)
    assert (room.answering(NOW), room.unassigned()) == ([], [])


def test_the_disk_is_the_database_s(room: FiguresRoom, migrated_url: str) -> None:
    """SQLite's folder; PostgreSQL's where it is on this machine and tells; else none is made up."""
    file = migrated_url.removeprefix("sqlite:///")
    folder = room.folder()

    if file != migrated_url:
        assert folder == Path(file).resolve().parent
    else:
        assert folder is None or (folder / "PG_VERSION").exists()


def test_what_waits_since_when_and_how_far_behind(
    room: FiguresRoom, store: Store, story: Story
) -> None:
    """The first in line by urgency, the oldest message nobody acknowledged, the lag of what was."""
    opening = story.open_ticket()
    first = story.offer(ticket_of(opening))
    with store.writing() as writer:
        writer.record([opening, first], now=story.time)
    story.later(minutes=1)
    second = story.offer(ticket_of(opening))
    urgent = replace(second.deliveries[0], urgency=int(Urgency.URGENT))
    second = replace(second, deliveries=(urgent,), time=story.time)
    with store.writing() as writer:
        writer.record([second], now=story.time)
    (mailbox,) = room.figures().mailboxes

    assert (mailbox.organisation, mailbox.waiting, mailbox.urgent) == (POLICE, 2, 1)
    assert (mailbox.oldest, mailbox.oldest_urgent) == (NOW, NOW + timedelta(minutes=1))

    story.later(minutes=1)
    with store.writing() as writer:
        known = writer.messages([first.message.id])[first.message.id]
        writer.record([story.written(known)], now=story.time)
    found = room.figures()
    (lag,) = found.lags
    assert (lag.organisation, lag.median, lag.written) == (POLICE, 120.0, 1)
    assert found.unacknowledged is not None
    assert found.unacknowledged.message_id == second.message.id
    assert (found.log.size, found.log.checkpoint) == (4, story.time)
    assert {one.organisation: one.waiting for one in found.mailboxes} == {POLICE: 1, HOTLINE: 1}


def test_a_stopped_lane_is_no_queue(room: FiguresRoom, store: Store, story: Story) -> None:
    """Its deliveries are held, not waiting; the message in it stays the oldest unacknowledged."""
    opening = story.open_ticket()
    offer = story.offer(ticket_of(opening))
    with store.writing() as writer:
        writer.record([opening, offer], now=story.time)
    with store.writing() as writer:
        known = writer.messages([offer.message.id])[offer.message.id]
        writer.record(refusals=[story.refused(known)], now=story.time)
    found = room.figures()
    (lane,) = found.stopped
    police = next(one for one in found.mailboxes if one.organisation == POLICE)

    assert (police.waiting, police.held, police.stopped, police.oldest) == (0, 1, 1, None)
    assert (lane.organisation, lane.message_id) == (POLICE, offer.message.id)
    assert found.unacknowledged is not None
    assert found.unacknowledged.message_id == offer.message.id


def test_who_answers_by_state(room: FiguresRoom, store: Store, story: Story) -> None:
    """Hand-offs by who answers and their state, tickets without any by their origin."""
    alone, opening = story.open_ticket(), story.open_ticket()
    offer = story.offer(ticket_of(opening), due=timedelta(minutes=5))
    toward = story.offer(ticket_of(opening), due=None)
    taken = story.say(Kind.TAKE, handoff_of(toward), POLICE, state=State.TAKEN)
    with store.writing() as writer:
        writer.record([alone, opening, offer, toward, taken], now=story.time)
    answering = room.answering(NOW + timedelta(minutes=6))
    (idle,) = room.unassigned()

    assert [(one.organisation, one.state, one.count, one.overdue) for one in answering] == [
        (HOTLINE, State.OFFERED, 1, 1),
        (POLICE, State.TAKEN, 1, 0),
    ]
    assert (idle.organisation, idle.state, idle.count, idle.oldest) == (HOTLINE, None, 1, NOW)


def test_a_contact_is_never_put_back(
    room: FiguresRoom, migrated_url: str, store: Store, story: Story
) -> None:
    """The newest time of each call stays, whoever writes last; beside an open store."""
    book, later = ContactBook(migrated_url), NOW + timedelta(minutes=1)
    book.write({(POLICE, "pull"): later, (POLICE, "push"): NOW})
    book.write({(POLICE, "pull"): NOW, (HOTLINE, "pull"): NOW})
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=story.time)

    assert room.figures().contacts == {
        HOTLINE: {"pull": NOW},
        POLICE: {"pull": later, "push": NOW},
    }


def test_contacts_are_not_written_into_another_file(tmp_path: Path) -> None:
    """Where the bridge's file was put away and another stands there, nothing is written."""
    file = tmp_path / "bridge.db"
    create(f"sqlite:///{file}")
    book = ContactBook(f"sqlite:///{file}")
    file.rename(tmp_path / "away.db")
    (tmp_path / "other.db").touch()
    (tmp_path / "other.db").rename(file)

    with pytest.raises(StoreUnavailable):
        book.write({(POLICE, "pull"): NOW})
    assert file.read_bytes() == b""
