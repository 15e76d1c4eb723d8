"""A message becomes a record: which rule is for it, and what its columns hold."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from typing import Any

from adapters.mapping.document import Column, Document, Field, HearRule
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.mapping.values import heard
from exchange.acts import Kind
from exchange.text import Text

#: What a template for a record's number may hold.
TEMPLATE_NAMES = ("day", "serial", "kind", "ticket_id", "handoff_id", "message_id")


def tree_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the places of a message: ``header.…``, ``act.…``, each group by its name, ``message``.

    *message* is an object as `adapters.plain.message_object` gives it.
    """
    header = {
        name: value
        for name, value in message.items()
        if name not in ("act", "groups", "envelope") and value is not None
    }
    plain = {name: value for name, value in message.items() if name != "envelope"}
    return {
        "header": header,
        "act": message.get("act", {}),
        **message.get("groups", {}),
        "message": json.dumps(plain, ensure_ascii=False, sort_keys=True),
    }


def rule_for(document: Document, tree: Mapping[str, Any]) -> HearRule | None:
    """Return the first rule for a message, None where there is none."""
    kind = Kind(tree["header"]["kind"])
    for rule in document.hear:
        if not rule.hears(kind):
            continue
        when = rule.when
        if all(_text(get(tree, path)) in texts for path, texts in when.columns.items()) and (
            when.expression is None
            or when.expression.value(f"{rule.name}.when", _names(tree)) is True
        ):
            return rule
    return None


def _names(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {"message": {name: value for name, value in tree.items() if name != "message"}}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def hear(rule: HearRule, tree: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the columns of the record that a message becomes; nested where columns are paths.

    *numbers* fills templates (`TEMPLATE_NAMES`).  Raises `Misfit` naming the place that does not fit.
    """
    found: dict[str, Any] = {}
    parts: dict[str, dict[int, str]] = {}
    separators: dict[str, str] = {}
    for field in rule.fields:
        if field.way.value == "say" or not field.columns:
            continue
        value = heard(field, tree)
        if value is None:
            continue
        if field.part is not None:
            parts.setdefault(field.columns[0], {})[field.part] = str(value)
            separators[field.columns[0]] = field.separator
        elif len(field.columns) > 1:
            _put_split(found, field, str(value))
        else:
            _put(found, field.columns[0], _fitting(value, field.columns[0], field))
        if field.display and (name := _display(field, tree)):
            _put(found, field.display, name)
    for column, texts in parts.items():
        whole = [texts.get(number, "") for number in range(max(texts) + 1)]
        _put(found, column, separators[column].join(whole))
    for filled in rule.columns:
        value = _column(filled, tree, numbers)
        if value is not None:
            _put(found, filled.column, _fitting(value, filled.column, filled))
    return found


def _put_split(found: dict[str, Any], field: Field, text: str) -> None:
    split = text.split(field.separator, len(field.columns) - 1)
    for column, part in zip(field.columns, split, strict=False):
        _put(found, column, part)


def _display(field: Field, tree: Mapping[str, Any]) -> str:
    value = get(tree, field.path)
    return str(value.get("display", "")) if isinstance(value, Mapping) else ""


def _put(found: dict[str, Any], column: str, value: Any) -> None:
    put(found, column, value)


def _fitting(value: Any, column: str, field: Field | Column) -> Any:
    """Return *value* if it has room in its column, cut where the file allows that."""
    if not field.length or not isinstance(value, str) or len(value) <= field.length:
        return value
    if field.cut:
        return value[: field.length - 1] + "…"
    raise Misfit(column, _LONG.fill(size=len(value), limit=field.length))


def _column(column: Column, tree: Mapping[str, Any], numbers: Mapping[str, Any]) -> Any:
    if column.value is not None:
        return column.value
    if column.new:
        return column.new.format_map(numbers)
    if column.expression is not None:
        return column.expression.value(column.column, _names(tree))
    value = get(tree, column.path)
    if value is None:
        return None
    if column.time is not None:
        return column.time.heard(str(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def template_fault(template: str) -> Text | None:
    """Return what is wrong with a template for a record's number, None where nothing is."""
    sample: dict[str, Any] = dict.fromkeys(TEMPLATE_NAMES, "x") | {"serial": 1}
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        for name in names:
            if name not in sample:
                return _NO_NAME.fill(name=name, known=", ".join(TEMPLATE_NAMES))
        template.format_map(sample)
    except (ValueError, KeyError, AttributeError, IndexError):
        return _NO_TEMPLATE
    return None


_LONG = Text(
    en="{size} characters have no room in this column of {limit}. Widen it, or let cut = true shorten "
    "them.",
    zh="内容共 {size} 字，该列仅容 {limit} 字。请加宽该列，或以 cut = true 截短。",
)
_NO_NAME = Text(
    en="'{{{name}}}' is not known; a number may hold: {known}.",
    zh="“{{{name}}}”未定义；编号可用：{known}。",
)
_NO_TEMPLATE = Text(
    en="is no template; write one such as JW{day}{serial:06}.",
    zh="不是编号模板；例如 JW{day}{serial:06}。",
)
