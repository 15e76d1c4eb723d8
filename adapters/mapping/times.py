"""
Times as platforms write them: any format, any zone, and what they write where there is no time.

A time without a zone is in the platform's.  ``0000-00-00``, a month 13 or a year 9999 is no time: it
is named, never guessed, unless the file says that the platform's zero means empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from adapters.mapping.misfit import Misfit
from exchange.text import Text

#: Beside formats of ``strftime``: what the words stand for.
WORDS: Mapping[str, str] = {
    "native": "a date or time of the database, or ISO 8601 text",
    "rfc3339": "text with its zone, 2026-11-22T10:00:00+08:00",
    "epoch": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
}
_YEARS = range(1900, 2101)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_ZERO = re.compile(r"[0\s:./T年月日-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeForm:
    """How one column writes times; *zero_is_empty* where ``0000-00-00`` means that there is none."""

    form: str
    zone: tzinfo
    zero_is_empty: bool = False

    def said(self, value: Any, place: str) -> str | None:
        """Return *value* as RFC 3339, None where it is empty; raises `Misfit`."""
        text = value.strip() if isinstance(value, str) else str(value)
        # Seconds since 1970 may truly be 0; a date of zeros is none.
        if _ZERO.fullmatch(text) and (not self.form.startswith("epoch") or not text):
            if self.zero_is_empty or not text:
                return None
            raise Misfit(place, _ZEROS.fill(text=text[:32]))
        found = self._moment(value, text, place)
        if found.tzinfo is None:
            found = found.replace(tzinfo=self.zone)
        if found.year not in _YEARS:
            raise Misfit(place, _YEAR.fill(year=found.year))
        return found.isoformat()

    def _moment(self, value: Any, text: str, place: str) -> datetime:
        try:
            if self.form.startswith("epoch"):
                seconds = float(text) / (1000 if self.form == "epoch_ms" else 1)
                return datetime.fromtimestamp(seconds, UTC).astimezone(self.zone)
            if isinstance(value, datetime):
                return value
            if isinstance(value, date):
                return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the caller gives the zone
            if self.form in WORDS:
                return datetime.fromisoformat(text)
            return datetime.strptime(text, self.form)  # noqa: DTZ007 - likewise
        except (ValueError, OverflowError, OSError) as error:
            form = self.form if self.form not in WORDS else "ISO 8601"
            raise Misfit(place, _NO_TIME.fill(form=form)) from error

    def heard(self, stamp: str) -> Any:
        """Return the RFC 3339 time *stamp* as the column writes it."""
        found = datetime.fromisoformat(stamp).astimezone(self.zone)
        if self.form == "native":
            return found.replace(tzinfo=None)
        if self.form == "rfc3339":
            return found.isoformat()
        if self.form == "epoch":
            return int(found.timestamp())
        if self.form == "epoch_ms":
            since = found - datetime(1970, 1, 1, tzinfo=UTC)
            return since // timedelta(milliseconds=1)
        return found.strftime(self.form)


def zone(name: str) -> tzinfo | None:
    """Return the zone called *name*, such as ``Asia/Shanghai`` or ``+08:00``; None if there is none."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        hours, minutes = int(offset[2]), int(offset[3])
        if hours > 23 or minutes > 59:
            return None
        away = timedelta(hours=hours, minutes=minutes)
        return timezone(-away if offset[1] == "-" else away)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a LookupError
        return None


def fault_of(form: str) -> Text | None:
    """Return what is wrong with a time format, None where it can be written and read again."""
    if form in WORDS:
        return None
    if "%" not in form:
        return _NO_FORM.fill(words=", ".join(WORDS))
    sample = datetime(2026, 11, 22, 10, 20, 30, tzinfo=UTC)
    try:
        again = datetime.strptime(sample.strftime(form), form)  # noqa: DTZ007 - only its parts count
    except ValueError:
        return _NO_FORM.fill(words=", ".join(WORDS))
    if again.date() != sample.date():
        return _NO_DATE
    return None


_ZEROS = Text(
    en="'{text}' is no date. Mend the record, or let zero = \"empty\" say that it means none.",
    zh="“{text}”不是日期。请修正该记录，或以 zero = \"empty\" 说明其表示无。",
)  # fmt: skip
_YEAR = Text(
    en="the year {year} cannot be meant; years 1900 to 2100 are taken.",
    zh="年份 {year} 不合理；可用 1900 至 2100 年。",
)
_NO_TIME = Text(
    en="this is no time of the form {form}. Mend the record, or the field's 'time'.",
    zh="不是 {form} 格式的时间。请修正该记录，或修改该字段的 time。",
)
_NO_FORM = Text(
    en="is neither a strftime format such as %Y-%m-%d %H:%M:%S nor one of: {words}.",
    zh="既不是 strftime 格式（例如 %Y-%m-%d %H:%M:%S），也不是：{words}。",
)
_NO_DATE = Text(
    en="does not hold the whole date: year, month and day are needed.",
    zh="未含完整日期：须有年、月、日。",
)
