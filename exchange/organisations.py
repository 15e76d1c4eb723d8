"""
Organisations (机构): their codes, the service they are of, and the site's register of them.

Two kinds of code are in use.  The unified social credit code (统一社会信用代码, GB 32100): 18
characters with a check character.  The public-security organ code (公安机关机构代码): 12
characters, the first six a division in force on the date; no list of these is public, so the rest
is judged by its form and the name comes from the site's register.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path

from stdnum.cn import uscc

from exchange.causes import cause
from exchange.divisions import COUNTRY, Divisions, divisions, is_within
from exchange.errors import DataError, NotFound
from exchange.reading import Table
from exchange.text import Text


class Service(StrEnum):
    """What an organisation is in the linkage; the value is what files write."""

    HOTLINE = "12345"
    POLICE = "110"
    GOVERNMENT = "government"
    DEPARTMENT = "department"
    UTILITY = "utility"
    FIRE = "119"
    MEDICAL = "120"
    TRAFFIC = "122"


#: Characters of what a register says about reaching an organisation.
SHORT = 64

#: How many pairs of organisations a register remembers the direction of.
_REMEMBERED = 4096

#: The services whose matters the hotline dispatches (12345 and its member units).
HOTLINE_SERVICES = frozenset(
    {Service.HOTLINE, Service.GOVERNMENT, Service.DEPARTMENT, Service.UTILITY}
)


class Direction(Enum):
    """Which way a hand-off goes."""

    HOTLINE_TO_POLICE = "12345-110"
    POLICE_TO_HOTLINE = "110-12345"
    #: Within one side, or to and from 119, 120 and 122 (R41): no list of matters decides.
    WITHIN = "within"

    # One object a member; the enum's own hash is a call into Python at every look into a table.
    __hash__ = object.__hash__

    @classmethod
    def between(cls, sender: Service, receiver: Service) -> Direction:
        """Return the direction of a hand-off from one service to another."""
        if sender in HOTLINE_SERVICES and receiver is Service.POLICE:
            return cls.HOTLINE_TO_POLICE
        if sender is Service.POLICE and receiver in HOTLINE_SERVICES:
            return cls.POLICE_TO_HOTLINE
        return cls.WITHIN


_CREDIT = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_POLICE = re.compile(r"[0-9]{6}[0-9A-Z]{6}")


@lru_cache(maxsize=65_536)
def is_credit_code(code: str) -> bool:
    """
    Return whether *code* is a unified social credit code with the right check character.

    The registering authority and kind (positions 1 and 2) may be letters (农村集体经济组织 N…),
    which python-stdnum's own ``validate`` does not allow.
    """
    return _CREDIT.fullmatch(code) is not None and uscc.calc_check_digit(code[:17]) == code[17]


def is_police_code(code: str, on: date, table: Divisions | None = None) -> bool:
    """Return whether *code* is a public-security organ code of a division in force *on* the day."""
    return _POLICE.fullmatch(code) is not None and (table or divisions()).is_valid(code[:6], on)


def code_problem(code: str, on: date, table: Divisions | None = None) -> Text | None:
    """Return what is wrong with the form of an organisation's *code*, or None."""
    if len(code) == 18:
        if is_credit_code(code):
            return None
        return Text(
            en=f"'{code}' is no unified social credit code: its check character or alphabet is wrong.",
            zh=f"“{code}”不是有效的统一社会信用代码：校验码或字符有误。",
        )
    if len(code) == 12 and _POLICE.fullmatch(code):
        fault = (table or divisions()).problem(code[:6], on)
        if fault is None:
            return None
        return Text(
            en=f"Police organisation code '{code}': {fault.en}",
            zh=f"公安机关机构代码“{code}”：{fault.zh}",
        )
    return Text(
        en=f"'{code[:24]}' is no organisation code; give 18 characters (unified social credit code) "
        "or 12 (public-security organ code).",
        zh=f"“{code[:24]}”不是机构代码，应为 18 位统一社会信用代码或 12 位公安机关机构代码。",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """
    One organisation of the register.

    ``region`` is the division it answers for, ``network`` the trust domain its certificates are
    of, ``parent`` the code of the organisation above it (county desk → city desk), or empty; ``also``
    are divisions beside its own whose tickets it may see where it is a party to them.
    """

    code: str
    name: Text
    region: str
    network: str
    service: Service
    parent: str = ""
    also: tuple[str, ...] = ()
    #: R09: the matters it is responsible for (items or categories), the id of the response procedure
    #: that it filed, its liaison, how to reach it, and when somebody is on duty; as far as known.
    matters: tuple[str, ...] = ()
    procedure: str = ""
    liaison: str = ""
    telephone: str = ""
    duty: str = ""

    def owns(self, matter: str) -> bool:
        """Return whether it is responsible for *matter*, by its own id or its category's."""
        return any(matter == own or matter.startswith(f"{own}.") for own in self.matters)


class Register:
    """
    The organisations a site knows.

    Without organisations it judges codes by form alone; with them, an organisation that is not in
    it does not exist here.
    """

    def __init__(
        self, organisations: Iterable[Organisation] = (), *, table: Divisions | None = None
    ) -> None:
        self._by_code: dict[str, Organisation] = {o.code: o for o in organisations}
        self.divisions = table or divisions()
        self._directions: dict[tuple[str, str], Direction] = {}

    def __len__(self) -> int:
        return len(self._by_code)

    def __iter__(self) -> Iterator[Organisation]:
        return iter(self._by_code.values())

    def get(self, code: str) -> Organisation | None:
        """Return the organisation of *code*, or None."""
        return self._by_code.get(code)

    def require(self, code: str) -> Organisation:
        """Return the organisation of *code*; raise `NotFound` if the register has none."""
        found = self._by_code.get(code)
        if found is None:
            raise NotFound(
                Text(
                    en=f"Organisation '{code}' is not in the site register; add it there.",
                    zh=f"机构“{code}”未在本地名录登记，请先登记。",
                ),
                organisation=code,
            )
        return found

    def service_of(self, code: str) -> Service:
        """Return an organisation's service; where it is not registered, its code's form tells."""
        known = self._by_code.get(code)
        if known is not None:
            return known.service
        return Service.POLICE if len(code) == 12 else Service.HOTLINE

    def direction(self, sender: str, receiver: str) -> Direction:
        """Return the direction of a hand-off from one organisation to another."""
        found = self._directions.get((sender, receiver))
        if found is None:
            found = Direction.between(self.service_of(sender), self.service_of(receiver))
            if len(self._directions) >= _REMEMBERED:
                self._directions.clear()
            self._directions[sender, receiver] = found
        return found

    def problem(self, code: str, on: date) -> Text | None:
        """Return why a message may not name *code* on that day, or None if it may."""
        if code in self._by_code:
            return None
        if self._by_code:
            return code_problem(code, on, self.divisions) or Text(
                en=f"Organisation '{code}' is not in the site register.",
                zh=f"机构“{code}”未在本地名录登记。",
            )
        return code_problem(code, on, self.divisions)

    def of_service(self, service: Service, region: str = COUNTRY) -> tuple[Organisation, ...]:
        """Return the organisations of *service* in *region*, in the register's order."""
        return tuple(o for o in self if o.service is service and is_within(o.region, region))

    def above(self, code: str) -> tuple[Organisation, ...]:
        """Return the organisations above *code*, its parent first."""
        found: list[Organisation] = []
        parent = self.require(code).parent
        while parent:
            organisation = self.require(parent)
            found.append(organisation)
            parent = organisation.parent
        return tuple(found)


def load_register(path: Path, *, on: date, table: Divisions | None = None) -> Register:
    """
    Return the register in *path*: TOML with ``[[organisation]]`` tables, or CSV by its suffix.

    Keys or columns: code, name_zh, name_en, region, network, service; and as needed parent, also and
    matters (lists, in CSV with spaces between), procedure, liaison, telephone, duty.  Raises `DataError` for an unknown key, a malformed code, an unknown region or service, a
    double code, or a parent that is missing or goes round in a circle.
    """
    known = table or divisions()
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _toml_rows(path)
    found: dict[str, Organisation] = {}
    for row in rows:
        organisation = _organisation(row, on, known)
        if organisation.code in found:
            raise row.fault("code", Text(en="this code stands twice.", zh="代码重复。"))
        found[organisation.code] = organisation
    for row, organisation in zip(rows, found.values(), strict=True):
        _check_parents(row, organisation, found)
    return Register(found.values(), table=known)


def _organisation(row: Table, on: date, known: Divisions) -> Organisation:
    code, region = row.text("code"), row.text("region")
    for key, problem in (
        ("code", code_problem(code, on, known)),
        ("region", None if region == COUNTRY else known.problem(region, on)),
    ):
        if problem is not None:
            raise row.fault(key, problem)
    also = row.words_or_text("also")
    for other in also:
        problem = known.problem(other, on)
        if problem is not None:
            raise row.fault("also", problem)
    organisation = Organisation(
        code=code,
        name=row.bilingual("name_zh", "name_en"),
        region=region,
        network=row.text("network"),
        service=Service(row.one_of("service", Service)),
        parent=row.text("parent", ""),
        also=also,
        matters=row.words_or_text("matters"),
        procedure=_short(row, "procedure"),
        liaison=_short(row, "liaison"),
        telephone=_short(row, "telephone"),
        duty=_short(row, "duty"),
    )
    row.done()
    return organisation


def _short(row: Table, key: str) -> str:
    found = row.text(key, "")
    if len(found) > SHORT:
        raise row.fault(key, Text(en=f"{SHORT} characters at most.", zh=f"最多 {SHORT} 个字符。"))
    return found


def _check_parents(row: Table, organisation: Organisation, found: dict[str, Organisation]) -> None:
    seen = {organisation.code}
    parent = organisation.parent
    while parent:
        if parent not in found:
            raise row.fault(
                "parent", Text(en=f"'{parent}' is not in this file.", zh=f"文件中没有“{parent}”。")
            )
        if parent in seen:
            raise row.fault(
                "parent", Text(en="the parents go round in a circle.", zh="上级关系成环。")
            )
        seen.add(parent)
        parent = found[parent].parent


def _toml_rows(path: Path) -> list[Table]:
    whole = Table.read(path)
    rows = whole.tables("organisation")
    whole.done()
    return rows


def _csv_rows(path: Path) -> list[Table]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = cause(error)
        raise DataError(
            Text(en=f"{path} cannot be read: {why.en}.", zh=f"无法读取 {path}：{why.zh}。"),
            file=str(path),
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="beyond the last column")
    return [
        Table(
            {key: value for key, value in row.items() if value is not None},
            file=str(path),
            path=f"line {reader.line_num}",
        )
        for row in reader
    ]
