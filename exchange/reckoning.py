"""
What a bridge reckons beside what messages say: by when something is due, and who assesses (R51).

It follows from the messages, from when they were accepted, and from the site's rules: profiles, catalogue,
calendar, register.  Messages and times stand in the log; of the rules a bridge enters, as an act of its own
(`exchange.chain`), what the reckoning needs, before the first drain by them.  So anybody can reckon it again,
years later and without the site's files, and a changed deadline is found (`exchange.store.audit`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from exchange import deadlines, lifecycle
from exchange.deadlines import Due, Limit, Terms
from exchange.facts import Site
from exchange.making import maker
from exchange.organisations import HOTLINE_SERVICES, Direction, Service
from exchange.profile import Profile
from exchange.provisions import Citation, DeadlineKind, DeadlineRule, Unit
from exchange.records import Standing
from exchange.ticket import Handoff, Message, Ticket
from exchange.workdays import Calendar

#: What a bridge's act about the rules it reckons by is called.
RECKONING = "reckoning"
#: The way of reckoning; raise it whenever the same messages and rules come to something else.
WAY = 1
#: Bytes of an act's facts at most: in base64, with what stands around them, `exchange.chain.MAX_LINE`.
MOST = 46_000

_new_standing = maker(Standing)
_UNCITED = Citation(rule="", seed="")


class Basis(Terms, Protocol):
    """`Terms` that also tell who assesses."""

    def assessor_of(self, matter: str, direction: Direction) -> Service:
        """Return who assesses a hand-off of *matter*."""


def standing(
    handoff: Handoff,
    message: Message,
    before: Standing | None,
    *,
    terms: Basis | None,
    direction: Direction,
    limit: Limit,
    now: datetime,
    visited: Callable[[], bool],
) -> Standing:
    """
    Return *handoff*, to which *message* led, with who answers, who decides, what is due and who assesses.

    *terms* are those of its profile, None where that is not installed; *visited* tells whether the citizen
    was asked since the last result.
    """
    granted = deadlines.extension(handoff, message)
    step: Due | None
    if before is None or before.handoff.head != handoff.head:
        step = deadlines.step(handoff, terms, now, limit)
    elif granted is not None:
        step = deadlines.stated(terms, now, granted)
    elif before.due is None or handoff.taken_over:
        step = None
    else:
        step = Due(at=before.due, remind_at=before.remind or before.due)
    return _new_standing(
        handoff=handoff,
        answers=lifecycle.answers(handoff),
        decides=lifecycle.decides(handoff),
        due=None if step is None else step.at,
        remind=None if step is None else step.remind_at,
        further=deadlines.further(
            () if before is None else before.further,
            handoff,
            message,
            limit,
            now=now,
            profile=terms,
            direction=direction,
            visited=visited,
        ),
        assessed_by=""
        if terms is None
        else terms.assessor_of(handoff.offer.matter, direction).value,
    )


# -- the rules, as the log keeps them


def said_of(site: Site, calendar: Calendar) -> dict[str, Any]:
    """
    Return what the reckoning needs of the site's rules, as facts of a bridge's act (`read_rules`).

    Where that is more than a line of a chain may hold, it says so and nothing else of them.
    """
    facts: dict[str, Any] = {
        "act": RECKONING,
        "way": WAY,
        "profiles": [_said(one) for _, one in sorted(site.profiles.items())],
        "rest": _days(calendar.rest),
        "worked": _days(calendar.worked),
        "services": {
            one.code: one.service.value
            for one in site.register
            if _side(one.service) is not _side(_by_form(one.code))
        },
    }
    if len(json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()) <= MOST:
        return facts
    return {"act": RECKONING, "way": 0, "why": "the rules are more than a line may hold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a log keeps of one profile: the `Basis` of what was reckoned by it."""

    deadlines: tuple[DeadlineRule, ...]
    remind_at_percent: int
    visit_after_close: bool
    assessors: Mapping[tuple[Direction, Service], Service]
    #: Whose each matter is, but for the hotline's.
    owners: Mapping[str, Service]

    def assessor_of(self, matter: str, direction: Direction) -> Service:
        """Return who assesses a hand-off of *matter*."""
        owner = self.owners.get(matter, Service.HOTLINE)
        return self.assessors.get((direction, owner), Service.HOTLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules that a bridge reckoned by, as its act says them."""

    profiles: Mapping[tuple[str, str], Kept]
    calendar: Calendar
    #: The services of organisations whose code looks like the other side's.
    services: Mapping[str, Service]

    def standing(
        self,
        handoff: Handoff,
        ticket: Ticket,
        message: Message,
        before: Standing | None,
        *,
        now: datetime,
        visited: Callable[[], bool],
    ) -> Standing:
        """Return how *handoff* stands once *message* was accepted at *now*, as the bridge reckoned it."""
        offer = handoff.offer
        terms = self.profiles.get((offer.profile, offer.profile_edition))
        direction = self.direction(handoff.sender, handoff.receiver)

        def limit(kind: DeadlineKind) -> Due | None:
            if terms is None:
                return None
            return deadlines.due(
                terms,
                self.calendar,
                kind,
                direction=direction,
                urgency=int(ticket.urgency),
                start=now,
                level=max(ticket.level, offer.level),
            )

        return standing(
            handoff,
            message,
            before,
            terms=terms,
            direction=direction,
            limit=limit,
            now=now,
            visited=visited,
        )

    def direction(self, sender: str, receiver: str) -> Direction:
        """Return the direction of a hand-off from one organisation to another."""
        return Direction.between(self._service(sender), self._service(receiver))

    def _service(self, code: str) -> Service:
        return self.services.get(code, _by_form(code))


def read_rules(facts: Mapping[str, Any]) -> Rules | None:
    """Return the rules that an act's *facts* say; None where they say none, or are reckoned another way."""
    try:
        if facts["way"] != WAY:
            return None
        return Rules(
            profiles={
                (str(one["name"]), str(one["edition"])): _kept(one) for one in facts["profiles"]
            },
            calendar=Calendar(
                rest=frozenset(map(date.fromisoformat, facts["rest"])),
                worked=frozenset(map(date.fromisoformat, facts["worked"])),
                years=frozenset(),
            ),
            services={str(code): Service(one) for code, one in facts["services"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # of a later version: what it reckoned is not ours to judge


def _said(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "edition": profile.edition,
        "limits": [
            [
                str(rule.kind), rule.limit, str(rule.unit), sorted(d.value for d in rule.directions),
                sorted(rule.urgencies), rule.least_level,
            ]
            for rule in profile.deadlines
        ],
        "remind": profile.remind_at_percent,
        "visit_after_close": profile.visit_after_close,
        "assessors": sorted(
            [direction.value, owner.value, by.value]
            for (direction, owner), by in profile.assessors.items()
        ),
        "owners": _owners(profile),
    }  # fmt: skip


def _owners(profile: Profile) -> dict[str, list[str]]:
    """Return the matters of each service but the hotline, whose all others are."""
    found: dict[str, list[str]] = {}
    for item in profile.catalogue.items.values():
        owner = item.category.owner
        if owner is not Service.HOTLINE:
            found.setdefault(owner.value, []).append(item.id)
    return {owner: sorted(ids) for owner, ids in sorted(found.items())}


def _kept(said: Mapping[str, Any]) -> Kept:
    return Kept(
        deadlines=tuple(
            DeadlineRule(
                kind=DeadlineKind(kind),
                limit=int(limit),
                unit=Unit(unit),
                directions=frozenset(map(Direction, directions)),
                urgencies=frozenset(urgencies),
                least_level=int(level),
                citation=_UNCITED,
            )
            for kind, limit, unit, directions, urgencies, level in said["limits"]
        ),
        remind_at_percent=int(said["remind"]),
        visit_after_close=bool(said["visit_after_close"]),
        assessors={
            (Direction(direction), Service(owner)): Service(by)
            for direction, owner, by in said["assessors"]
        },
        owners={one: Service(owner) for owner, ids in said["owners"].items() for one in ids},
    )


def _days(days: Iterable[date]) -> list[str]:
    return [f"{day:%Y%m%d}" for day in sorted(days)]


def _by_form(code: str) -> Service:
    """Return the service of an organisation that no register has (`Register.service_of`)."""
    return Service.POLICE if len(code) == 12 else Service.HOTLINE


def _side(service: Service) -> Service | None:
    """Return the side of *service*: all that directions know of it."""
    if service is Service.POLICE:
        return service
    return Service.HOTLINE if service in HOTLINE_SERVICES else None
