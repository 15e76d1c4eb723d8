"""Of several faults the first code is given: one message is mended fault by fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Classification, Group, Kind, Marker
from exchange.client.messages import OutgoingMessage
from exchange.errors import RefusalCode
from exchange.submission import Outcome, Pushed
from exchange.wire.headers import MAX_ENVELOPE, read_envelope
from tests.bridge.world import DEPARTMENT, HOTLINE, POLICE, Matter, World, refused, stored


def code(outcome: Outcome) -> RefusalCode:
    """Return the code of a refusal, each fault of which stands in one of the contract's places."""
    refusal = refused(outcome)
    for violation in refusal.violations:
        place = violation.field.replace("[", ".").split(".")[0]
        assert place in {"header", "envelope", "groups"}, violation.field
    return refusal.code


def test_the_bytes_go_before_who_says_it_and_that_before_the_words(world: World) -> None:
    """A message with every fault of its bytes and its signature, mended one by one."""
    party, matter = world.parties[HOTLINE], Matter()
    (first,) = party.seal(world.opening(matter))
    stored(*world.drain(*party.pushes([first])))
    # The id is used, the region is none; that the marker is unstated is the edge's to see.
    again = replace(world.opening(Matter(), region="990000"), message_id=first.message_id)
    (sealed,) = party.seal(again)
    good = pb.Envelope.FromString(sealed.envelope)
    header = pb.Header.FromString(good.header)
    header.marker = pb.Header().marker
    unstated = header.SerializeToString()
    header.ClearField("act")
    content = [int(group.group) for group in good.groups].index(Group.CONTENT)
    other = good.groups[content].content.replace("井盖".encode(), "水管".encode())
    forged = bytes(64)

    found = []
    for words, head, value, trusted, caller in (
        (bytes(MAX_ENVELOPE), header.SerializeToString(), b"", False, POLICE),
        (b"\x0a\xff", header.SerializeToString(), b"", False, POLICE),
        (other, header.SerializeToString(), b"", False, POLICE),
        (other, unstated, b"", False, POLICE),
        (other, good.header, b"", False, POLICE),
        (good.groups[content].content, good.header, b"", False, POLICE),
        (good.groups[content].content, good.header, forged, False, POLICE),
        (good.groups[content].content, good.header, forged, True, POLICE),
        (good.groups[content].content, good.header, good.signature.value, True, POLICE),
        (good.groups[content].content, good.header, good.signature.value, True, HOTLINE),
    ):
        envelope = pb.Envelope.FromString(sealed.envelope)
        envelope.groups[content].content, envelope.header = words, head
        envelope.signature.value = value
        if not value:
            envelope.ClearField("signature")
        received = read_envelope(envelope.SerializeToString())
        author = party.author if trusted else None
        found.append(code(*world.drain(Pushed(received=received, caller=caller, author=author))))

    assert found == [member for member in RefusalCode if member <= RefusalCode.DIFFERENT_CONTENT]


def test_the_words_go_before_where_it_stands(world: World) -> None:
    """A message that opens a ticket again, in a region, edition and class that cannot be."""
    matter = Matter()
    stored(*world.push(HOTLINE, world.opening(matter)))
    wrong = world.opening(
        matter, region="990000", catalogue_edition="1999", first_receiver="9" * 18
    )
    act = dict(wrong.act)
    faulty = replace(wrong, classification=Classification.SECRET, marker=Marker.TEST)

    found = []
    for mended in (
        {},
        {"region": "320507"},
        {"first_receiver": ""},
        {"catalogue_edition": world.opening(matter).act["catalogue_edition"]},
    ):
        act |= mended
        faulty = replace(faulty, act=dict(act), message_id=Matter().ticket_id)
        found.append(code(*world.push(HOTLINE, faulty)))
    ordinary = replace(faulty, classification=Classification.ORDINARY)
    found.append(code(*world.push(HOTLINE, replace(ordinary, groups={}))))

    assert found == [
        RefusalCode.REGION_UNKNOWN,
        RefusalCode.ORGANISATION_UNKNOWN,
        RefusalCode.EDITION_UNKNOWN,
        RefusalCode.SECRET,
        RefusalCode.ALREADY_EXISTS,
    ]


def test_where_it_stands_goes_before_what_the_profile_asks(world: World) -> None:
    """An offer under a used id, by who may not say it, of the wrong matter, on a closed ticket."""
    matter, other = Matter(), Matter()
    for one in (matter, other):
        stored(*world.push(HOTLINE, world.opening(one)))
    stored(*world.push(HOTLINE, world.offer(other, POLICE)))
    stored(*world.push(HOTLINE, world.message(Kind.CLOSE_TICKET, matter)))

    def offer(handoff_id: str, **changes: object) -> OutgoingMessage:
        made = world.offer(matter, POLICE, profile_edition="1999")
        made = replace(made, act={**made.act, "matter": "XC.H.01.01"}, marker=Marker.EXERCISE)
        return replace(made, handoff_id=handoff_id, groups={}, **changes)  # type: ignore[arg-type]

    right = {**world.offer(matter, POLICE).act, "matter": "XC.H.01.01"}
    found = [
        code(*world.push(DEPARTMENT, offer(other.handoff_id))),
        code(*world.push(DEPARTMENT, offer(other.handoff_id, act=right))),
        code(*world.push(HOTLINE, offer(other.handoff_id, act=right))),
        code(*world.push(HOTLINE, offer(matter.handoff_id, act=right))),
    ]

    assert found == [
        RefusalCode.EDITION_UNKNOWN,
        RefusalCode.NOT_A_PARTY,
        RefusalCode.ALREADY_EXISTS,
        RefusalCode.TICKET_CLOSED,
    ]


def test_an_offer_is_mended_to_the_end(world: World) -> None:
    """An exercise, the wrong way, without reason or review: marker, route, reason, review, stored."""
    matter = Matter()
    stored(*world.push(HOTLINE, world.opening(matter)))
    good = world.offer(matter, POLICE)
    wrong_way = {**good.act, "matter": "XC.H.01.01"}
    groups = dict(good.groups)

    outcomes = world.push(
        HOTLINE,
        *(
            replace(good, message_id=Matter().ticket_id, **changes)
            for changes in (
                {"marker": Marker.EXERCISE, "act": wrong_way, "groups": {}},
                {"act": wrong_way, "groups": {}},
                {"act": {**good.act, "matter": ""}, "groups": {}},
                {"groups": groups},
            )
        ),
    )

    stored(outcomes[3])
    assert [code(outcome) for outcome in outcomes[:3]] == [
        RefusalCode.MARKER_MISMATCH,
        RefusalCode.ROUTE_NOT_ALLOWED,
        RefusalCode.REASON_REQUIRED,
    ]


@pytest.mark.parametrize("by_police", [True, False])
def test_a_closed_ticket_is_closed_to_everybody(world: World, by_police: bool) -> None:
    """Closed twice: that it is closed goes before who closes it."""
    matter = Matter()
    stored(*world.push(HOTLINE, world.opening(matter)))
    stored(*world.push(HOTLINE, world.message(Kind.CLOSE_TICKET, matter)))

    outcome = world.push(POLICE if by_police else HOTLINE, world.message(Kind.CLOSE_TICKET, matter))

    assert code(*outcome) is RefusalCode.TICKET_CLOSED
