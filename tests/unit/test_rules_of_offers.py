"""The guards of offers: which way a matter goes, and what is done and said before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange import offering
from exchange.acts import (
    Group,
    Kind,
    Offer,
)
from exchange.errors import RefusalCode
from exchange.facts import Context, Facts, Form, Site
from exchange.lifecycle import Change
from exchange.profile import installed
from exchange.rules import decide, decide_ticket
from exchange.ticket import State
from tests.unit.guarded import (
    BUREAU,
    CITY_110,
    CITY_12345,
    COUNTY_110,
    DISPUTE,
    FIRE,
    GIVEN,
    HOTLINES,
    IMMEDIATE,
    POLICE_FIRST,
    POLICES,
    PROFILES,
    SITE,
    an_offer,
    code_of,
    list_of,
    site,
    taken,
    ticket_of,
    to_110,
    to_12345,
)
from tests.unit.stories import NOW, handoff_id, say


@pytest.mark.parametrize("profile", PROFILES)
def test_an_ordinary_matter_crosses_in_both_directions(profile: str) -> None:
    """Under every profile its own list's matters go the way the list says."""
    assert code_of(to_12345(profile)) is None
    assert code_of(to_110(profile)) is None


@pytest.mark.parametrize("profile", PROFILES)
def test_a_matter_does_not_go_the_other_way(profile: str) -> None:
    """R04: neither desk hands over what is its own."""
    kind = list_of(profile)
    assert code_of(to_12345(profile, POLICES[kind])) is RefusalCode.ROUTE_NOT_ALLOWED
    assert code_of(to_110(profile, HOTLINES[kind])) is RefusalCode.ROUTE_NOT_ALLOWED


@pytest.mark.parametrize("profile", PROFILES)
def test_an_unlisted_matter_crosses_with_a_reason(profile: str) -> None:
    """R33: the desks agree; who sends it says why, also where the profile asks no reason."""
    for offered in (to_12345, to_110):
        message, context = offered(profile)
        assert isinstance(message.act, Offer)
        unlisted = replace(message, act=replace(message.act, matter=""))
        assert code_of((unlisted, context)) is None
        assert code_of((replace(unlisted, groups={Group.REVIEW: b""}), context)) is (
            RefusalCode.REASON_REQUIRED
        )


@pytest.mark.parametrize(
    ("rule", "profile", "act"),
    [
        ("R31", "changzhi", {"danger": True}),
        ("R31", "shanghai", {"danger": True}),
        ("R31", "inner-mongolia", {"danger": True}),
        ("R22", "xiangcheng", {"form": Form.LEAD}),
        ("R23", "xiangcheng", {"form": Form.ESCALATION}),
        ("R40", "changzhi", {"level": 2}),
    ],
)
def test_some_service_matters_go_to_110_after_all(
    rule: str, profile: str, act: dict[str, object]
) -> None:
    """Danger, a lead, an escalation and a high level open the way that the list closes."""
    closed = to_110(profile, HOTLINES[list_of(profile)])
    assert code_of(closed) is RefusalCode.ROUTE_NOT_ALLOWED, rule
    assert code_of(to_110(profile, HOTLINES[list_of(profile)], **act)) is None, rule


def test_police_may_ask_others_for_their_part() -> None:
    """R15: a police matter needs other departments jointly."""
    matter = POLICES["XC"]
    assert code_of(to_12345("xiangcheng", matter)) is RefusalCode.ROUTE_NOT_ALLOWED
    assert code_of(to_12345("xiangcheng", matter, form=Form.JOINT)) is None


def test_a_county_desk_offers_through_the_city_desk() -> None:
    """S0 R05: the county's 110 to the city's, and the city's 110 hands on; elsewhere directly."""
    matter = HOTLINES["NM"]
    direct = an_offer("changzhi", COUNTY_110, CITY_12345, matter)
    assert code_of(direct) is RefusalCode.RELAY_REQUIRED
    assert code_of(an_offer("changzhi", COUNTY_110, CITY_110, matter)) is None
    first = taken(an_offer("changzhi", COUNTY_110, CITY_110, matter))
    message, context = an_offer("changzhi", CITY_110, CITY_12345, matter, onward_of=first.id)
    relayed = replace(context, ticket=ticket_of("changzhi", COUNTY_110), parent=first)
    assert isinstance(decide(replace(message, handoff_id=handoff_id(2)), relayed), Change)
    assert code_of(an_offer("national", COUNTY_110, CITY_12345, matter)) is None
    message, context = direct
    unregistered = replace(context, site=site(registered=False))
    assert offering.county_relayed(Facts.of(message, unregistered)) is not None


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sender_says_why(profile: str) -> None:
    """R14, R15: in the directions the profile names."""
    for offered in (to_12345, to_110):
        message, context = offered(profile, groups=(Group.REVIEW,))
        direction = Facts.of(message, context).direction
        asked = direction in installed()[profile].reason_required
        assert code_of((message, context)) is (RefusalCode.REASON_REQUIRED if asked else None)


def test_s3_reviews_before_it_hands_over() -> None:
    """R14: only Xiangcheng, and only 110 to 12345."""
    bare = (Group.GROUNDS,)
    assert code_of(to_12345("xiangcheng", groups=bare)) is RefusalCode.REVIEW_REQUIRED
    assert code_of(to_110("xiangcheng", groups=bare)) is None
    for profile in set(PROFILES) - {"xiangcheng"}:
        assert code_of(to_12345(profile, groups=bare)) is None


@pytest.mark.parametrize(
    ("profile", "matter"), [("inner-mongolia", POLICE_FIRST), ("xiangcheng", DISPUTE)]
)
def test_110_disposes_first_and_says_so(profile: str, matter: str) -> None:
    """S4 附件四, S3 R13: by a field group or by a note that the offer cites."""
    assert code_of(to_12345(profile, matter)) is RefusalCode.PRIOR_DISPOSAL_REQUIRED
    assert code_of(to_12345(profile, matter, groups=(*GIVEN, Group.PRIOR_DISPOSAL))) is None
    message, context = to_12345(profile, matter, prior_disposal_message_id=handoff_id(9))
    assert code_of((message, context)) is RefusalCode.PRIOR_DISPOSAL_REQUIRED
    assert code_of((message, replace(context, disposal_cited=True))) is None


def test_a_dispute_that_became_a_case_stays_with_the_police() -> None:
    """S3 R13; an ordinary matter may have a case beside it."""
    disposed = (*GIVEN, Group.PRIOR_DISPOSAL)
    case = to_12345("xiangcheng", DISPUTE, groups=disposed, case_opened=True)
    assert code_of(case) is RefusalCode.CASE_OPENED
    assert code_of(to_12345("xiangcheng", DISPUTE, groups=disposed)) is None
    assert code_of(to_12345("xiangcheng", case_opened=True)) is None


def test_a_high_level_goes_to_110_first() -> None:
    """S0 R40: 12345 sends its departments only once 110 has it; 110 keeps it and tells 12345."""
    matter = HOTLINES["NM"]
    for level in (0, 1):
        assert code_of(an_offer("changzhi", CITY_12345, BUREAU, matter, level=level)) is None
    message, context = an_offer("changzhi", CITY_12345, BUREAU, matter, level=2)
    assert code_of((message, context)) is RefusalCode.LEVEL_REQUIRES_110
    police = taken(to_110("changzhi", matter, level=2))
    assert code_of((message, replace(context, handoffs=[police]))) is None
    assert code_of(an_offer("changzhi", CITY_12345, FIRE, matter, level=2)) is None
    assert code_of(to_12345("changzhi", level=2)) is RefusalCode.LEVEL_REQUIRES_110
    assert code_of(to_12345("changzhi", level=2, form=Form.NOTIFICATION)) is None
    assert code_of(to_12345("changzhi", level=2, groups=(*GIVEN, Group.PRIOR_DISPOSAL))) is None
    message, context = an_offer("changzhi", CITY_12345, BUREAU, matter)
    high = replace(context, ticket=ticket_of("changzhi", CITY_12345, level=3))
    assert code_of((message, high)) is RefusalCode.LEVEL_REQUIRES_110


def test_12345_was_told_before_110_concludes_a_high_level() -> None:
    """S0 R40: 110 tells 12345 at the same time; without that its ticket is not concluded."""

    def closing(
        profile: str, told: str, *, level: int = 0, offered: int = 0, site: Site = SITE
    ) -> RefusalCode | None:
        handed = replace(
            taken(an_offer(profile, CITY_110, told, "", level=offered, form=Form.NOTIFICATION)),
            state=State.CLOSED,
        )
        about = ticket_of(profile, CITY_110, level=level)
        context = Context(site=site, now=NOW, ticket=about, handoffs=[handed])
        refusal = decide_ticket(say(Kind.CLOSE_TICKET, CITY_110, ""), context)
        return refusal.code if refusal is not None else None

    for level, offered in ((2, 0), (0, 3)):
        assert (
            closing("changzhi", FIRE, level=level, offered=offered)
            is RefusalCode.LEVEL_REQUIRES_110
        )
        assert (
            closing("changzhi", BUREAU, level=level, offered=offered)
            is RefusalCode.LEVEL_REQUIRES_110
        )
        assert closing("changzhi", CITY_12345, level=level, offered=offered) is None
    assert closing("changzhi", FIRE, level=1) is None
    pinned = installed()["changzhi"]
    elsewhere = replace(pinned, levels_notify_hotline=frozenset())
    key = (pinned.name, pinned.edition)
    silent = replace(SITE, profiles={**SITE.profiles, key: elsewhere})
    assert closing("changzhi", FIRE, level=2, site=silent) is None
    hotline = ticket_of("changzhi", CITY_12345, level=2)
    police = replace(taken(to_110("changzhi", level=2)), state=State.CLOSED)
    context = Context(site=SITE, now=NOW, ticket=hotline, handoffs=[police])
    assert decide_ticket(say(Kind.CLOSE_TICKET, CITY_12345, ""), context) is None


def test_an_immediate_kind_opens_a_parallel_duty() -> None:
    """R24: four categories of S4, to 110 only, where the profile lists them."""
    assert code_of(to_110("inner-mongolia", IMMEDIATE)) is RefusalCode.PARALLEL_DUTY_REQUIRED
    change = decide(*to_110("inner-mongolia", IMMEDIATE, parallel_duty=True))
    assert isinstance(change, Change)
    assert change.opened is not None
    assert change.opened.own_duty
    ordinary = decide(*to_110("inner-mongolia"))
    assert isinstance(ordinary, Change)
    assert ordinary.opened is None
    assert code_of(to_12345("inner-mongolia", IMMEDIATE)) is RefusalCode.ROUTE_NOT_ALLOWED
