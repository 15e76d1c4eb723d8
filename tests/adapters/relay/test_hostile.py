"""What a relay may not say, what goes wrong on the way, and what nobody loses by it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from adapters.relay.way import Way
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.acts import Kind
from exchange.client import Declined, Load
from exchange.config import load_settings
from exchange.errors import NotAuthorized, RefusalCode, refuse
from exchange.store.schema import migrate
from exchange.wire.headers import MAX_ENVELOPE, read_envelope, with_hop
from tests.adapters.province import (
    CITY,
    COUNTY,
    COUNTY_110,
    RELAY,
    SECOND,
    Papers,
    Post,
    Province,
    both_ways,
    open_province,
    settle,
    standing,
    utc_now,
)
from tests.adapters.relay.test_crossing import hand_over, rows
from tests.pki import CITY_110, CITY_12345


def told_no(post: Post, ticket_id: str) -> list[str]:
    """Return the codes of what the other side refused, as the desk learned of it."""
    events = post.desk.events(ticket_id)
    return [event["detail"].partition(":")[0] for event in events if event["answer"] == "declined"]


def passed(load: Load) -> receipt_pb2.StoredReceipt:
    """Return the stored receipt in an answer's acknowledgement."""
    return pb.Acknowledgement.FromString(load.acknowledgement).passed


def test_a_message_that_comes_round_is_refused_and_its_author_told(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two relays, each bridge sure that the receiver is behind the other: the first says no."""
    county_relays = {RELAY.organisation: CITY, SECOND.organisation: (CITY_110,)}
    city_relays = {RELAY.organisation: COUNTY, SECOND.organisation: CITY}
    with open_province(
        papers, tmp_path, county_relays=county_relays, city_relays=city_relays, lease_seconds=1
    ) as province:
        county = province.post(COUNTY_110, province.county)
        first, second = both_ways(province, RELAY), both_ways(province, SECOND)
        ticket, handoff = hand_over(county)
        settle(county, carry=lambda: first() + second())

        assert ["RELAY_LOOP"] == told_no(county, ticket)
        province.verified(province.county, capsys)
        province.verified(province.city, capsys)
        assert [(handoff,)] == rows(province.city, "SELECT lane FROM quarantine")


def test_who_is_no_relay_here_passes_nothing_on(province: Province) -> None:
    """Another organisation fetches nothing, may not ask again for others, and brings no proof."""
    county = province.post(COUNTY_110, province.county)
    hand_over(county)
    county.runner.collect()
    county.runner.push()
    relay, stranger = province.carrier(province.county), province.carrier(province.county, SECOND)
    loads = relay.fetch()
    answers = province.carrier(province.city).bring(loads)

    assert [] == stranger.fetch()
    with pytest.raises(NotAuthorized, match="no registered relay"):
        stranger.replay(CITY_12345.organisation, utc_now())
    said = stranger.bring([Load(acknowledgement=a.acknowledgement) for a in answers])
    assert [RefusalCode.NOT_A_PARTY] * 2 == [a.refusal.code for a in said if a.refusal]
    brought = province.carrier(province.city, SECOND).bring(loads)
    # What is known there already it may be told once more only by a relay of that bridge.
    assert [RefusalCode.AUTHOR_MISMATCH] * 2 == [a.refusal.code for a in brought if a.refusal]


def test_only_the_other_bridges_receipt_passes_a_message_on(province: Province) -> None:
    """Another message's, a changed, an unknown log's and its own receipt prove nothing."""
    county = province.post(COUNTY_110, province.county)
    ticket, _ = hand_over(county)
    county.runner.collect()
    county.runner.push()
    lower, upper = province.carrier(province.county), province.carrier(province.city)
    loads = lower.fetch()
    opening, offer = (passed(Load(acknowledgement=a.acknowledgement)) for a in upper.bring(loads))
    own = receipt_pb2.StoredReceipt.FromString(
        next(
            entry.receipt.stored.SerializeToString()
            for entry in county.client.tickets.trail(ticket)
            if entry.kind == "offer"
        )
    )
    other, changed = receipt_pb2.StoredReceipt(), receipt_pb2.StoredReceipt()
    other.CopyFrom(opening)
    other.message_id = offer.message_id
    changed.CopyFrom(offer)
    changed.accept_time.seconds += 1
    lies = [
        pb.Acknowledgement(passed=one) for one in (other, changed, own, receipt_pb2.StoredReceipt())
    ]
    answers = lower.bring([Load(acknowledgement=lie.SerializeToString()) for lie in lies])

    assert [
        RefusalCode.SIGNATURE_INVALID,
        RefusalCode.SIGNATURE_INVALID,
        RefusalCode.SIGNATURE_INVALID,
    ] == [a.refusal.code for a in answers[:3] if a.refusal]
    assert answers[3].refusal
    assert len(rows(province.county, "SELECT * FROM mailbox")) == 2
    assert [] == rows(province.county, "SELECT * FROM passage")


def test_a_relay_forges_no_receiver(province: Province) -> None:
    """A "written" that another organisation signed, or that was changed, is refused."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    lower, upper = province.carrier(province.county), province.carrier(province.city)
    up = Way(name="up", source=lower, target=upper, clock=utc_now)
    hand_over(county)
    settle(county, city, carry=up.turn)
    receipts = [load for load in upper.fetch() if load.acknowledgement]
    assert len(receipts) == 2
    changed = pb.Acknowledgement.FromString(receipts[0].acknowledgement)
    changed.written.statement = changed.written.statement.replace(
        CITY_12345.organisation.encode(), CITY_110.organisation.ljust(18, "0").encode()
    )
    foreign = dataclasses.replace(receipts[0], acknowledgement=changed.SerializeToString())
    (answer,) = lower.bring([foreign])
    assert answer.refusal is not None
    assert [] == rows(province.county, "SELECT * FROM receipt")

    # The true ones twice, in the wrong order, and before the other bridge's receipt was shown.
    answers = lower.bring([*reversed(receipts), *receipts])
    assert not any(a.refusal or a.failure for a in answers)
    assert len(rows(province.county, "SELECT * FROM receipt")) == 2


def test_a_receivers_refusal_comes_home_once(province: Province) -> None:
    """The city desk cannot digest the offer: its author is told, however often it is brought."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    lower, upper = province.carrier(province.county), province.carrier(province.city)
    up = Way(name="up", source=lower, target=upper, clock=utc_now)
    ticket, _ = hand_over(county)
    settle(county, carry=up.turn)
    declined = city.client.pull()
    assert declined
    no = refuse(RefusalCode.FIELD_INVALID, "envelope", "indigestible")
    city.client.acknowledge(
        [
            Declined(message_id=one.message_id, digest=one.digest, refusal=no, time=utc_now())
            for one in declined
        ]
    )
    receipts = [load for load in upper.fetch() if load.acknowledgement]
    assert receipts
    for _ in range(2):
        assert not any(a.refusal or a.failure for a in lower.bring(receipts))
    upper.note(load.position for load in receipts)
    settle(county, carry=lambda: 0)

    assert ["FIELD_INVALID", "FIELD_INVALID"] == told_no(county, ticket)
    assert [] == rows(province.county, "SELECT * FROM quarantine")


def test_what_the_city_refuses_waits_until_it_is_mended(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The city does not know the relay yet: the author is told, the lane stands, and then goes on."""
    nobody = {SECOND.organisation: COUNTY}
    with open_province(papers, tmp_path, city_relays=nobody, lease_seconds=1) as province:
        county, city = (
            province.post(COUNTY_110, province.county),
            province.post(CITY_12345, province.city),
        )
        ticket, handoff = hand_over(county)
        settle(county, city, carry=both_ways(province))
        assert ["AUTHOR_MISMATCH", "AUTHOR_MISMATCH"] == told_no(county, ticket)
        assert [(handoff,)] == rows(province.county, "SELECT lane FROM quarantine")

        province.verified(province.county, capsys)

        province.city.stop()
        text = province.city.config.read_text(encoding="utf-8")
        province.city.config.write_text(text.replace(SECOND.organisation, RELAY.organisation))
        province.city.start()
        assert province.carrier(province.county).reopen() == 2
        settle(county, city, carry=both_ways(province))
        assert standing(county, ticket) == standing(city, ticket)
        assert [] == rows(province.county, "SELECT * FROM quarantine")


def test_hops_do_not_count_towards_the_size_of_an_envelope(province: Province) -> None:
    """What the county took at its limit the city takes, and a byte more nobody takes."""
    county = province.post(COUNTY_110, province.county)
    hand_over(county)
    county.runner.collect()
    county.runner.push()
    (opening, _) = province.carrier(province.county).fetch()
    bare = rows(province.county, "SELECT envelope FROM message ORDER BY leaf_index")[0][0]
    grown = bare + _unknown(MAX_ENVELOPE - len(bare))
    assert len(grown) == MAX_ENVELOPE
    hopped = grown
    for number in range(16):
        hopped = with_hop(hopped, f"{number:x}" * 128, utc_now())
    assert read_envelope(hopped).refusal is None
    larger = read_envelope(bare + _unknown(MAX_ENVELOPE + 1 - len(bare)) + hopped[len(grown) :])
    assert larger.refusal is not None
    assert larger.refusal.code is RefusalCode.TOO_LARGE
    seventeen = read_envelope(with_hop(hopped, "one more", utc_now()))
    assert seventeen.refusal is not None
    assert opening.envelope.startswith(bare)


def _unknown(size: int) -> bytes:
    """Return an unknown field (number 200) of *size* bytes in all."""
    for head in range(3, 6):
        body = size - head
        made = bytes([0xC2, 0x0C]) + _varint(body) + bytes(body)
        if len(made) == size:
            return made
    raise ValueError(size)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_what_could_not_be_brought_comes_again(province: Province) -> None:
    """The city is away in the middle: nothing is acknowledged, all of it crosses later, once."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    lower, upper = province.carrier(province.county), province.carrier(province.city)
    up = Way(name="up", source=lower, target=upper, clock=utc_now)
    ticket, handoff = hand_over(county)
    county.runner.collect()
    county.runner.push()
    province.city.stop()
    up.turn()
    assert up.tally.error is not None
    assert up.tally.waiting == 2
    assert up.tally.oldest is not None
    province.city.start()
    while not up.turn():
        time.sleep(0.05)  # the channel finds the bridge again
    assert up.tally.waiting == 0
    settle(county, city, carry=both_ways(province))
    # A relay that died after the push and before it could say so: another brings the same again.
    city.desk.say(Kind.TAKE, handoff)
    settle(city, carry=lambda: 0)
    loads = [load for load in upper.fetch() if load.envelope]
    assert lower.bring(loads)[0].acknowledgement
    settle(county, city, carry=both_ways(province, RELAY))

    assert standing(county, ticket) == standing(city, ticket)
    assert len(rows(province.county, "SELECT * FROM message")) == 3


def test_reading_on_ends_where_the_mailbox_ends(province: Province) -> None:
    """From the first place to one that no mailbox has."""
    county = province.post(COUNTY_110, province.county)
    hand_over(county)
    county.runner.collect()
    county.runner.push()
    carrier = province.carrier(province.county)
    places = [load.position for load in carrier.fetch(after=0)]

    assert places == sorted(places)
    assert places[1:] == [load.position for load in carrier.fetch(after=places[0])]
    assert [[], []] == [carrier.fetch(after=number) for number in (2**63 - 1, 2**64 - 1)]


def test_a_receipt_that_is_not_taken_stays_where_it_is(province: Province) -> None:
    """The county's bridge has lost its database: the city keeps the receipts for it, and says why."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    upper = province.carrier(province.city)
    up = Way(name="up", source=province.carrier(province.county), target=upper, clock=utc_now)
    hand_over(county)
    settle(county, city, carry=up.turn)
    province.county.stop()
    for path in province.county.folder.glob("bridge.db*"):
        path.unlink()
    migrate(load_settings(province.county.config).database)
    province.county.start()
    down = Way(name="down", source=upper, target=province.carrier(province.county), clock=utc_now)
    while down.tally.refused == 0:
        down.turn()

    assert down.tally.receipts == 0
    assert len(rows(province.city, "SELECT * FROM mailbox WHERE content = 'written'")) == 2


def test_passed_on_may_be_said_after_the_receivers_receipt(province: Province) -> None:
    """The relay died before it could say so, and "written" was home first: that is no error."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    lower, upper = province.carrier(province.county), province.carrier(province.city)
    hand_over(county)
    county.runner.collect()
    county.runner.push()
    answers = upper.bring(lower.fetch())
    settle(city, carry=lambda: 0)
    written = [load for load in upper.fetch() if load.acknowledgement]
    home = lower.bring(written)
    late = lower.bring([Load(acknowledgement=answer.acknowledgement) for answer in answers])

    assert len(home) == len(late) == 2
    assert [None] * 4 == [answer.refusal or answer.failure for answer in (*home, *late)]
