"""
The guards that look at words, standing, returns and ratings: one function per rule.

A guard looks at one message and what is known around it and returns a refusal or None; it changes
nothing and decides no state.  `exchange.rules` numbers the guards, puts them in order and runs
them, on the first bridge alone: two bridges never judge one message differently.  The guards of
offers are in `exchange.offering`.
"""

from __future__ import annotations

from exchange.acts import (
    Classification,
    ClearDanger,
    Evaluate,
    Group,
    Kind,
    Offer,
    OpenTicket,
    Return,
    Rule,
    RulingOutcome,
    TicketKind,
    group_word,
)
from exchange.errors import Refusal, RefusalCode, Violation, refuse
from exchange.facts import Facts, Form, service_of
from exchange.knowing import withheld_from
from exchange.organisations import Direction, Service
from exchange.text import Text

# On Python 3.11 a member of an enum is looked for at each use: what every message is held against has a name.
_POLICE, _SECRET = Group.POLICE, Classification.SECRET

# -- the words a message uses

#: The field groups that tell of one act alone, and the kinds whose act that is.  Beside another act
#: nothing would count them: no deadline, indicator or rule looks there.  A supplement replaces what
#: its author said earlier, so it may hold any of them.
HOMES: dict[Group, frozenset[Kind]] = {
    Group.PRIOR_DISPOSAL: frozenset({Kind.OPEN_TICKET, Kind.OFFER}),
    Group.REVIEW: frozenset({Kind.OFFER}),
    Group.SUPERVISION: frozenset({Kind.SUPERVISE}),
    Group.VISIT: frozenset({Kind.VISIT}),
    Group.EVALUATION: frozenset({Kind.EVALUATE}),
    Group.EMERGENCY: frozenset({Kind.OPEN_TICKET, Kind.OFFER, Kind.MARK_DANGER, Kind.EMERGENCY}),
    Group.EXTENSION: frozenset({Kind.REQUEST_EXTENSION, Kind.GRANT_EXTENSION}),
}
_BARRED: dict[Kind, frozenset[int]] = {
    kind: frozenset(
        group for group, homes in HOMES.items() if kind not in homes and kind is not Kind.SUPPLEMENT
    )
    for kind in Kind
}


def groups_at_home(facts: Facts) -> Refusal | None:
    """A field group stands with the act it tells of, and no work order has the police's own group."""
    message, ticket = facts.message, facts.context.ticket
    bound = message.groups.keys()
    unfit = _BARRED[message.kind] & bound
    if _POLICE in bound and ticket is not None and ticket.kind is TicketKind.WORK_ORDER:
        # 110 says it of its own work on the matter; the ticket's origin has none to say.
        own = message.kind in {Kind.OPEN_TICKET, Kind.SUPPLEMENT}
        if own and message.author == ticket.origin:
            unfit |= {Group.POLICE}
    if not unfit:
        return None
    found = []
    for group in sorted(unfit):
        name = Group(group).name.lower()
        kinds = ", ".join(sorted(kind.value for kind in HOMES.get(Group(group), ())))
        text = OTHER_ACT.fill(group=name, kinds=kinds) if kinds else NO_POLICE_TICKET
        found.append(Violation(field=f"groups.{name}", rule="group.home", text=text))
    return Refusal(code=RefusalCode.FIELD_INVALID, violations=tuple(found))


def scope_shown(facts: Facts) -> Refusal | None:
    """A sender that is not the origin cannot show what is withheld from it."""
    offer, ticket, message = facts.offering, facts.context.ticket, facts.message
    if offer is None or ticket is None or message.author == ticket.origin:
        return None
    withheld = withheld_from(message.author, ticket.origin, facts.context.handoffs)
    if not withheld:
        return None
    found = [
        ("header.offer.scope.withheld_groups", group)
        for group in sorted(withheld - offer.scope.withheld)
    ]
    for place, (_, groups) in enumerate(offer.scope.knowers):
        path = f"header.offer.scope.knowers[{place}].groups"
        found += [(path, group) for group in sorted(withheld & groups)]
    violations = tuple(
        Violation(field=path, rule="scope.shown", text=NOT_SHOWN.fill(group=group_word(group)))
        for path, group in found
    )
    return Refusal(code=RefusalCode.FIELD_INVALID, violations=violations) if found else None


def region_valid(facts: Facts) -> Refusal | None:
    """The ticket's division is in force on the day (R49)."""
    act = facts.message.act
    if not isinstance(act, OpenTicket):
        return None
    fault = facts.context.site.divisions.problem(act.region, facts.message.created.date())
    if fault is None:
        return None
    return refuse(RefusalCode.REGION_UNKNOWN, "header.open_ticket.region", "in_force", fault)


_AUTHOR = "header.author"


def organisations_valid(facts: Facts) -> Refusal | None:
    """Every organisation that a message brings in is well formed and, if a register is kept, in it."""
    message, act = facts.message, facts.message.act
    register, on = facts.context.site.register, message.created.date()
    named: tuple[tuple[str, str], ...]
    if isinstance(act, OpenTicket):
        named = (_AUTHOR, message.author), ("header.open_ticket.first_receiver", act.first_receiver)
    elif isinstance(act, Return):
        named = (("header.return.suggested_owner", act.suggested_owner),)
    else:
        named = (_AUTHOR, message.author), ("header.recipient", message.recipient)
        if isinstance(act, Offer) and act.scope.knowers:
            named += tuple(("header.offer.scope.knowers", code) for code, _ in act.scope.knowers)
    for path, code in named:
        fault = register.problem(code, on) if code else None
        if fault is not None:
            return refuse(RefusalCode.ORGANISATION_UNKNOWN, path, "registered", fault)
    return None


def matter_known(facts: Facts) -> Refusal | None:
    """The matter stands in the pinned edition, as the pinned profile uses it (R49)."""
    act = facts.message.act
    if isinstance(act, OpenTicket):
        catalogue = facts.context.site.catalogues.get(act.catalogue_edition)
    else:
        catalogue = facts.profile.catalogue if facts.profile is not None else None
    matter = act.matter if isinstance(act, OpenTicket | Offer) else ""
    if not matter or catalogue is None or facts.item is not None:
        return None
    if catalogue.get(matter) is not None or catalogue.excluded(matter) is not None:
        return None
    path = f"header.{facts.message.kind.value}.matter"
    return refuse(RefusalCode.MATTER_UNKNOWN, path, "listed")


def profile_known(facts: Facts) -> Refusal | None:
    """The profile is installed, holds in the ticket's region, and is the site's own where it has one."""
    if facts.offer is None:
        return None
    name, ticket = facts.offer.profile, facts.context.ticket
    if facts.profile is None:
        if any(known == name for known, _ in facts.context.site.profiles):
            return None  # another edition is: the next guard says so
        return refuse(RefusalCode.PROFILE_UNKNOWN, "header.offer.profile", "installed")
    if facts.offering is not None and ticket is not None:
        if not facts.profile.applies_to(ticket.region):
            return refuse(
                RefusalCode.PROFILE_UNKNOWN, "header.offer.profile", "region", OTHER_REGION
            )
        own = facts.context.site.profile_of(ticket.region)
        if own and name != own:
            # The country's default holds everywhere: pinning it would shake off the region's rules.
            text = OWN_PROFILE.fill(name=own)
            return refuse(RefusalCode.PROFILE_UNKNOWN, "header.offer.profile", "own", text)
    return None


def editions_known(facts: Facts) -> Refusal | None:
    """The pinned editions of profile and catalogue are installed."""
    act, offer = facts.message.act, facts.offer
    if isinstance(act, OpenTicket):
        if act.matter and act.catalogue_edition not in facts.context.site.catalogues:
            path = "header.open_ticket.catalogue_edition"
            return refuse(RefusalCode.EDITION_UNKNOWN, path, "installed")
    elif offer is not None:
        if facts.profile is None:
            return refuse(RefusalCode.EDITION_UNKNOWN, "header.offer.profile_edition", "installed")
        if offer.catalogue_edition != facts.profile.catalogue.edition:
            return refuse(
                RefusalCode.EDITION_UNKNOWN, "header.offer.catalogue_edition", "installed"
            )
    return None


def not_secret(facts: Facts) -> Refusal | None:
    """R02: secret matters and matters in a legal channel do not cross."""
    if facts.message.classification < _SECRET:
        return None
    return refuse(RefusalCode.SECRET, "header.classification")


def not_excluded(facts: Facts) -> Refusal | None:
    """R02, R03: what the hotline does not take is explained, recorded and not handed to it."""
    offer, profile = facts.offering, facts.profile
    if offer is None or profile is None or not offer.matter:
        return None
    if profile.catalogue.excluded(offer.matter) is None:
        return None
    # An entry that the hotline does not take may well be the police's; a bare exclusion is no
    # matter of either side.
    if facts.item is not None and facts.direction is Direction.HOTLINE_TO_POLICE:
        return None
    return refuse(RefusalCode.MATTER_EXCLUDED, "header.offer.matter")


# -- where the ticket stands


#: What begins something anew; the rest of a hand-off that was taken over may still be wound up.
BEGINNING = frozenset({Kind.OFFER, Kind.TAKE, Kind.REOPEN, Kind.TAKE_OVER})


def ticket_open(facts: Facts) -> Refusal | None:
    """Nothing begins anew on a concluded ticket."""
    ticket = facts.context.ticket
    if ticket is None or not ticket.closed or facts.message.kind not in BEGINNING:
        return None
    return refuse(RefusalCode.TICKET_CLOSED, "header.ticket_id")


def marker_same(facts: Facts) -> Refusal | None:
    """An exercise never touches an actual ticket, nor the other way round."""
    ticket = facts.context.ticket
    if ticket is None or facts.message.marker is ticket.marker:
        return None
    return refuse(RefusalCode.MARKER_MISMATCH, "header.marker")


def hotline_told(facts: Facts) -> Refusal | None:
    """S0 R40: from 较大 on, 110 concludes its ticket only where 12345 was told of it."""
    context, site = facts.context, facts.context.site
    if facts.message.kind is not Kind.CLOSE_TICKET or context.ticket is None:
        return None
    if service_of(context.ticket.origin, site.register) is not Service.POLICE:
        return None
    level = max((context.ticket.level, *(h.offer.level for h in context.handoffs)))
    pinned = {(h.offer.profile, h.offer.profile_edition) for h in context.handoffs}
    asking = (profile for key in pinned if (profile := site.profiles.get(key)) is not None)
    if not any(level in profile.levels_notify_hotline for profile in asking):
        return None
    parties = {code for h in context.handoffs for code in (h.sender, h.receiver)}
    if any(service_of(code, site.register) is Service.HOTLINE for code in parties):
        return None
    return refuse(
        RefusalCode.LEVEL_REQUIRES_110, "header.ticket_id", "hotline_told", HOTLINE_NOT_TOLD
    )


# -- after the offer


def danger_disposed_of(facts: Facts) -> Refusal | None:
    """R31: where danger is marked, 110 states its disposal before it returns or is relieved."""
    message, handoff, profile = facts.message, facts.context.handoff, facts.profile
    if profile is None or not profile.danger_to_110:
        return None
    offer = facts.offering
    if offer is not None:
        if not offer.danger or facts.direction is not Direction.POLICE_TO_HOTLINE:
            return None
        whole = offer.form not in {Form.JOINT, Form.NOTIFICATION}
        if whole and not facts.prior_disposal_stated:
            return refuse(RefusalCode.DANGER_PRESENT, "header.offer.danger")
        return None
    unattended = handoff.danger_unattended if handoff is not None else frozenset()
    if isinstance(message.act, ClearDanger):
        unattended &= {message.act.mark_digest}
    if handoff is None or not unattended:
        return None
    register = facts.context.site.register
    if service_of(handoff.receiver, register) is not Service.POLICE:
        return None
    if message.kind is Kind.CLEAR_DANGER and message.author == handoff.receiver:
        return None  # whoever stands in it may say that it is over
    if isinstance(message.act, Rule):
        relieved = (
            message.act.outcome is RulingOutcome.FIRST_RECEIVER
            and handoff.first_receiver == handoff.sender
        )
        if not relieved:
            return None
    return refuse(RefusalCode.DANGER_PRESENT, f"header.{message.kind.value}")


def measures_stated(facts: Facts) -> Refusal | None:
    """R21, R32: a return states the emergency measures taken."""
    profile = facts.profile
    if profile is None or not profile.return_needs_measures or not facts.lacks(Group.MEASURES):
        return None
    return refuse(RefusalCode.MEASURES_REQUIRED, "groups.measures", "required")


def ground_new(facts: Facts) -> Refusal | None:
    """A second return of the same hand-off needs a new ground (from R21 and R30)."""
    act, handoff = facts.message.act, facts.context.handoff
    if not isinstance(act, Return) or handoff is None:
        return None
    if act.ground in handoff.return_grounds:
        return refuse(RefusalCode.NEW_GROUND_REQUIRED, "header.return.ground")
    return None


def first_receiver_keeps(facts: Facts) -> Refusal | None:
    """S1 R30: who received it first may not return it."""
    profile, handoff = facts.profile, facts.context.handoff
    if profile is None or profile.first_receiver_may_return or handoff is None:
        return None
    if handoff.first_receiver == handoff.receiver:
        return refuse(RefusalCode.FIRST_RECEIVER_KEEPS, "header.return")
    return None


def return_agreed(facts: Facts) -> Refusal | None:
    """S1 R30: without negotiation, a return to the first receiver can only be agreed."""
    profile, handoff = facts.profile, facts.context.handoff
    if profile is None or profile.negotiation or handoff is None:
        return None
    if handoff.first_receiver == handoff.sender:
        return refuse(RefusalCode.NO_NEGOTIATION, "header.refuse")
    return None


def position_cited(facts: Facts) -> Refusal | None:
    """R30: "keeps" and "joint" rest on the handler's own agreeing position."""
    act, handoff = facts.message.act, facts.context.handoff
    if not isinstance(act, Rule) or handoff is None:
        return None
    if act.outcome is RulingOutcome.FIRST_RECEIVER:
        return None
    if (act.position_digest, int(act.outcome)) in handoff.positions:
        return None
    return refuse(RefusalCode.POSITION_REQUIRED, "header.rule.position_digest")


def assessor_right(facts: Facts) -> Refusal | None:
    """R51: who assesses follows from the direction and from whose matter it is."""
    act, profile, item = facts.message.act, facts.profile, facts.item
    if not isinstance(act, Evaluate) or not act.assessed_by or profile is None or item is None:
        return None
    if facts.direction is Direction.WITHIN:
        return None
    expected = profile.assessor(facts.direction, item.category.owner)
    named = service_of(act.assessed_by, facts.context.site.register)
    if (named is Service.POLICE) is (expected is Service.POLICE):
        return None
    text = ASSESSED_BY.fill(service=expected.value)
    return refuse(RefusalCode.ASSESSOR_MISMATCH, "header.evaluate.assessed_by", "assessor", text)


OTHER_ACT = Text(
    en="Group {group} stands only with: {kinds}. Leave it out here and send it in a message of that "
    "kind.",
    zh="字段组 {group} 只用于：{kinds}。请从本消息中去掉，另以该种类的消息发送。",
)
NO_POLICE_TICKET = Text(
    en="Group police is what only a police ticket has; this ticket is a work order. Leave it out.",
    zh="字段组 police 为警单专有，本单为工单，请去掉该字段组。",
)
NOT_SHOWN = Text(
    en="Group {group} is withheld from you by the hand-off that you received: withhold it too, and show "
    "it to nobody.",
    zh="您所接收的移交未向您开放字段组 {group}：请同样列入不开放的字段组，也不得向其他机构开放。",
)
OTHER_REGION = Text(
    en="The profile does not hold in the ticket's region; use the region's own.",
    zh="该方案不适用于该单所属地区，请使用本地区方案。",
)
OWN_PROFILE = Text(
    en="Tickets of this region are handed over by its own profile here: pin {name}.",
    zh="本网桥对该地区的单适用本地区方案，请使用方案 {name}。",
)
HOTLINE_NOT_TOLD = Text(
    en="An emergency of this level is made known to 12345: offer it as a notification first (R40).",
    zh="该等级的突发事件须同时通知 12345：请先以通知形式移交（R40）。",
)
ASSESSED_BY = Text(
    en="Hand-offs of this kind are assessed by {service} (R51).",
    zh="此类移交由 {service} 考核（R51）。",
)
