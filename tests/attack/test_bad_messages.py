"""
Bad messages between good ones, over real TLS into each database.

Of every one: its own answer with its code and every field at fault, in both languages; its
neighbours are stored; in the database is one refusal and nothing else of it; the audit holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.acts import Classification, Kind
from exchange.client.messages import OutgoingMessage, Sealer
from exchange.envelope import MESSAGE_TYPE, SigningKey, group_digest, sign
from exchange.errors import Refusal, RefusalCode
from exchange.wire.headers import MAX_ENVELOPE, signature_to_proto
from exchange.wire.receipts import refusal_of
from tests.attack.conftest import serving
from tests.attack.evidence import column, counts, findings, grown
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller, Running, calling, failure, matter

#: What one stored opening of a ticket writes.
OPENING = {"ticket": 1, "message": 1, "trail": 1}


def opening(**changes: Any) -> OutgoingMessage:
    """Return a new ticket with *changes* in its act."""
    made = matter()[0]
    return replace(made, act={**made.act, **changes})


def a_pair(**changes: Any) -> list[OutgoingMessage]:
    """Return a new ticket and its offer with *changes* in the offer's act."""
    first, offer = matter()
    return [first, replace(offer, act={**offer.act, **changes})]


def reworked(
    sealed: bytes, signer: SigningKey, rework: Callable[[message_pb2.Header], None]
) -> bytes:
    """Return a sealed message with another header, signed anew."""
    envelope = message_pb2.Envelope.FromString(sealed)
    header = message_pb2.Header.FromString(envelope.header)
    rework(header)
    envelope.header = header.SerializeToString(deterministic=True)
    (signature,) = sign(MESSAGE_TYPE, [envelope.header], signer)
    envelope.signature.CopyFrom(signature_to_proto(signature))
    return envelope.SerializeToString(deterministic=True)


def regrouped(sealed: bytes, signer: SigningKey, number: int, content: bytes) -> bytes:
    """Return a sealed message with other bytes in group *number*, signed anew."""
    envelope = message_pb2.Envelope.FromString(sealed)
    (group,) = [group for group in envelope.groups if group.group == number]
    group.content = content

    def bind(header: message_pb2.Header) -> None:
        (entry,) = [entry for entry in header.groups if entry.group == number]
        entry.digest = group_digest(number, group.salt, content)

    return reworked(envelope.SerializeToString(), signer, bind)


def refusal_in(outcome: pb.PushOutcome) -> Refusal:
    """Return an outcome's refusal, which must be worth reading in both languages."""
    assert outcome.WhichOneof("outcome") == "refused", outcome
    refusal = refusal_of(outcome.refused)
    assert all(v.text.en and v.text.zh and v.field and v.rule for v in refusal.violations)
    assert refusal.text.en.endswith(".") or refusal.text.en.endswith(")")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in refusal.text.zh)
    return refusal


def between_neighbours(
    bridge: Running, pki: Pki, caller: Caller, bad: Iterable[bytes]
) -> list[pb.PushOutcome]:
    """
    Push *bad* in one call, a good ticket before and after each; return the outcomes of the bad.

    Whatever the bad came to, the good ones are stored, and besides only what was answered is.
    """
    attacks = list(bad)
    good = [caller.sealer.seal([opening()])[0].envelope for _ in range(len(attacks) + 1)]
    before = counts(bridge.settings.database)
    batch = [good[0]]
    for attack, neighbour in zip(attacks, good[1:], strict=True):
        batch += [attack, neighbour]
    outcomes = caller.push(batch)
    grew = grown(before, counts(bridge.settings.database))
    kinds = [str(outcome.WhichOneof("outcome")) for outcome in outcomes[1::2]]
    assert [outcome.WhichOneof("outcome") for outcome in outcomes[::2]] == ["stored"] * len(good)
    stored = len(good) + kinds.count("stored")
    assert grew.pop("refusal", 0) == kinds.count("refused")
    assert grew.pop("drain") >= 1
    if not kinds.count("stored"):
        assert grew == {name: stored * rows for name, rows in OPENING.items()}
    assert not findings(bridge.settings.database, pki)
    return list(outcomes[1::2])


def expect(
    outcomes: Iterable[pb.PushOutcome], wanted: Iterable[tuple[RefusalCode, set[str]]]
) -> None:
    """Hold outcomes against codes and fields at fault."""
    found = [refusal_in(outcome) for outcome in outcomes]
    assert [(r.code, {v.field for v in r.violations}) for r in found] == list(wanted)


def test_bytes_that_are_no_message(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """Junk, a junk header, nothing at all, a header cut off, a thing of another contract."""
    (good,) = hotline.sealer.seal([opening()])
    envelope = message_pb2.Envelope.FromString(good.envelope)
    outcomes = between_neighbours(
        bridge,
        pki,
        hotline,
        [
            b"\xff\xff\xff junk",
            message_pb2.Envelope(header=b"\xff\xff").SerializeToString(),
            b"",
            message_pb2.Envelope(
                header=envelope.header[:-3], signature=envelope.signature
            ).SerializeToString(),
            b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f",
            b"\x0b" * 5000,
        ],
    )
    codes = [refusal_in(outcome).code for outcome in outcomes]
    unknown, malformed = RefusalCode.UNKNOWN_KIND, RefusalCode.MALFORMED
    assert codes == [malformed, malformed, unknown, malformed, malformed, malformed]


def test_a_nul_character_anywhere(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """U+0000 in a field group and in the header: the field is named, the text is not repeated."""
    titled = replace(opening(), groups={**opening().groups, "matter": {"title": "井\0盖"}})
    edition = opening(catalogue_edition="20\0")
    outcomes = between_neighbours(
        bridge, pki, hotline, [s.envelope for s in hotline.sealer.seal([titled, edition])]
    )
    expect(
        outcomes,
        [
            (RefusalCode.FIELD_INVALID, {"matter.title"}),
            (RefusalCode.FIELD_INVALID, {"header.open_ticket.catalogue_edition"}),
        ],
    )
    assert not any("井" in refusal_in(outcome).text.zh for outcome in outcomes)


def test_an_unknown_kind(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """An act of a later contract is a header without an act that this bridge knows."""
    (good,) = hotline.sealer.seal([opening()])

    def later(header: message_pb2.Header) -> None:
        header.ClearField("open_ticket")
        header.MergeFromString(b"\xfa\x3f\x02\x08\x01")  # field 1023

    bad = reworked(good.envelope, hotline.sealer.signer, later)
    expect(
        between_neighbours(bridge, pki, hotline, [bad]),
        [(RefusalCode.UNKNOWN_KIND, {"header.act"})],
    )


def test_every_field_at_fault_is_named(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """Three things wrong in the header and two in the groups: five violations, at once."""
    made = opening(region="x", kind=0)
    made = replace(
        made,
        ticket_id="not-an-id",
        groups={**made.groups, "identity": {}, "matter": {"title": "长" * 5000}},
    )
    (bad,) = hotline.sealer.seal([made])
    (outcome,) = between_neighbours(bridge, pki, hotline, [bad.envelope])
    refusal = refusal_in(outcome)
    assert refusal.code is RefusalCode.FIELD_INVALID
    assert {violation.field for violation in refusal.violations} >= {
        "header.ticket_id",
        "header.open_ticket.region",
        "header.open_ticket.kind",
        "identity.record_number",
        "matter.title",
    }


def test_who_says_it(bridge: Running, pki: Pki, hotline: Caller, police: Caller) -> None:
    """Unsigned, another's signature, another key under a good name, another author: four answers."""
    first, second, third = (s.envelope for s in hotline.sealer.seal([opening() for _ in range(3)]))
    unsigned = message_pb2.Envelope.FromString(first)
    unsigned.ClearField("signature")
    borrowed = message_pb2.Envelope.FromString(second)
    borrowed.signature.CopyFrom(message_pb2.Envelope.FromString(third).signature)
    (forged,) = police.sealer.seal([opening()])
    renamed = message_pb2.Envelope.FromString(forged.envelope)
    renamed.signature.key_id = borrowed.signature.key_id
    other = Sealer(COUNTY_12345.organisation, hotline.sealer.signer)
    (as_another,) = other.seal([opening()])
    police.push(police.sealer.seal([opening()]))  # 110's certificate is known from now on
    (by_another,) = Sealer(CITY_12345.organisation, police.sealer.signer).seal([opening()])
    outcomes = between_neighbours(
        bridge,
        pki,
        hotline,
        [
            unsigned.SerializeToString(),
            borrowed.SerializeToString(),
            renamed.SerializeToString(),
            as_another.envelope,
            by_another.envelope,
            forged.envelope,
        ],
    )
    expect(
        outcomes,
        [
            (RefusalCode.UNSIGNED, {"envelope.signature"}),
            (RefusalCode.SIGNATURE_INVALID, {"envelope.signature"}),
            (RefusalCode.SIGNATURE_INVALID, {"envelope.signature"}),
            (RefusalCode.AUTHOR_MISMATCH, {"header.author"}),
            (RefusalCode.AUTHOR_MISMATCH, {"header.author"}),
            (RefusalCode.AUTHOR_MISMATCH, {"header.author"}),
        ],
    )
    assert CITY_110.organisation in refusal_in(outcomes[4]).text.zh


def test_only_a_registered_relay_speaks_for_another(pki: Pki, tmp_path: Path) -> None:
    """The city's gateway brings the county's messages where it is registered to, and not back."""
    relays = f'\n[relays]\n"{CITY_12345.organisation}" = ["{COUNTY_12345.organisation}"]\n'
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    with (
        serving(pki, tmp_path, url, relays) as bridge,
        calling(pki, bridge.port, CITY_12345) as city,
        calling(pki, bridge.port, COUNTY_12345) as county,
    ):
        brought = Caller(city.desk, city.channel, county.sealer)
        (outcome,) = brought.push(county.sealer.seal([opening()]))
        assert outcome.WhichOneof("outcome") == "stored"
        back = Caller(county.desk, county.channel, city.sealer)
        (outcome,) = back.push(city.sealer.seal([opening()]))
        assert refusal_in(outcome).code is RefusalCode.AUTHOR_MISMATCH


def test_a_repeat_with_other_content(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """The id stands for what came first; the same again has the same receipt, byte for byte."""
    first, other = opening(), opening()
    (sealed,) = hotline.sealer.seal([first])
    (receipt,) = hotline.push([sealed])
    changed = replace(other, message_id=first.message_id)
    resealed = hotline.sealer.seal([first])[0]  # the same words with new salts are other content
    outcomes = between_neighbours(
        bridge, pki, hotline, [hotline.sealer.seal([changed])[0].envelope, resealed.envelope]
    )
    expect(outcomes, [(RefusalCode.DIFFERENT_CONTENT, {"header.message_id"})] * 2)
    assert hotline.push([sealed]) == [receipt]
    twice = [hotline.sealer.seal([opening(), opening()])[0].envelope] * 2
    one, same = hotline.push(twice)
    assert one.SerializeToString() == same.SerializeToString()


def test_groups_that_were_not_signed(bridge: Running, pki: Pki, hotline: Caller) -> None:
    """A group changed on the way, and one that the header does not know."""
    changed, added = (s.envelope for s in hotline.sealer.seal([opening(), opening()]))
    envelope = message_pb2.Envelope.FromString(changed)
    envelope.groups[0].salt = bytes(16)
    more = message_pb2.Envelope.FromString(added)
    more.groups.add(group=5, salt=bytes(16), content=b"")
    outcomes = between_neighbours(
        bridge, pki, hotline, [envelope.SerializeToString(), more.SerializeToString()]
    )
    codes = [refusal_in(outcome).code for outcome in outcomes]
    assert codes[0] is RefusalCode.GROUP_DIGEST_MISMATCH
    assert codes[1] in (RefusalCode.GROUP_DIGEST_MISMATCH, RefusalCode.FIELD_INVALID)


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
