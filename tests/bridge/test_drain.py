"""One drain: what is accepted, repeated, awaited and refused, and what waits for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exchange.acts import Kind
from exchange.errors import PredecessorUnknown, RefusalCode
from exchange.log import LeafKind, TrustedLogs
from exchange.submission import Pushed, Retry
from exchange.wire.headers import read_envelope
from tests.bridge.world import (
    DEPARTMENT,
    HOTLINE,
    LOG_KEY,
    POLICE,
    Matter,
    World,
    recorded,
    refused,
    stored,
)


@pytest.fixture
def matter() -> Matter:
    """A new matter that 12345 hands to 110."""
    return Matter()


def hand_over(world: World, matter: Matter) -> None:
    """Let the hotline open and offer *matter*."""
    for outcome in world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE)):
        stored(outcome)


class TestPush:
    """Messages that come in."""

    def test_ticket_and_offer_in_one_drain(self, world: World, matter: Matter) -> None:
        """A ticket and its offer may arrive together, and the receipts prove both."""
        opening, offer = world.opening(matter), world.offer(matter, POLICE)
        party = world.parties[HOTLINE]
        sealed = party.seal(opening, offer)

        outcomes = world.drain(*party.pushes(sealed))

        logs = TrustedLogs([LOG_KEY.verifier])
        for place, (one, outcome) in enumerate(zip(sealed, outcomes, strict=True)):
            leaf, checkpoint = stored(outcome).proof.verify(LeafKind.MESSAGE, one.digest, logs)
            assert stored(outcome).proof.index == place
            assert checkpoint.size == 2
            assert leaf.time == world.now

    def test_the_lane_begins_with_the_ticket(self, world: World, matter: Matter) -> None:
        """The receiver finds the ticket before the offer, in the hand-off's lane."""
        hand_over(world, matter)

        waiting = world.pull(POLICE)

        assert [matter.handoff_id] * 2 == [one.lane for one in waiting]
        kinds = [read_envelope(one.envelope).message for one in waiting]
        assert [Kind.OPEN_TICKET, Kind.OFFER] == [m.kind for m in kinds if m is not None]

    def test_repeat_gets_the_same_receipt_after_a_restart(
        self, world: World, matter: Matter
    ) -> None:
        """The same message gets the same bytes of receipt, whatever happened in between."""
        party = world.parties[HOTLINE]
        sealed = party.seal(world.opening(matter), world.offer(matter, POLICE))
        first = world.drain(*party.pushes(sealed))
        hand_over(world, Matter())
        world.restart()

        again = world.drain(*party.pushes(sealed))

        assert [stored(o).proof for o in first] == [stored(o).proof for o in again]

    def test_repeat_after_the_signer_expired(self, world: World, matter: Matter) -> None:
        """A receipt has no time window: the signer need not be trusted any more."""
        party = world.parties[HOTLINE]
        (pushed,) = party.pushes(party.seal(world.opening(matter)))
        (first,) = world.drain(pushed)

        (again,) = world.drain(replace(pushed, author=None))
        (stranger,) = world.drain(replace(pushed, author=None, caller=POLICE))

        assert stored(first).proof == stored(again).proof
        assert refused(stranger).code is RefusalCode.SIGNER_NOT_TRUSTED

    def test_repeat_in_one_drain(self, world: World, matter: Matter) -> None:
        """Twice in one drain is once, with one receipt."""
        party = world.parties[HOTLINE]
        (sealed,) = party.seal(world.opening(matter))

        first, second = world.drain(*party.pushes([sealed, sealed]))

        assert stored(first).proof == stored(second).proof

    def test_same_id_other_content(self, world: World, matter: Matter) -> None:
        """An id that was used for other content is refused as such, also within one drain."""
        opening = world.opening(matter)
        other = replace(opening, ticket_id=Matter().ticket_id)

        first, second = world.push(HOTLINE, opening, other)
        (third,) = world.push(HOTLINE, other)

        stored(first)
        assert refused(second).code is RefusalCode.DIFFERENT_CONTENT
        assert refused(third).code is RefusalCode.DIFFERENT_CONTENT

    def test_predecessor_that_has_not_arrived(self, world: World, matter: Matter) -> None:
        """An offer before its ticket is no refusal: it may come again, and then passes."""
        offer = world.offer(matter, POLICE)

        (early,) = world.push(HOTLINE, offer)
        outcomes = world.push(HOTLINE, world.opening(matter), offer)

        assert isinstance(early, Retry)
        assert isinstance(early.error, PredecessorUnknown)
        assert [0, 1] == [stored(outcome).proof.index for outcome in outcomes]

    def test_one_bad_message_never_fails_its_neighbours(self, world: World, matter: Matter) -> None:
        """A refused message leaves those around it accepted, in request order."""
        bad = world.opening(Matter(), region="990000")

        outcomes = world.push(HOTLINE, world.opening(matter), bad, world.offer(matter, POLICE))

        stored(outcomes[0])
        assert refused(outcomes[1]).code is RefusalCode.REGION_UNKNOWN
        assert refused(outcomes[1]).violations[0].field == "header.open_ticket.region"
        stored(outcomes[2])

    def test_a_refused_id_is_judged_afresh(self, world: World, matter: Matter) -> None:
        """What was refused may be said again under the same id once it is right."""
        bad = world.opening(matter, region="990000")
        good = replace(world.opening(matter), message_id=bad.message_id)

        (first,) = world.push(HOTLINE, bad)
        (second,) = world.push(HOTLINE, good)

        refused(first)
        stored(second)


class TestAuthor:
    """Who says it."""

    def push_one(self, world: World, matter: Matter, **changed: Any) -> RefusalCode:
        """Push an opening as the hotline, with parts of the submission *changed*."""
        party = world.parties[HOTLINE]
        (pushed,) = party.pushes(party.seal(world.opening(matter)))

        (outcome,) = world.drain(replace(pushed, **changed))

        return refused(outcome).code

    def test_unsigned(self, world: World, matter: Matter) -> None:
        """A message without a signature is refused."""
        party = world.parties[HOTLINE]
        (pushed,) = party.pushes(party.seal(world.opening(matter)))
        bare = replace(pushed.received, signature=None)

        (outcome,) = world.drain(replace(pushed, received=bare))

        assert refused(outcome).code is RefusalCode.UNSIGNED

    def test_signer_not_trusted(self, world: World, matter: Matter) -> None:
        """A signer that no network vouches for is refused."""
        assert self.push_one(world, matter, author=None) is RefusalCode.SIGNER_NOT_TRUSTED

    def test_signed_by_another_key(self, world: World, matter: Matter) -> None:
        """A signature of another key than the certificate's does not hold."""
        other = world.parties[POLICE].author

        assert self.push_one(world, matter, author=other) is RefusalCode.SIGNATURE_INVALID

    def test_author_is_not_the_signer(self, world: World, matter: Matter) -> None:
        """A message in another organisation's name is refused."""
        as_police = replace(world.parties[HOTLINE].author, organisation=POLICE)

        assert self.push_one(world, matter, author=as_police) is RefusalCode.AUTHOR_MISMATCH

    def test_caller_is_neither_author_nor_relay(self, world: World, matter: Matter) -> None:
        """Another organisation's gateway may not push it unless it is a registered relay."""
        assert self.push_one(world, matter, caller=POLICE) is RefusalCode.AUTHOR_MISMATCH


class TestAcknowledge:
    """Written, refused, noted."""

    def test_written_goes_to_the_sender(self, world: World, matter: Matter) -> None:
        """The receiver's signed statement is logged and waits for the sender, unchanged."""
        hand_over(world, matter)
        delivered = world.pull(POLICE)

        outcomes = world.write(POLICE, *delivered)

        assert [2, 3] == [recorded(outcome).leaf_index for outcome in outcomes]
        receipts = world.pull(HOTLINE)
        assert [one.message_id for one in delivered] == [one.message_id for one in receipts]
        assert all(one.written for one in receipts)
        world.write(HOTLINE, *receipts)
        assert world.pull(HOTLINE) == []
        assert world.pull(POLICE) == []

    def test_first_acknowledgement_wins(self, world: World, matter: Matter) -> None:
        """A second "written" gets the first one's leaf, in one drain and in a later one."""
        hand_over(world, matter)
        one = world.pull(POLICE)[0]
        first = world.written(POLICE, one)

        outcomes = world.drain(first, first)
        (later,) = world.drain(world.written(POLICE, one))

        assert {2} == {recorded(o).leaf_index for o in [*outcomes, later]}

    def test_nobody_acknowledges_for_another(self, world: World, matter: Matter) -> None:
        """Only the organisation for whom a message waits may say it is written."""
        hand_over(world, matter)
        one = world.pull(POLICE)[0]

        (outcome,) = world.drain(world.written(DEPARTMENT, one))

        assert refused(outcome).code is RefusalCode.NOT_A_PARTY

    def test_quarantine_stops_only_its_lane(self, world: World, matter: Matter) -> None:
        """A message that cannot be digested stops its lane, tells the sender, and loses nothing."""
        other = Matter()
        hand_over(world, matter)
        hand_over(world, other)
        first = next(one for one in world.pull(POLICE) if one.lane == matter.handoff_id)
        refusal = refused(world.push(HOTLINE, world.opening(Matter(), region="990000"))[0])

        world.drain(world.declined(POLICE, first, refusal))
        world.now = first.lease_expires
        lanes = {one.lane for one in world.pull(POLICE)}
        told = [one for one in world.pull(HOTLINE) if one.refused]
        world.write(POLICE, first)
        world.now = world.now.replace(hour=12)

        assert lanes == {other.handoff_id}
        assert [first.message_id] == [one.message_id for one in told]
        assert matter.handoff_id in {one.lane for one in world.pull(POLICE)}


class TestLeases:
    """What is out is not handed out again before its time."""

    def test_lane_out_until_acknowledged_or_expired(self, world: World, matter: Matter) -> None:
        """A leased lane stands still; after the lease it comes again, with its attempt counted."""
        hand_over(world, matter)
        first = world.pull(POLICE)

        meanwhile = world.pull(POLICE)
        world.now = first[0].lease_expires
        again = world.pull(POLICE)

        assert meanwhile == []
        assert [one.position for one in first] == [one.position for one in again]
        assert {2} == {one.attempt for one in again}


class TestLife:
    """A hand-off's whole way."""

    def test_take_result_close(self, world: World, matter: Matter) -> None:
        """A hand-off is taken, worked and closed; then its origin closes the ticket."""
        party, police = world.parties[HOTLINE], world.parties[POLICE]
        opening, offer = party.seal(world.opening(matter), world.offer(matter, POLICE))
        take = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=offer.digest)
        (taken,) = police.seal(take)
        work = world.message(
            Kind.RESULT,
            matter,
            recipient=HOTLINE,
            previous=taken.digest,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已现场处置完毕。"}},
        )
        (result,) = police.seal(work)
        (closing,) = party.seal(
            world.message(Kind.CLOSE, matter, recipient=POLICE, previous=result.digest)
        )
        (conclusion,) = party.seal(world.message(Kind.CLOSE_TICKET, matter))

        def as_pushed() -> list[Pushed]:
            return [
                *party.pushes([opening, offer]),
                *police.pushes([taken, result]),
                *party.pushes([closing, conclusion]),
            ]

        outcomes = world.drain(*as_pushed())

        assert list(range(6)) == [stored(outcome).proof.index for outcome in outcomes]

    def test_superseded(self, world: World, matter: Matter) -> None:
        """A move on a predecessor that already has a successor is refused."""
        party, police = world.parties[HOTLINE], world.parties[POLICE]
        opening, offer = party.seal(world.opening(matter), world.offer(matter, POLICE))
        world.drain(*party.pushes([opening, offer]))
        first = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=offer.digest)
        second = replace(first, message_id=Matter().ticket_id)

        outcomes = world.drain(*police.pushes(police.seal(first, second)))

        stored(outcomes[0])
        assert refused(outcomes[1]).code in {RefusalCode.WRONG_STATE, RefusalCode.SUPERSEDED}

    @pytest.mark.parametrize("together", [True, False])
    def test_no_result_while_an_onward_hand_off_is_open(
        self, world: World, matter: Matter, together: bool
    ) -> None:
        """Who handed a matter on answers for it until that is done, also within one drain."""
        hotline, police = world.parties[HOTLINE], world.parties[POLICE]
        opening, offer = hotline.seal(world.opening(matter), world.offer(matter, POLICE))
        (taken,) = police.seal(
            world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=offer.digest)
        )
        onward = replace(
            world.offer(matter, DEPARTMENT, onward_of=matter.handoff_id, form="HANDOFF_FORM_JOINT"),
            handoff_id=Matter().handoff_id,
        )
        result = world.message(
            Kind.RESULT,
            matter,
            recipient=HOTLINE,
            previous=taken.digest,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已现场处置完毕。"}},
        )
        work = [
            *hotline.pushes([opening, offer]),
            *police.pushes([taken, *police.seal(onward, result)]),
        ]

        outcomes = world.drain(*work) if together else [world.drain(one)[0] for one in work]

        for outcome in outcomes[:4]:
            stored(outcome)
        assert refused(outcomes[4]).code is RefusalCode.ONWARD_OPEN
