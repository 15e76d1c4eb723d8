"""
Why plain values do not fit a message of the contract, for people.

Protobuf's JSON parser says it in English, with its own names for types and every field there is.
Here the field is named by its path, with the nearest right one, in both languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group
from exchange.errors import InvalidRequest
from exchange.reading import nearest
from exchange.text import Text
from exchange.wire.checks import AnyDescriptor
from exchange.wire.content import GROUP_TYPES, group_number

_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_TIMES = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})

_UNKNOWN = Text(en="'{path}' is not known; {hint_en}", zh="“{path}”未定义；{hint_zh}")
_WORD = Text(en="'{path}' cannot be '{value}'; {hint_en}", zh="“{path}”不能为“{value}”；{hint_zh}")
_NEEDS = Text(en="'{path}' must be {what_en}.", zh="“{path}”应为{what_zh}。")
_OBJECT = Text(en="an object { }", zh="{ } 对象")
_LIST = Text(en="a list [ ]", zh="[ ] 列表")
_TEXT = Text(en="text in quotes", zh="引号括起的文本")
_WHOLE = Text(en="a whole number", zh="整数")
_TRUTH = Text(en="true or false", zh="true 或 false")
_TIME = Text(
    en="a time with its zone, such as 2026-11-22T10:00:00+08:00 (a duration: 3600s)",
    zh="带时区的时间，例如 2026-11-22T10:00:00+08:00（时长：3600s）",
)


def misfit(
    act: str, values: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]
) -> Text | None:
    """
    Return what is wrong with the *values* of the act called *act*, or with *groups*.

    None where every field is known and of its kind: then something finer is wrong.
    """
    field = pb.Header.DESCRIPTOR.fields_by_name.get(act)
    found = _object(values, field.message_type, "act.") if field is not None else None
    for name, group in groups.items():
        try:
            number = group_number(name)
        except InvalidRequest:
            known = [Group(kind).name.lower() for kind in GROUP_TYPES]
            found = found or _hinted(_UNKNOWN, f"groups.{name}", name, known)
        else:
            found = found or _object(group, GROUP_TYPES[number].DESCRIPTOR, f"groups.{name}.")
    return found


def _object(values: Any, kind: AnyDescriptor, path: str) -> Text | None:
    if kind is None:
        return None
    if not isinstance(values, Mapping):
        return _needs(path.removesuffix("."), _OBJECT)
    for key, value in values.items():
        field = kind.fields_by_name.get(key) or kind.fields_by_camelcase_name.get(key)
        if field is None:
            return _hinted(_UNKNOWN, f"{path}{key}", key, list(kind.fields_by_name))
        found = _field(value, field, f"{path}{key}")
        if found is not None:
            return found
    return None


def _field(value: Any, field: FieldDescriptor, path: str) -> Text | None:
    if value is None:
        return None
    if not field.is_repeated:
        return _single(value, field, path)
    if not isinstance(value, list):
        return _needs(path, _LIST)
    found = (_single(one, field, f"{path}[{place}]") for place, one in enumerate(value))
    return next(filter(None, found), None)


def _single(value: Any, field: FieldDescriptor, path: str) -> Text | None:
    if field.message_type is not None:
        if field.message_type.full_name in _TIMES:
            return None if isinstance(value, str) else _needs(path, _TIME)
        return _object(value, field.message_type, f"{path}.")
    if field.enum_type is not None:
        return _enumerated(value, field.enum_type, path)
    wanted: tuple[Text, bool] | None = None
    if field.cpp_type in _INTEGERS:
        whole = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
        wanted = _WHOLE, whole and not isinstance(value, bool)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        wanted = _TRUTH, isinstance(value, bool)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        wanted = _TEXT, isinstance(value, str)
    return _needs(path, wanted[0]) if wanted is not None and not wanted[1] else None


def _enumerated(value: Any, kind: AnyDescriptor, path: str) -> Text | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    names = kind.values_by_name
    if isinstance(value, str) and (value in names or value.isdecimal()):
        return None
    known = [name for name, one in names.items() if one.number]
    return _hinted(_WORD, path, str(value), known)


def _hinted(text: Text, path: str, word: str, known: list[str]) -> Text:
    hint = nearest(word, known)
    return Text(
        en=text.en.format(path=path, value=word, hint_en=hint.en),
        zh=text.zh.format(path=path, value=word, hint_zh=hint.zh),
    )


def _needs(path: str, what: Text) -> Text:
    return Text(
        en=_NEEDS.en.format(path=path, what_en=what.en),
        zh=_NEEDS.zh.format(path=path, what_zh=what.zh),
    )
