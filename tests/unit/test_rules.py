"""The guards of words and standing, their order, and the whole judgement of the first bridge."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange import guards, offering
from exchange.acts import (
    Classification,
    Group,
    Kind,
    Marker,
    Offer,
    OpenTicket,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
)
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode
from exchange.facts import Context, service_of
from exchange.organisations import Register, Service
from exchange.rules import GROUPS, RULES, as_rows, decide, decide_ticket, judge
from exchange.ticket import Message
from tests.unit.guarded import (
    CITY_110,
    CITY_12345,
    COUNTY_110,
    EDITION,
    HOTLINES,
    PROFILES,
    SITE,
    code_of,
    on_handoff,
    taken,
    ticket_of,
    to_110,
    to_12345,
)
from tests.unit.stories import NOW, digest_of, say


def test_the_words_of_a_ticket_are_checked() -> None:
    """Region in force, organisations registered, matter and edition known, groups present (R49)."""
    act = OpenTicket(
        kind=TicketKind.POLICE_TICKET,
        region="140403",
        matter=HOTLINES["NM"],
        catalogue_edition=EDITION,
        first_receiver=COUNTY_110,
    )
    needed = tuple(GROUPS[Kind.OPEN_TICKET])

    def opening(**changes: object) -> RefusalCode | None:
        message = say(
            Kind.OPEN_TICKET,
            CITY_110,
            "",
            act=replace(act, **changes),  # type: ignore[arg-type]
            groups=needed,
        )
        refusal = decide_ticket(message, Context(site=SITE, now=NOW))
        return refusal.code if refusal is not None else None

    assert opening() is None
    assert opening(matter="", catalogue_edition="") is None
    assert opening(matter="NM.H.EXCL.01") is None, "R03: recorded, not handed over"
    assert opening(region="140402") is RefusalCode.REGION_UNKNOWN, "was merged in 2018"
    assert opening(region="999999") is RefusalCode.REGION_UNKNOWN
    assert opening(first_receiver="140499000000") is RefusalCode.ORGANISATION_UNKNOWN
    assert opening(matter="NM.H.01.99") is RefusalCode.MATTER_UNKNOWN
    assert opening(catalogue_edition="1999") is RefusalCode.EDITION_UNKNOWN
    bare = say(Kind.OPEN_TICKET, CITY_110, "", act=act)
    refusal = decide_ticket(bare, Context(site=SITE, now=NOW))
    assert refusal is not None
    assert [v.field for v in refusal.violations] == [
        "groups.identity",
        "groups.matter",
        "groups.content",
    ]


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ({"profile": "atlantis"}, RefusalCode.PROFILE_UNKNOWN),
        ({"profile": "shanghai"}, RefusalCode.PROFILE_UNKNOWN),  # another region's
        ({"profile_edition": "1999"}, RefusalCode.EDITION_UNKNOWN),
        ({"catalogue_edition": "1999"}, RefusalCode.EDITION_UNKNOWN),
        ({"matter": "NM.H.01.99"}, RefusalCode.MATTER_UNKNOWN),
        ({"matter": "NM.H.EXCL.01"}, RefusalCode.MATTER_EXCLUDED),
    ],
)
def test_the_words_of_an_offer_are_checked(act: dict[str, object], code: RefusalCode) -> None:
    """What is pinned must be installed and hold in the ticket's region; the matter must be in it."""
    message, context = to_12345("changzhi")
    assert isinstance(message.act, Offer)
    wrong = replace(message, act=replace(message.act, **act))  # type: ignore[arg-type]
    assert code_of((wrong, context)) is code


def test_a_regions_own_profile_cannot_be_shaken_off() -> None:
    """Where the site has one, `national` (without S3's review) is no way round it; elsewhere it is."""
    message, context = to_12345("national", groups=(Group.GROUNDS,))
    here = replace(ticket_of("national", CITY_110), region="320507")
    own = replace(SITE, profile="xiangcheng")
    assert code_of((message, replace(context, ticket=here))) is None
    refusal = judge(message, replace(context, ticket=here, site=own))
    assert refusal is not None
    assert refusal.code is RefusalCode.PROFILE_UNKNOWN
    assert refusal.violations[0].field == "header.offer.profile"
    assert "xiangcheng" in refusal.text.zh
    assert "xiangcheng" in refusal.text.en
    assert code_of((message, replace(context, site=own))) is None, "another region's ticket"
    message, context = to_12345("xiangcheng")
    assert code_of((message, replace(context, site=own))) is None


def test_a_matter_of_another_regions_list_is_unknown() -> None:
    """S3 has a list of its own; an entry of S4's says nothing there."""
    assert code_of(to_12345("xiangcheng", HOTLINES["NM"])) is RefusalCode.MATTER_UNKNOWN


def test_what_one_hotline_excludes_another_takes() -> None:
    """R02: S2 leaves legal aid out, S4 takes it."""
    assert code_of(to_12345("wuyang", "NM.H.16.06")) is RefusalCode.MATTER_EXCLUDED
    assert code_of(to_12345("inner-mongolia", "NM.H.16.06")) is None


def test_an_unregistered_organisation_is_refused_where_a_register_is_kept() -> None:
    """Without a register the code's form alone decides, and tells the service."""
    message, context = to_12345("changzhi")
    stranger = replace(message, recipient="11140400MB1A00009X")
    assert code_of((stranger, context)) is RefusalCode.ORGANISATION_UNKNOWN
    empty = Register()
    assert service_of(CITY_110, empty) is Service.POLICE
    assert service_of(CITY_12345, empty) is Service.HOTLINE


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", [Kind.OFFER, Kind.PROGRESS, Kind.OPEN_TICKET])
def test_secret_matters_never_cross(profile: str, kind: Kind) -> None:
    """R02: in whatever message the word stands."""
    offered = to_12345(profile)
    message, context = offered
    if kind is Kind.PROGRESS:
        message, context = on_handoff(offered, kind, CITY_12345, groups=(Group.DISPOSAL,))
    elif kind is Kind.OPEN_TICKET:
        act = OpenTicket(kind=TicketKind.POLICE_TICKET, region="140400")
        message = say(kind, CITY_110, "", act=act, groups=tuple(GROUPS[kind]))
    assert code_of((message, context)) is None
    for word in (Classification.SECRET, Classification.LEGAL_CHANNEL):
        secret = replace(message, classification=word)
        assert code_of((secret, context)) is RefusalCode.SECRET
    confidential = replace(message, classification=Classification.CONFIDENTIAL)
    assert code_of((confidential, context)) is None


def test_an_exercise_touches_no_actual_ticket() -> None:
    """And nothing actual touches an exercise."""
    message, context = to_12345("national")
    assert context.ticket is not None
    exercise = replace(message, marker=Marker.EXERCISE)
    drill = replace(context, ticket=replace(context.ticket, marker=Marker.EXERCISE))
    assert code_of((exercise, context)) is RefusalCode.MARKER_MISMATCH
    assert code_of((message, drill)) is RefusalCode.MARKER_MISMATCH
    assert code_of((exercise, drill)) is None


def test_nothing_begins_on_a_concluded_ticket_but_what_is_open_winds_up() -> None:
    """A taken-over hand-off that is still open when the ticket closes can still end."""
    offered = to_12345("national")
    message, context = offered
    assert context.ticket is not None
    closed = replace(context.ticket, closed=True)
    assert code_of((message, replace(context, ticket=closed))) is RefusalCode.TICKET_CLOSED
    for kind, author, code in [
        (Kind.TAKE, CITY_12345, RefusalCode.TICKET_CLOSED),
        (Kind.REOPEN, CITY_110, RefusalCode.TICKET_CLOSED),
        (Kind.TAKE_OVER, CITY_110, RefusalCode.TICKET_CLOSED),
        (Kind.RELEASE, CITY_12345, None),
        (Kind.CLOSE, CITY_110, None),
        (Kind.VISIT, CITY_110, None),
    ]:
        groups = tuple(GROUPS.get(kind, ()))
        said, known = on_handoff(offered, kind, author, groups=groups)
        assert code_of((said, replace(known, ticket=closed))) is code, kind


# -- the whole judgement


def test_of_several_refusals_the_first_in_precedence_is_given() -> None:
    """Words before standing, standing before the profile's asks, whoever finds them."""
    offered = to_110("changzhi")
    message, context = on_handoff(offered, Kind.RETURN, CITY_12345, act=Return(ground=1))
    outcome = decide(message, context)  # the wrong side, without measures
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.NOT_A_PARTY
    outcome = decide(replace(message, classification=Classification.SECRET), context)
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.SECRET


def test_what_has_not_arrived_is_awaited_before_a_guard_judges() -> None:
    """A ruling that outran its dispute is tried again, not refused for a position not known yet."""
    act = Rule(outcome=RulingOutcome.JOINT, position_digest=b"p" * 32)
    message, context = on_handoff(to_110("changzhi"), Kind.RULE, CITY_12345, act=act)
    with pytest.raises(PredecessorUnknown):
        decide(replace(message, previous=digest_of("not here")), context)
    with pytest.raises(PredecessorUnknown):
        decide(message, replace(context, handoff=None))
    offer, known = to_110("changzhi")
    with pytest.raises(PredecessorUnknown):
        decide(offer, replace(known, ticket=None))


def test_a_ticket_is_closed_by_its_origin_when_all_is_done() -> None:
    """The life cycle's answer comes through, and a ticket not known here is awaited."""
    context = Context(site=SITE, now=NOW, ticket=ticket_of("national", CITY_110))
    close: Callable[[str], Message] = lambda author: say(Kind.CLOSE_TICKET, author, "")  # noqa: E731
    assert decide_ticket(close(CITY_110), context) is None
    refusal = decide_ticket(close(CITY_12345), context)
    assert refusal is not None
    assert refusal.code is RefusalCode.NOT_ORIGIN
    open_one = replace(context, handoffs=[taken(to_12345("national"))])
    refusal = decide_ticket(close(CITY_110), open_one)
    assert refusal is not None
    assert refusal.code is RefusalCode.HANDOFF_OPEN
    with pytest.raises(PredecessorUnknown):
        decide_ticket(close(CITY_110), replace(context, ticket=None))


def test_the_rules_are_numbered_cited_and_in_order_of_precedence() -> None:
    """The tuple is the document: numbers without gaps, a sentence and a source for each."""
    assert [rule.number for rule in RULES] == list(range(1, len(RULES) + 1))
    for rule in RULES:
        assert rule.text, rule.number
        assert re.search(r"R\d\d|life cycle|contract", rule.rests_on), rule.number
        assert rule.kinds
    assert len(as_rows()) == len(RULES)
    functions = {rule.guard for rule in RULES}
    written = {
        value
        for room in (guards, offering)
        for name, value in vars(room).items()
        if callable(value) and getattr(value, "__module__", "") == room.__name__
    }
    assert written <= functions, "a guard that no rule runs"


def test_the_order_of_the_rules_is_the_order_of_their_codes() -> None:
    """Each guard's refusals, as this file saw them, never step back in precedence."""
    source = {
        rule.number: [
            int(RefusalCode[name])
            for name in re.findall(r"RefusalCode\.([A-Z_0-9]+)", code_text(rule.guard))
        ]
        for rule in RULES
    }
    highest = [max(codes) for codes in source.values()]
    assert highest == sorted(highest)


def code_text(function: Callable[..., object]) -> str:
    """Return a guard's source."""
    return inspect.getsource(function)
