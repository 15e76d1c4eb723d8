"""
Working days (工作日) in China: the ordinary week, the holidays, and the weekends worked instead.

Rest days and worked weekends (调休) are fixed by a notice of the State Council for one year at a
time.  For a year without notice the calendar falls back on Monday to Friday; the journal of a bridge
says until when it knows (`Calendar.known_until`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from exchange.causes import cause
from exchange.errors import DataError
from exchange.reading import package_data
from exchange.text import Text

_SATURDAY = 5
_OCTOBER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The exceptions from the ordinary week: weekdays at rest, weekend days worked."""

    rest: frozenset[date]
    worked: frozenset[date]
    years: frozenset[int]

    @property
    def known_until(self) -> int:
        """The last year whose holidays are known; 0 for none."""
        return max(self.years, default=0)

    def is_working_day(self, day: date) -> bool:
        """Return whether offices work on *day*."""
        if day in self.worked:
            return True
        return day not in self.rest and day.weekday() < _SATURDAY

    def after(self, day: date, count: int) -> date:
        """Return the *count*-th working day after *day*; *day* itself does not count."""
        while count > 0:
            day += timedelta(days=1)
            count -= self.is_working_day(day)
        return day

    def with_table(self, other: Calendar) -> Calendar:
        """Return this calendar with the days of *other* added; on a day in both, *other* holds."""
        return Calendar(
            rest=(self.rest - other.worked) | other.rest,
            worked=(self.worked - other.rest) | other.worked,
            years=self.years | other.years,
        )


def load_calendar(source: Traversable | Path) -> Calendar:
    """
    Return the calendar in a CSV with the columns day (ISO), kind (``rest`` or ``work``) and name.

    Raises `DataError` naming the line at fault.
    """
    name = str(source) if isinstance(source, Path) else source.name
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = cause(error)
        raise DataError(
            Text(en=f"{name} cannot be read: {why.en}.", zh=f"无法读取 {name}：{why.zh}。"),
            file=name,
        ) from error
    try:
        return _calendar(csv.DictReader(io.StringIO(text, newline="")), name)
    except csv.Error as error:
        raise DataError(
            Text(
                en=f"{name} is no CSV; look for a quote that is never closed.",
                zh=f"{name} 不符合 CSV 格式，请检查是否有引号未闭合。",
            ),
            file=name,
        ) from error


def _calendar(rows: Iterable[dict[str, str]], name: str) -> Calendar:
    days: dict[str, set[date]] = {"rest": set(), "work": set()}
    for line, row in enumerate(rows, start=2):
        try:
            days[row["kind"]].add(date.fromisoformat(row["day"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                Text(
                    en=f"{name}, line {line}: give day (YYYY-MM-DD) and kind ('rest' or 'work').",
                    zh=f"{name} 第 {line} 行：应有 day（YYYY-MM-DD）和 kind（rest 或 work）。",
                ),
                file=name,
                line=str(line),
            ) from error
    return Calendar(
        rest=frozenset(days["rest"]),
        worked=frozenset(days["work"]),
        # New Year's notice may reach back into December: National Day tells a year that is known.
        years=frozenset(day.year for day in days["rest"] if day.month == _OCTOBER),
    )


@lru_cache(maxsize=1)
def calendar() -> Calendar:
    """Return the package's own calendar, loaded once."""
    return load_calendar(package_data("calendar.csv"))
