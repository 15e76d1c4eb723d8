"""
Quick checks: most messages are proved to break no rule without asking protovalidate.

Asking protovalidate costs several microseconds for each header and group, and nearly every message
is in order.  So each message type's `buf.validate` annotations are turned once into plain
comparisons.  Rule 1: `surely_valid` may say False of a valid message, never True of an invalid
one; protovalidate then decides, and alone words what is wrong.  Rule 2: a type with a rule that is
not known here is never surely valid, so that a new rule in the contract costs time, not safety.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message as Protobuf

from exchange._proto.buf.validate import validate_pb2 as rules_pb

Check = Callable[[Any], bool]
#: Any: the two descriptor classes of protobuf's Python and C parts have no common type.
AnyDescriptor = Any

#: Seconds since 1970 of the years 1 to 9999, which is what a `Timestamp` may hold.
MIN_TIMESTAMP: Final = -62_135_596_800
MAX_TIMESTAMP: Final = 253_402_300_799
#: Seconds that a `Duration` may hold, either way.
MAX_DURATION: Final = 315_576_000_000
SECOND: Final = 1_000_000_000

_INFINITE: Final = math.inf


class UnknownRuleError(Exception):
    """An annotation that has no quick check; the type is left to protovalidate."""


def surely_valid(message: Protobuf) -> bool:
    """
    Return True only if *message* breaks no field rule, holds no U+0000 and no impossible time.

    False means: not proved here.
    """
    return _type_check(message.DESCRIPTOR)(message)


def quick_check(descriptor: AnyDescriptor, entries_apart: str = "") -> Check:
    """
    Return the check of one message type; raises `UnknownRuleError` if it cannot be made.

    Of the repeated field called *entries_apart* only the number of entries is checked.
    """
    special = _SPECIAL.get(descriptor.full_name)
    if special is not None:
        return special({})
    if descriptor.GetOptions().HasExtension(rules_pb.message):
        raise UnknownRuleError(descriptor.full_name)
    checks = {
        field: _field_check(field, field.name == entries_apart) for field in descriptor.fields
    }
    needed = sum(counts for _, counts in checks.values())
    one_ofs = [
        one_of.name
        for one_of in descriptor.oneofs
        if one_of.GetOptions().Extensions[rules_pb.oneof].required
    ]

    def check(message: Protobuf) -> bool:
        missing = needed
        for field, value in message.ListFields():
            holds, counts = checks[field]
            if not holds(value):
                return False
            missing -= counts
        return not missing and (not one_ofs or all(map(message.WhichOneof, one_ofs)))

    return check


_CHECKS: dict[AnyDescriptor, Check] = {}


def _type_check(descriptor: AnyDescriptor) -> Check:
    known = _CHECKS.get(descriptor)
    if known is None:
        try:
            known = quick_check(descriptor)
        except UnknownRuleError:
            known = _never
        _CHECKS[descriptor] = known
    return known


def _never(_value: object) -> bool:
    return False


def _always(_value: object) -> bool:
    return True


def _field_check(field: FieldDescriptor, entries_apart: bool) -> tuple[Check, int]:
    """Return the check of a field that is set, and 1 if leaving it unset breaks a rule."""
    rules = field.GetOptions().Extensions[rules_pb.field]
    _only(rules, {"required", "ignore", rules.WhichOneof("type")}, field)
    if rules.ignore not in (rules_pb.IGNORE_UNSPECIFIED, rules_pb.IGNORE_IF_ZERO_VALUE):
        raise UnknownRuleError(field.full_name)
    if field.is_repeated:
        check = _list_check(field, rules, entries_apart)
        needed = rules.required or rules.repeated.min_items > 0
    else:
        check = _value_check(field, rules)
        needed = rules.required
        # A field without presence is judged by its rules even where it has its zero value.
        if not field.has_presence and rules.ignore == rules_pb.IGNORE_UNSPECIFIED:
            needed = needed or not check(field.default_value)
    return check, int(needed)


def _only(rules: Protobuf, known: set[str | None], field: FieldDescriptor) -> dict[str, Any]:
    """Return the rules that are set, by name; raises `UnknownRuleError` for any not *known*."""
    given = {rule.name: value for rule, value in rules.ListFields()}
    if given.keys() - known:
        raise UnknownRuleError(field.full_name)
    return given


def _list_check(field: FieldDescriptor, rules: rules_pb.FieldRules, entries_apart: bool) -> Check:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        raise UnknownRuleError(field.full_name)
    given = _only(rules.repeated, {"min_items", "max_items", "items"}, field)
    items = rules.repeated.items
    _only(items, {items.WhichOneof("type")}, field)
    check = _value_check(field, items)
    least, most = given.get("min_items", 0), given.get("max_items", _INFINITE)
    if entries_apart:
        return lambda values: least <= len(values) <= most

    def check_list(values: Any) -> bool:
        return least <= len(values) <= most and all(map(check, values))

    return check_list


def _value_check(field: FieldDescriptor, rules: rules_pb.FieldRules) -> Check:
    """Return the check of one value of *field*."""
    kind = rules.WhichOneof("type")
    limits = {} if kind in (None, "repeated") else _limits(getattr(rules, str(kind)))
    if field.message_type is not None:
        special = _SPECIAL.get(field.message_type.full_name)
        if special is not None:
            return special(limits)
        if limits:
            raise UnknownRuleError(field.full_name)
        return quick_check(field.message_type)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _string_check(limits)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _length_check(limits)
    if field.enum_type is not None:
        return _enum_check(field.enum_type, limits)
    return _number_check(limits)


def _limits(rules: Protobuf) -> dict[str, Any]:
    return {rule.name: value for rule, value in rules.ListFields()}


def _take(limits: dict[str, Any], *names: str) -> list[Any]:
    """Return the limits called *names*, None where not set; raises for any other."""
    if limits.keys() - set(names):
        raise UnknownRuleError(", ".join(limits))
    return [limits.get(name) for name in names]


def _bounds(exact: int | None, least: int | None, most: int | None) -> tuple[float, float]:
    if exact is not None:
        return exact, exact
    return least or 0, _INFINITE if most is None else most


def _string_check(limits: dict[str, Any]) -> Check:
    exact, least, most, pattern = _take(limits, "len", "min_len", "max_len", "pattern")
    low, high = _bounds(exact, least, most)
    if pattern is None:
        return lambda value: low <= len(value) <= high and "\0" not in value
    # At least as strict as RE2's search: the whole text must match, in ASCII classes.
    matches = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: (
        matches(value) is not None and low <= len(value) <= high and "\0" not in value
    )


def _length_check(limits: dict[str, Any]) -> Check:
    low, high = _bounds(*_take(limits, "len", "min_len", "max_len"))
    return lambda value: low <= len(value) <= high


def _enum_check(enum: EnumDescriptor, limits: dict[str, Any]) -> Check:
    defined_only, not_in = _take(limits, "defined_only", "not_in")
    barred = frozenset(not_in or ())
    if not defined_only:
        return (lambda value: value not in barred) if barred else _always
    known = frozenset(enum.values_by_number) - barred
    return lambda value: value in known


def _number_check(limits: dict[str, Any]) -> Check:
    if not limits:
        return _always
    least, most, below, finite = _take(limits, "gte", "lte", "lt", "finite")
    low = -_INFINITE if least is None else least
    high = _INFINITE if most is None else most
    if below is None and not finite:
        return lambda value: low <= value <= high
    under = _INFINITE if below is None else below
    return lambda value: low <= value <= high and value < under and math.isfinite(value)


def _timestamp_check(limits: dict[str, Any]) -> Check:
    _take(limits)
    return lambda value: (
        MIN_TIMESTAMP <= value.seconds <= MAX_TIMESTAMP and 0 <= value.nanos < SECOND
    )


def _duration_check(limits: dict[str, Any]) -> Check:
    least, most = _take(limits, "gte", "lte")
    low = -MAX_DURATION if least is None else least.seconds + math.ceil(least.nanos / SECOND)
    high = MAX_DURATION if most is None else most.seconds
    # Fractions near a limit, and negative ones, are left to protovalidate.
    return lambda value: (
        low <= value.seconds
        and 0 <= value.nanos < SECOND
        and (value.seconds < high or (value.seconds == high and not value.nanos))
    )


_SPECIAL: Final[dict[str, Callable[[dict[str, Any]], Check]]] = {
    "google.protobuf.Timestamp": _timestamp_check,
    "google.protobuf.Duration": _duration_check,
}
