"""
The site's rules at the bridge's hand: profiles, catalogue, register, calendar, relays.

It decides nothing itself: it gathers what `exchange.rules` and `exchange.deadlines` need to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exchange import deadlines, lifecycle
from exchange.acts import GrantExtension
from exchange.facts import Site
from exchange.making import maker
from exchange.organisations import Direction, Service
from exchange.profile import Profile
from exchange.provisions import DeadlineKind
from exchange.store import Standing
from exchange.ticket import Handoff, Message, State, Ticket
from exchange.workdays import Calendar

#: What the side that decides owes next, by state.
_NEXT_STEP: dict[State, DeadlineKind] = {
    State.OFFERED: DeadlineKind.TAKE,
    State.TAKEN: DeadlineKind.RESULT,
    State.RETURNING: DeadlineKind.ANSWER_RETURN,
    State.DISPUTED: DeadlineKind.RULING,
    State.RESOLVED: DeadlineKind.CLOSE,
}


_new_standing = maker(Standing)


@dataclass(slots=True)
class Dues:
    """When the next steps are due that count from one instant, a drain's; each found out once."""

    calendar: Calendar
    now: datetime
    _found: dict[tuple[str, str, DeadlineKind, Direction, int, int], datetime | None] = field(
        default_factory=dict
    )

    def of(
        self, profile: Profile, kind: DeadlineKind, direction: Direction, urgency: int, level: int
    ) -> datetime | None:
        """Return by when *kind* is due by *profile*'s limits; None without one."""
        key = (profile.name, profile.edition, kind, direction, urgency, level)
        if key not in self._found:
            due = deadlines.due(
                profile,
                self.calendar,
                kind,
                direction=direction,
                urgency=urgency,
                start=self.now,
                level=level,
            )
            self._found[key] = None if due is None else due.at
        return self._found[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    What one site has decided.

    *relays* names, for each relay's organisation, the organisations it may speak for.
    """

    site: Site
    calendar: Calendar
    relays: Mapping[str, frozenset[str]]

    def may_speak(self, caller: str, author: str) -> bool:
        """Return whether *caller* may push what *author* says."""
        return caller == author or author in self.relays.get(caller, ())

    def standing(
        self,
        handoff: Handoff,
        ticket: Ticket,
        message: Message,
        before: Standing | None,
        dues: Dues,
    ) -> Standing:
        """Return *handoff* with who answers, who decides, what is due next and who assesses."""
        offer = handoff.offer
        direction = self.site.register.direction(handoff.sender, handoff.receiver)
        profile = self.site.profiles.get((offer.profile, offer.profile_edition))
        if before is not None and before.handoff.head == handoff.head:
            due = before.due
            act = message.act
            if isinstance(act, GrantExtension) and act.granted and act.new_due is not None:
                due = act.new_due
        else:
            due = _due(handoff, ticket, profile, direction, dues)
        return _new_standing(
            handoff=handoff,
            answers=lifecycle.answers(handoff),
            decides=lifecycle.decides(handoff),
            due=due,
            assessed_by=_assessor(handoff, profile, direction),
        )


def _due(
    handoff: Handoff, ticket: Ticket, profile: Profile | None, direction: Direction, dues: Dues
) -> datetime | None:
    kind = _NEXT_STEP.get(handoff.state)
    if kind is None:
        return None
    stated: datetime | None = None
    if handoff.state is State.OFFERED:
        stated = handoff.offer.take_due
    elif handoff.state is State.TAKEN:
        stated = handoff.offer.result_due
    if stated is not None or profile is None:
        return stated
    return dues.of(profile, kind, direction, int(ticket.urgency), handoff.offer.level)


def _assessor(handoff: Handoff, profile: Profile | None, direction: Direction) -> str:
    """Return who assesses the work on *handoff* (R51); empty without its profile."""
    if profile is None:
        return ""
    item = profile.catalogue.get(handoff.offer.matter)
    owner = item.category.owner if item is not None else Service.HOTLINE
    return profile.assessor(direction, owner).value
