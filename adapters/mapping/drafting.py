"""
A first mapping file for a table, a sample or a schema, marked where a person must decide.

What the abbreviations tell is filled in; what they do not is listed as a comment.  A draft is meant to
fail `exchange mapping check` until every ``?`` in it was decided, and says there what may be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from adapters.mapping.abbreviations import CHANGED, DECIDES, STATUS, meaning, plain
from adapters.mapping.coding import OPEN
from adapters.mapping.places import NoSuchPlace, shape_at
from adapters.mapping.sources import Source, SourceColumn
from exchange.acts import Kind
from exchange.client.shapes import Shape, act_shape, group_shape, groups_needed

#: What a table's columns make likely, with the words that people use for it.
_FEEDBACK = (Kind.TAKE, Kind.PROGRESS, Kind.RESULT, Kind.RETURN)
#: What each of them tells: a reason belongs to a return, work done to progress and result.
_TOLD = {
    Kind.TAKE: ("header", "act"),
    Kind.PROGRESS: ("header", "act", "disposal", "reply", "police"),
    Kind.RESULT: ("header", "act", "disposal", "reply", "police"),
    Kind.RETURN: ("header", "act", "grounds"),
}
#: What a ticket's record may point to, and does not say: another record's own number.
_OF_FEEDBACK = frozenset({"disposal.feedback_id"})
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TIMES = (
    (re.compile(r"\d{14}"), "%Y%m%d%H%M%S"),
    (re.compile(r"\d{13}"), "epoch_ms"),
    (re.compile(r"\d{10}"), "epoch"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"\d{4}-\d\d-\d\dT.*[Z+-].*"), "rfc3339"),
)


class Draft:
    """Writes one mapping for *sources*; *police* where the platform is a 110 desk."""

    def __init__(self, sources: Iterable[Source], *, police: bool, name: str = "") -> None:
        self._sources = list(sources)
        self._police = police
        self._name = name
        self._codes: dict[str, tuple[SourceColumn, Shape, str]] = {}

    def text(self) -> str:
        """Return the file."""
        bodies = [line for source in self._sources for line in self._source(source)]
        return "\n".join([*self._head(), *self._tables(), *bodies, *self._hears(), ""])

    def _head(self) -> Iterator[str]:
        yield "# A draft: decide wherever '?' or 'decide' stands, then: exchange mapping check FILE"
        yield "# 草稿：凡“?”或 decide 处须由人确认，然后运行：exchange mapping check 文件"
        yield ""
        yield "[platform]"
        yield f'name = "{self._name or OPEN}"'
        yield 'zone = "Asia/Shanghai"'
        yield ""
        for source in self._sources:
            yield from self._sheet(source)

    def _sheet(self, source: Source) -> Iterator[str]:
        yield f"[sheets.{_key(source.name.lower())}]"
        yield f"table = {_quoted(source.name)}"
        keys = (
            source.key
            or tuple(
                one.name
                for one in source.columns
                if (found := meaning(one.name)) is not None
                and found.place in ("identity.record_number", "disposal.feedback_id")
            )[:1]
        )
        decided = "" if source.key else "  # decide: what identifies a record 主键列"
        yield f"key = [{', '.join(map(_quoted, keys)) or _quoted(OPEN)}]{decided}"
        names = {plain(one.name): one for one in source.columns}
        status = next((names[name] for name in sorted(STATUS & names.keys(), key=_first_of)), None)
        changed = next((names[name] for name in sorted(CHANGED & names.keys())), None)
        if status is not None:
            held = f" 现有取值 {', '.join(status.values)}" if status.values else ""
            yield f'status = {{ column = {_quoted(status.name)}, new = "0", pushed = "1", processed = "2", refused = "9" }}  # decide{held}'
        elif changed is not None:
            yield f"changed = {_quoted(changed.name)}"
        else:
            yield "# decide: status = \"…\" (0 new, 1 pushed, 2 processed) or changed = \"…\" 状态列或更新时间列"  # fmt: skip
        if not self._opens(source):
            whole = next((one for one in self._sources if self._opens(one)), None)
            column = self._pointer(source)
            if whole is not None:
                yield (
                    f"about = {{ sheet = {_quoted(whole.name.lower())}, columns = [{_quoted(column or OPEN)}] }}"
                    + ("" if column else "  # decide")
                )
        yield ""

    def _opens(self, source: Source) -> bool:
        """Whether the table's records are tickets: they say what happened."""
        places = {found.place for one in source.columns if (found := meaning(one.name)) is not None}
        return "content.content" in places

    def _pointer(self, source: Source) -> str:
        for one in source.columns:
            found = meaning(one.name)
            if (
                found is not None
                and found.place == "identity.record_number"
                and one.name not in source.key
            ):
                return one.name
        return ""

    def _source(self, source: Source) -> Iterator[str]:
        yield f"# {source.where}"
        if self._opens(source):
            yield from self._say(source, Kind.OPEN_TICKET)
            yield from self._say(source, Kind.OFFER)
            return
        decides = next((one for one in source.columns if plain(one.name) in DECIDES), None)
        for number, kind in enumerate(_FEEDBACK, 1):
            yield from self._say(source, kind, decides, number)

    def _say(
        self, source: Source, kind: Kind, decides: SourceColumn | None = None, number: int = 0
    ) -> Iterator[str]:
        yield "[[say]]"
        yield f'kind = "{kind.value}"  # {kind.text.zh}'
        yield f"sheet = {_quoted(source.name.lower())}"
        if kind is Kind.OFFER:
            yield "also = true"
        if number:
            column = decides.name if decides is not None else OPEN
            held = (
                f", 现有取值 {', '.join(decides.values)}"
                if decides is not None and decides.values
                else ""
            )
            yield f"when = {{ {_key(column)} = {_quoted(OPEN)} }}  # decide: which value means {kind.text.zh}{held}"
        yield "[say.fields]"
        used: set[str] = set()
        yield from self._fields(source, kind, used)
        yield from self._wanted(source, kind, used)
        yield ""

    def _fields(self, source: Source, kind: Kind, used: set[str]) -> Iterator[str]:
        for one in source.columns:
            found = meaning(one.name)
            if found is None:
                if (
                    kind in (Kind.OPEN_TICKET, _FEEDBACK[0])
                    and plain(one.name) not in STATUS | CHANGED
                ):
                    told = " ".join(filter(None, (one.kind, one.comment)))
                    yield f'# "?" = {_quoted(one.name)}  # decide: {told}'
                continue
            place = found.place
            if kind is Kind.OPEN_TICKET and place in _OF_FEEDBACK:
                yield f"# {_quoted(place)} = {_quoted(one.name)}  # {found.zh}: a feedback's own 属于反馈记录"
                continue
            if kind is Kind.OFFER and place not in ("grounds.text", "act.matter", "header.urgency"):
                continue
            if kind in _FEEDBACK and place.partition(".")[0] not in _TOLD[kind]:
                continue
            try:
                shape = shape_at(place, [kind])
            except NoSuchPlace:
                continue
            if place not in used:
                used.add(place)
                yield f"{_quoted(place)} = {self._field(one, place, shape)}  # {found.zh}"
        if {"place.point.longitude", "place.point.latitude"} & used:
            used.add("place.point.coordinate_system")
            yield '"place.point.coordinate_system" = { value = "COORDINATE_SYSTEM_CGCS2000" }  # decide'

    def _field(self, one: SourceColumn, place: str, shape: Shape) -> str:
        column = _quoted(one.name)
        if shape.type == "time":
            return f"{{ column = {column}, time = {_quoted(_time_of(one))} }}"
        if shape.type in ("word", "truth") and not _says_truth(one, shape):
            name = plain(one.name)
            self._codes[name] = (one, shape, place)
            return f"{{ column = {column}, codes = {_quoted(name)} }}"
        if shape.type == "coded":
            return f"{{ column = {column}, system = {_quoted(one.name)} }}"
        if shape.repeated:
            return f'{{ column = {column}, list = "," }}'
        if "telephone" in place:
            return f'{{ column = {column}, clean = "phone" }}'
        if place == "place.address":
            return f'{{ column = {column}, clean = "address" }}'
        return column

    def _wanted(self, source: Source, kind: Kind, used: set[str]) -> Iterator[str]:
        """Yield what the kind needs and no column gave."""
        if "header.created" not in used:
            yield f'"header.created" = {self._created(source)}  # decide: when it was said 形成时间'
        if kind is Kind.OFFER:
            yield f'"header.recipient" = {{ value = {_quoted(OPEN)} }}  # decide: who shall take it 受理机构代码'
            for name in ("profile", "profile_edition", "catalogue_edition"):
                yield f'"act.{name}" = {{ value = {_quoted(OPEN)} }}  # decide: exchange profile list'
        if kind is Kind.OPEN_TICKET:
            word = "POLICE_TICKET" if self._police else "WORK_ORDER"
            yield f'"act.kind" = {{ value = "TICKET_KIND_{word}" }}'
        for name, shape in act_shape(kind).fields.items():
            path = f"act.{name}"
            given = (
                path in used or (kind is Kind.OPEN_TICKET and name == "kind") or kind is Kind.OFFER
            )
            if shape.required and not given:
                words = ", ".join(shape.words[:8])
                yield f"{_quoted(path)} = {_quoted(OPEN)}  # decide{': ' + words if words else ''}"
        for group in sorted(groups_needed(kind) | ({"grounds"} if kind is Kind.OFFER else set())):
            for name, shape in group_shape(group).fields.items():
                if shape.required and f"{group}.{name}" not in used:
                    yield f"{_quoted(f'{group}.{name}')} = {_quoted(OPEN)}  # decide"

    def _created(self, source: Source) -> str:
        """Return the column that most likely says when something was said."""
        for wanted in ("intake.submit_time", "intake.receive_time", "intake.report_time"):
            for one in source.columns:
                found = meaning(one.name)
                if found is not None and found.place == wanted:
                    return f"{{ column = {_quoted(one.name)}, time = {_quoted(_time_of(one))} }}"
        return _quoted(OPEN)

    def _tables(self) -> Iterator[str]:
        """Yield the code tables of what the rules use; they are written first, so made first."""
        for source in self._sources:
            list(self._source(source))
        for name, (one, shape, place) in self._codes.items():
            yield f"[codes.{_key(name)}]  # {place}"
            yield 'unmapped = "refuse"  # decide: refuse, local or default'
            yield f"[codes.{_key(name)}.values]"
            words = ", ".join(shape.words) or "true, false"
            yield f"# decide, one of 可用: {words}"
            for value in one.values or ("?",):
                yield f"{_quoted(value)} = {_quoted(OPEN)}"
            yield ""

    def _hears(self) -> Iterator[str]:
        source = next((one for one in self._sources if self._opens(one)), None)
        if source is None:
            return
        yield "# What arrives: a ticket becomes a record like the platform's own; the rest changes or joins it."
        yield "[[hear]]"
        yield 'kind = "open_ticket"'
        yield f"sheet = {_quoted(source.name.lower())}"
        yield "[hear.columns]"
        for key in source.key or (OPEN,):
            yield f'{_key(key)} = {{ new = "ZR{{day}}{{serial:06}}" }}  # decide: the number it gets here 本地编号'
        yield "[hear.fields]"
        used: set[str] = set()
        for line in self._fields(source, Kind.OPEN_TICKET, used):
            if (
                not line.startswith("#")
                and "identity.record_number" not in line
                and "header." not in line
            ):
                yield line
        yield ""
        yield "[[hear]]"
        yield 'kind = "*"  # decide: a rule of its own for take, result, return …'
        yield f"sheet = {_quoted(source.name.lower())}"
        yield 'write = "update"'
        yield "# [hear.columns]"
        yield f'# {OPEN} = "header.kind"'


def _first_of(name: str) -> tuple[bool, str]:
    """Names that can only mean a sending status stand before those that often mean another."""
    return name in ("zt", "state", "status"), name


def _says_truth(one: SourceColumn, shape: Shape) -> bool:
    return (
        shape.type == "truth" and set(one.values) <= {"0", "1"} and not one.kind.startswith("str")
    )


def _time_of(one: SourceColumn) -> str:
    """Return the format that a column's times most likely have."""
    for pattern, form in _TIMES:
        if one.sample and pattern.fullmatch(one.sample):
            return form
    kind = one.kind.upper()
    if "DATE" in kind or "TIME" in kind:
        return "rfc3339" if "STRING" in kind else "native"
    if one.length == 14:
        return "%Y%m%d%H%M%S"
    if "INT" in kind or "NUM" in kind:
        return "epoch"
    return "%Y-%m-%d %H:%M:%S"


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(c):04x}" if c < " " or c in '"\\' else c for c in text)
    return f'"{escaped}"'
