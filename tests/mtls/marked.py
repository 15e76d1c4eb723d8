"""Field groups with a mark of its own in every field that can hold words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict

from exchange.acts import Group
from exchange.wire.content import GROUP_TYPES, group_name
from exchange.wire.fields import field_violations

_MARK = re.compile(r"mk[0-9]{6}z")
#: What fields take that take no words: codes of divisions, organisations, days, numbers.
_CODES = ("140400", "140400000000", "2026-03-02", "NM.P.01.02", "image/jpeg", "1")
_NUMBERS = {
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.0,
    FieldDescriptor.CPPTYPE_FLOAT: 1.0,
}


def marks_in(text: bytes | str) -> frozenset[str]:
    """Return the marks that stand in *text*."""
    return frozenset(
        _MARK.findall(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    )


class Marker:
    """Makes field groups full of marks, no two alike."""

    def __init__(self) -> None:
        self._count = 0
        #: Where each mark was put, such as ``person.name``.
        self.places: dict[str, str] = {}

    def group(self, group: Group) -> dict[str, Any]:
        """Return a group in the contract's JSON shapes: every field, and a mark in each that takes words."""
        message = GROUP_TYPES[group]()
        self._fill(message, group_name(group), ())
        _mend(message)
        return MessageToDict(message, preserving_proto_field_name=True)

    def _fill(self, message: Any, path: str, inside: tuple[str, ...]) -> None:
        for field in message.DESCRIPTOR.fields:
            place = f"{path}.{field.name}"
            if field.message_type is not None:
                name = field.message_type.full_name
                if name in inside:
                    continue
                part = getattr(message, field.name)
                part = part.add() if field.is_repeated else part
                part.SetInParent()
                if name == "google.protobuf.Timestamp":
                    part.seconds = 1_772_438_400
                elif name == "google.protobuf.Duration":
                    part.seconds = 60
                else:
                    self._fill(part, place, (*inside, name))
                continue
            value = self._value(field, place)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)

    def _value(self, field: FieldDescriptor, place: str) -> object:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return bytes(32)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            self._count += 1
            mark = f"mk{self._count:06}z"
            self.places[mark] = place
            return mark
        if field.enum_type is not None:
            return next(value.number for value in field.enum_type.values if value.number)
        return _NUMBERS.get(field.cpp_type, 1)


def _mend(message: Any) -> None:
    """Give every field that breaks a rule a code that it takes, or take it away."""
    while faults := field_violations(message):
        before = len(faults)
        holder, name = _holder(message, faults[0].field)
        field = holder.DESCRIPTOR.fields_by_name[name]
        for put in _attempts(holder, field):
            put()
            if len(field_violations(message)) < before:
                break
        else:
            raise AssertionError(str(faults[0]))


def _attempts(holder: Any, field: FieldDescriptor) -> Iterator[Callable[[], None]]:
    if field.type == FieldDescriptor.TYPE_STRING:
        for code in _CODES:
            yield lambda code=code: _put(holder, field, code)  # type: ignore[misc]
    yield lambda: holder.ClearField(field.name)


def _put(holder: Any, field: FieldDescriptor, value: str) -> None:
    if field.is_repeated:
        getattr(holder, field.name)[:] = [value]
    else:
        setattr(holder, field.name, value)


def _holder(message: Any, path: str) -> tuple[Any, str]:
    """Return the message that holds the field at *path*, and the field's name."""
    *outer, last = re.sub(r"\[\d+\]", "", path).split(".")
    for name in outer:
        message = getattr(message, name)
        message = message if hasattr(message, "DESCRIPTOR") else message[0]
    return message, last


def redacted(group: Group) -> frozenset[str]:
    """Return the places of *group* that the contract marks as personal."""
    return frozenset(_redacted(GROUP_TYPES[group].DESCRIPTOR, group_name(group), ()))


def _redacted(descriptor: Any, path: str, inside: tuple[str, ...]) -> Iterator[str]:
    for field in descriptor.fields:
        place = f"{path}.{field.name}"
        words = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        if words and field.GetOptions().debug_redact:
            yield place
        kind = field.message_type
        if kind is not None and kind.full_name not in inside:
            yield from _redacted(kind, place, (*inside, kind.full_name))
