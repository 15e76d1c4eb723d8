from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange import guards, offering
from exchange.acts import (
    PLAIN,
    Act,
    Classification,
    ClearDanger,
    Evaluate,
    Group,
    Kind,
    Marker,
    Offer,
    OpenTicket,
    Position,
    Release,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
)
from exchange.catalog import catalog
from exchange.divisions import divisions
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode
from exchange.facts import Context, Facts, Form, Site, service_of
from exchange.lifecycle import Change, open_handoff
from exchange.organisations import Organisation, Register, Service
from exchange.profile import installed
from exchange.rules import GROUPS, RULES, as_rows, decide, decide_ticket, judge
from exchange.text import Text
from exchange.ticket import Handoff, Message, State, Ticket
from tests.unit.stories import NOW, digest_of, handoff_id, reply, say
from tests.unit.stories import ticket as a_ticket

CITY_110, COUNTY_110 = "140400000000", "140403000000"
CITY_12345, BUREAU, FIRE = "11140400MB1A00001X", "11140400MB1A00002X", "140400119000"
REGISTERED = {
    CITY_110: (Service.POLICE, ""),
    COUNTY_110: (Service.POLICE, CITY_110),
    CITY_12345: (Service.HOTLINE, ""),
    BUREAU: (Service.DEPARTMENT, CITY_12345),
    FIRE: (Service.FIRE, ""),
}
EDITION = catalog().edition

# Entries of the lists, one per way of handling.
HOTLINES = {"NM": "NM.H.01.10", "XC": "XC.H.01.01"}
POLICES = {"NM": "NM.P.01.01", "XC": "XC.P.01.01"}
IMMEDIATE, POLICE_FIRST, DISPUTE = "NM.I.01.01", "NM.F.06.01", "XC.H.07.01"

GIVEN = (Group.GROUNDS, Group.REVIEW)


def site(*, registered: bool = True) -> Site:
    """Return a site with every packaged profile and a register of one city."""
    organisations = [
        Organisation(
            code=code,
            name=Text(en=code, zh=code),
            region="140400",
            network="police" if service is Service.POLICE else "government",
            service=service,
            parent=parent,
        )
        for code, (service, parent) in REGISTERED.items()
    ]
    return Site(
        profiles={(p.name, p.edition): p for p in installed().values()},
        catalogues={EDITION: catalog()},
        register=Register(organisations if registered else ()),
        divisions=divisions(),
    )


SITE = site()


def list_of(profile: str) -> str:
    """Return the list that a profile's matters are taken from in these tests."""
    return "XC" if profile == "xiangcheng" else "NM"


def ticket_of(profile: str, origin: str, **changes: object) -> Ticket:
    """Return a ticket of *origin* in the profile's region."""
    region = installed()[profile].region
    region = "110000" if profile == "national" else region
    return replace(a_ticket(origin=origin), region=region, **changes)  # type: ignore[arg-type]


def an_offer(
    profile: str,
    sender: str,
    receiver: str,
    matter: str,
    *,
    groups: tuple[Group, ...] = GIVEN,
    **act: object,
) -> tuple[Message, Context]:
    """Return an offer under *profile* and its context: the sender is the ticket's origin."""
    pinned = installed()[profile]
    offer = Offer(
        matter=matter,
        catalogue_edition=EDITION,
        profile=profile,
        profile_edition=pinned.edition,
        form=Form.TRANSFER,
    )
    offer = replace(offer, **act)  # type: ignore[arg-type]
    message = say(Kind.OFFER, sender, receiver, act=offer, groups=groups)
    return message, Context(site=SITE, now=NOW, ticket=ticket_of(profile, sender))


def to_12345(profile: str, matter: str = "", **more: object) -> tuple[Message, Context]:
    """Return an offer from the city's 110 to its 12345."""
    matter = matter or HOTLINES[list_of(profile)]
    return an_offer(profile, CITY_110, CITY_12345, matter, **more)  # type: ignore[arg-type]


def to_110(profile: str, matter: str = "", **more: object) -> tuple[Message, Context]:
    """Return an offer from the city's 12345 to its 110."""
    matter = matter or POLICES[list_of(profile)]
    return an_offer(profile, CITY_12345, CITY_110, matter, **more)  # type: ignore[arg-type]


def on_handoff(
    offered: tuple[Message, Context],
    kind: Kind,
    author: str,
    *,
    act: Act = PLAIN,
    groups: tuple[Group, ...] = (),
    state: State = State.TAKEN,
    **changes: object,
) -> tuple[Message, Context]:
    """Return what *author* says on the hand-off that *offered* began, now in *state*."""
    handoff = replace(taken(offered), state=state, **changes)  # type: ignore[arg-type]
    message = replace(
        reply(kind, handoff, author, act=act), groups=dict.fromkeys(groups, b"\0" * 32)
    )
    return message, replace(offered[1], handoff=handoff)


def taken(offered: tuple[Message, Context]) -> Handoff:
    """Return the hand-off that an offer begins, just taken."""
    message, context = offered
    assert context.ticket is not None
    change = open_handoff(message, context.ticket, first=False)
    assert isinstance(change, Change)
    return replace(change.handoff, state=State.TAKEN)


def code_of(said: tuple[Message, Context]) -> RefusalCode | None:
    """Return the code of the refusal that the guards give, or None."""
    refusal = judge(*said)
    return refusal.code if refusal is not None else None


PROFILES = sorted(installed())


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


# -- the words


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


# -- offers


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


# -- danger


@pytest.mark.parametrize("profile", ["changzhi", "shanghai", "inner-mongolia"])
def test_in_danger_110_states_its_disposal_before_it_is_relieved(profile: str) -> None:
    """R31: return, agreement, take-over, release and ruling back all wait; a statement lifts it."""
    offered = to_110(profile, danger=True)
    back = Rule(outcome=RulingOutcome.FIRST_RECEIVER)
    joint = Rule(outcome=RulingOutcome.JOINT, position_digest=b"p" * 32)
    agreed = frozenset({(b"p" * 32, int(RulingOutcome.JOINT))})
    said = (Group.GROUNDS, Group.MEASURES)
    relieving: list[tuple[Kind, str, Act]] = [
        (Kind.RETURN, CITY_110, Return(ground=1)),
        (Kind.AGREE, CITY_12345, PLAIN),
        (Kind.TAKE_OVER, CITY_12345, PLAIN),
        (Kind.RELEASE, CITY_110, Release(take_over_digest=digest_of("t"))),
        (Kind.RULE, CITY_12345, back),
    ]
    for kind, author, act in relieving:
        for changes, code in [
            ({}, RefusalCode.DANGER_PRESENT),
            ({"danger_disposed": frozenset({offered[0].digest})}, None),
            ({"danger_cleared": frozenset({offered[0].digest})}, None),
        ]:
            spoken = on_handoff(offered, kind, author, act=act, groups=said, **changes)  # type: ignore[arg-type]
            assert code_of(spoken) is code, (kind, changes)
    assert code_of(on_handoff(offered, Kind.RULE, CITY_12345, act=joint, positions=agreed)) is None
    assert code_of(on_handoff(offered, Kind.TAKE, CITY_110)) is None


def test_each_danger_waits_for_its_own_statement() -> None:
    """R31: a statement lifts what it names; a mark that came after it bars again."""
    offered = to_110("changzhi", danger=True)
    first, second = offered[0].digest, digest_of("second mark")
    back = Return(ground=1)
    said = (Group.GROUNDS, Group.MEASURES)
    both = {"danger_marks": frozenset({first, second})}
    for disposed, cleared, code in [
        ((), (), RefusalCode.DANGER_PRESENT),
        ((first,), (), RefusalCode.DANGER_PRESENT),
        ((first,), (first,), RefusalCode.DANGER_PRESENT),
        ((first,), (second,), None),
        ((first, second), (), None),
        ((), (first, second), None),
    ]:
        known = both | {
            "danger_disposed": frozenset(disposed),
            "danger_cleared": frozenset(cleared),
        }
        spoken = on_handoff(offered, Kind.RETURN, CITY_110, act=back, groups=said, **known)  # type: ignore[arg-type]
        assert code_of(spoken) is code, (disposed, cleared)


def test_the_sender_clears_only_what_110_has_disposed_of() -> None:
    """R31: over the head of 110 no danger is over; each clearing is judged by its own mark."""
    offered = to_110("changzhi", danger=True)
    first, second = offered[0].digest, digest_of("second mark")
    marks, disposed = frozenset({first, second}), frozenset({first})
    for author, mark, code in [
        (CITY_12345, first, None),
        (CITY_12345, second, RefusalCode.DANGER_PRESENT),
        (CITY_110, second, None),
    ]:
        act = ClearDanger(mark_digest=mark)
        spoken = on_handoff(
            offered,
            Kind.CLEAR_DANGER,
            author,
            act=act,
            groups=(Group.DISPOSAL,),
            danger_marks=marks,
            danger_disposed=disposed,
        )
        assert code_of(spoken) is code, (author, mark)


def test_danger_binds_110_not_the_hotline() -> None:
    """A hotline that finds danger returns at once; 110 hands danger over only after disposal."""
    disposed = to_12345("national", danger=True, groups=(*GIVEN, Group.PRIOR_DISPOSAL))
    assert code_of(disposed) is None
    assert code_of(to_12345("national", danger=True)) is RefusalCode.DANGER_PRESENT
    assert code_of(to_12345("national", danger=True, form=Form.JOINT)) is None
    said = (Group.GROUNDS, Group.MEASURES)
    back = on_handoff(disposed, Kind.RETURN, CITY_12345, act=Return(ground=1), groups=said)
    assert code_of(back) is None


# -- after the offer


@pytest.mark.parametrize("profile", PROFILES)
def test_a_return_states_measures_and_grounds(profile: str) -> None:
    """R21, R32."""
    offered = to_110(profile)
    act = Return(ground=1)
    for groups, code in [
        ((Group.GROUNDS,), RefusalCode.MEASURES_REQUIRED),
        ((Group.MEASURES,), RefusalCode.GROUP_REQUIRED),
        ((Group.GROUNDS, Group.MEASURES), None),
    ]:
        said = on_handoff(offered, Kind.RETURN, CITY_110, act=act, groups=groups)
        assert code_of(said) is code


def test_a_second_return_needs_a_new_ground() -> None:
    """The same ground was answered already."""
    said = (Group.GROUNDS, Group.MEASURES)
    for ground, code in [(1, RefusalCode.NEW_GROUND_REQUIRED), (2, None)]:
        spoken = on_handoff(
            to_110("changzhi"),
            Kind.RETURN,
            CITY_110,
            act=Return(ground=ground),
            groups=said,
            return_grounds=frozenset({1}),
        )
        assert code_of(spoken) is code


def test_in_s1_the_first_receiver_keeps_it() -> None:
    """R30: it may not return, and what comes back to it is agreed; elsewhere they negotiate."""
    said = (Group.GROUNDS, Group.MEASURES)
    back = Return(ground=1)
    for profile, keeps, refuses in [
        ("shanghai", RefusalCode.FIRST_RECEIVER_KEEPS, RefusalCode.NO_NEGOTIATION),
        ("changzhi", None, None),
        ("xiangcheng", None, None),
        ("inner-mongolia", None, None),
    ]:
        offered = to_110(profile)
        mine = on_handoff(
            offered, Kind.RETURN, CITY_110, act=back, groups=said, first_receiver=CITY_110
        )
        assert code_of(mine) is keeps, profile
        assert code_of(on_handoff(offered, Kind.RETURN, CITY_110, act=back, groups=said)) is None
        assert code_of(on_handoff(offered, Kind.AGREE, CITY_12345)) is None
        refused = on_handoff(offered, Kind.REFUSE, CITY_12345, groups=(Group.GROUNDS,))
        assert code_of(refused) is refuses, profile
        other = on_handoff(
            offered, Kind.REFUSE, CITY_12345, groups=(Group.GROUNDS,), first_receiver=CITY_110
        )
        assert code_of(other) is None


def test_a_ruling_cites_the_handlers_agreeing_position() -> None:
    """R30: "keeps" and "joint" need it, of that outcome; the first receiver needs nobody's."""
    offered = to_110("changzhi")
    agreed = frozenset({(b"p" * 32, int(RulingOutcome.JOINT))})
    for outcome, cited, code in [
        (RulingOutcome.JOINT, b"p" * 32, None),
        (RulingOutcome.HANDLER_KEEPS, b"p" * 32, RefusalCode.POSITION_REQUIRED),
        (RulingOutcome.JOINT, b"q" * 32, RefusalCode.POSITION_REQUIRED),
        (RulingOutcome.JOINT, b"", RefusalCode.POSITION_REQUIRED),
        (RulingOutcome.FIRST_RECEIVER, b"", None),
    ]:
        act = Rule(outcome=outcome, position_digest=cited)
        said = on_handoff(offered, Kind.RULE, CITY_12345, act=act, positions=agreed)
        assert code_of(said) is code, (outcome, cited)


def test_a_whole_dispute_settled_by_agreement() -> None:
    """The handler's own position, once written, is what the ruling rests on."""
    offered = to_110("changzhi")
    position = Position(agrees_to=RulingOutcome.HANDLER_KEEPS)
    stated = on_handoff(offered, Kind.POSITION, CITY_110, act=position, state=State.DISPUTED)
    change = decide(*stated)
    assert isinstance(change, Change)
    act = Rule(outcome=RulingOutcome.HANDLER_KEEPS, position_digest=stated[0].digest)
    ruling = reply(Kind.RULE, change.handoff, CITY_12345, act=act)
    ruled = decide(ruling, replace(offered[1], handoff=change.handoff))
    assert isinstance(ruled, Change)
    assert ruled.handoff.state is State.TAKEN


def test_who_assesses_follows_the_direction_and_the_owner() -> None:
    """S4 R51: police matters sent to 110 are assessed by the police, all else by the hotline."""
    for offered, assessor, code in [
        (to_110("inner-mongolia"), CITY_110, None),
        (to_110("inner-mongolia"), CITY_12345, RefusalCode.ASSESSOR_MISMATCH),
        (to_12345("inner-mongolia"), CITY_12345, None),
        (to_12345("inner-mongolia"), CITY_110, RefusalCode.ASSESSOR_MISMATCH),
        (to_12345("inner-mongolia"), "", None),
    ]:
        said = on_handoff(
            offered,
            Kind.EVALUATE,
            CITY_12345,
            act=Evaluate(assessed_by=assessor),
            groups=(Group.EVALUATION,),
        )
        assert code_of(said) is code


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind in GROUPS])
def test_every_kind_brings_its_field_groups(kind: Kind) -> None:
    """Each group that is missing is named."""
    offered = to_110("national")
    act: Act = Return(ground=1) if kind is Kind.RETURN else PLAIN
    extra = (Group.MEASURES,) if kind is Kind.RETURN else ()
    if kind is Kind.OPEN_TICKET:
        return  # told above
    needed = GROUPS[kind]
    assert code_of(on_handoff(offered, kind, CITY_110, act=act, groups=(*needed, *extra))) is None
    refusal = judge(*on_handoff(offered, kind, CITY_110, act=act, groups=extra))
    assert refusal is not None
    assert refusal.code is RefusalCode.GROUP_REQUIRED
    assert [v.field for v in refusal.violations] == [
        f"groups.{g.name.lower()}" for g in sorted(needed)
    ]


def test_a_supplement_supplements_something() -> None:
    """A message without any group changes no part of the ticket."""
    offered = to_110("national")
    assert code_of(on_handoff(offered, Kind.SUPPLEMENT, CITY_110)) is RefusalCode.GROUP_REQUIRED
    assert code_of(on_handoff(offered, Kind.SUPPLEMENT, CITY_110, groups=(Group.PLACE,))) is None


# A second writing of `guards.HOMES`: a group tells of one act, or of any.
TELLS_OF = {
    "prior_disposal": "open_ticket offer",
    "review": "offer",
    "supervision": "supervise",
    "visit": "visit",
    "evaluation": "evaluate",
    "emergency": "open_ticket offer mark_danger emergency",
    "extension": "request_extension grant_extension",
}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_group_stands_with_the_act_it_tells_of(kind: Kind) -> None:
    """Beside another act nobody would count it; a supplement may replace anything said earlier."""
    offered = to_110("national")
    act = offered[0].act if kind is Kind.OFFER else PLAIN
    every = tuple(Group)
    message, context = on_handoff(offered, kind, CITY_110, act=act, groups=(*every,))
    message = replace(message, groups=dict(message.groups) | {4711: b"\0" * 32})
    refusal = judge(message, context)
    barred = [
        f"groups.{group.name.lower()}"
        for group in Group
        if kind is not Kind.SUPPLEMENT
        and kind.value not in TELLS_OF.get(group.name.lower(), kind.value).split()
    ]
    if not barred:
        assert refusal is None or refusal.code is not RefusalCode.FIELD_INVALID
        return
    assert refusal is not None
    assert refusal.code is RefusalCode.FIELD_INVALID
    assert [v.field for v in refusal.violations] == barred
    assert {v.rule for v in refusal.violations} == {"group.home"}
    allowed = tuple(group for group in Group if f"groups.{group.name.lower()}" not in barred)
    fit = replace(message, groups=dict.fromkeys(allowed, b"\0" * 32))
    assert code_of((fit, context)) is not RefusalCode.FIELD_INVALID


@pytest.mark.parametrize(
    ("kind", "author", "ticket_kind", "refused"),
    [
        (Kind.OPEN_TICKET, CITY_12345, TicketKind.WORK_ORDER, True),
        (Kind.SUPPLEMENT, CITY_12345, TicketKind.WORK_ORDER, True),
        (Kind.OPEN_TICKET, CITY_12345, TicketKind.POLICE_TICKET, False),
        (Kind.SUPPLEMENT, CITY_110, TicketKind.WORK_ORDER, False),
        (Kind.PROGRESS, CITY_110, TicketKind.WORK_ORDER, False),
    ],
)
def test_a_work_order_has_no_police_group(
    kind: Kind, author: str, ticket_kind: TicketKind, refused: bool
) -> None:
    """What only a police ticket has is not opened in a work order; 110 says it of its own work."""
    groups = (Group.POLICE, *GROUPS.get(kind, ()))
    message, context = on_handoff(to_110("national"), kind, author, groups=groups)
    assert context.ticket is not None
    known = replace(context, ticket=replace(context.ticket, kind=ticket_kind))
    refusal = judge(message, known)
    found = [v.field for v in refusal.violations] if refusal is not None else []
    assert found == (["groups.police"] if refused else [])


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
