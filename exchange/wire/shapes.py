"""
The shapes of what can be said: each field of an act or group, its type and what it must hold.

Taken from the contract's descriptors and their `buf.validate` annotations, so that a tool that
fills messages from something else, a mapping file, can name every mistake before anything is sent.
Paths are ``act.region``, ``person.telephone``, ``respondent.respondents[0].name``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from exchange._proto.buf.validate import validate_pb2 as rules_pb
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group, Kind
from exchange.errors import Violation
from exchange.guards import HOMES
from exchange.rules import GROUPS
from exchange.wire.checks import AnyDescriptor
from exchange.wire.content import GROUP_TYPES, encode_group, group_number
from exchange.wire.fields import field_violations
from exchange.wire.headers import draft_message

_WHOLE = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_MESSAGES = {
    "google.protobuf.Timestamp": "time",
    "google.protobuf.Duration": "duration",
    "hotline.exchange.v1.CodedValue": "coded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    One field: *type* is text, whole, number, truth, bytes, word, time, duration, coded or object.

    *words* are an enum's names without the unspecified one; *length* the most characters of a text
    or bytes of bytes, 0 where there is no limit.
    """

    type: str
    required: bool = False
    repeated: bool = False
    words: tuple[str, ...] = ()
    length: int = 0
    fields: Mapping[str, Shape]


@cache
def act_shape(kind: Kind) -> Shape:
    """Return the shape of the act of *kind*."""
    return _object(pb.Header.DESCRIPTOR.fields_by_name[kind.value].message_type, ())


@cache
def group_shape(name: str) -> Shape:
    """Return the shape of the group called *name*; raises `InvalidRequest` where there is none."""
    return _object(GROUP_TYPES[group_number(name)].DESCRIPTOR, ())


def groups_needed(kind: Kind) -> frozenset[str]:
    """Return the groups without which *kind* cannot be said."""
    return frozenset(group.name.lower() for group in GROUPS.get(kind, ()))


def groups_allowed(kind: Kind) -> tuple[str, ...]:
    """Return the groups that may stand with *kind*, in the contract's order."""
    return tuple(
        group.name.lower()
        for group in Group
        if kind is Kind.SUPPLEMENT or group not in HOMES or kind in HOMES[group]
    )


def message_violations(
    header: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]
) -> tuple[Violation, ...]:
    """
    Return what breaks the contract's field rules; shapes as `exchange.wire.headers.draft_message`.

    Raises `InvalidRequest` for what cannot even be encoded.
    """
    draft = draft_message(header, groups, salt=bytes)
    found = [*field_violations(pb.Header.FromString(draft.header), "header.")]
    for name, values in groups.items():
        number, content = encode_group(name, values)
        found += field_violations(GROUP_TYPES[number].FromString(content), f"{name}.")
    return tuple(found)


def _object(descriptor: AnyDescriptor, within: tuple[str, ...]) -> Shape:
    name = descriptor.full_name
    if name in within:  # none of the contract's types holds itself
        return Shape(type="object", fields={})
    fields = {field.name: _field(field, (*within, name)) for field in descriptor.fields}
    return Shape(type="object", fields=fields)


def _field(field: FieldDescriptor, within: tuple[str, ...]) -> Shape:
    rules = field.GetOptions().Extensions[rules_pb.field]
    inner: Mapping[str, Shape] = {}
    words: tuple[str, ...] = ()
    if field.message_type is not None:
        kind = _MESSAGES.get(field.message_type.full_name, "object")
        if kind in ("object", "coded"):
            inner = _object(field.message_type, within).fields
    elif field.enum_type is not None:
        kind = "word"
        words = tuple(value.name for value in field.enum_type.values if value.number)
    elif field.type == FieldDescriptor.TYPE_STRING:
        kind = "text"
    elif field.type == FieldDescriptor.TYPE_BYTES:
        kind = "bytes"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        kind = "truth"
    else:
        kind = "whole" if field.cpp_type in _WHOLE else "number"
    single = rules.repeated.items if field.is_repeated else rules
    return Shape(
        type=kind,
        required=_required(field, rules),
        repeated=field.is_repeated,
        words=words,
        length=single.string.max_len or single.bytes.len or single.bytes.max_len,
        fields=inner,
    )


def _required(field: FieldDescriptor, rules: rules_pb.FieldRules) -> bool:
    """Whether an empty value breaks a rule."""
    if field.is_repeated:
        return rules.required or rules.repeated.min_items > 0
    text = rules.string
    return (
        rules.required
        or text.min_len > 0
        or (text.HasField("pattern") and re.search(text.pattern, "") is None)
        or rules.bytes.len > 0
        or 0 in rules.enum.not_in
    )
