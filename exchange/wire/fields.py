"""
Field rules: what `buf.validate` annotations ask, and no U+0000 anywhere.

PostgreSQL cannot store U+0000 in text and many platforms end a string there, so a string that
holds it is refused at the door, whatever field it stands in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import protovalidate

from exchange.errors import Violation
from exchange.text import Text

if TYPE_CHECKING:
    from google.protobuf.message import Message as Protobuf

_VALIDATOR = protovalidate.Validator()

#: Violations reported of one message at most; the contract's own limit for a refusal is 64.
MAX_VIOLATIONS = 32

_BROKEN = Text(
    en="Field {field}: {message} (rule {rule}).",
    zh="字段 {field} 不符合规则 {rule}（{message}）。",
)
_NUL = Text(
    en="Field {field} holds the character U+0000; remove it.",
    zh="字段 {field} 含有字符 U+0000，请删除。",
)


def field_violations(message: Protobuf, raw: bytes, prefix: str = "") -> tuple[Violation, ...]:
    """
    Return every field of *message* that breaks a rule; *raw* are its serialised bytes.

    *prefix* is put before each path, such as ``content.`` for a field of that group.
    """
    found = [
        Violation(
            field=(path := prefix + _path(violation.proto.field)),
            rule=violation.proto.rule_id,
            text=_BROKEN.fill(
                field=path, message=violation.proto.message, rule=violation.proto.rule_id
            ),
        )
        for violation in _VALIDATOR.collect_violations(message)
    ]
    # Canonical text-only messages hold no zero byte at all, so the walk is rare.
    if 0 in raw:
        found += [
            Violation(field=path, rule="string.no_nul", text=_NUL.fill(field=path))
            for path in _nul_paths(message, prefix)
        ]
    return tuple(found[:MAX_VIOLATIONS])


def _path(field: object) -> str:
    parts: list[str] = []
    for element in getattr(field, "elements", ()):
        name = element.field_name
        index = getattr(element, "subscript", None)
        value = getattr(index, "value", index)
        is_index = isinstance(value, int) and not isinstance(value, bool)
        parts.append(f"{name}[{value}]" if is_index else name)
    return ".".join(parts) or "message"


def _nul_paths(message: Protobuf, prefix: str) -> Iterator[str]:
    for descriptor, value in message.ListFields():
        values = value if descriptor.is_repeated else [value]
        for place, item in enumerate(values):
            path = f"{prefix}{descriptor.name}" + (f"[{place}]" if descriptor.is_repeated else "")
            if isinstance(item, str):
                if "\0" in item:
                    yield path
            elif descriptor.message_type is not None:
                yield from _nul_paths(item, path + ".")
