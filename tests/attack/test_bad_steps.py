"""
Messages that say what may not be said, between good ones, over real TLS into each database.

Of every one: its own answer with its code and every field at fault, in both languages; its
neighbours are stored; in the database is one refusal and nothing else of it; the audit holds.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.acts import Classification, Kind
from exchange.client.messages import OutgoingMessage
from exchange.errors import RefusalCode
from exchange.wire.headers import MAX_ENVELOPE
from tests.attack.evidence import column, counts, grown
from tests.attack.neighbours import (
    between_neighbours,
    expect,
    opening,
    refusal_in,
)
from tests.pki import Pki
from tests.server.running import Caller, Running, failure, matter


def test_what_has_not_arrived_is_awaited(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """An offer of no ticket, a note on no hand-off, a step after no step: retry, nothing recorded."""
    lonely = matter()[1]
    first, offer = matter()
    hotline.push(hotline.sealer.seal([first, offer]))
    note = replace(
        offer, kind=Kind.TAKE_OVER, handoff_id=str(uuid.uuid4()), message_id=str(uuid.uuid4()),
        act={},
    )  # fmt: skip
    step = replace(
        offer, kind=Kind.CLOSE, previous=bytes(32), message_id=str(uuid.uuid4()), act={}, groups={}
    )
    sealed = [s.envelope for s in hotline.sealer.seal([lonely, note, step])]
    outcomes = between_neighbours(bridge, pki, hotline, sealed)
    for outcome in outcomes:
        assert outcome.WhichOneof("outcome") == "retry", outcome
        assert outcome.retry.reason == "PREDECESSOR_UNKNOWN"
        assert outcome.retry.delay.ToMilliseconds() > 0
        assert outcome.retry.text.en
        assert outcome.retry.text.zh
    # What it waited for comes, and then it passes.
    ticket = replace(first, ticket_id=lonely.ticket_id, message_id=str(uuid.uuid4()))
    arrived = hotline.push([*hotline.sealer.seal([ticket]), sealed[0]])
    assert [outcome.WhichOneof("outcome") for outcome in arrived] == ["stored", "stored"]


def test_a_message_that_is_too_large(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """One byte over the limit is refused by its size, before anything of it is read."""
    (good,) = hotline.sealer.seal([opening()])
    # A field of a later contract: carried untouched up to the limit, and one byte more is too much.
    fill = MAX_ENVELOPE - len(good.envelope) - 5
    fits = (
        good.envelope + b"\xfa\x3f" + bytes([fill & 127 | 128, fill >> 7 & 127 | 128, fill >> 14])
    )
    assert len(fits) + fill == MAX_ENVELOPE
    assert hotline.push([fits + bytes(fill)])[0].WhichOneof("outcome") == "stored"
    outcomes = between_neighbours(bridge, pki, hotline, [fits + bytes(fill + 1)])
    expect(outcomes, [(RefusalCode.TOO_LARGE, {"envelope"})])
    assert str(MAX_ENVELOPE) in refusal_in(outcomes[0]).text.zh


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (pb.PushMessagesRequest(envelopes=[b"x"] * 513), "repeated.max_items"),
        (pb.PushMessagesRequest(envelopes=[bytes(60_000)] * 80), "request-size"),
        (pb.PushMessagesRequest(), "repeated.min_items"),
        (pb.PushMessagesRequest(envelopes=[b"x"], checkpoint="x" * 4097), "string.max_len"),
        (
            pb.PushMessagesRequest(
                envelopes=[b"x"],
                certificates=[message_pb2.CertificateChain(certificates=[b"x"])] * 17,
            ),
            "repeated.max_items",
        ),
    ],
)
def test_a_call_that_is_too_much(
    bridge: Running, hotline: Caller, request_: pb.PushMessagesRequest, rule: str
) -> None:
    """Too many or too large together: the call fails as a whole, and nothing of it is recorded."""
    before = counts(bridge.settings.database)
    with pytest.raises(grpc.RpcError) as raised:
        hotline.exchange.PushMessages(request_, timeout=20)
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert facts["rule"] == rule
    assert grown(before, counts(bridge.settings.database)) == {}
    assert hotline.push(hotline.sealer.seal([opening()]))[0].WhichOneof("outcome") == "stored"


def test_words_that_are_not_known(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """Region, organisation, matter, profile and editions that are none: each by its field."""
    strange_region = opening(region="149999")
    strange_first = opening(first_receiver="999999999999")
    bad_check = opening(first_receiver="11140400MB1X00010X")
    strange_matter = opening(matter="NM.P.99.99")
    strange_edition = opening(catalogue_edition="1999")
    sealed = hotline.sealer.seal(
        [strange_region, strange_first, bad_check, strange_matter, strange_edition]
    )
    outcomes = between_neighbours(bridge, pki, hotline, [s.envelope for s in sealed])
    expect(
        outcomes,
        [
            (RefusalCode.REGION_UNKNOWN, {"header.open_ticket.region"}),
            (RefusalCode.ORGANISATION_UNKNOWN, {"header.open_ticket.first_receiver"}),
            (RefusalCode.ORGANISATION_UNKNOWN, {"header.open_ticket.first_receiver"}),
            (RefusalCode.MATTER_UNKNOWN, {"header.open_ticket.matter"}),
            (RefusalCode.EDITION_UNKNOWN, {"header.open_ticket.catalogue_edition"}),
        ],
    )


def offered(
    bridge: Running, pki: Pki, caller: Caller, offers: list[OutgoingMessage]
) -> list[pb.PushOutcome]:
    """Push *offers* of tickets that are there between good neighbours."""
    sealed = [s.envelope for s in caller.sealer.seal(offers)]
    return between_neighbours(bridge, pki, caller, sealed)


def test_offers_that_may_not_be(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """An unknown receiver, matter, profile or edition, and what the hotline may not send or take."""
    pairs = [matter() for _ in range(6)]
    hotline.push(hotline.sealer.seal([pair[0] for pair in pairs]))
    offers = [pair[1] for pair in pairs]
    changes: list[dict[str, Any]] = [
        {"recipient": "140499999999"},
        {"act": {**offers[1].act, "matter": "NM.P.99.99"}},
        {"act": {**offers[2].act, "profile": "atlantis"}},
        {"act": {**offers[3].act, "profile_edition": "1999"}},
        {"act": {**offers[4].act, "matter": "NM.H.EXCL.01"}},
        {"act": {**offers[5].act, "matter": "NM.H.01.10"}},
    ]
    bad = [replace(offer, **change) for offer, change in zip(offers, changes, strict=True)]
    expect(
        offered(bridge, pki, hotline, bad),
        [
            (RefusalCode.ORGANISATION_UNKNOWN, {"header.recipient"}),
            (RefusalCode.MATTER_UNKNOWN, {"header.offer.matter"}),
            (RefusalCode.PROFILE_UNKNOWN, {"header.offer.profile"}),
            (RefusalCode.EDITION_UNKNOWN, {"header.offer.profile_edition"}),
            (RefusalCode.MATTER_EXCLUDED, {"header.offer.matter"}),
            (RefusalCode.ROUTE_NOT_ALLOWED, {"header.offer.matter"}),
        ],
    )


def test_secret_matters_do_not_cross(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """Secret, and in a legal channel: refused; not a word of them is kept."""
    words = "涉密示例词"
    secret = [
        replace(
            opening(),
            classification=word,
            groups={**opening().groups, "matter": {"title": words}},
        )
        for word in (Classification.SECRET, Classification.LEGAL_CHANNEL)
    ]
    sealed = [s.envelope for s in hotline.sealer.seal(secret)]
    outcomes = between_neighbours(bridge, pki, hotline, sealed)
    expect(outcomes, [(RefusalCode.SECRET, {"header.classification"})] * 2)
    for name in ("statement", "signature"):
        kept = column(bridge.settings.database, "refusal", name)
        assert not any(words.encode() in bytes(value) for value in kept)  # type: ignore[call-overload]


def test_steps_that_are_not_allowed(
    bridge: Running, pki: Pki, hotline: Caller, county: Caller
) -> None:
    """A step of another state, of another side, of a stranger: what stands is not moved."""
    first, offer = matter()
    offer_sealed = hotline.sealer.seal([first, offer])
    hotline.push(offer_sealed)
    states = column(bridge.settings.database, "handoff", "head")
    step = replace(
        offer, previous=offer_sealed[1].digest, message_id=str(uuid.uuid4()), act={}, groups={}
    )
    close = replace(step, kind=Kind.CLOSE)
    take = replace(step, kind=Kind.TAKE, message_id=str(uuid.uuid4()))
    again = replace(offer, message_id=str(uuid.uuid4()))
    reopened = replace(first, message_id=str(uuid.uuid4()))
    expect(
        offered(bridge, pki, hotline, [close, take, again, reopened]),
        [
            (RefusalCode.WRONG_STATE, {"header.close"}),
            (RefusalCode.NOT_A_PARTY, {"header.take"}),
            (RefusalCode.ALREADY_EXISTS, {"header.handoff_id"}),
            (RefusalCode.ALREADY_EXISTS, {"header.ticket_id"}),
        ],
    )
    conclude = OutgoingMessage(
        kind=Kind.CLOSE_TICKET, ticket_id=first.ticket_id, created=datetime.now(UTC),
        message_id=str(uuid.uuid4()),
    )  # fmt: skip
    meddling = replace(take, message_id=str(uuid.uuid4()))
    onward = replace(again, message_id=str(uuid.uuid4()), handoff_id=str(uuid.uuid4()))
    codes = [
        refusal_in(outcome).code
        for outcome in offered(bridge, pki, county, [conclude, meddling, onward])
    ]
    assert codes[0] in (RefusalCode.NOT_ORIGIN, RefusalCode.NOT_A_PARTY)
    assert codes[1:] == [RefusalCode.NOT_A_PARTY] * 2
    assert column(bridge.settings.database, "handoff", "head") == states
