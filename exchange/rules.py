"""
The rules: every guard, numbered, in order of precedence, with what it rests on.

The order is that of the refusal codes: first the words a message uses, then where the ticket
stands, then what the region's profile and the catalogue ask.  Where several hold, the first is the
answer.  `judge` runs the guards; `decide` and `decide_ticket` are the whole judgement of the first
bridge, guards and life cycle together; `follow` and `follow_ticket` are all that a later one asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from exchange import guards, offering
from exchange.acts import TICKET_KINDS, Group, Kind
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode, Violation, refuse
from exchange.facts import Context, Facts
from exchange.lifecycle import (
    AWAITED,
    Change,
    advance,
    may_close,
    nothing_known,
    open_handoff,
)
from exchange.ticket import Message

Guard = Callable[[Facts], Refusal | None]

_OPEN_TICKET, _OFFER = Kind.OPEN_TICKET, Kind.OFFER  # as in `exchange.guards`


def nothing_exists(identifier: str) -> bool:  # noqa: ARG001 - the shape of decide's `exists`
    """Answer that no hand-off exists: what an offer begins is then always new."""
    return False


#: The field groups that a kind cannot be said without, wherever the profile lies.  What a profile
#: asks besides (GROUNDS, REVIEW, PRIOR_DISPOSAL, MEASURES) are guards of their own.
GROUPS: dict[Kind, frozenset[Group]] = {
    Kind.OPEN_TICKET: frozenset({Group.IDENTITY, Group.MATTER, Group.CONTENT}),
    Kind.RETURN: frozenset({Group.GROUNDS}),
    Kind.REFUSE: frozenset({Group.GROUNDS}),
    Kind.RESULT: frozenset({Group.DISPOSAL}),
    Kind.REOPEN: frozenset({Group.GROUNDS}),
    Kind.PROGRESS: frozenset({Group.DISPOSAL}),
    Kind.SUPERVISE: frozenset({Group.SUPERVISION}),
    Kind.VISIT: frozenset({Group.VISIT}),
    Kind.EVALUATE: frozenset({Group.EVALUATION}),
    Kind.CALL: frozenset({Group.CALL}),
    Kind.REQUEST_EXTENSION: frozenset({Group.EXTENSION}),
    Kind.MARK_DANGER: frozenset({Group.HAZARD}),
    Kind.CLEAR_DANGER: frozenset({Group.DISPOSAL}),
    Kind.EMERGENCY: frozenset({Group.EMERGENCY}),
}


def groups_present(facts: Facts) -> Refusal | None:
    """Every group the kind needs is bound by the header; a supplement supplements something."""
    kind = facts.message.kind
    if kind is Kind.SUPPLEMENT and not facts.message.groups:
        missing = ["header.groups"]
    else:
        needed = GROUPS.get(kind, frozenset())
        if needed <= facts.message.groups.keys():
            return None
        missing = [f"groups.{g.name.lower()}" for g in sorted(needed) if facts.lacks(g)]
    if not missing:
        return None
    text = RefusalCode.GROUP_REQUIRED.text
    found = tuple(Violation(field=path, rule="required", text=text) for path in missing)
    return Refusal(code=RefusalCode.GROUP_REQUIRED, violations=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """One rule: its number (order of precedence), what it rests on, and the kinds it looks at."""

    number: int
    rests_on: str
    seeds: str
    kinds: frozenset[Kind]
    guard: Guard

    @property
    def text(self) -> str:
        """The rule in one sentence: its guard's docstring."""
        return (self.guard.__doc__ or "").strip()


def _rule(number: int, rests_on: str, seeds: str, kinds: frozenset[Kind], guard: Guard) -> Numbered:
    return Numbered(number=number, rests_on=rests_on, seeds=seeds, kinds=kinds, guard=guard)


ALL = frozenset(Kind)
OPEN, OFFER = frozenset({Kind.OPEN_TICKET}), frozenset({Kind.OFFER})
RETURN, REFUSE, RULE = (frozenset({k}) for k in (Kind.RETURN, Kind.REFUSE, Kind.RULE))
RELIEVING = frozenset({Kind.RETURN, Kind.AGREE, Kind.RULE, Kind.TAKE_OVER, Kind.RELEASE})
CLEARING = frozenset({Kind.CLEAR_DANGER})
#: Kinds whose guards ask the pinned profile; the others go on where it is not installed.
PINNED = OFFER | REFUSE | RELIEVING | frozenset({Kind.EVALUATE})

RULES: tuple[Numbered, ...] = (
    # -- the words
    _rule(1, "contract", "ours", ALL, guards.groups_at_home),
    _rule(2, "contract", "ours", OFFER, guards.scope_shown),
    _rule(3, "R49", "S0 S1 S3 S4", OPEN, guards.region_valid),
    _rule(4, "R49", "S0 S1 S3 S4", OPEN | OFFER | RETURN, guards.organisations_valid),
    _rule(5, "R49 R33", "S0 S3 S4", OPEN | OFFER, guards.matter_known),
    _rule(6, "life cycle", "ours", PINNED, guards.profile_known),
    _rule(7, "life cycle", "ours", OPEN | PINNED, guards.editions_known),
    _rule(8, "R02", "S2 S4", ALL, guards.not_secret),
    _rule(9, "R02 R03", "S0 S1 S2 S3 S4", OFFER, guards.not_excluded),
    # -- where it stands
    _rule(10, "life cycle", "ours", guards.BEGINNING, guards.ticket_open),
    _rule(11, "contract", "ours", ALL, guards.marker_same),
    # -- what profile and catalogue ask
    _rule(12, "R31", "S0 S1 S4", OFFER | RELIEVING | CLEARING, guards.danger_disposed_of),
    _rule(13, "R04 R11 R15 R20 R22 R23 R33 R40", "S0 S1 S2 S3 S4", OFFER, offering.route_allowed),
    _rule(14, "R05", "S0", OFFER, offering.county_relayed),
    _rule(15, "R14 R15 R33", "S3 S4", OFFER, offering.reason_given),
    _rule(16, "R14", "S3", OFFER, offering.reviewed),
    _rule(17, "R12 R13", "S0 S3 S4", OFFER, offering.disposed_of_first),
    _rule(18, "R13", "S3", OFFER, offering.no_case_opened),
    _rule(19, "R21 R32", "S2 S4", RETURN, guards.measures_stated),
    _rule(20, "life cycle", "ours", RETURN, guards.ground_new),
    _rule(21, "R30", "S1", RETURN, guards.first_receiver_keeps),
    _rule(22, "R30", "S1", REFUSE, guards.return_agreed),
    _rule(23, "R30", "S0 S3 S4", RULE, guards.position_cited),
    _rule(24, "R40", "S0", OFFER, offering.police_first),
    _rule(25, "R40", "S0", frozenset({Kind.CLOSE_TICKET}), guards.hotline_told),
    _rule(26, "contract", "ours", frozenset(GROUPS) | {Kind.SUPPLEMENT}, groups_present),
    _rule(27, "R24", "S4", OFFER, offering.immediate_dispatched),
    _rule(28, "R51", "S3 S4", frozenset({Kind.EVALUATE}), guards.assessor_right),
)

_OF_KIND: dict[Kind, tuple[Guard, ...]] = {
    kind: tuple(rule.guard for rule in RULES if kind in rule.kinds) for kind in Kind
}


def judge(message: Message, context: Context) -> Refusal | None:
    """Return the first refusal among the guards, or None; an ordinary offer takes microseconds."""
    facts = Facts.of(message, context)
    for guard in _OF_KIND[message.kind]:
        refusal = guard(facts)
        if refusal is not None:
            return refusal
    return None


def decide(
    message: Message,
    context: Context,
    *,
    known: Callable[[bytes], bool] = nothing_known,
    exists: Callable[[str], bool] = nothing_exists,
) -> Change | Refusal:
    """
    Return what a message about a hand-off does, judged as its first bridge judges.

    *exists* tells whether there is a hand-off or own duty with an id; *known* is `advance`'s.  Of
    the refusals of guards and life cycle the one with precedence is given.

    :raises PredecessorUnknown: something it builds on has not arrived; nothing but its own words
        was judged.
    """
    refusal = judge(message, context)
    if refusal is not None and refusal.code < RefusalCode.NOT_A_PARTY:
        return refusal
    outcome: Change | Refusal
    if message.kind is _OFFER:
        if context.ticket is None:
            raise PredecessorUnknown(AWAITED, ticket=message.ticket_id)
        outcome = open_handoff(
            message,
            context.ticket,
            parent=context.parent,
        )
    else:
        if context.handoff is None:
            raise PredecessorUnknown(AWAITED, handoff=message.handoff_id)
        outcome = advance(context.handoff, message, known=known, children=context.children)
    taken = _id_taken(message, outcome, exists)
    if refusal is None and taken is None:
        return outcome
    refusals = [r for r in (outcome, refusal, taken) if isinstance(r, Refusal)]
    return min(refusals, key=attrgetter("code"))


def _id_taken(
    message: Message, outcome: Change | Refusal, exists: Callable[[str], bool]
) -> Refusal | None:
    """Return the refusal of an offer, or of what opens an own duty, whose id has another thing."""
    if message.kind is _OFFER and exists(message.handoff_id):
        return refuse(RefusalCode.ALREADY_EXISTS, "header.handoff_id")
    opened = outcome.opened if isinstance(outcome, Change) else None
    if opened is not None and exists(opened.id):
        # Who knows its own next message can offer a hand-off under its own duty's id.
        return refuse(RefusalCode.ALREADY_EXISTS, "header.handoff_id", "own_duty")
    return None


def decide_ticket(message: Message, context: Context, *, exists: bool = False) -> Refusal | None:
    """
    Return why a ticket may not be opened or closed by *message*, or None.

    *exists* tells whether there is a ticket with the id that `open_ticket` names.

    :raises PredecessorUnknown: the ticket to close has not arrived.
    """
    if message.kind not in TICKET_KINDS:
        raise TypeError(f"not about a ticket: {message.kind}")
    refusal = judge(message, context)
    standing: Refusal | None = None
    if message.kind is _OPEN_TICKET:
        if exists:
            standing = refuse(RefusalCode.ALREADY_EXISTS, "header.ticket_id")
    elif context.ticket is None:
        raise PredecessorUnknown(AWAITED, ticket=message.ticket_id)
    else:
        standing = may_close(context.ticket, context.handoffs, message.author)
    if refusal is None or standing is None:
        return refusal or standing
    return min(refusal, standing, key=attrgetter("code"))


def follow(
    message: Message,
    context: Context,
    *,
    known: Callable[[bytes], bool] = nothing_known,
    exists: Callable[[str], bool] = nothing_exists,
) -> Change | Refusal:
    """
    Return what a message about a hand-off does on a later bridge: sides, order and table alone.

    The guards were judged by the first bridge, by what it knew and by the region's own profile, which
    need not be installed here.  Arguments and failure are `decide`'s; an own duty that is known here
    already stands.
    """
    outcome: Change | Refusal
    if message.kind is Kind.OFFER:
        if context.ticket is None:
            raise PredecessorUnknown(AWAITED, ticket=message.ticket_id)
        if exists(message.handoff_id):
            return refuse(RefusalCode.ALREADY_EXISTS, "header.handoff_id")
        outcome = open_handoff(message, context.ticket, first=False)
    else:
        if context.handoff is None:
            raise PredecessorUnknown(AWAITED, handoff=message.handoff_id)
        outcome = advance(context.handoff, message, known=known, first=False)
    if isinstance(outcome, Change) and outcome.opened is not None and exists(outcome.opened.id):
        return Change(handoff=outcome.handoff)
    return outcome


def follow_ticket(message: Message, context: Context, *, exists: bool = False) -> Refusal | None:
    """
    Return why a ticket cannot be opened or closed here by what another bridge has judged, or None.

    :raises PredecessorUnknown: the ticket to close has not arrived.
    """
    if message.kind is Kind.OPEN_TICKET:
        return refuse(RefusalCode.ALREADY_EXISTS, "header.ticket_id") if exists else None
    if context.ticket is None:
        raise PredecessorUnknown(AWAITED, ticket=message.ticket_id)
    if message.author != context.ticket.origin:
        return refuse(RefusalCode.NOT_ORIGIN, "header.author")
    return None


def as_rows() -> list[tuple[str, str, str, str]]:
    """Return the rules for the documents: number, R-numbers, seeds, sentence."""
    return [(str(r.number), r.rests_on, r.seeds, r.text) for r in RULES]
