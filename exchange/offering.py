"""The guards of offers: which way a matter may go, and what must be done and said before."""

from __future__ import annotations

from exchange.acts import Group
from exchange.errors import Refusal, RefusalCode, refuse
from exchange.facts import Facts, Form, service_of
from exchange.organisations import HOTLINE_SERVICES, Direction, Service

# As in `exchange.guards`: each of these is asked for by every offer.
_TO_POLICE, _TO_HOTLINE = Direction.HOTLINE_TO_POLICE, Direction.POLICE_TO_HOTLINE
_POLICE = Service.POLICE
_GROUNDS, _REVIEW = Group.GROUNDS, Group.REVIEW


def route_allowed(facts: Facts) -> Refusal | None:
    """R04: the matter goes the way its entry says, unless danger, level, lead or need says more."""
    offer, item, profile = facts.offering, facts.item, facts.profile
    if offer is None or item is None or profile is None or item.may_go(facts.direction):
        return None  # an unlisted matter is agreed between the desks (R33)
    high = facts.level in profile.levels_110_first
    if facts.direction is _TO_POLICE:
        allowed = (
            high  # R40
            or (offer.danger and profile.danger_to_110)  # R31
            or (offer.form == Form.LEAD and profile.leads_to_110)  # R22
            or (offer.form == Form.ESCALATION and bool(profile.escalation_grounds))  # R23
        )
    else:
        allowed = offer.form == Form.JOINT or (high and offer.form == Form.NOTIFICATION)  # R15, R40
    return None if allowed else refuse(RefusalCode.ROUTE_NOT_ALLOWED, "header.offer.matter")


def county_relayed(facts: Facts) -> Refusal | None:
    """S0 R05: a county's 110 reaches 12345 through the city's 110."""
    profile, author = facts.profile, facts.message.author
    if facts.offering is None or profile is None or not profile.county_relay:
        return None
    if facts.direction is not _TO_HOTLINE:
        return None
    register = facts.context.site.register
    known = register.get(author)
    above = register.get(known.parent) if known is not None and known.parent else None
    if known is not None:
        county = above is not None and above.service is _POLICE
    else:
        county = author[4:6] != "00"
    return refuse(RefusalCode.RELAY_REQUIRED, "header.recipient") if county else None


def reason_given(facts: Facts) -> Refusal | None:
    """R14, R15: the sender says why; always where no list does (R33)."""
    offer, profile = facts.offering, facts.profile
    if offer is None or profile is None or not facts.lacks(_GROUNDS):
        return None
    unlisted = not offer.matter and facts.direction is not Direction.WITHIN
    if unlisted or facts.direction in profile.reason_required:
        return refuse(RefusalCode.REASON_REQUIRED, "groups.grounds", "required")
    return None


def reviewed(facts: Facts) -> Refusal | None:
    """S3 R14: the sender's own review comes first."""
    profile = facts.profile
    if facts.offering is None or profile is None or not facts.lacks(_REVIEW):
        return None
    if facts.direction in profile.review_required:
        return refuse(RefusalCode.REVIEW_REQUIRED, "groups.review", "required")
    return None


def disposed_of_first(facts: Facts) -> Refusal | None:
    """R12, R13, S4 附件四: 110 disposes of it first and says what it did."""
    offer, profile = facts.offering, facts.profile
    if offer is None or profile is None or facts.direction is not _TO_HOTLINE:
        return None
    needed = facts.category in profile.prior_disposal_categories
    if needed and not facts.prior_disposal_stated:
        return refuse(RefusalCode.PRIOR_DISPOSAL_REQUIRED, "groups.prior_disposal", "required")
    return None


def no_case_opened(facts: Facts) -> Refusal | None:
    """S3 R13: a dispute that became a case stays with the police."""
    offer, profile = facts.offering, facts.profile
    if offer is None or profile is None or facts.direction is not _TO_HOTLINE:
        return None
    if offer.case_opened and facts.category in profile.no_case_categories:
        return refuse(RefusalCode.CASE_OPENED, "header.offer.case_opened")
    return None


def police_first(facts: Facts) -> Refusal | None:
    """S0 R40: from 较大 on, 110 acts first and 12345 coordinates; nobody else goes before it."""
    offer, profile, ticket = facts.offering, facts.profile, facts.context.ticket
    if offer is None or profile is None or ticket is None:
        return None
    if facts.level not in profile.levels_110_first:
        return None
    register = facts.context.site.register
    if facts.direction is _TO_HOTLINE:
        # 12345 is told at the same time or asked for its part; the rest goes over after 110 acted.
        told = offer.form in {Form.JOINT, Form.NOTIFICATION}
        return (
            None
            if told or facts.prior_disposal_stated
            else refuse(RefusalCode.LEVEL_REQUIRES_110, "header.offer.form")
        )
    if service_of(facts.message.author, register) not in HOTLINE_SERVICES:
        return None
    if service_of(facts.message.recipient, register) not in HOTLINE_SERVICES:
        return None  # 110 itself, or 119, 120, 122 (R41)
    parties = [ticket.origin, *(h.receiver for h in facts.context.handoffs)]
    if any(service_of(code, register) is _POLICE for code in parties):
        return None
    return refuse(RefusalCode.LEVEL_REQUIRES_110, "header.recipient")


def immediate_dispatched(facts: Facts) -> Refusal | None:
    """S4 R24: an immediate kind goes to 110 with the sender's own duty opened in the same act."""
    offer, profile = facts.offering, facts.profile
    if offer is None or profile is None or offer.parallel_duty:
        return None
    if facts.direction is not _TO_POLICE:
        return None
    if facts.category not in profile.immediate_categories:
        return None
    return refuse(RefusalCode.PARALLEL_DUTY_REQUIRED, "header.offer.parallel_duty")
