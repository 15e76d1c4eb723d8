"""County → city → province: a bridge in the middle passes on what is neither from nor for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.relay.way import Way
from certs.logkey import create_log_key
from exchange._proto.v1 import message_pb2
from exchange.acts import Kind
from tests.adapters.province import (
    CITY_LOG,
    COUNTY,
    COUNTY_110,
    RELAY,
    SECOND,
    Papers,
    Province,
    settle,
    standing,
    utc_now,
    write_site,
)
from tests.adapters.relay.test_crossing import hand_over, rows
from tests.pki import CITY_110, CITY_12345

PROVINCE_LOG = "province.example/log/1"


def test_a_matter_crosses_three_bridges(
    papers: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offered in the county, worked in the province, closed; each of three logs has all of it."""
    # The desk of 140400000000 stands for the province's here: it is linked to that bridge alone.
    key, vkey = create_log_key(tmp_path / "province-log", PROVINCE_LOG)
    county = write_site(
        papers, tmp_path / "county", city=False,
        relays={RELAY.organisation: (CITY_12345, CITY_110)}, lease_seconds=1,
    )  # fmt: skip
    city = write_site(
        papers, tmp_path / "city", city=True, further=[papers.vkeys()[0], vkey],
        relays={RELAY.organisation: COUNTY, SECOND.organisation: (CITY_110,)}, lease_seconds=1,
    )  # fmt: skip
    province = write_site(
        papers, tmp_path / "province", city=True, log=(PROVINCE_LOG, key),
        further=[papers.vkeys()[1]], relays={SECOND.organisation: (*COUNTY, CITY_12345)},
        lease_seconds=1,
    )  # fmt: skip
    whole = Province(papers=papers, folder=tmp_path, county=county, city=city, logs=(vkey,))
    with whole.stack:
        for site in (county, city, province):
            site.start()
            whole.stack.callback(site.stop)
        ways = [
            Way(name="", source=whole.carrier(a, who), target=whole.carrier(b, who), clock=utc_now)
            for a, b, who in (
                (county, city, RELAY), (city, province, SECOND),
                (province, city, SECOND), (city, county, RELAY),
            )
        ]  # fmt: skip

        def carry() -> int:
            return sum(way.turn() for way in ways)

        below, above = whole.post(COUNTY_110, county), whole.post(CITY_110, province)
        between = whole.post(CITY_12345, city)
        ticket, handoff = hand_over(below, to=CITY_110.organisation)
        settle(below, above, between, carry=carry)
        above.desk.say(Kind.TAKE, handoff)
        above.desk.say(Kind.RESULT, handoff, "已处理。")
        settle(below, above, between, carry=carry)
        below.desk.say(Kind.CLOSE, handoff, "满意。")
        below.desk.close_ticket(ticket, "办结。")
        settle(below, above, between, carry=carry)

        assert standing(below, ticket) == standing(above, ticket)
        assert standing(above, ticket)["closed"]
        kinds = "SELECT count(*) FROM trail WHERE kind <> 'act'"  # its rules, which each bridge says first
        assert [[(12,)]] * 3 == [rows(site, kinds) for site in (county, city, province)]
        assert [[]] * 3 == [rows(s, "SELECT * FROM mailbox") for s in (county, city, province)]
        (envelope,) = rows(
            province, "SELECT m.envelope FROM message m JOIN trail t USING (leaf_index)"
            " WHERE t.kind = 'offer'",
        )[0]  # fmt: skip
        hops = [hop.by for hop in message_pb2.Envelope.FromString(envelope).hops]
        assert [county.origin, CITY_LOG] == hops
        # Each bridge keeps the receipt of the next one.
        origins = "SELECT DISTINCT origin FROM passage"
        assert [(CITY_LOG,)] == rows(county, origins)
        assert {(PROVINCE_LOG,), (county.origin,)} == set(rows(city, origins))
        for site in (county, city, province):
            whole.verified(site, capsys)
