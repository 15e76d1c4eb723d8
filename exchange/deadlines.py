"""
Deadlines (时限): by when something has to happen, from the region's profile and the calendar.

Time changes no state; a deadline only reminds, escalates and counts.  Minutes and hours run from
the instant, day and night (both desks are open 24 hours, R01).  Days and working days do not count
the day of the beginning and end at midnight of the last one, as 民法典 §201 and §203 count them.

In each state the side that decides owes one *step* (`STEPS`); beside it run what `further` tells:
first feedback, the time to return, the visit, supervisions.  A bridge reckons them by its own clock,
from when it learnt of a message, and for itself: nothing of a deadline crosses but what a message
states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from exchange.acts import MOVING_KINDS, GrantExtension, Kind, Supervise
from exchange.organisations import Direction
from exchange.profile import Profile
from exchange.provisions import DeadlineKind, DeadlineRule, Unit
from exchange.ticket import TERMINAL_STATES, Handoff, Message, State
from exchange.workdays import Calendar

#: China Standard Time; fixed, since there has been no daylight saving time since 1991, so that no
#: time-zone database is needed.
CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")

#: What the side that decides owes next, by state.
STEPS: dict[State, DeadlineKind] = {
    State.OFFERED: DeadlineKind.TAKE,
    State.TAKEN: DeadlineKind.RESULT,
    State.RETURNING: DeadlineKind.ANSWER_RETURN,
    State.DISPUTED: DeadlineKind.RULING,
    State.RESOLVED: DeadlineKind.CLOSE,
}

#: The states whose step an extension moves: what the receiver, who asks for it, owes.
EXTENDABLE = frozenset({State.OFFERED, State.TAKEN})

# As in `exchange.guards`: asked of every hand-off that changes.
_TAKE, _RESULT, _RETURNED = DeadlineKind.TAKE, DeadlineKind.RESULT, State.RETURNED
_BEGINNING = frozenset({Kind.TAKE, Kind.SUPERVISE, Kind.CLOSE, Kind.RESULT})

#: What answers a supervision, said by who was urged.
_ANSWERS = MOVING_KINDS | {Kind.PROGRESS}

#: While which states a deadline that is not a step goes on; the others end by what is said alone.
#: The time to return is kept while a return is asked for: whoever decides on it sees if it came late.
_WHILE: dict[DeadlineKind, frozenset[State]] = {
    DeadlineKind.FIRST_FEEDBACK: frozenset({State.TAKEN}),
    DeadlineKind.RETURN: frozenset({State.TAKEN, State.RETURNING}),
    DeadlineKind.SUPERVISION: frozenset(State) - TERMINAL_STATES,
    DeadlineKind.VISIT: frozenset({State.RESOLVED, State.CLOSED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When something is due and when to remind, both UTC."""

    at: datetime
    remind_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """
    One thing that is due on a hand-off: what, who owes it, by when, and when to remind.

    *remind* is None where it was reckoned by a version that did not know it.
    """

    kind: DeadlineKind
    owes: str
    due: datetime
    remind: datetime | None = None

    def is_overdue(self, now: datetime) -> bool:
        """Return whether it should have been done before *now*; what nobody must do never is."""
        return self.kind is not DeadlineKind.RETURN and self.due < now

    def is_soon(self, now: datetime) -> bool:
        """Return whether at *now* its time to remind has come, and its own has not passed."""
        return self.remind is not None and self.remind <= now <= self.due


#: By when a kind of thing is due that counts from now; None without a limit.
Limit = Callable[[DeadlineKind], Due | None]


def rule_for(
    profile: Profile,
    kind: DeadlineKind,
    *,
    direction: Direction,
    urgency: int,
    level: int = 0,
) -> DeadlineRule | None:
    """
    Return the first of the profile's limits that fits, or None if it sets none.

    *urgency* and *level* are the contract's numbers (routine 1 … immediate 3; general 1 …
    extraordinary 4, 0 for no emergency).
    """
    for rule in profile.deadlines:
        if (
            rule.kind is kind
            and (not rule.directions or direction in rule.directions)
            and (not rule.urgencies or urgency in rule.urgencies)
            and level >= rule.least_level
        ):
            return rule if rule.limit else None
    return None


def due(
    profile: Profile,
    calendar: Calendar,
    kind: DeadlineKind,
    *,
    direction: Direction,
    urgency: int,
    start: datetime,
    level: int = 0,
) -> Due | None:
    """
    Return by when *kind* is due, counted from *start* (aware), or None without such a limit.

    Raises `ValueError` if *start* has no time zone.
    """
    rule = rule_for(profile, kind, direction=direction, urgency=urgency, level=level)
    if rule is None:
        return None
    if start.tzinfo is None:
        raise ValueError("a deadline starts at an instant: give a datetime with its time zone")
    start = start.astimezone(UTC)
    return stated(profile, start, _end(calendar, rule.unit, rule.limit, start))


def stated(profile: Profile | None, start: datetime, at: datetime) -> Due:
    """
    Return what a message or a limit says is due *at*, counted from *start*, with its reminder.

    Without a profile, and for a time that has passed already, the reminder comes with the due time.
    """
    if profile is None or at <= start:
        return Due(at=at, remind_at=at)
    return Due(at=at, remind_at=start + (at - start) * profile.remind_at_percent / 100)


def _end(calendar: Calendar, unit: Unit, limit: int, start: datetime) -> datetime:
    if unit is Unit.MINUTES:
        return start + timedelta(minutes=limit)
    if unit is Unit.HOURS:
        return start + timedelta(hours=limit)
    first = start.astimezone(CHINA).date()
    if unit is Unit.DAYS:
        return _midnight_after(first + timedelta(days=limit))
    return _midnight_after(calendar.after(first, limit))


def _midnight_after(day: date) -> datetime:
    end = datetime.combine(day + timedelta(days=1), time.min, tzinfo=CHINA)
    return end.astimezone(UTC)


def step(handoff: Handoff, profile: Profile | None, now: datetime, limit: Limit) -> Due | None:
    """
    Return by when the side that decides owes the next step, counted from *now*.

    What the offer states goes before the profile.  None in a terminal state, without a limit, and
    where the sender took the matter back: then nobody waits for it.
    """
    kind = STEPS.get(handoff.state)
    if kind is None or handoff.taken_over:
        return None
    said: datetime | None = None
    if kind is _TAKE:
        said = handoff.offer.take_due
    elif kind is _RESULT:
        said = handoff.offer.result_due
    return limit(kind) if said is None else stated(profile, now, said)


def extension(handoff: Handoff, message: Message) -> datetime | None:
    """Return the new due time of *handoff*'s step where *message* grants one (S2: 可适时延长), or None."""
    act = message.act
    if isinstance(act, GrantExtension) and act.granted and handoff.state in EXTENDABLE:
        return act.new_due
    return None


def may_run(kind: DeadlineKind, handoff: Handoff) -> bool:
    """Return whether *kind* can be due on *handoff* beside its step, as it stands."""
    return (
        not handoff.taken_over
        and handoff.state is not State.RETURNED
        and handoff.state in _WHILE.get(kind, ())
    )


def further(
    before: Sequence[Deadline],
    handoff: Handoff,
    message: Message,
    limit: Limit,
    *,
    now: datetime,
    profile: Profile | None,
    direction: Direction,
    visited: Callable[[], bool],
) -> tuple[Deadline, ...]:
    """
    Return what is due on *handoff* beside its step, once *message* led to it.

    *before* is what was; *visited* tells whether the citizen was asked since the last result.
    """
    if handoff.taken_over or handoff.state is _RETURNED:
        return ()
    going = [one for one in before if not _ends(one, handoff, message)]
    for kind in _begun(handoff, message, profile):
        if kind is DeadlineKind.VISIT and (handoff.onward_of or visited()):
            continue  # whoever handed it on has the citizen
        said = message.act.due if isinstance(message.act, Supervise) else None
        found = limit(kind) if said is None else stated(profile, now, said)
        if found is not None:
            owes = _owes(kind, handoff, message, direction)
            going.append(Deadline(kind=kind, owes=owes, due=found.at, remind=found.remind_at))
    return _earliest(going) if going else ()


def _ends(one: Deadline, handoff: Handoff, message: Message) -> bool:
    if handoff.state not in _WHILE[one.kind]:
        return True
    if one.kind is DeadlineKind.VISIT:
        return message.kind is Kind.VISIT
    if one.kind is DeadlineKind.SUPERVISION:
        return message.author == one.owes and message.kind in _ANSWERS
    feedback = one.kind is DeadlineKind.FIRST_FEEDBACK
    return feedback and message.kind is Kind.PROGRESS and message.author == handoff.receiver


def _begun(handoff: Handoff, message: Message, profile: Profile | None) -> tuple[DeadlineKind, ...]:
    """Return the kinds that *message* begins on *handoff*; an own duty is taken by nobody's act."""
    if message.kind not in _BEGINNING:
        return ()
    if message.kind is Kind.TAKE:
        return DeadlineKind.FIRST_FEEDBACK, DeadlineKind.RETURN
    if message.kind is Kind.SUPERVISE and handoff.state not in TERMINAL_STATES:
        return (DeadlineKind.SUPERVISION,)
    asked_after = Kind.CLOSE if profile is None or profile.visit_after_close else Kind.RESULT
    return (DeadlineKind.VISIT,) if message.kind is asked_after else ()


def _owes(kind: DeadlineKind, handoff: Handoff, message: Message, direction: Direction) -> str:
    if kind is DeadlineKind.SUPERVISION:
        return message.recipient
    if kind is DeadlineKind.VISIT and direction is not Direction.POLICE_TO_HOTLINE:
        return handoff.sender
    return (
        handoff.receiver
    )  # also of a visit: 12345 asks, whoever handed it the matter (S2, S3, S4)


def _earliest(deadlines: Sequence[Deadline]) -> tuple[Deadline, ...]:
    """Return one of each kind and organisation, the earliest; the earliest of all first."""
    found: dict[tuple[DeadlineKind, str], Deadline] = {}
    for one in sorted(deadlines, key=lambda one: (one.due, one.kind, one.owes)):
        found.setdefault((one.kind, one.owes), one)
    return tuple(found.values())
