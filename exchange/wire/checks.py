"""
Quick checks: most messages are proved to break no rule without asking protovalidate.

Asking protovalidate costs several microseconds for each header and group, and nearly every message
is in order.  So each message type's `buf.validate` annotations are written once, at first use, as
one straight function of comparisons.  Rule 1: a check may say False of a valid message, never True
of an invalid one; protovalidate then decides, and alone words what is wrong.  Rule 2: a type with
a rule that is not known here is never surely valid, so that a new rule in the contract costs time,
not safety.

Where the message's own bytes are at hand, they answer most questions sooner (`bytes_check`): no
string has more characters than they are bytes; none holds U+0000 if they have no zero byte; and a
field is not set if the bytes of its tag occur nowhere.  A tag could also be spelt with more bytes
than it needs, but would then end with a zero byte after one above 0x7F.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as Protobuf

from exchange._proto.buf.validate import validate_pb2 as rules_pb
from exchange.wire.conditions import (
    SIZED,
    SPECIAL,
    Conditions,
    UnknownRuleError,
    only_known,
    value_limits,
)

Check = Callable[[Any], bool]
BytesCheck = Callable[[Any, bytes], bool]
#: Any: the two descriptor classes of protobuf's Python and C parts have no common type.
AnyDescriptor = Any

#: Zero bytes, such as those of numbers that are 0, that are looked at one by one.
_FEW_ZEROS: Final = 16


def surely_valid(message: Protobuf) -> bool:
    """
    Return True only if *message* breaks no field rule, holds no U+0000 and no impossible time.

    False means: not proved here.
    """
    descriptor = message.DESCRIPTOR
    known = _CHECKS.get(descriptor)
    if known is None:
        try:
            known = quick_check(descriptor)
        except UnknownRuleError:
            known = _never
        _CHECKS[descriptor] = known
    return known(message)


_CHECKS: dict[AnyDescriptor, Check] = {}


def _never(_value: object) -> bool:
    return False


def quick_check(descriptor: AnyDescriptor, entries_apart: str = "") -> Check:
    """
    Return the check of one message type; raises `UnknownRuleError` if it cannot be made.

    Of the repeated field called *entries_apart* only the number of entries is checked.
    """
    check: Check = _Source().of_message(descriptor, entries_apart)
    return check


def bytes_check(descriptor: AnyDescriptor) -> BytesCheck:
    """
    Return the check of one message type and of the bytes it was parsed from.

    Raises as `quick_check` does.
    """
    with_few: BytesCheck = _Source(from_bytes=True).of_message(descriptor)

    def with_zeros(message: Any, raw: bytes) -> bool:
        return _spelt_shortly(raw) and with_few(message, raw)

    check: BytesCheck = _Source(from_bytes=True, no_zeros=True).of_message(
        descriptor, with_zeros=with_zeros
    )
    return check


def _spelt_shortly(raw: bytes) -> bool:
    """Return True only if *raw* has few zero bytes, none of which ends a number of several bytes."""
    if raw.count(0) > _FEW_ZEROS:
        return False
    at = raw.find(0)
    while at >= 0:
        if at and raw[at - 1] > 0x7F:
            return False
        at = raw.find(0, at + 1)
    return True


class _Source:
    """
    The source of one check.

    *from_bytes*: it is given the message's bytes too.  *no_zeros*: they hold no zero byte.
    """

    def __init__(
        self,
        *,
        from_bytes: bool = False,
        no_zeros: bool = False,
        within: tuple[AnyDescriptor, ...] = (),
    ) -> None:
        self._from_bytes = from_bytes
        self._no_zeros = no_zeros
        self._conditions = Conditions(sized=from_bytes, no_nul=no_zeros)
        #: The types around what is written.
        self._within = within

    def of_message(
        self,
        descriptor: AnyDescriptor,
        entries_apart: str = "",
        with_zeros: BytesCheck | None = None,
    ) -> Any:
        """Return the check of a message type, which leaves bytes with zeros to *with_zeros*."""
        lines, _ = self._message(descriptor, "m0", 0, entries_apart)
        if with_zeros is not None:
            other = self._conditions.constant(with_zeros)
            lines = ["if 0 in raw:", f" return {other}(m0, raw)", *lines]
        return self._compiled(lines, descriptor.full_name)

    def of_value(self, field: FieldDescriptor, rules: rules_pb.FieldRules) -> Any:
        """Return the check of one field's value."""
        return self._compiled(self._value(field, rules, "m0", 0)[0], field.full_name)

    def _compiled(self, lines: Iterable[str], title: str) -> Any:
        head = ["def check(m0):"]
        if self._from_bytes:
            head = ["def check(m0, raw):", " size = len(raw)"]
        text = "\n".join([*head, *_indented(lines), " return True"])
        names = self._conditions.names
        # Nothing in the source comes from a message: it is written of the contract's descriptors.
        exec(compile(text, f"<check of {title}>", "exec"), names)  # noqa: S102
        return names["check"]

    def _message(
        self, descriptor: AnyDescriptor, var: str, depth: int, entries_apart: str = ""
    ) -> tuple[list[str], bool]:
        """
        Return the lines that check the message called *var*, and whether an empty one is invalid.

        The lines return False where it is not proved valid, and else run to their end.
        """
        if descriptor.GetOptions().HasExtension(rules_pb.message) or descriptor in self._within:
            raise UnknownRuleError(descriptor.full_name)
        around, self._within = self._within, (*self._within, descriptor)
        lines: list[str] = []
        needed = False
        shorter: dict[int, list[str]] = {}
        for one_of in descriptor.oneofs:
            required = one_of.GetOptions().Extensions[rules_pb.oneof].required
            needed |= required
            if required or len(one_of.fields) > 1:
                lines += self._one_of(one_of, required, var)
        for field in descriptor.fields:
            rules = field.GetOptions().Extensions[rules_pb.field]
            only_known(rules, {"required", "ignore", rules.WhichOneof("type")}, field)
            if rules.ignore not in (rules_pb.IGNORE_UNSPECIFIED, rules_pb.IGNORE_IF_ZERO_VALUE):
                raise UnknownRuleError(field.full_name)
            if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
                continue
            if field.is_repeated:
                apart = field.name == entries_apart
                more, must = self._list(field, rules, var, depth, apart)
            elif field.message_type is not None:
                more, must = self._part(field, rules, var, depth)
            else:
                more, must = self._scalar(field, rules, var, shorter)
            lines += more
            needed |= must
        for most, values in sorted(shorter.items()):
            longer = " or ".join(f"len({value}) > {most}" for value in values)
            lines += _unless(f"size <= {most} or not ({longer})")
        self._within = around
        return lines, needed

    def _one_of(self, one_of: Any, required: bool, var: str) -> list[str]:
        """Return the lines that check whichever of several fields is set."""
        checks = {}
        for field in one_of.fields:
            rules = field.GetOptions().Extensions[rules_pb.field]
            if rules.required:
                raise UnknownRuleError(field.full_name)
            below = _Source(
                from_bytes=self._from_bytes, no_zeros=self._no_zeros, within=self._within
            )
            checks[field.name] = below.of_value(field, rules)
        found = f"{var}.WhichOneof({one_of.name!r})"
        given = f"getattr({var}, w)" + (", raw" if self._from_bytes else "")
        lines = [f"w = {found}", "if w is not None:"]
        lines += _indented(_unless(f"{self._conditions.constant(checks)}[w]({given})"))
        return lines + (["else:", " return False"] if required else [])

    def _part(
        self, field: FieldDescriptor, rules: rules_pb.FieldRules, var: str, depth: int
    ) -> tuple[list[str], bool]:
        """Return the lines for a field that is one message."""
        name = f"m{depth + 1}"
        body, empty_fails = self._value(field, rules, name, depth + 1)
        present = f"{var}.HasField({field.name!r})"
        lines = _unless(present) if rules.required else []
        if not body:
            return lines, rules.required
        body = [f"{name} = {var}.{field.name}", *body]
        if rules.required:
            return lines + body, True
        conditions = [self._tag(field)] if self._from_bytes else []
        if empty_fails or not conditions:
            conditions.append(present)
        return [f"if {' and '.join(conditions)}:", *_indented(body)], False

    def _scalar(
        self,
        field: FieldDescriptor,
        rules: rules_pb.FieldRules,
        var: str,
        shorter: dict[int, list[str]],
    ) -> tuple[list[str], bool]:
        """Return the lines for a field that is one value; *shorter* gathers lengths by limit."""
        value = f"{var}.{field.name}"
        conditions = self._conditions.of(field, rules, "v")
        passes = self._passes(conditions, field.default_value)
        skips = not field.has_presence and rules.ignore == rules_pb.IGNORE_IF_ZERO_VALUE
        lines: list[str] = []
        if rules.required:
            lines = _unless(f"{var}.HasField({field.name!r})" if field.has_presence else value)
        limits = value_limits(rules)
        if self._no_zeros and field.type in SIZED and limits.keys() == {"max_len"}:
            shorter.setdefault(limits["max_len"], []).append(value)
            return lines, rules.required
        if not conditions:
            return lines, rules.required
        body = [f"v = {value}", *_unless(" and ".join(conditions))]
        if field.has_presence and not passes:
            body = [f"if {var}.HasField({field.name!r}):", *_indented(body)]
        elif field.has_presence and self._from_bytes:
            body = [f"if {self._tag(field)}:", *_indented(body)]
        elif passes or skips:
            body = [body[0], "if v:", *_indented(body[1:])]
        must = not passes and not skips and not field.has_presence
        return lines + body, rules.required or must

    def _list(
        self,
        field: FieldDescriptor,
        rules: rules_pb.FieldRules,
        var: str,
        depth: int,
        apart: bool,
    ) -> tuple[list[str], bool]:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise UnknownRuleError(field.full_name)
        given = only_known(rules.repeated, {"min_items", "max_items", "items"}, field)
        items = rules.repeated.items
        only_known(items, {items.WhichOneof("type")}, field)
        least = max(given.get("min_items", 0), int(rules.required))
        name = f"{'m' if field.message_type is not None else 'v'}{depth + 1}"
        body = [] if apart else self._value(field, items, name, depth + 1)[0]
        most = given.get("max_items")
        values = f"x{depth}"
        lines: list[str] = []
        if least or most is not None:
            within = f"{least} <= len({values})" + ("" if most is None else f" <= {most}")
            lines += _unless(within)
        # A slice is copied at once; walking protobuf's own lists costs as much again.
        if not apart and field.type == FieldDescriptor.TYPE_BYTES and _exact(items):
            lengths = self._conditions.constant({value_limits(items)["len"]})
            lines += _unless(f"{{*map(len, {values}[:])}} <= {lengths}")
        elif body:
            lines += [f"for {name} in {values}[:]:", *_indented(body)]
        if not lines:
            return [], False
        taken = f"{values} = {var}.{field.name}"
        # An empty list is in order, and most are.
        lines = [taken, *lines] if least else [taken, f"if {values}:", *_indented(lines)]
        # Numbers may also come packed, under another tag.
        tagged = field.message_type is not None or field.type in SIZED
        if self._from_bytes and not least and tagged:
            lines = [f"if {self._tag(field)}:", *_indented(lines)]
        return lines, bool(least)

    def _value(
        self, field: FieldDescriptor, rules: rules_pb.FieldRules, name: str, depth: int
    ) -> tuple[list[str], bool]:
        """Return the lines for one value called *name*, and whether an empty one is invalid."""
        if field.message_type is None or field.message_type.full_name in SPECIAL:
            conditions = self._conditions.of(field, rules, name)
            return _unless(" and ".join(conditions)) if conditions else [], False
        if value_limits(rules):
            raise UnknownRuleError(field.full_name)
        return self._message(field.message_type, name, depth)

    def _passes(self, conditions: Iterable[str], value: object) -> bool:
        expression = " and ".join(conditions) or "True"
        return bool(eval(expression, {**self._conditions.names, "v": value, "size": math.inf}))  # noqa: S307

    def _tag(self, field: FieldDescriptor) -> str:
        """Return the expression that a field may be set; where it does not hold, it is not."""
        wire = _WIRE_TYPES.get(field.type, 0)
        number, spelling = field.number << 3 | wire, bytearray()
        while number > 0x7F:
            spelling.append(number & 0x7F | 0x80)
            number >>= 7
        spelling.append(number)
        return f"{spelling[0] if len(spelling) == 1 else bytes(spelling)!r} in raw"


def _exact(rules: rules_pb.FieldRules) -> bool:
    return value_limits(rules).keys() == {"len"}


def _unless(condition: str) -> list[str]:
    return [f"if not ({condition}):", " return False"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f" {line}" for line in lines]


#: The wire types that are not 0 (a varint), of the types that a field of one value may have.
_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_FIXED64: 1,
    FieldDescriptor.TYPE_SFIXED64: 1,
    FieldDescriptor.TYPE_STRING: 2,
    FieldDescriptor.TYPE_BYTES: 2,
    FieldDescriptor.TYPE_MESSAGE: 2,
    FieldDescriptor.TYPE_FLOAT: 5,
    FieldDescriptor.TYPE_FIXED32: 5,
    FieldDescriptor.TYPE_SFIXED32: 5,
}
