"""
A mapping at work on one sample: what becomes of it, what nobody read, and what does not come back.

A sample is a record of one of the sheets, or a message as an inbox file holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.mapping.citing import cite
from adapters.mapping.document import Document, HearRule, SayRule, Way
from adapters.mapping.hearing import hear, rule_for, tree_of
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.saying import Standing, matching, say
from adapters.mapping.values import text_of
from exchange.acts import TICKET_KINDS, Kind
from exchange.client import OutgoingMessage
from exchange.client.shapes import faults
from exchange.divisions import divisions
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.ticket import derived_id

#: Who speaks where nobody says who: a sample's ids mean nothing.
SOMEBODY = "11140400MB1X00010Y"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """
    What became of a sample.

    *said*: the messages of a record, by rule.  *record*: the row of a message.  *unused*: places of
    the sample that nothing read.  *changed*: columns that come back otherwise, as (was, is); None is
    not at all.  *wrong*: what would stop it here.
    """

    sheet: str = ""
    rule: str = ""
    said: tuple[tuple[str, OutgoingMessage], ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    wrong: tuple[Text, ...] = ()
    #: What a bridge would refuse, unless it knows more than this program.
    warned: tuple[Text, ...] = ()


def is_message(sample: Mapping[str, Any]) -> bool:
    """Return whether *sample* is a message rather than a record."""
    known = {kind.value for kind in Kind}
    return sample.get("kind") in known and ("groups" in sample or "act" in sample)


def likeliest(document: Document, sample: Mapping[str, Any]) -> str:
    """Return the sheet whose columns are most of those of *sample*."""

    def shared(name: str) -> int:
        return sum(get(sample, column) is not None for column in columns_of(document, name))

    return max(document.sheets, key=shared, default="")


def columns_of(document: Document, sheet: str) -> set[str]:
    """Return every column of *sheet* that the mapping reads or writes."""
    known = document.sheets[sheet]
    found = {*known.key, *known.order, *known.ready.columns, known.changed} - {""}
    if known.status is not None:
        found |= {known.status.column, known.status.detail} - {""}
    if known.about is not None:
        found |= set(known.about.columns)
    for rule in document.say:
        if rule.sheet == sheet:
            found |= _read_by(rule)
    for heard in document.writes:
        if heard.sheet == sheet:
            found |= {column.column for column in heard.columns}
            found |= {one for part in heard.fields for one in (*part.columns, part.display) if one}
    return found


def _read_by(rule: SayRule) -> set[str]:
    found = {*rule.when.columns, *rule.revision, *(c for file in rule.files for c in file.columns)}
    if rule.when.expression is not None:
        found |= set(rule.when.expression.columns)
    for part in rule.fields:
        if part.way is Way.HEAR:
            continue
        found |= {*part.columns, part.display} - {""}
        found |= set(part.expression.columns) if part.expression is not None else set()
        found |= set(part.keyed.columns) if part.keyed is not None else set()
    return found


def try_record(document: Document, sheet: str, row: Mapping[str, Any]) -> Tried:
    """Return what a record of *sheet* says."""
    known = document.sheets[sheet]
    key = "|".join(str(get(row, column)) for column in known.key)
    record = f"{sheet}:{key}"
    standing = Standing(
        record=record,
        ticket_id=derived_id(SOMEBODY, record, "", "ticket"),
        handoff_id=derived_id(SOMEBODY, record, "", "handoff"),
        said=frozenset(kind for rule in document.say for kind in rule.after if rule.sheet == sheet),
        newest=lambda _kinds: bytes(32),
        secret=lambda _name: bytes(32),
    )
    said: list[tuple[str, OutgoingMessage]] = []
    wrong: list[Text] = []
    read = {*known.key, *(known.about.columns if known.about is not None else ())}
    read |= {known.status.column, known.status.detail} if known.status is not None else set()
    changed: dict[str, tuple[Any, Any]] = {}
    try:
        rules = matching(document, sheet, standing.facts(row))
        if not rules:
            wrong.append(_NOTHING.fill(sheet=sheet))
        for rule in rules:
            read |= _read_by(rule)
            message, _ = cite(rule, row, say(rule, row, standing), SOMEBODY)
            said.append((rule.name, message))
            wrong += [violation.text for violation in faults(message, SOMEBODY)]
            changed |= _changes(rule, message, row)
    except Misfit as misfit:
        wrong.append(misfit.text)
    except InvalidRequest as unfit:
        wrong.append(unfit.text)
    unused = [
        place for place, _ in leaves(row) if _top(place, row) not in read and place not in read
    ]
    return Tried(
        sheet=sheet,
        said=tuple(said),
        unused=tuple(unused),
        changed=changed,
        wrong=tuple(wrong),
        warned=tuple(warning for _, message in said for warning in _refused(message)),
    )


def _refused(message: OutgoingMessage) -> Iterator[Text]:
    """Yield what a bridge would refuse of a message that breaks no rule of the contract."""
    region = message.act.get("region")
    if message.kind is Kind.OPEN_TICKET and isinstance(region, str):
        fault = divisions().problem(region, message.created.date())
        if fault is not None:
            yield _REGION.fill(why=fault.en, zh=fault.zh)


def _top(place: str, row: Mapping[str, Any]) -> str:
    return place if place in row else place.partition("[")[0]


def _changes(
    rule: SayRule, message: OutgoingMessage, row: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the columns that *rule* read and that would not come back as they were."""
    back = HearRule(name=rule.name, kinds=frozenset(), sheet=rule.sheet, fields=rule.fields)
    again = hear(back, tree_of(message_object(message)), {})
    found: dict[str, tuple[Any, Any]] = {}
    for part in rule.fields:
        if part.way is Way.HEAR or part.expression is not None or part.keyed is not None:
            continue
        for column in (*part.columns, *((part.display,) if part.display else ())):
            was = text_of(get(row, column), column)
            now = text_of(get(again, column), column)
            if was.strip() and was.strip() != now:
                found[column] = (get(row, column), get(again, column))
    return found


def message_object(message: OutgoingMessage) -> dict[str, Any]:
    """Return what is said as the object that the other side would find in its inbox."""
    on_handoff = message.kind not in TICKET_KINDS
    return {
        "message_id": message.id_for(SOMEBODY),
        "kind": message.kind.value,
        "ticket_id": message.ticket_id,
        "handoff_id": message.handoff_id if on_handoff else "",
        "author": SOMEBODY,
        "recipient": message.recipient,
        "created": message.created.isoformat(),
        "urgency": message.urgency.name.lower(),
        "marker": message.marker.name.lower(),
        "classification": message.classification.name.lower(),
        "act": dict(message.act),
        "groups": {name: dict(values) for name, values in message.groups.items()},
    }


def try_message(document: Document, sample: Mapping[str, Any]) -> Tried:
    """Return the record that a message becomes."""
    tree = tree_of(_named(sample))
    kind = Kind(tree["header"]["kind"])
    try:
        rule = rule_for(document, tree)
        if rule is None:
            if kind in document.unheard:
                return Tried(wrong=(_UNHEARD.fill(kind=kind.value),))
            return Tried(wrong=(_NO_RULE.fill(kind=kind.value),))
        numbers = {
            name: tree["header"].get(name, "") for name in ("ticket_id", "handoff_id", "message_id")
        }
        numbers |= {"day": "20261122", "serial": 1, "kind": kind.value}
        record = hear(rule, tree, numbers)
    except Misfit as misfit:
        return Tried(wrong=(misfit.text,))
    read = {part.path for part in rule.fields if part.way is not Way.SAY}
    read |= {part.local for part in rule.fields if part.local}
    read |= {column.path for column in rule.columns if column.path}
    body = {name: value for name, value in tree.items() if name not in ("header", "message")}
    unused = [place for place, _ in leaves(body) if not _reads(read, place)]
    return Tried(sheet=rule.sheet, rule=rule.name, record=record, unused=tuple(unused))


def _named(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return *sample* with what a message written by hand may leave out."""
    usual = {"message_id": "", "ticket_id": "", "handoff_id": "", "author": SOMEBODY}
    return {**usual, "urgency": "routine", "created": "2026-11-22T10:00:00+08:00", **sample}


def _reads(read: set[str], place: str) -> bool:
    return place in read or any(place.startswith((f"{one}.", f"{one}[")) for one in read)


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every place of *tree* that holds a value, with the value."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from leaves(value, f"{prefix}[{number}]")
    elif tree is not None and tree != "":
        yield prefix, tree


_NOTHING = Text(
    en="no rule of the sheet '{sheet}' holds of this record: it says nothing.",
    zh="表“{sheet}”没有规则适用于该记录：不产生消息。",
)
_NO_RULE = Text(
    en="no rule hears '{kind}': it would be refused.", zh="没有规则接收“{kind}”：将被拒收。"
)
_REGION = Text(
    en="REGION_UNKNOWN: {why} The bridge refuses it, unless its own tables of divisions have the code.",
    zh="REGION_UNKNOWN：{zh}除非网桥自有区划表中有此代码，否则将被拒绝。",
)
_UNHEARD = Text(
    en="'{kind}' is unheard by choice: it is acknowledged and no record is written.",
    zh="“{kind}”按设定不接收：仅签收，不写记录。",
)
