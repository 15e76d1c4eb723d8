"""
Deadlines (时限): by when something has to happen, from the region's profile and the calendar.

Time changes no state; a deadline only reminds, escalates and counts.  Minutes and hours run from
the instant, day and night (both desks are open 24 hours, R01).  Days and working days do not count
the day of the beginning and end at midnight of the last one, as 民法典 §201 and §203 count them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from exchange.organisations import Direction
from exchange.profile import Profile
from exchange.provisions import DeadlineKind, DeadlineRule, Unit
from exchange.workdays import Calendar

#: China Standard Time; fixed, since there has been no daylight saving time since 1991, so that no
#: time-zone database is needed.
CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """
    A deadline: when it is due and when to remind (both UTC), and the rule it follows from.

    ``certain`` is False where working days run into a year whose holidays are not yet published.
    """

    at: datetime
    remind_at: datetime
    rule: DeadlineRule
    certain: bool

    def is_over(self, now: datetime) -> bool:
        """Return whether the deadline has passed at *now*."""
        return now >= self.at


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
            return rule
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
    return _due(profile, calendar, rule, start)


def _due(profile: Profile, calendar: Calendar, rule: DeadlineRule, start: datetime) -> Due:
    end, certain = _end(calendar, rule.unit, rule.limit, _utc(start))
    return _with_reminder(profile, rule, _utc(start), end, certain=certain)


def _with_reminder(
    profile: Profile, rule: DeadlineRule, start: datetime, end: datetime, *, certain: bool
) -> Due:
    remind_at = start + (end - start) * profile.remind_at_percent / 100
    return Due(at=end, remind_at=remind_at, rule=rule, certain=certain)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a deadline starts at an instant: give a datetime with its time zone")
    return moment.astimezone(UTC)


def _end(calendar: Calendar, unit: Unit, limit: int, start: datetime) -> tuple[datetime, bool]:
    if unit is Unit.MINUTES:
        return start + timedelta(minutes=limit), True
    if unit is Unit.HOURS:
        return start + timedelta(hours=limit), True
    first = start.astimezone(CHINA).date()
    if unit is Unit.DAYS:
        return _midnight_after(first + timedelta(days=limit)), True
    last = calendar.after(first, limit)
    return _midnight_after(last), calendar.covers(first) and calendar.covers(last)


def _midnight_after(day: date) -> datetime:
    end = datetime.combine(day + timedelta(days=1), time.min, tzinfo=CHINA)
    return end.astimezone(UTC)


def may_extend(profile: Profile, before: Due, *, asked_at: datetime, extensions: int) -> bool:
    """Return whether one more extension may be granted after *extensions* earlier ones."""
    if extensions >= profile.extension.times:
        return False
    return not (profile.extension.before_due and before.is_over(asked_at))


def extended(profile: Profile, calendar: Calendar, before: Due) -> Due:
    """Return *before* moved on by the profile's extension, in working days after its last day."""
    # A midnight belongs to the day it ends; an hour within a day to that day.
    last = (before.at - timedelta(microseconds=1)).astimezone(CHINA).date()
    moved = calendar.after(last, profile.extension.working_days)
    return _with_reminder(
        profile,
        before.rule,
        before.at,
        _midnight_after(moved),
        certain=before.certain and calendar.covers(moved),
    )
