"""Who has what: tickets, lists and trails, each with someone's eyes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from exchange.acts import Classification, Kind
from exchange.errors import InvalidRequest, NotFound
from exchange.log import LeafKind, TrustedLogs
from exchange.query import Filters, Query
from exchange.store import Accepted, Store
from exchange.ticket import State
from tests.store.stories import (
    HOTLINE,
    KEY,
    NOW,
    POLICE,
    WATER,
    Story,
    handoff_of,
    ticket_of,
)


@pytest.fixture
def query(migrated_url: str) -> Iterator[Query]:
    """Yield the read side of the store's database."""
    opened = Query.open(migrated_url)
    yield opened
    opened.close()


@pytest.fixture
def five(store: Store, story: Story) -> list[Accepted]:
    """Return five openings in as many minutes: offered, taken, to the waterworks, alone, closed."""
    opened = []
    for region in ("140400", "140403", "140403001", "310000", "140400"):
        opened.append(story.open_ticket(region=region))
        with store.writing() as writer:
            writer.record(opened[-1:], now=story.time)
        story.later(minutes=1)
    offered = story.offer(ticket_of(opened[0]))
    toward = story.offer(ticket_of(opened[1]), due=None)
    water = story.offer(ticket_of(opened[2]), receiver=WATER, due=timedelta(days=1))
    taken = story.say(Kind.TAKE, handoff_of(toward), POLICE, state=State.TAKEN)
    closing = story.message(Kind.CLOSE_TICKET, ticket_of(opened[4]).id)
    closed = replace(opened[4], message=closing, ticket=replace(ticket_of(opened[4]), closed=True))
    with store.writing() as writer:
        writer.record([offered, toward, water, taken, closed], now=story.time)
    return opened


def listed(query: Query, five: list[Accepted], caller: str | None, filters: Filters) -> list[int]:
    """Return which of the five are listed, in order."""
    numbers = {ticket_of(one).id: n for n, one in enumerate(five)}
    return [numbers[view.ticket.id] for view in query.tickets(caller, filters)[0]]


@pytest.mark.parametrize(
    ("caller", "filters", "expected"),
    [
        (None, Filters(), [4, 3, 2, 1, 0]),
        (HOTLINE, Filters(), [4, 3, 2, 1, 0]),
        (POLICE, Filters(), [1, 0]),
        (WATER, Filters(), [2]),
        ("140499999999", Filters(), []),
        (None, Filters(open_only=True), [3, 2, 1, 0]),
        (None, Filters(state=State.TAKEN), [1]),
        (None, Filters(region="140400"), [4, 2, 1, 0]),
        (None, Filters(region="140000"), [4, 2, 1, 0]),
        (None, Filters(region="140403000000"), [2, 1]),
        (None, Filters(region="14"), [4, 2, 1, 0]),
        (None, Filters(matter="NM.H.01"), [4, 3, 2, 1, 0]),
        (None, Filters(matter="NM.H.0"), []),
        (None, Filters(organisation=WATER), [2]),
        (None, Filters(answers=POLICE), [1]),
        (None, Filters(answers=HOTLINE), [3, 2, 0]),
        (POLICE, Filters(answers=HOTLINE), [0]),
        (None, Filters(opened_from=NOW + timedelta(minutes=1)), [4, 3, 2, 1]),
        (None, Filters(opened_until=NOW + timedelta(minutes=1)), [0]),
        (None, Filters(overdue_at=NOW + timedelta(hours=3)), [0]),
        (None, Filters(overdue_at=NOW), []),
    ],
)
def test_lists(
    query: Query,
    five: list[Accepted],
    caller: str | None,
    filters: Filters,
    expected: list[int],
) -> None:
    """Each condition keeps what it names, newest first, and nobody sees what is not theirs."""
    assert expected == listed(query, five, caller, filters)


def test_pages(query: Query, five: list[Accepted]) -> None:
    """Page by page gives the whole list, once each."""
    seen: list[str] = []
    token = ""
    while True:
        page, token = query.tickets(None, limit=2, page_token=token)
        seen += [view.ticket.id for view in page]
        if not token:
            break

    assert [ticket_of(one).id for one in reversed(five)] == seen


@pytest.mark.parametrize(
    "token",
    [
        "yesterday/x", "x", "2026-01-01/x", "0001-01-01T00:00:00+14:00/x",
        f"0001-01-01T00:00:00+14:00/{UUID(int=0)}", f"2026-03-01T08:00:00+08:00/{UUID(int=0)}",
        "2026-03-01T08:00:00.000000Z/", "2026-03-01T08:00:00.000000Z/\0",
    ],
)  # fmt: skip
def test_a_strange_token_of_a_list_is_misuse(query: Query, token: str) -> None:
    """Whatever was not given by us is refused as such: trying again would not help."""
    with pytest.raises(InvalidRequest):
        query.tickets(None, page_token=token)


@pytest.mark.parametrize("token", ["9" * 19, "9" * 30, "9" * 5000, "-1", "²", "x"])
def test_a_strange_token_of_a_trail_is_misuse(
    query: Query, five: list[Accepted], token: str
) -> None:
    """No number is too large to be refused."""
    with pytest.raises(InvalidRequest):
        query.trail(ticket_of(five[0]).id, None, page_token=token)


def test_a_confidential_ticket_hides_from_the_operator_what_the_views_hide(
    query: Query, store: Store, story: Story
) -> None:
    """Matter and region are blank in ticket and list, and not found by asking for them."""
    opened = story.open_ticket()
    secret = replace(ticket_of(opened), classification=Classification.CONFIDENTIAL)
    with store.writing() as writer:
        writer.record(
            [replace(opened, ticket=secret), story.offer(ticket_of(opened))], now=story.time
        )

    one = query.ticket(secret.id, None)
    assert ("", "") == (one.ticket.region, one.ticket.matter)
    assert [""] == [view.standing.handoff.offer.matter for view in one.handoffs]
    assert [one] == query.tickets(None)[0]
    assert [] == query.tickets(None, Filters(matter=secret.matter))[0]
    assert [] == query.tickets(None, Filters(region=secret.region))[0]
    party = query.ticket(secret.id, POLICE)
    assert secret == party.ticket
    assert [party] == query.tickets(POLICE, Filters(matter=secret.matter))[0]


def test_a_duty_on_a_closed_ticket_is_shown(query: Query, store: Store, story: Story) -> None:
    """Who still answers below a taken-over hand-off finds it, in lists and in the workload alike."""
    opened = story.open_ticket()
    offered = story.offer(ticket_of(opened))
    taken = story.say(Kind.TAKE, handoff_of(offered), POLICE, state=State.TAKEN)
    closing = story.message(Kind.CLOSE_TICKET, ticket_of(opened).id)
    closed = replace(opened, message=closing, ticket=replace(ticket_of(opened), closed=True))
    with store.writing() as writer:
        writer.record([opened, offered, taken, closed], now=story.time)

    (found,) = query.tickets(None, Filters(answers=POLICE))[0]
    assert (POLICE,) == found.answers
    assert [(POLICE, 1)] == [(w.organisation, w.handoffs) for w in query.workload(story.time)]
    assert [] == query.tickets(None, Filters(answers=HOTLINE))[0]


def test_a_ticket_and_who_answers(query: Query, five: list[Accepted]) -> None:
    """A ticket comes with its hand-offs; an open one is never without an answerer."""
    offered, taken, _, alone, closed = (query.ticket(ticket_of(one).id, None) for one in five)

    assert ticket_of(five[0]) == offered.ticket
    assert (HOTLINE,) == offered.answers
    assert (POLICE,) == taken.answers
    assert (HOTLINE,) == alone.answers
    assert () == closed.answers
    assert NOW + timedelta(minutes=5) == taken.updated == taken.handoffs[0].updated
    with pytest.raises(NotFound):
        query.ticket(ticket_of(five[2]).id, POLICE)


def test_a_note_leaves_the_time_of_the_state_alone(
    query: Query, store: Store, story: Story, five: list[Accepted]
) -> None:
    """`updated` of a hand-off is when its state changed; of a ticket, when anything happened."""
    ticket_id = ticket_of(five[1]).id
    handoff = query.ticket(ticket_id, None).handoffs[0].standing.handoff
    story.later(hours=1)
    with store.writing() as writer:
        writer.record([story.say(Kind.PROGRESS, handoff, POLICE)], now=story.time)

    view = query.ticket(ticket_id, None)
    assert NOW + timedelta(minutes=5) == view.handoffs[0].updated
    assert story.time == view.updated


def test_the_trail_comes_with_its_receipts(
    query: Query, store: Store, story: Story, five: list[Accepted]
) -> None:
    """Everything that happened, in order, each with a proof or receipt that holds."""
    ticket_id = ticket_of(five[0]).id
    with store.writing() as writer:
        (offer,) = [k for k in writer.digests([ticket_id]).values() if k.kind == "offer"]
    with store.writing() as writer:
        writer.record([story.written(offer)], now=story.time)

    first, token = query.trail(ticket_id, POLICE, limit=2)
    rest, end = query.trail(ticket_id, POLICE, limit=2, page_token=token)
    assert ["open_ticket", "offer", "written"] == [entry.kind for entry in first + rest]
    assert "" == end
    assert [None, State.OFFERED, State.OFFERED] == [entry.state for entry in first + rest]
    for entry in first + rest:
        kind = LeafKind.WRITTEN if entry.kind == "written" else LeafKind.MESSAGE
        entry.proof.verify(kind, entry.digest, TrustedLogs([KEY.verifier]))
    assert [True, True, False] == [bool(entry.envelope) for entry in first + rest]
    assert rest[0].receipt is not None
    assert POLICE == rest[0].receipt.organisation
    with pytest.raises(NotFound):
        query.trail(ticket_id, WATER)


def envelopes(
    query: Query, ticket_id: str, caller: str | None, **page: Any
) -> tuple[list[bytes], str]:
    """Return a page of the envelopes of a ticket's content, and the next page's token."""
    found, token = query.envelopes(ticket_id, caller, **page)
    return [one.envelope for one in found], token


def test_envelopes_by_who_may_see_them(
    query: Query, store: Store, story: Story, five: list[Accepted]
) -> None:
    """A party gets the opening and the supplements it said or heard, not another's."""
    opened = five[0]
    onward = story.offer(ticket_of(opened), sender=POLICE, receiver=WATER)
    supplement = story.say(Kind.SUPPLEMENT, handoff_of(onward), POLICE)
    with store.writing() as writer:
        writer.record([onward, supplement], now=story.time)

    ticket_id = ticket_of(opened).id
    both = [opened.message.envelope, supplement.message.envelope]
    assert (both, "") == envelopes(query, ticket_id, WATER) == envelopes(query, ticket_id, None)
    assert (both[:1], "") == envelopes(query, ticket_id, HOTLINE)


def test_envelopes_page_by_page(
    query: Query, store: Store, story: Story, five: list[Accepted]
) -> None:
    """Page by page gives all content, once each, oldest first, and no token after the last."""
    offered = story.offer(ticket_of(five[0]))
    said = [story.say(Kind.SUPPLEMENT, handoff_of(offered), HOTLINE) for _ in range(4)]
    with store.writing() as writer:
        writer.record([offered, *said], now=story.time)

    pages: list[list[bytes]] = []
    token = ""
    while not pages or token:
        page, token = envelopes(query, ticket_of(five[0]).id, POLICE, limit=2, page_token=token)
        pages.append(page)
    content = [one.message.envelope for one in (five[0], *said)]
    assert [content[:2], content[2:4], content[4:]] == pages
    with pytest.raises(InvalidRequest):
        query.envelopes(ticket_of(five[0]).id, POLICE, page_token="x")


def test_workload(query: Query, five: list[Accepted]) -> None:
    """Who answers for how much, and how much of it is overdue."""
    loads = {load.organisation: load for load in query.workload(NOW + timedelta(hours=3))}

    assert (2, 1) == (loads[HOTLINE].handoffs, loads[HOTLINE].overdue)
    assert (1, 0) == (loads[POLICE].handoffs, loads[POLICE].overdue)
