"""
Bad messages between good ones, over real TLS into each database.

Of every one: its own answer with its code and every field at fault, in both languages; its
neighbours are stored; in the database is one refusal and nothing else of it; the audit holds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exchange._proto.v1 import message_pb2
from exchange.client.messages import Sealer
from exchange.errors import RefusalCode
from tests.attack.conftest import serving
from tests.attack.neighbours import (
    between_neighbours,
    expect,
    opening,
    refusal_in,
    reworked,
)
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller, Running, calling


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
