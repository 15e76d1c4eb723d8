"""Reconciling: what is put back, in which order, to whom, and how a lane leaves quarantine."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from exchange.acts import Kind
from exchange.bridge import Agreement, Finding, Head, Since, reconcile
from exchange.errors import Refusal, RefusalCode
from exchange.log import parse_leaf
from exchange.store import Waiting
from exchange.submission import Delivered, Outcome
from exchange.ticket import own_duty_id
from exchange.wire.headers import read_envelope
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    POLICE,
    Matter,
    World,
    recorded,
    stored,
)

_DISPOSAL = {"disposal": {"content": "正在处置。"}}
_SICK = Refusal(code=RefusalCode.FIELD_INVALID)


@pytest.fixture
def matter() -> Matter:
    """A new matter that 12345 hands to 110."""
    return Matter()


def digest(outcome: Outcome) -> bytes:
    """Return the digest of the stored message."""
    return parse_leaf(stored(outcome).proof.leaf).digest


def hand_over(world: World, matter: Matter) -> bytes:
    """Let the hotline open and offer *matter*; return the offer's digest."""
    return digest(world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))[1])


def progress(world: World, matter: Matter) -> str:
    """Let the hotline say something to the police; return its id."""
    note = world.message(Kind.PROGRESS, matter, recipient=POLICE, groups=_DISPOSAL)
    return stored(world.push(HOTLINE, note)[0]).message_id


def take(world: World, matter: Matter, offer: bytes) -> bytes:
    """Let the police take *matter*; return the digest."""
    taken = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=offer)
    return digest(world.push(POLICE, taken)[0])


def compare(
    world: World,
    organisation: str,
    matter: Matter,
    head: bytes = b"",
    notes: Collection[str] | None = None,
) -> Finding:
    """Reconcile one hand-off."""
    asked = Head(
        handoff_id=matter.handoff_id,
        digest=head,
        notes=None if notes is None else frozenset(notes),
    )
    (finding,) = world.bridge.reconcile(organisation, [asked], world.now).findings
    return finding


def messages(delivered: Collection[Delivered]) -> list[Delivered]:
    """Return those that are messages, not receipts."""
    return [one for one in delivered if one.envelope]


def kinds(delivered: Collection[Delivered]) -> list[Kind]:
    """Return the kinds of what was delivered, in order."""
    found = [read_envelope(one.envelope).message for one in messages(delivered)]
    return [message.kind for message in found if message is not None]


class TestLost:
    """What a party acknowledged and lost."""

    def test_written_once_more_settles_it(self, world: World, matter: Matter) -> None:
        """What came again leaves the mailbox when it is written again, under the first leaf."""
        hand_over(world, matter)
        first = [recorded(o) for o in world.write(POLICE, *world.pull(POLICE))]
        assert len(compare(world, POLICE, matter).redelivered) == 2

        again = world.pull(POLICE)
        assert first == [recorded(o) for o in world.write(POLICE, *again)]

        assert [Kind.OPEN_TICKET, Kind.OFFER] == kinds(again)
        world.now += timedelta(minutes=5)
        assert [] == world.pull(POLICE)

    def test_declined_once_more_settles_it(self, world: World, matter: Matter) -> None:
        """The first word counts: a "written" that became a refusal stops no lane."""
        hand_over(world, matter)
        first = [recorded(o) for o in world.write(POLICE, *world.pull(POLICE))]
        compare(world, POLICE, matter)
        again = world.pull(POLICE)

        declined = world.drain(*(world.declined(POLICE, one, _SICK) for one in again))
        written = world.write(POLICE, *again)

        assert first == [recorded(o) for o in declined] == [recorded(o) for o in written]
        progress(world, matter)
        assert [Kind.PROGRESS] == kinds(world.pull(POLICE))

    def test_no_party_gets_its_own_messages(self, world: World, matter: Matter) -> None:
        """Its own gateway would refuse them; it gets what the other side said."""
        taken = take(world, matter, hand_over(world, matter))
        world.write(HOTLINE, *world.pull(HOTLINE))

        finding = compare(world, HOTLINE, matter)
        since = world.bridge.reconcile(
            HOTLINE, [], world.now, Since(time=datetime.min.replace(tzinfo=UTC))
        )

        assert (Agreement.CALLER_BEHIND, taken) == (finding.agreement, finding.digest)
        assert (1, 0) == (len(finding.redelivered), since.redelivered)
        assert [Kind.TAKE] == kinds(world.pull(HOTLINE))

    def test_a_lane_stays_in_order(self, world: World, matter: Matter) -> None:
        """What waits already is not overtaken by what it builds on, nor held by its old lease."""
        hand_over(world, matter)
        world.write(POLICE, *world.pull(POLICE))
        progress(world, matter)
        leased = world.pull(POLICE)
        assert len(leased) == 1

        compare(world, POLICE, matter)

        again = world.pull(POLICE)
        assert [Kind.OPEN_TICKET, Kind.OFFER, Kind.PROGRESS] == kinds(again)
        world.write(POLICE, *again)
        assert [] == world.pull(POLICE)

    def test_notes_are_compared_when_asked(self, world: World, matter: Matter) -> None:
        """A party that holds the newest act may have lost a note; that it holds none can be said."""
        offer = hand_over(world, matter)
        note = progress(world, matter)
        opening, *_ = world.pull(POLICE)
        world.now += timedelta(minutes=5)
        world.write(POLICE, *world.pull(POLICE))

        unasked = compare(world, POLICE, matter, offer)
        held = compare(world, POLICE, matter, offer, {opening.message_id, note})
        lost = compare(world, POLICE, matter, offer, {opening.message_id})
        none = compare(world, POLICE, matter, offer, ())

        assert [Agreement.SAME] * 2 == [unasked.agreement, held.agreement]
        assert (note,) == lost.redelivered
        assert (opening.message_id, note) == none.redelivered

    def test_an_own_duty_begins_with_anothers_act(self, world: World, matter: Matter) -> None:
        """The digest that opened an own duty is no message of it, and no contradiction."""
        taken = take(world, matter, hand_over(world, matter))
        over = world.message(Kind.TAKE_OVER, matter, recipient=POLICE)
        outcome = world.push(HOTLINE, over)[0]
        duty = own_duty(matter, digest(outcome))

        found = world.bridge.reconcile(
            HOTLINE,
            [
                Head(handoff_id=duty, digest=digest(outcome)),
                Head(handoff_id=duty, digest=taken),
            ],
            world.now,
        )

        agreements = [finding.agreement for finding in found.findings]
        assert [Agreement.SAME, Agreement.BRIDGE_BEHIND] == agreements


def own_duty(matter: Matter, opened_by: bytes) -> str:
    """Return the id of the hotline's own duty."""
    return own_duty_id(matter.handoff_id, opened_by)


class TestSince:
    """What a restored database lost, whichever hand-offs it still knows."""

    def test_everything_addressed_to_it_comes_again(self, world: World) -> None:
        """Also of hand-offs that it never heard of; what is older or another's stays away."""
        old, new = Matter(), Matter()
        hand_over(world, old)
        moment = world.now + timedelta(seconds=1)
        hand_over(world, new)
        progress(world, old)
        world.write(POLICE, *world.pull(POLICE))

        found = world.bridge.reconcile(POLICE, [], world.now, Since(time=moment))
        stranger = world.bridge.reconcile(DEPARTMENT, [], world.now, Since(time=moment))
        lanes: dict[str, list[Kind]] = {old.handoff_id: [], new.handoff_id: []}
        for one in world.pull(POLICE):
            lanes[one.lane] += kinds([one])

        assert (3, 0) == (found.redelivered, stranger.redelivered)
        assert [Kind.PROGRESS] == lanes[old.handoff_id]
        assert [Kind.OPEN_TICKET, Kind.OFFER] == lanes[new.handoff_id]

    def test_what_waits_is_not_put_back_twice(self, world: World, matter: Matter) -> None:
        """Asked twice, it comes once."""
        hand_over(world, matter)
        world.write(POLICE, *world.pull(POLICE)[:1])
        since = Since(time=world.now - timedelta(days=1))

        counts = [
            world.bridge.reconcile(POLICE, [], world.now, since).redelivered for _ in range(2)
        ]

        assert [1, 0] == counts
        assert [Kind.OPEN_TICKET, Kind.OFFER] == kinds(world.pull(POLICE))

    def test_pages_together_are_everything(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each call looks at so many tickets, and says where to go on."""
        monkeypatch.setattr(reconcile, "PAGE_TICKETS", 2)
        for _ in range(5):
            hand_over(world, Matter())
        world.write(POLICE, *world.pull(POLICE))

        counts, after = [], None
        while after != "":
            since = Since(time=world.now - timedelta(days=1), after=after or "")
            found = world.bridge.reconcile(POLICE, [], world.now, since)
            counts.append(found.redelivered)
            after = found.next_after

        assert [4, 4, 2] == counts
        assert 10 == len(world.pull(POLICE))

    def test_the_closing_comes_again(self, world: World, matter: Matter) -> None:
        """A ticket's end belongs to it, in the lane where it came first."""
        offer = hand_over(world, matter)
        back = world.message(
            Kind.RETURN,
            matter,
            recipient=HOTLINE,
            previous=take(world, matter, offer),
            act={"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
            groups={"grounds": {"text": "不属于本机构。"}, "measures": {"none_needed": "无。"}},
        )
        asked = world.push(POLICE, back)[0]
        agree = world.message(Kind.AGREE, matter, recipient=POLICE, previous=digest(asked))
        agreed = digest(world.push(HOTLINE, agree)[0])
        duty = own_duty(matter, agreed)
        result = world.message(
            Kind.RESULT,
            matter,
            handoff_id=duty,
            recipient=HOTLINE,
            previous=agreed,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups=_DISPOSAL,
        )
        done = digest(world.push(HOTLINE, result)[0])
        close = world.message(Kind.CLOSE, matter, handoff_id=duty, recipient=HOTLINE, previous=done)
        stored(world.push(HOTLINE, close)[0])
        stored(world.push(HOTLINE, world.message(Kind.CLOSE_TICKET, matter))[0])
        first = kinds(world.pull(POLICE))
        world.now += timedelta(minutes=5)
        world.write(POLICE, *world.pull(POLICE))

        since = Since(time=world.now - timedelta(days=1))
        found = world.bridge.reconcile(POLICE, [], world.now, since)

        assert Kind.CLOSE_TICKET in first
        assert len(first) == found.redelivered
        assert first == kinds(world.pull(POLICE))


class TestQuarantine:
    """A lane that stood still."""

    @pytest.mark.parametrize("by_name", [True, False])
    def test_reconciling_hands_the_declined_out_again(
        self, world: World, matter: Matter, by_name: bool
    ) -> None:
        """The lane moves once its receiver asks; what is still indigestible stops it again."""
        hand_over(world, matter)
        world.drain(world.declined(POLICE, world.pull(POLICE)[0], _SICK))
        world.now += timedelta(minutes=5)
        assert [] == world.pull(POLICE)

        def ask() -> list[Delivered]:
            heads = [Head(handoff_id=matter.handoff_id, digest=b"")] if by_name else []
            since = None if by_name else Since(time=world.now - timedelta(days=1))
            world.bridge.reconcile(POLICE, heads, world.now, since)
            return world.pull(POLICE)

        again = ask()
        world.drain(world.declined(POLICE, again[0], _SICK))
        world.now += timedelta(minutes=5)
        stopped = world.pull(POLICE)
        told = [one for one in world.pull(HOTLINE) if one.refused]
        world.write(POLICE, *ask())

        assert [Kind.OPEN_TICKET, Kind.OFFER] == kinds(again)
        assert [] == stopped
        assert 2 == len(told)
        progress(world, matter)
        assert [Kind.PROGRESS] == kinds(world.pull(POLICE))

    def test_another_does_not_lift_it(self, world: World, matter: Matter) -> None:
        """A quarantine is its receiver's own."""
        hand_over(world, matter)
        world.drain(world.declined(POLICE, world.pull(POLICE)[0], _SICK))
        world.now += timedelta(minutes=5)

        compare(world, HOTLINE, matter)
        compare(world, DEPARTMENT, matter)

        assert [] == world.pull(POLICE)


def test_what_is_settled_while_a_pull_reads_is_not_leased(
    world: World, matter: Matter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lane would stand still for a whole lease, with nobody to acknowledge it."""
    hand_over(world, matter)
    first = world.pull(POLICE)
    world.now = first[0].lease_expires
    progress(world, matter)
    waiting = world.bridge.store.waiting

    def read(
        recipient: str, limit: int, *, skip_lanes: Collection[str], least: int
    ) -> list[Waiting]:
        rows = waiting(recipient, limit, skip_lanes=skip_lanes, least=least)
        world.write(POLICE, *first)
        return rows

    monkeypatch.setattr(world.bridge.store, "waiting", read)
    got = world.pull(POLICE)
    monkeypatch.undo()

    assert [Kind.PROGRESS] == kinds(got)
    world.write(POLICE, *got)
    progress(world, matter)
    assert [Kind.PROGRESS] == kinds(world.pull(POLICE))
