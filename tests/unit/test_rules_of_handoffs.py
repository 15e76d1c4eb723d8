"""The guards of what is said on a hand-off: danger, returns, rulings, ratings and field groups."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.acts import (
    PLAIN,
    Act,
    ClearDanger,
    Evaluate,
    Group,
    Kind,
    Position,
    Release,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
)
from exchange.errors import RefusalCode
from exchange.facts import Form
from exchange.lifecycle import Change
from exchange.rules import GROUPS, decide, judge
from exchange.ticket import State
from tests.unit.guarded import (
    CITY_110,
    CITY_12345,
    GIVEN,
    PROFILES,
    code_of,
    on_handoff,
    to_110,
    to_12345,
)
from tests.unit.stories import digest_of, reply

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
