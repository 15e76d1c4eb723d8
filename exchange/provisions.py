"""
Provisions (条款): what a profile is made of, and how each kind is read from its file.

`exchange.profile` puts them together.  Every provision has a `Citation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum

from exchange.catalog import Catalog, catalog
from exchange.coded import code_tables
from exchange.organisations import Direction, Service
from exchange.reading import Table
from exchange.text import Text


class Ruling(Enum):
    """What becomes of a dispute that negotiation does not settle."""

    FIRST_RECEIVER = "first-receiver"


class ShareScope(Enum):
    """What both sides may see of a crossed matter unless it says otherwise (R48)."""

    #: 可查、可看、可追溯、可批量应用 by both parties (S0, S1).
    PARTIES = "parties"
    #: Only what was agreed as 知悉范围 (S4).
    AGREED = "agreed"


class DeadlineKind(StrEnum):
    """What has to happen by a deadline."""

    TAKE = "take"
    FIRST_FEEDBACK = "first-feedback"
    RESULT = "result"
    RETURN = "return"
    ANSWER_RETURN = "answer-return"
    RULING = "ruling"
    CLOSE = "close"
    VISIT = "visit"
    SUPERVISION = "supervision"


#: What is to be done by each kind of deadline.
DEADLINE_TEXTS: dict[DeadlineKind, Text] = {
    DeadlineKind.TAKE: Text(en="take it", zh="签收"),
    DeadlineKind.FIRST_FEEDBACK: Text(en="first feedback", zh="首次反馈"),
    DeadlineKind.RESULT: Text(en="give the result", zh="反馈办结"),
    DeadlineKind.RETURN: Text(en="ask to return it", zh="申请退回"),
    DeadlineKind.ANSWER_RETURN: Text(en="answer a return", zh="答复退回申请"),
    DeadlineKind.RULING: Text(en="rule on a dispute", zh="裁定争议"),
    DeadlineKind.CLOSE: Text(en="close it", zh="办结确认"),
    DeadlineKind.VISIT: Text(en="visit the citizen", zh="回访"),
    DeadlineKind.SUPERVISION: Text(en="answer a supervision", zh="答复督办"),
}


class Unit(StrEnum):
    """The unit of a limit: natural minutes and hours, or days that end at midnight."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WORKING_DAYS = "working-days"


#: Names in files of the contract's ``Urgency`` and ``EmergencyLevel`` numbers.
URGENCIES = {"routine": 1, "urgent": 2, "immediate": 3}
LEVELS = {"general": 1, "substantial": 2, "major": 3, "extraordinary": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a rule comes from: its R-number, the seed (S0 to S4, or ``ours``), and its words."""

    rule: str
    seed: str
    quote: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.rule} ({self.seed})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRule:
    """
    A limit and what it is for; None and empty sets mean "any".

    ``least_level`` is the lowest emergency level it is for, ``limit`` a count of ``unit``; 0 says that
    there is no limit, and ends the search for one.
    """

    kind: DeadlineKind
    limit: int
    unit: Unit
    directions: frozenset[Direction]
    urgencies: frozenset[int]
    least_level: int
    citation: Citation


#: The greatest count of a limit, in any unit.
MOST = 10_000

DIRECTION_IDS = frozenset(direction.value for direction in Direction)
SEEDS = frozenset({"S0", "S1", "S2", "S3", "S4", "ours"})
_RULE_NUMBER = re.compile(r"R\d\d[ab]?")


def read_citation(row: Table) -> Citation:
    """Return where the rule in *row* comes from; a seed's rule must quote it."""
    citation = Citation(
        rule=row.text("rule"),
        seed=row.one_of("seed", SEEDS),
        quote=row.text("quote", ""),
        note=row.text("note", ""),
    )
    if _RULE_NUMBER.fullmatch(citation.rule) is None:
        raise row.fault("rule", Text(en="expected a number like R30.", zh="应为 R30 之类的编号。"))
    if citation.seed != "ours" and not citation.quote:
        raise row.fault("quote", Text(en="give the seed's words.", zh="请引用原文。"))
    return citation


class RuleReader:
    """The rules of a region's file, and of the file it takes the others from."""

    def __init__(self, own: Table, base: Table | None, view: Catalog) -> None:
        self._own = own
        self._base = base
        self._view = view
        self.citations: dict[str, Citation] = {}

    def _row(self, key: str) -> Table:
        if self._base is None or key in self._own:
            row = self._own.table(key)
        else:
            self._own.ask(key)
            row = self._base.table(key)
        self.citations[key] = read_citation(row)
        return row

    def flag(self, key: str) -> bool:
        """Return the truth value of rule *key*."""
        row = self._row(key)
        value = row.boolean("value")
        row.done()
        return value

    def word(self, key: str, known: Iterable[str]) -> str:
        """Return the value of rule *key*, one of *known*."""
        row = self._row(key)
        value = row.one_of("value", known)
        row.done()
        return value

    def words(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        """Return the values of rule *key*, each one of *known*."""
        row = self._row(key)
        value = row.some_of("value", known)
        row.done()
        return value

    def codes(self, key: str, system: str) -> tuple[str, ...]:
        """Return the values of rule *key*, codes of the package's table *system*."""
        table = code_tables().table(system)
        return self.words(key, table.names if table is not None else ())

    def directions(self, key: str) -> frozenset[Direction]:
        """Return the directions that rule *key* holds for."""
        return frozenset(Direction(word) for word in self.words(key, DIRECTION_IDS))

    def levels(self, key: str) -> frozenset[int]:
        """Return the emergency levels that rule *key* holds for."""
        return frozenset(LEVELS[word] for word in self.words(key, LEVELS))

    def categories(self, key: str) -> frozenset[str]:
        """Return the categories of the region's lists that rule *key* holds for."""
        # Stated here, a category must be in the region's lists; taken over, it may be left out.
        known = self._view.categories if key in self._own else catalog().categories
        return frozenset(self.words(key, known)) & frozenset(self._view.categories)

    def percent(self, key: str) -> int:
        """Return the percentage that rule *key* gives."""
        row = self._row(key)
        value = row.integer("value")
        row.done()
        if not 0 < value <= 100:
            raise row.fault("value", Text(en="expected 1 to 100.", zh="应为 1 至 100。"))
        return value


def read_deadlines(rows: Iterable[Table]) -> tuple[DeadlineRule, ...]:
    """Return the limits in *rows*, in their order of precedence."""
    found = []
    for row in rows:
        found.append(
            DeadlineRule(
                kind=DeadlineKind(row.one_of("kind", DeadlineKind)),
                limit=row.integer("limit"),
                unit=Unit(row.one_of("unit", Unit)),
                directions=frozenset(
                    Direction(word) for word in row.some_of("directions", DIRECTION_IDS, ())
                ),
                urgencies=frozenset(
                    URGENCIES[word] for word in row.some_of("urgencies", URGENCIES, ())
                ),
                least_level=LEVELS[row.one_of("least_level", LEVELS)]
                if "least_level" in row
                else 0,
                citation=read_citation(row),
            )
        )
        row.done()
        if not 0 <= found[-1].limit <= MOST:
            text = Text(
                en=f"expected 1 to {MOST}, or 0 for no limit.",
                zh=f"应为 1 至 {MOST}；0 表示不限时。",
            )
            raise row.fault("limit", text)
    return tuple(found)


def read_assessors(
    rows: Iterable[Table], citations: dict[str, Citation]
) -> dict[tuple[Direction, Service], Service]:
    """Return who assesses what (R51), adding each row's origin to *citations*."""
    found: dict[tuple[Direction, Service], Service] = {}
    for row in rows:
        direction = Direction(row.one_of("direction", DIRECTION_IDS))
        owner = Service(row.one_of("owner", Service))
        found[direction, owner] = Service(row.one_of("by", Service))
        citations[f"assess.{direction.value}.{owner.value}"] = read_citation(row)
        row.done()
    return found
