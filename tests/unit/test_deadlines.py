"""Deadlines: which limit holds, natural time, working days with worked weekends, extensions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import profile
from exchange.deadlines import CHINA, Due, due, rule_for
from exchange.errors import DataError
from exchange.organisations import Direction
from exchange.provisions import DeadlineKind, Unit
from exchange.reading import package_data
from exchange.workdays import Calendar, calendar, load_calendar

NATIONAL = profile.load("national")
TO_POLICE, TO_HOTLINE = Direction.HOTLINE_TO_POLICE, Direction.POLICE_TO_HOTLINE
ROUTINE, URGENT, IMMEDIATE = 1, 2, 3


def china(text: str) -> datetime:
    """Return an instant given in China Standard Time."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA)


def result_due(start: datetime, urgency: int = ROUTINE, days: Calendar | None = None) -> Due:
    """Return when the result is due after *start*, by the national default."""
    found = due(
        NATIONAL,
        days or calendar(),
        DeadlineKind.RESULT,
        direction=TO_HOTLINE,
        urgency=urgency,
        start=start,
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "direction", "urgency", "level", "limit", "unit"),
    [
        (DeadlineKind.TAKE, TO_POLICE, IMMEDIATE, 0, 5, Unit.MINUTES),
        (DeadlineKind.TAKE, TO_HOTLINE, IMMEDIATE, 0, 10, Unit.MINUTES),
        (DeadlineKind.TAKE, TO_HOTLINE, URGENT, 0, 30, Unit.MINUTES),
        (DeadlineKind.TAKE, TO_POLICE, ROUTINE, 0, 1, Unit.HOURS),
        (DeadlineKind.TAKE, TO_HOTLINE, ROUTINE, 0, 2, Unit.HOURS),
        (DeadlineKind.TAKE, TO_HOTLINE, ROUTINE, 1, 2, Unit.HOURS),
        (DeadlineKind.TAKE, TO_HOTLINE, ROUTINE, 2, 5, Unit.MINUTES),
        (DeadlineKind.RESULT, TO_HOTLINE, ROUTINE, 0, 7, Unit.WORKING_DAYS),
        (DeadlineKind.RULING, TO_HOTLINE, URGENT, 0, 2, Unit.HOURS),
    ],
)
def test_the_first_limit_that_fits_holds(
    *, kind: DeadlineKind, direction: Direction, urgency: int, level: int, limit: int, unit: Unit
) -> None:
    """Level goes before urgency, and urgency before direction alone."""
    rule = rule_for(NATIONAL, kind, direction=direction, urgency=urgency, level=level)
    assert rule is not None
    assert (rule.limit, rule.unit) == (limit, unit)


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_has_every_deadline(name: str) -> None:
    """No kind, direction, urgency or level is left without a limit."""
    found = profile.load(name)
    for kind in DeadlineKind:
        for direction in Direction:
            for urgency in (ROUTINE, URGENT, IMMEDIATE):
                for level in range(5):
                    assert rule_for(
                        found, kind, direction=direction, urgency=urgency, level=level
                    ), (kind, direction, urgency, level)


def test_natural_hours_run_through_night_and_holiday() -> None:
    """Twenty-four hours from New Year's Eve are twenty-four hours."""
    start = china("2026-02-16T22:30")
    found = result_due(start, IMMEDIATE)
    assert found.at - start == timedelta(hours=24)
    assert found.at.tzinfo is UTC


@pytest.mark.parametrize(
    ("start", "end"),
    [
        # Monday 9 November: its own day does not count; seven working days end on Wednesday 18th.
        ("2026-11-09T09:00", "2026-11-19T00:00"),
        ("2026-11-09T23:59", "2026-11-19T00:00"),
        # National Day 1-7 October 2026 is skipped, Saturday 10 October is worked.
        ("2026-09-29T10:00", "2026-10-15T00:00"),
        # Spring Festival 15-23 February, with 14 and 28 February worked.
        ("2026-02-13T10:00", "2026-03-03T00:00"),
    ],
)
def test_working_days_follow_the_published_calendar(start: str, end: str) -> None:
    """Holidays are skipped, worked weekends count, the last day ends at midnight."""
    assert result_due(china(start)).at == china(end)


def test_the_day_is_chinas_not_the_servers() -> None:
    """Shortly after midnight in China it is still yesterday in UTC: China's day counts."""
    assert result_due(datetime(2026, 11, 8, 17, 0, tzinfo=UTC)).at == china("2026-11-19T00:00")


def test_a_year_without_notice_is_monday_to_friday() -> None:
    """Working days that run into a year whose holidays are unknown are those of the ordinary week."""
    assert result_due(china("2029-12-28T09:00")).at == china("2030-01-09T00:00")
    assert calendar().known_until < 2030


def test_a_site_loads_the_new_years_holidays(tmp_path: Path) -> None:
    """A file of the same form adds a year, whose holidays count from then on."""
    path = tmp_path / "2027.csv"
    path.write_text(
        "day,kind,name\n2027-01-01,rest,元旦\n2027-01-02,work,元旦\n2027-10-01,rest,国庆节\n",
        encoding="utf-8-sig",
    )
    days = calendar().with_table(load_calendar(path))
    found = result_due(china("2026-12-30T09:00"), days=days)
    assert days.known_until == 2027
    assert found.at == china("2027-01-09T00:00"), "one day lost, one weekend day worked"
    assert days.is_working_day(date(2027, 1, 2))
    assert days.is_working_day(date(2026, 10, 10)), "the package's own year is kept"


@pytest.mark.parametrize("line", ["2027-13-01,rest,x", "2027-01-01,holiday,x", "2027-01-01"])
def test_a_wrong_calendar_names_the_line(tmp_path: Path, line: str) -> None:
    """An impossible date, an unknown kind or a short line is named."""
    path = tmp_path / "2027.csv"
    path.write_text(f"day,kind,name\n2027-01-03,rest,x\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3"):
        load_calendar(path)


def test_a_calendar_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """In both languages, with the next step."""
    with pytest.raises(DataError, match="there is no such file") as caught:
        load_calendar(tmp_path / "absent.csv")
    assert "请检查路径" in caught.value.text.zh


@given(
    st.datetimes(datetime(2018, 1, 1), datetime(2026, 11, 30)),  # noqa: DTZ001 - zone set below
    st.sampled_from(list(DeadlineKind)),
    st.integers(1, 3),
)
def test_a_deadline_lies_after_its_start_and_its_reminder(
    naive: datetime, kind: DeadlineKind, urgency: int
) -> None:
    """For any start: start < reminder < due, and the last day is a working day where it must be."""
    start = naive.replace(tzinfo=CHINA)
    found = due(NATIONAL, calendar(), kind, direction=TO_POLICE, urgency=urgency, start=start)
    assert found is not None
    assert start < found.remind_at < found.at
    rule = rule_for(NATIONAL, kind, direction=TO_POLICE, urgency=urgency)
    assert rule is not None
    if rule.unit is Unit.WORKING_DAYS:
        last = (found.at - timedelta(seconds=1)).astimezone(CHINA).date()
        assert calendar().is_working_day(last)


def test_a_start_without_zone_is_refused() -> None:
    """A naive datetime is no instant."""
    with pytest.raises(ValueError, match="time zone"):
        result_due(datetime(2026, 11, 9, 9, 0))  # noqa: DTZ001 - the mistake under test


def test_a_region_may_set_no_limit(tmp_path: Path) -> None:
    """A limit of 0 ends the search: the country's default does not step in."""
    own = package_data("profiles", "wuyang.toml").read_text(encoding="utf-8")
    row = '\n[[deadlines]]\nkind = "visit"\nlimit = 0\nunit = "days"\nrule = "R50"\nseed = "ours"\n'
    file = tmp_path / "own.toml"
    file.write_text(own + row, encoding="utf-8")
    rules = profile.load(file)

    assert not any(
        rule_for(rules, DeadlineKind.VISIT, direction=way, urgency=ROUTINE) for way in Direction
    )
    assert rule_for(rules, DeadlineKind.CLOSE, direction=TO_POLICE, urgency=ROUTINE)
    file.write_text(own + row.replace("limit = 0", "limit = 10000"), encoding="utf-8")
    assert due(
        profile.load(file), calendar(), DeadlineKind.VISIT, direction=TO_POLICE, urgency=ROUTINE,
        start=china("2026-03-02T09:00"),
    )  # fmt: skip
