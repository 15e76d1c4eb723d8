"""Each rule in each profile that it comes from: what it refuses there, and what it lets pass there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.acts import (
    Classification,
    Evaluate,
    Group,
    Kind,
    OpenTicket,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
)
from exchange.errors import RefusalCode
from exchange.facts import Context, Form
from exchange.profile import installed
from exchange.rules import GROUPS, RULES
from exchange.ticket import Message, State
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
    SITE,
    an_offer,
    code_of,
    list_of,
    on_handoff,
    taken,
    ticket_of,
    to_110,
    to_12345,
)
from tests.unit.stories import NOW, say

Said = tuple[Message, Context]
SEEDS = {
    "S0": "changzhi", "S1": "shanghai", "S2": "wuyang", "S3": "xiangcheng", "S4": "inner-mongolia",
}  # fmt: skip
MEASURED = (Group.GROUNDS, Group.MEASURES)
RETURN = Return(ground=1)


def _opening(profile: str, region: str = "") -> Said:
    act = OpenTicket(kind=TicketKind.POLICE_TICKET, region=region or installed()[profile].region)
    groups = tuple(GROUPS[Kind.OPEN_TICKET])
    return say(Kind.OPEN_TICKET, CITY_110, "", act=act, groups=groups), Context(site=SITE, now=NOW)


def _to(stranger: str, profile: str) -> Said:
    message, context = to_12345(profile)
    return replace(message, recipient=stranger), context


def _secret(profile: str) -> Said:
    message, context = to_12345(profile)
    return replace(message, classification=Classification.SECRET), context


def _excluded(profile: str) -> Said:
    return to_12345(profile, next(iter(installed()[profile].catalogue.exclusions)))


def _returning(profile: str, *, groups: tuple[Group, ...] = MEASURED, **more: object) -> Said:
    offered = to_110(profile, danger=bool(more.pop("danger", False)))
    return on_handoff(offered, Kind.RETURN, CITY_110, act=RETURN, groups=groups, **more)  # type: ignore[arg-type]


def _endangered(profile: str, *, disposed: bool) -> Said:
    offered = to_110(profile, danger=True)
    marks = frozenset({offered[0].digest}) if disposed else frozenset()
    return on_handoff(
        offered, Kind.RETURN, CITY_110, act=RETURN, groups=MEASURED, danger_disposed=marks
    )


def _first_disposed(profile: str, *, said: bool, **act: object) -> Said:
    matter = DISPUTE if profile == "xiangcheng" else POLICE_FIRST
    groups = (*GIVEN, Group.PRIOR_DISPOSAL) if said else GIVEN
    return to_12345(profile, matter, groups=groups, **act)


def _refusing(profile: str, first_receiver: str) -> Said:
    return on_handoff(
        to_110(profile), Kind.REFUSE, CITY_12345, groups=(Group.GROUNDS,), first_receiver=first_receiver
    )  # fmt: skip


def _ruling(profile: str, cited: bytes) -> Said:
    agreed = frozenset({(b"p" * 32, int(RulingOutcome.JOINT))})
    act = Rule(outcome=RulingOutcome.JOINT, position_digest=cited)
    return on_handoff(to_110(profile), Kind.RULE, CITY_12345, act=act, positions=agreed)


def _closing(profile: str, told: str) -> Said:
    offer = an_offer(profile, CITY_110, told, "", level=2, form=Form.NOTIFICATION)
    handed = replace(taken(offer), state=State.CLOSED)
    about = ticket_of(profile, CITY_110)
    context = Context(site=SITE, now=NOW, ticket=about, handoffs=[handed])
    return say(Kind.CLOSE_TICKET, CITY_110, ""), context


def _rating(profile: str, assessor: str) -> Said:
    act = Evaluate(assessed_by=assessor)
    return on_handoff(
        to_110(profile), Kind.EVALUATE, CITY_12345, act=act, groups=(Group.EVALUATION,)
    )


def _wrong_way(profile: str) -> Said:
    return to_110(profile, HOTLINES[list_of(profile)])


#: By the rule's number: what it refuses under a profile, with which code, and what it lets pass.
TOLD: dict[int, tuple[Callable[[str], Said], RefusalCode, Callable[[str], Said]]] = {
    3: (lambda p: _opening(p, "999999"), RefusalCode.REGION_UNKNOWN, _opening),
    4: (lambda p: _to("11140400MB1A00009X", p), RefusalCode.ORGANISATION_UNKNOWN, to_12345),
    5: (lambda p: to_12345(p, "NM.H.01.99"), RefusalCode.MATTER_UNKNOWN, to_12345),
    8: (_secret, RefusalCode.SECRET, to_12345),
    9: (_excluded, RefusalCode.MATTER_EXCLUDED, to_12345),
    12: (
        lambda p: _endangered(p, disposed=False), RefusalCode.DANGER_PRESENT,
        lambda p: _endangered(p, disposed=True),
    ),
    13: (_wrong_way, RefusalCode.ROUTE_NOT_ALLOWED, to_110),
    14: (
        lambda p: an_offer(p, COUNTY_110, CITY_12345, HOTLINES["NM"]), RefusalCode.RELAY_REQUIRED,
        lambda p: an_offer(p, COUNTY_110, CITY_110, HOTLINES["NM"]),
    ),
    15: (lambda p: to_12345(p, groups=(Group.REVIEW,)), RefusalCode.REASON_REQUIRED, to_12345),
    16: (lambda p: to_12345(p, groups=(Group.GROUNDS,)), RefusalCode.REVIEW_REQUIRED, to_12345),
    17: (
        lambda p: _first_disposed(p, said=False), RefusalCode.PRIOR_DISPOSAL_REQUIRED,
        lambda p: _first_disposed(p, said=True),
    ),
    18: (
        lambda p: _first_disposed(p, said=True, case_opened=True), RefusalCode.CASE_OPENED,
        lambda p: _first_disposed(p, said=True),
    ),
    19: (
        lambda p: _returning(p, groups=(Group.GROUNDS,)), RefusalCode.MEASURES_REQUIRED, _returning,
    ),
    21: (
        lambda p: _returning(p, first_receiver=CITY_110), RefusalCode.FIRST_RECEIVER_KEEPS, _returning,
    ),
    22: (
        lambda p: _refusing(p, CITY_12345), RefusalCode.NO_NEGOTIATION,
        lambda p: _refusing(p, CITY_110),
    ),
    23: (
        lambda p: _ruling(p, b""), RefusalCode.POSITION_REQUIRED, lambda p: _ruling(p, b"p" * 32),
    ),
    24: (
        lambda p: an_offer(p, CITY_12345, BUREAU, HOTLINES["NM"], level=2),
        RefusalCode.LEVEL_REQUIRES_110,
        lambda p: an_offer(p, CITY_12345, FIRE, HOTLINES["NM"], level=2),
    ),
    25: (
        lambda p: _closing(p, FIRE), RefusalCode.LEVEL_REQUIRES_110,
        lambda p: _closing(p, CITY_12345),
    ),
    27: (
        lambda p: to_110(p, IMMEDIATE), RefusalCode.PARALLEL_DUTY_REQUIRED,
        lambda p: to_110(p, IMMEDIATE, parallel_duty=True),
    ),
    28: (
        lambda p: _rating(p, CITY_12345), RefusalCode.ASSESSOR_MISMATCH,
        lambda p: _rating(p, CITY_110),
    ),
}  # fmt: skip

#: The ways that rule 13 opens though the list closes them, by the policies that say so.
OPENED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "R22": (("S0", "S3", "S4"), {"form": Form.LEAD}),
    "R23": (("S0", "S1", "S3", "S4"), {"form": Form.ESCALATION}),
    "R31": (("S0", "S1", "S4"), {"danger": True}),
    "R40": (("S0",), {"level": 2}),
}


def test_every_rule_of_a_policy_is_told_here() -> None:
    """None that rests on a seed is left out; what is ours alone is tested where it is."""
    assert {rule.number for rule in RULES if rule.seeds != "ours"} == TOLD.keys()


@pytest.mark.parametrize(
    ("number", "seed"),
    [(rule.number, seed) for rule in RULES if rule.seeds != "ours" for seed in rule.seeds.split()],
)
def test_a_rule_holds_in_the_profile_that_it_comes_from(number: int, seed: str) -> None:
    """For and against, with its own refusal code."""
    against, code, allowed = TOLD[number]
    profile = SEEDS[seed]

    assert code_of(against(profile)) is code
    assert code_of(allowed(profile)) is None


@pytest.mark.parametrize(
    ("rule", "seed"), [(rule, seed) for rule, (seeds, _) in OPENED.items() for seed in seeds]
)
def test_what_a_policy_sends_to_110_after_all(rule: str, seed: str) -> None:
    """A lead, an escalation, danger and a high level open the way, in each profile that says so."""
    profile, act = SEEDS[seed], OPENED[rule][1]

    assert code_of(_wrong_way(profile)) is RefusalCode.ROUTE_NOT_ALLOWED
    assert code_of(to_110(profile, HOTLINES[list_of(profile)], **act)) is None
