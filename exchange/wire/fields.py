"""
Field rules: what `buf.validate` annotations ask, no U+0000 anywhere, no impossible time.

PostgreSQL cannot store U+0000 in text and many platforms end a string there, so a string that
holds it is refused at the door, whatever field it stands in.  A time outside the years 1 to 9999
has no JSON form and would stop the reader, so it is refused likewise.

Sentences name the field and the rule, never the value: it may be a person's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from exchange.errors import Violation
from exchange.text import Text
from exchange.wire.checks import surely_valid
from exchange.wire.conditions import MAX_DURATION, MAX_TIMESTAMP, MIN_TIMESTAMP, SECOND

if TYPE_CHECKING:
    import protovalidate
    from google.protobuf.message import Message as Protobuf

#: Violations reported of one message at most; the contract's own limit for a refusal is 64.
MAX_VIOLATIONS: Final = 32


@cache
def validator() -> protovalidate.Validator:
    """
    Return who names the rules that a message breaks.

    Loading it takes a third of a second of CPU time, and a desk or a command that meets no invalid message never
    needs it; a server calls this before it answers anyone.
    """
    import protovalidate  # noqa: PLC0415  # for its time, as said

    return protovalidate.Validator()


def field_violations(message: Protobuf, prefix: str = "") -> tuple[Violation, ...]:
    """
    Return every field of *message* that breaks a rule, the first `MAX_VIOLATIONS` of them.

    *prefix* is put before each path, such as ``content.`` for a field of that group.
    """
    if surely_valid(message):
        return ()
    found = (
        _violation(prefix + _path(broken), broken)
        for broken in validator().collect_violations(message)
    )
    ours = _unfit_values(message, prefix)
    return tuple(islice((one for some in (found, ours) for one in some), MAX_VIOLATIONS))


def _path(broken: protovalidate.Violation) -> str:
    parts: list[str] = []
    for element in broken.proto.field.elements if broken.proto.field else ():
        index = element.subscript
        parts.append(element.field_name + ("" if index is None else f"[{index.value}]"))
    return ".".join(parts) or "message"


# -- U+0000 and impossible times

_NUL = Text(
    en="Field {field} holds the character U+0000; remove it.",
    zh="字段 {field} 含有字符 U+0000，请删除。",
)
_NO_TIME = Text(
    en="Field {field} must be a time of the years 1 to 9999 with 0 to 999,999,999 nanoseconds.",
    zh="字段 {field} 的时间必须在公元 1 年至 9999 年之间，纳秒部分应为 0 至 999999999。",
)
_NO_DURATION = Text(
    en="Field {field} must be a duration of at most 10,000 years, seconds and nanoseconds of one sign.",
    zh="字段 {field} 的时长不得超过一万年，秒与纳秒的正负号应一致。",
)


def _unfit_values(message: Protobuf, prefix: str) -> Iterator[Violation]:
    for field, value in message.ListFields():
        for place, item in enumerate(value if field.is_repeated else [value]):
            path = f"{prefix}{field.name}" + (f"[{place}]" if field.is_repeated else "")
            if isinstance(item, str):
                if "\0" in item:
                    yield _named(path, "string.no_nul", _NUL)
            elif field.message_type is None:
                continue
            elif field.message_type.full_name == "google.protobuf.Timestamp":
                if not _possible_time(item.seconds, item.nanos):
                    yield _named(path, "timestamp.range", _NO_TIME)
            elif field.message_type.full_name == "google.protobuf.Duration":
                if not _possible_duration(item.seconds, item.nanos):
                    yield _named(path, "duration.range", _NO_DURATION)
            else:
                yield from _unfit_values(item, path + ".")


def _possible_time(seconds: int, nanos: int) -> bool:
    return MIN_TIMESTAMP <= seconds <= MAX_TIMESTAMP and 0 <= nanos < SECOND


def _possible_duration(seconds: int, nanos: int) -> bool:
    in_range = abs(seconds) <= MAX_DURATION and abs(nanos) < SECOND
    return in_range and seconds * nanos >= 0


# -- the annotations' rules, in words


def _named(path: str, rule: str, text: Text, **facts: object) -> Violation:
    return Violation(field=path, rule=rule, text=text.fill(field=path, **facts))


def _violation(path: str, broken: protovalidate.Violation) -> Violation:
    rule = broken.proto.rule_id
    limit = broken.rule_value
    if rule == "string.pattern" and limit in PATTERN_TEXTS:
        shape = PATTERN_TEXTS[limit]
        text = Text(
            en=_SHAPE.en.format(field=path, shape=shape.en),
            zh=_SHAPE.zh.format(field=path, shape=shape.zh),
        )
        return Violation(field=path, rule=rule, text=text)
    if rule == "required" and broken.proto.rule is None:
        return _named(path, rule, _ONE_OF)
    if rule in ("string.min_len", "repeated.min_items") and limit == 1:
        return _named(path, rule, _EMPTY)
    if rule in RULE_TEXTS:
        return _named(path, rule, RULE_TEXTS[rule], limit=limit)
    family, _, bounds = rule.partition(".")
    if bounds in BOUND_TEXTS:
        unit = _SECONDS if family == "duration" else _NO_UNIT
        low, high = _bounds(broken.proto.message)
        text = BOUND_TEXTS[bounds]
        return Violation(
            field=path,
            rule=rule,
            text=Text(
                en=text.en.format(field=path, low=low + unit.en, high=high + unit.en),
                zh=text.zh.format(field=path, low=low + unit.zh, high=high + unit.zh),
            ),
        )
    return Violation(field=path, rule=rule, text=_OTHER.fill(field=path, rule=rule))


def _bounds(message: str) -> tuple[str, str]:
    """Return the lower and the upper limit that protovalidate's sentence names; one is both."""
    limits = _LIMIT.findall(message)
    return limits[0], limits[-1]


_LIMIT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SECONDS = Text(en=" seconds", zh=" 秒")
_NO_UNIT = Text(en="", zh="")

_SHAPE = Text(en="Field {field} must be {shape}.", zh="字段 {field} 应为：{shape}。")
_EMPTY = Text(en="Field {field} must not be empty.", zh="字段 {field} 不能为空。")
_ONE_OF = Text(
    en="Exactly one field of {field} must be filled in.", zh="{field} 必须且只能填写其中一项。"
)
_OTHER = Text(en="Field {field} breaks the rule {rule}.", zh="字段 {field} 不符合规则 {rule}。")

#: What each pattern of the contract stands for.
PATTERN_TEXTS: Final[dict[str, Text]] = {
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$": Text(
        en="a UUID in lower case", zh="小写的 UUID"
    ),
    "^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$": Text(
        en="a UUID in lower case, or empty", zh="小写的 UUID，或留空"
    ),
    "^([0-9]{6}[0-9A-Z]{6}|[0-9A-Z]{18})$": Text(
        en="a unified social credit code (18 characters) or a police code (12 characters)",
        zh="18 位统一社会信用代码或 12 位公安机关机构代码",
    ),
    "^([0-9]{6}[0-9A-Z]{6}|[0-9A-Z]{18})?$": Text(
        en="a unified social credit code (18 characters) or a police code (12 characters), or empty",
        zh="18 位统一社会信用代码或 12 位公安机关机构代码，或留空",
    ),
    "^([0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}|[0-9]{6}[0-9A-Z]{6})$": Text(
        en="a unified social credit code (18 characters) or a police code (12 characters)",
        zh="18 位统一社会信用代码或 12 位公安机关机构代码",
    ),
    "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$": Text(
        en="an administrative division code of 6, 9 or 12 digits",
        zh="6 位、9 位或 12 位行政区划代码",
    ),
    "^([0-9]{6}|[0-9]{9}|[0-9]{12})$": Text(
        en="an administrative division code of 6, 9 or 12 digits",
        zh="6 位、9 位或 12 位行政区划代码",
    ),
    "^[0-9]{0,12}$": Text(
        en="the beginning of an administrative division code, at most 12 digits",
        zh="行政区划代码或其前几位，最多 12 位数字",
    ),
    "^([0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?)?$": Text(
        en="a date such as 1990, 1990-05 or 1990-05-17, or empty",
        zh="日期，例如 1990、1990-05 或 1990-05-17，或留空",
    ),
    "^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$": Text(
        en="a media type in lower case, such as image/jpeg",
        zh="小写的媒体类型，例如 image/jpeg",
    ),
}

#: What each rule with one limit asks.
RULE_TEXTS: Final[dict[str, Text]] = {
    "required": Text(en="Field {field} is required.", zh="字段 {field} 为必填项。"),
    "string.len": Text(
        en="Field {field} must have {limit} characters.", zh="字段 {field} 必须为 {limit} 个字符。"
    ),
    "string.min_len": Text(
        en="Field {field} must have at least {limit} characters.",
        zh="字段 {field} 至少需要 {limit} 个字符。",
    ),
    "string.max_len": Text(
        en="Field {field} must have at most {limit} characters.",
        zh="字段 {field} 最多 {limit} 个字符。",
    ),
    "string.pattern": Text(
        en="Field {field} must match the regular expression {limit}",
        zh="字段 {field} 的格式不正确，应符合正则表达式 {limit}",
    ),
    "bytes.len": Text(
        en="Field {field} must have {limit} bytes.", zh="字段 {field} 必须为 {limit} 字节。"
    ),
    "bytes.min_len": Text(
        en="Field {field} must have at least {limit} bytes.",
        zh="字段 {field} 至少需要 {limit} 字节。",
    ),
    "bytes.max_len": Text(
        en="Field {field} must have at most {limit} bytes.", zh="字段 {field} 最多 {limit} 字节。"
    ),
    "repeated.min_items": Text(
        en="Field {field} must have at least {limit} entries.",
        zh="字段 {field} 至少需要 {limit} 项。",
    ),
    "repeated.max_items": Text(
        en="Field {field} must have at most {limit} entries.", zh="字段 {field} 最多 {limit} 项。"
    ),
    "enum.defined_only": Text(
        en="Field {field} must be one of the values that the contract defines.",
        zh="字段 {field} 必须取接口规范中已定义的值。",
    ),
    "enum.not_in": Text(
        en="Field {field} must be stated.", zh="字段 {field} 必须明确取值，不能为“未说明”。"
    ),
    "double.finite": Text(
        en="Field {field} must be a finite number.", zh="字段 {field} 必须是有限的数值。"
    ),
}

#: What each rule with limits to a size asks, whatever the type of number.
BOUND_TEXTS: Final[dict[str, Text]] = {
    "gte": Text(en="Field {field} must be at least {low}.", zh="字段 {field} 不得小于 {low}。"),
    "lte": Text(en="Field {field} must be at most {high}.", zh="字段 {field} 不得大于 {high}。"),
    "lt": Text(en="Field {field} must be below {high}.", zh="字段 {field} 必须小于 {high}。"),
    "gte_lte": Text(
        en="Field {field} must be between {low} and {high}.",
        zh="字段 {field} 必须在 {low} 至 {high} 之间。",
    ),
}
