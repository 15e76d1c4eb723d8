"""A row becomes a message: which rules hold, and what each says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapters.mapping.document import Condition, Document, Field, SayRule
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.mapping.values import Facts, said, text_of
from exchange.acts import TICKET_KINDS, Classification, Kind, Marker, Urgency
from exchange.client import OutgoingMessage
from exchange.text import Text


def _no_digest(_kinds: tuple[Kind, ...]) -> None:
    return None


def _no_secret(_name: str) -> bytes:
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a record beside its row: its ids, and what was said and heard of it."""

    record: str
    ticket_id: str
    handoff_id: str = ""
    said: frozenset[Kind] = frozenset()
    newest: Callable[[tuple[Kind, ...]], bytes | None] = _no_digest
    secret: Callable[[str], bytes] = _no_secret

    def facts(self, row: Mapping[str, Any]) -> Facts:
        """Return what fields may look at."""
        return Facts(row=row, said=self.said, newest=self.newest, secret=self.secret)


def holds(condition: Condition, facts: Facts, place: str) -> bool:
    """Return whether *condition* holds of the row; raises `Misfit` where it cannot be told."""
    for column, texts in condition.columns.items():
        if text_of(get(facts.row, column), column).strip() not in texts:
            return False
    if condition.expression is None:
        return True
    value = condition.expression.value(place, facts.names())
    if not isinstance(value, bool):
        raise Misfit(place, _NO_TRUTH.fill(source=condition.expression.source))
    return value


def matching(document: Document, sheet: str, facts: Facts) -> list[SayRule]:
    """
    Return the rules by which the row speaks: the first that holds, and every `also` that does.

    A rule that is said once is passed over when its kind was said of the record.
    """
    found: list[SayRule] = []
    decided = False
    for rule in document.say:
        if rule.sheet != sheet or (decided and not rule.also):
            continue
        if not set(rule.after) <= facts.said or (not rule.revision and rule.kind in facts.said):
            continue
        if holds(rule.when, facts, f"{rule.name}.when"):
            found.append(rule)
            decided = decided or not rule.also
    return found


def speaks(document: Document, sheet: str, facts: Facts) -> bool:
    """Return whether any rule could ever hold of the row, said before or not."""
    return any(
        rule.sheet == sheet and holds(rule.when, facts, f"{rule.name}.when")
        for rule in document.say
    )


def say(rule: SayRule, row: Mapping[str, Any], standing: Standing) -> OutgoingMessage:
    """Return what *row* says by *rule*; raises `Misfit` naming the column."""
    facts = standing.facts(row)
    tree = _tree(rule.fields, facts)
    header = tree.pop("header", {})
    act = tree.pop("act", {})
    kind = rule.kind
    on_handoff = kind not in TICKET_KINDS
    return OutgoingMessage(
        kind=kind,
        ticket_id=header.get("ticket_id") or standing.ticket_id,
        handoff_id=(header.get("handoff_id") or standing.handoff_id) if on_handoff else "",
        recipient=header.get("recipient", "") if on_handoff else "",
        created=datetime.fromisoformat(header["created"]).astimezone(UTC),
        urgency=Urgency[str(header.get("urgency", "routine")).upper()],
        marker=Marker[str(header.get("marker", "actual")).upper()],
        classification=Classification[str(header.get("classification", "ordinary")).upper()],
        act=act,
        groups=tree,
        record=standing.record,
        revision="|".join(text_of(get(row, column), column) for column in rule.revision),
    )


def _tree(fields: tuple[Field, ...], facts: Facts) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field in fields:
        if field.way.value == "hear":
            continue
        value = said(field, facts)
        if field.codes is not None and field.local and value is None and field.columns:
            code = text_of(get(facts.row, field.columns[0]), field.columns[0]).strip()
            if code:
                put(tree, field.local, {"system": field.codes.system, "code": code})
            continue
        if value is None:
            continue
        if field.display and isinstance(value, dict):
            name = text_of(get(facts.row, field.display), field.display).strip()
            value |= {"display": name[:256]} if name else {}
        put(tree, field.path, [value] if _lone(field) else value)
    return {name: _compact(value, name) for name, value in tree.items()}


def _lone(field: Field) -> bool:
    """Whether a coded value stands for the whole list that the contract has there."""
    return field.shape.repeated and field.shape.type == "coded"


def _compact(value: Any, path: str) -> Any:
    """Return *value* without the holes of its lists, where that moves nothing out of its place."""
    if isinstance(value, dict):
        return {name: _compact(one, f"{path}.{name}") for name, one in value.items()}
    if not isinstance(value, list):
        return value
    there = [_compact(one, path) for one in value if one is not None]
    if len(there) < len(value):
        systems = [one.get("system") for one in there if isinstance(one, dict)]
        if len(systems) < len(there) or None in systems or len({*systems}) < len(systems):
            raise Misfit(path, _HOLE.fill(path=path))
    return there


_NO_TRUTH = Text(
    en="the expression {source} is neither true nor false for this record.",
    zh="表达式 {source} 对该记录的结果既非真也非假。",
)
_HOLE = Text(
    en="an earlier place of the list {path} is empty while a later one is filled: they would change "
    "places. Fill the earlier column, or join the columns.",
    zh="列表 {path} 前位为空而后位有值，位置会错乱。请补全前一列，或合并各列。",
)
