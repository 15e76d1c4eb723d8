"""
Builds ``calendar.csv`` from the PyPI package chinesecalendar (MIT), which follows the State
Council's yearly notices (国务院办公厅关于节假日安排的通知).

Use, where that package is installed (the program itself does not need it)::

    python exchange/data/build_calendar.py

A year's notice comes out in the November before it; until this is run again, a site can load the
new year from a file of the same form.
"""

from __future__ import annotations

from pathlib import Path

from chinese_calendar.constants import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    Holiday,
    holidays,
    workdays,
)

FIRST_YEAR = 2018


def main() -> None:
    """Write all exceptions from the ordinary week since FIRST_YEAR."""
    rows = []
    for kind, days in (("rest", holidays), ("work", workdays)):
        for day, name in days.items():
            if day.year >= FIRST_YEAR:
                rows.append((day.isoformat(), kind, Holiday(name).chinese))
    text = "day,kind,name\n" + "".join(",".join(row) + "\n" for row in sorted(rows))
    (Path(__file__).parent / "calendar.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
