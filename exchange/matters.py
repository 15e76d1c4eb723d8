"""
Matters (事项): the entries of the seeds' lists and the rules between them, read from package data.

Everything here is data as types; `exchange.catalog` answers questions with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources.abc import Traversable
from pathlib import Path

from exchange.organisations import Direction, Service
from exchange.reading import Table
from exchange.text import Text


class Mode(Enum):
    """How a matter is handled; the order is the precedence when nothing else decides."""

    IMMEDIATE = "immediate-110-and-parallel"
    ACCEPT_110 = "accept-110"
    FIRST_110 = "110-first-then-12345"
    ACCEPT_12345 = "accept-12345"

    __hash__ = object.__hash__  # as of Direction

    @property
    def text(self) -> Text:
        """The mode in a sentence part for people."""
        return _MODE_TEXTS[self]

    @property
    def directions(self) -> frozenset[Direction]:
        """The directions in which a matter handled so may cross (R11, R20, R24, S4 附件四)."""
        return _MODE_DIRECTIONS[self]

    @property
    def first_desk(self) -> Service:
        """The desk that acts first."""
        return Service.HOTLINE if self is Mode.ACCEPT_12345 else Service.POLICE


_MODE_TEXTS = {
    Mode.IMMEDIATE: Text(
        en="12345 hands it to 110 at once and dispatches local government and departments in parallel",
        zh="12345第一时间移交110，同时转办属地政府和相关职能部门",
    ),
    Mode.ACCEPT_110: Text(en="110 accepts it and dispatches police", zh="由110受理并派警处置"),
    Mode.FIRST_110: Text(
        en="110 acts first, then hands it to 12345 according to the outcome",
        zh="110先期处置，再视情移交12345",
    ),
    Mode.ACCEPT_12345: Text(
        en="12345 accepts it and dispatches departments", zh="由12345受理并转办职能部门"
    ),
}
_TO_POLICE, _TO_HOTLINE = Direction.HOTLINE_TO_POLICE, Direction.POLICE_TO_HOTLINE
_MODE_DIRECTIONS = {
    Mode.IMMEDIATE: frozenset({_TO_POLICE}),
    Mode.ACCEPT_110: frozenset({_TO_POLICE}),
    Mode.FIRST_110: frozenset({_TO_POLICE, _TO_HOTLINE}),
    Mode.ACCEPT_12345: frozenset({_TO_HOTLINE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """
    One row of a seed's list.

    ``mode`` differs from ``listed_mode`` where the row's own text demands it (XC.H.07 stands under
    "12345 accepts" and requires first disposal by the police).  ``quote`` is the seed's wording.
    """

    id: str
    name: Text
    owner: Service
    first_handler: Service
    mode: Mode
    listed_mode: Mode
    condition: Text | None
    seed: str
    section: str
    quote: str
    note: str

    @property
    def list_id(self) -> str:
        """The list the category belongs to: ``NM`` or ``XC``."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """
    One matter.

    ``prior_disposal_required``: 110 must dispose of it before it goes to 12345 (S4 附件四, R13).
    """

    id: str
    name: Text
    category: Category
    mode: Mode
    prior_disposal_required: bool

    def may_go(self, direction: Direction) -> bool:
        """Return whether the list sends the matter in *direction*; within a side it always may."""
        return direction is Direction.WITHIN or direction in self.mode.directions


@dataclass(frozen=True, slots=True, kw_only=True)
class MatterList:
    """A list of matters: its id, the region it was issued for, the seed and its document."""

    id: str
    region: str
    seed: str
    document: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A circumstance that changes who handles a matter; *words* in a text imply it."""

    id: str
    text: Text
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case of an overlap: any circumstance of *when* (none: always) → *mode*, *items*."""

    when: tuple[str, ...]
    mode: Mode
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """One matter that stands in several places, and its cases in order of precedence."""

    id: str
    name: Text
    items: tuple[str, ...]
    cases: tuple[Case, ...]
    note: Text | None
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A kind of matter the hotline does not take (R02), and the entries it takes out of a list."""

    id: str
    list_id: str
    name: Text
    seed: str
    quote: str
    words: tuple[str, ...]
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted:
    """What happens to a matter on no list (R33), and the entries it may be filed under."""

    items: tuple[str, ...]
    rule: str
    seed: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Everything that the lists of one edition say."""

    edition: str
    lists: tuple[MatterList, ...]
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangements:
    """Everything that is said about the entries besides: see ``catalogue_rules.toml``."""

    conditions: Mapping[str, Condition]
    overlaps: tuple[Overlap, ...]
    exclusions: tuple[Exclusion, ...]
    unlisted: Unlisted
    synonyms: Mapping[str, tuple[str, ...]]
    plain: frozenset[str]


_MODE_IDS = frozenset(mode.value for mode in Mode)


def load_entries(source: Traversable | Path, category_conditions: Mapping[str, str]) -> Entries:
    """
    Return the lists of matters in a JSON or TOML file.

    *category_conditions* gives the English of a category's condition.  Raises `DataError` for an
    unknown key or mode, a double id, or an item whose id is not below its category's.
    """
    whole = Table.read(source)
    edition = whole.text("edition")
    whole.words("precedence", ())  # as the list's author derived it; the order of `Mode`
    lists = tuple(_matter_list(row) for row in whole.tables("lists"))
    known = frozenset(entry.id for entry in lists)
    items: dict[str, Item] = {}
    for row in whole.tables("categories"):
        category = _category(row, known, category_conditions)
        for entry in row.tables("items"):
            item_id = entry.text("id")
            if item_id in items or not item_id.startswith(category.id + "."):
                raise entry.fault(
                    "id",
                    Text(
                        en=f"'{item_id}' stands twice, or not below {category.id}.",
                        zh=f"“{item_id}”重复，或不在 {category.id} 之下。",
                    ),
                )
            items[item_id] = Item(
                id=item_id,
                name=entry.bilingual(),
                category=category,
                mode=category.mode,
                prior_disposal_required=category.mode is Mode.FIRST_110,
            )
            entry.done()
        row.done()
    whole.done()
    return Entries(edition=edition, lists=lists, items=items)


def _matter_list(row: Table) -> MatterList:
    entry = MatterList(
        id=row.text("id"),
        region=row.text("region"),
        seed=row.text("seed"),
        document=row.text("document"),
        date=row.text("date"),
    )
    row.done()
    return entry


def _category(row: Table, lists: frozenset[str], conditions: Mapping[str, str]) -> Category:
    category_id = row.text("id")
    row.check("id", category_id.partition(".")[0], lists)
    condition_zh = row.text("condition", "")
    condition_en = conditions.get(category_id, condition_zh)
    return Category(
        id=category_id,
        name=row.bilingual(),
        owner=Service(row.one_of("owner", Service)),
        first_handler=Service(row.one_of("first_handler", Service)),
        mode=Mode(row.one_of("mode", _MODE_IDS)),
        listed_mode=Mode(row.one_of("listed_mode", _MODE_IDS)),
        condition=Text(en=condition_en, zh=condition_zh) if condition_zh else None,
        seed=row.text("seed"),
        section=row.text("section", ""),
        quote=row.text("quote", ""),
        note=row.text("note", ""),
    )


def category_conditions(rules: Table) -> dict[str, str]:
    """Return the English of the categories' conditions from the rules file."""
    table = rules.table("category_conditions")
    found = {key: table.text(key) for key in table}
    table.done()
    return found


def load_arrangements(rules: Table, items: Mapping[str, Item]) -> Arrangements:
    """
    Return what the rules file says about *items*.

    Raises `DataError` for an unknown key, or a matter or circumstance that does not exist.
    """
    known_items = frozenset(items)
    conditions = {c.id: c for c in map(_condition, rules.tables("conditions"))}
    known_conditions = frozenset(conditions)
    overlaps = tuple(
        _overlap(row, known_items, known_conditions) for row in rules.tables("overlaps")
    )
    exclusions = tuple(_exclusion(row, known_items) for row in rules.tables("exclusions"))
    row = rules.table("unlisted")
    unlisted = Unlisted(
        items=row.some_of("items", known_items),
        rule=row.text("rule"),
        seed=row.text("seed"),
        text=row.bilingual(),
    )
    row.done()
    search = rules.table("search")
    words = search.table("words")
    synonyms = {words.check(key, key, known_items): words.words(key) for key in words}
    plain = frozenset(search.words("plain", ()))
    search.done()
    rules.done()
    return Arrangements(
        conditions=conditions,
        overlaps=overlaps,
        exclusions=exclusions,
        unlisted=unlisted,
        synonyms=synonyms,
        plain=plain,
    )


def _condition(row: Table) -> Condition:
    condition = Condition(id=row.text("id"), text=row.bilingual(), words=row.words("words", ()))
    row.done()
    return condition


def _overlap(row: Table, items: frozenset[str], conditions: frozenset[str]) -> Overlap:
    members = row.some_of("items", items)
    cases = []
    for case in row.tables("cases"):
        cases.append(
            Case(
                when=case.some_of("when", conditions, ()),
                mode=Mode(case.one_of("mode", _MODE_IDS)),
                items=case.some_of("items", members, ()),
            )
        )
        case.done()
    overlap = Overlap(
        id=row.text("id"),
        name=row.bilingual(),
        items=members,
        cases=tuple(cases),
        note=row.bilingual("note_zh", "note_en") if "note_en" in row else None,
        quote=row.text("quote", ""),
    )
    row.done()
    if not cases or cases[-1].when:
        raise row.fault(
            "cases",
            Text(en="the last case must hold always.", zh="最后一种情形须无条件成立。"),
        )
    return overlap


def _exclusion(row: Table, items: frozenset[str]) -> Exclusion:
    exclusion = Exclusion(
        id=row.text("id"),
        list_id=row.text("list"),
        name=row.bilingual(),
        seed=row.text("seed"),
        quote=row.text("quote"),
        words=row.words("words", ()),
        items=row.some_of("items", items, ()),
    )
    row.done()
    return exclusion
