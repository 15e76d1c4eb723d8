"""A matter crosses two bridges and comes back, by a relay that opens nothing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exchange._proto.v1 import message_pb2
from exchange.acts import Kind
from tests.adapters.province import (
    CITY_LOG,
    COUNTY_110,
    COUNTY_PROFILE,
    Post,
    Province,
    Site,
    both_ways,
    settle,
    standing,
)
from tests.pki import CITY_110, CITY_12345


def rows(site: Site, statement: str, *values: object) -> list[Any]:
    """Return what the site's database says."""
    with closing(sqlite3.connect(site.folder / "bridge.db")) as database:
        return database.execute(statement, values).fetchall()


def hand_over(county: Post, *, to: str = CITY_12345.organisation, **more: Any) -> tuple[str, str]:
    """Let the county's 110 open a ticket and offer it; return ticket and hand-off."""
    opened = county.desk.open_ticket("井盖缺失", "示例内容。", matter="NM.H.01.01")
    offered = county.desk.offer(opened.ticket_id, to, "属热线受理范围。", **more)
    return opened.ticket_id, offered.handoff_id


def test_a_matter_crosses_and_is_closed(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offered, taken, worked, resolved and closed: both bridges agree, both logs hold."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    carry = both_ways(province)
    ticket, handoff = hand_over(county)
    settle(county, city, carry=carry)
    for post, kind, words in (
        (city, Kind.TAKE, ""),
        (city, Kind.PROGRESS, "已派单。"),
        (county, Kind.SUPERVISE, "请尽快。"),
        (city, Kind.RESULT, "已补装。"),
        (county, Kind.CLOSE, "满意。"),
    ):
        post.desk.say(kind, handoff, words)
        settle(county, city, carry=carry)
    county.desk.close_ticket(ticket, "办结。")
    settle(county, city, carry=carry)

    here, there = standing(county, ticket), standing(city, ticket)
    assert here == there
    assert here["closed"]
    for site in (province.county, province.city):
        province.verified(site, capsys)
        assert [] == rows(site, "SELECT * FROM mailbox")


def test_a_return_and_its_own_duty_cross(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    """Returned and agreed: the sender's own duty opens on both bridges, and ends on both."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    carry = both_ways(province)
    ticket, handoff = hand_over(county)
    settle(county, city, carry=carry)
    city.desk.say(Kind.TAKE, handoff)
    city.desk.say(Kind.RETURN, handoff, "不属本单位职责，已先行提示。")
    settle(county, city, carry=carry)
    duty = county.desk.say(Kind.AGREE, handoff).duty
    settle(county, city, carry=carry)
    assert duty in standing(city, ticket)["handoffs"]
    county.desk.say(Kind.RESULT, duty, "已自行处理。")
    county.desk.say(Kind.CLOSE, duty, "已自行处理。")
    county.desk.close_ticket(ticket, "办结。")
    settle(county, city, carry=carry)

    assert standing(county, ticket) == standing(city, ticket)
    for site in (province.county, province.city):
        province.verified(site, capsys)
        assert [] == rows(site, "SELECT * FROM mailbox")


def test_whoever_it_is_handed_on_to_beyond_is_heard_at_home(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    """The city hands a county's matter on within the city: of that only the written opening comes home."""
    county, city, police = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
        province.post(CITY_110, province.city),
    )
    carry = both_ways(province)
    ticket, handoff = hand_over(county)
    settle(county, city, police, carry=carry)
    city.desk.say(Kind.TAKE, handoff)
    settle(county, city, police, carry=carry)
    city.desk.offer(
        ticket, CITY_110.organisation, "有现场冲突。", act={"onward_of": handoff, "danger": True}
    )
    settle(county, city, police, carry=carry)
    written = rows(
        province.county,
        "SELECT author FROM trail WHERE kind = 'written' AND message_id ="
        " (SELECT message_id FROM trail WHERE kind = 'open_ticket') ORDER BY author",
    )

    assert [(CITY_12345.organisation,), (CITY_110.organisation,)] == written
    for site in (province.county, province.city):
        assert [] == rows(site, "SELECT * FROM mailbox")
        province.verified(site, capsys)


def test_the_city_hands_down_and_the_county_hands_on(province: Province) -> None:
    """The city's ticket reaches the county and, from its receiver, a second city desk."""
    county = province.post(COUNTY_110, province.county)
    city, police = (
        province.post(CITY_12345, province.city),
        province.post(CITY_110, province.city),
    )
    carry = both_ways(province)
    opened = city.desk.open_ticket("噪声扰民", "示例内容。", matter="NM.P.01.02")
    down = city.desk.offer(opened.ticket_id, COUNTY_110.organisation, "属公安职责。").handoff_id
    settle(county, city, police, carry=carry)
    county.desk.say(Kind.TAKE, down)
    onward = county.desk.offer(
        opened.ticket_id, CITY_110.organisation, "请市局协助。", act={"onward_of": down}
    ).handoff_id
    settle(county, city, police, carry=carry)
    police.desk.say(Kind.TAKE, onward)
    police.desk.say(Kind.RESULT, onward, "已协助。")
    settle(county, city, police, carry=carry)
    county.desk.say(Kind.CLOSE, onward, "谢谢。")
    county.desk.say(Kind.RESULT, down, "已劝止。")
    settle(county, city, police, carry=carry)
    city.desk.say(Kind.CLOSE, down, "满意。")
    city.desk.close_ticket(opened.ticket_id, "办结。")
    settle(county, city, police, carry=carry)

    assert standing(county, opened.ticket_id) == standing(city, opened.ticket_id)
    assert standing(city, opened.ticket_id)["closed"]


def test_the_receipt_shows_both_bridges_and_the_receiver(
    province: Province, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The author proves: stored by the county, carried to the city's log, written by its receiver."""
    county, city = (
        province.post(COUNTY_110, province.county),
        province.post(CITY_12345, province.city),
    )
    ticket, _ = hand_over(county)
    settle(county, city, carry=both_ways(province))
    proofs = tmp_path / "proofs"
    for source in (county.config, province.county.config):
        code, said = province.shell(
            capsys, "ticket", "trail", ticket, "--receipts", proofs, "--config", source
        )
        assert code == 0, said
        assert 2 == " ".join(said.split()).count(f"carried on to {CITY_LOG}")
        # A desk is shown the content of openings alone; the bridge's operator has every message.
        whole = [file for file in proofs.iterdir() if json.loads(file.read_text()).get("header")]
        assert len(whole) == (1 if source == county.config else 2)
        for file in sorted(whole):
            code, said = province.shell(
                capsys, "receipt", "verify", file, "--config", county.config
            )
            assert code == 0, said
            assert f"✓ 3. Carried on by a relay, the bridge of {CITY_LOG} stored it" in said
            assert f"{CITY_12345.organisation} signed that it wrote it" in said
            assert "NOT shown" not in said
            # Without the city's key nothing is contradicted, and that part is not shown.
            trust = province.papers.made.trust
            code, said = province.shell(
                capsys, "receipt", "verify", file, f"--log={province.papers.vkeys()[0]}",
                *(f"--trust={network}={path}" for network, path in trust.items()),
            )  # fmt: skip
            assert code == 0
            assert f"– 3. Carried on by a relay, the bridge of {CITY_LOG} stored it" in said


def test_what_the_city_stores_is_what_the_author_signed(province: Province) -> None:
    """The envelope of the first bridge, to the byte, and one hop behind it."""
    county = province.post(COUNTY_110, province.county)
    hand_over(county)
    settle(county, carry=both_ways(province))
    envelopes = "SELECT envelope FROM message ORDER BY leaf_index"
    first, second = rows(province.county, envelopes), rows(province.city, envelopes)

    assert len(first) == len(second) == 2
    for (here,), (there,) in zip(first, second, strict=True):
        assert there.startswith(here)
        added = message_pb2.Envelope.FromString(there[len(here) :])
        assert [province.county.origin] == [hop.by for hop in added.hops]
        assert not added.header


def test_the_first_bridge_alone_judges(province: Province) -> None:
    """The county's own profile asks for a review; the city has never heard of that profile."""
    county, city = (
        province.post(COUNTY_110, province.county, COUNTY_PROFILE),
        province.post(CITY_12345, province.city),
    )
    carry = both_ways(province)
    ticket, handoff = hand_over(county)
    settle(county, city, carry=carry)
    refused = rows(province.county, "SELECT statement FROM refusal")
    assert len(refused) == 1
    assert [] == rows(province.city, "SELECT * FROM handoff")

    review = json.loads(
        '{"review": {"steps": [{"decision": "REVIEW_DECISION_APPROVED", "reviewer": {"name": "值班长"},'
        ' "decide_time": "2026-11-22T08:00:00Z"}]}}'
    )
    handoff = county.desk.offer(
        ticket, CITY_12345.organisation, "属热线受理范围。", groups=review
    ).handoff_id
    settle(county, city, carry=carry)
    city.desk.say(Kind.TAKE, handoff)
    settle(county, city, carry=carry)

    assert (
        standing(county, ticket)["handoffs"][handoff] == standing(city, ticket)["handoffs"][handoff]
    )
