"""
The site's rules at the bridge's hand: profiles, catalogue, register, calendar, relays.

It decides nothing itself: it gathers what `exchange.rules` and `exchange.deadlines` need to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange import deadlines, lifecycle, rules
from exchange.acts import GrantExtension
from exchange.errors import Refusal
from exchange.organisations import Direction, Register, Service
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    What one site has decided.

    *profiles* are the installed ones by name; *relays* names, for each relay's organisation, the
    organisations it may speak for.
    """

    profiles: Mapping[str, Profile]
    register: Register
    calendar: Calendar
    relays: Mapping[str, frozenset[str]]

    def may_speak(self, caller: str, author: str) -> bool:
        """Return whether *caller* may push what *author* says."""
        return caller == author or author in self.relays.get(caller, ())

    def judge(
        self,
        message: Message,
        *,
        ticket: Ticket,
        handoff: Handoff | None = None,
        parent: Handoff | None = None,
        siblings: Sequence[Handoff] = (),
        now: datetime,
    ) -> Refusal | None:
        """Return the first guard's refusal of *message*, or None."""
        return rules.judge(
            message,
            rules.Context(
                ticket=ticket,
                handoff=handoff,
                parent=parent,
                siblings=siblings,
                profiles=self.profiles,
                register=self.register,
                now=now,
            ),
        )

    def direction(self, handoff: Handoff) -> Direction:
        """Return which way *handoff* goes; within one side where the register does not say."""
        sender, receiver = (self.register.get(code) for code in (handoff.sender, handoff.receiver))
        if sender is None or receiver is None:
            return Direction.WITHIN
        return Direction.between(sender.service, receiver.service)

    def standing(
        self,
        handoff: Handoff,
        ticket: Ticket,
        message: Message,
        before: Standing | None,
        now: datetime,
    ) -> Standing:
        """Return *handoff* with who answers, who decides, what is due next and who assesses."""
        direction = self.direction(handoff)
        if before is not None and before.handoff.head == handoff.head:
            due = before.due
            act = message.act
            if isinstance(act, GrantExtension) and act.granted and act.new_due is not None:
                due = act.new_due
        else:
            due = self._due(handoff, ticket, direction, now)
        return Standing(
            handoff=handoff,
            answers=lifecycle.answers(handoff),
            decides=lifecycle.decides(handoff),
            due=due,
            assessed_by=self._assessor(handoff, direction),
        )

    def _due(
        self, handoff: Handoff, ticket: Ticket, direction: Direction, now: datetime
    ) -> datetime | None:
        kind = _NEXT_STEP.get(handoff.state)
        if kind is None:
            return None
        stated = {
            State.OFFERED: handoff.offer.take_due,
            State.TAKEN: handoff.offer.result_due,
        }.get(handoff.state)
        profile = self.profiles.get(handoff.offer.profile)
        if stated is not None or profile is None:
            return stated
        due = deadlines.due(
            profile,
            self.calendar,
            kind,
            direction=direction,
            urgency=int(ticket.urgency),
            start=now,
            level=handoff.offer.level,
        )
        return due.at if due is not None else None

    def _assessor(self, handoff: Handoff, direction: Direction) -> str:
        profile = self.profiles.get(handoff.offer.profile)
        if profile is None:
            return ""
        item = profile.catalogue.get(handoff.offer.matter)
        owner = item.category.owner if item is not None else Service.HOTLINE
        return str(profile.assessor(direction, owner))
