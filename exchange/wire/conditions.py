"""What a rule of one value asks, as a Python expression; rules not known here raise."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as Protobuf

from exchange._proto.buf.validate import validate_pb2 as rules_pb

#: Seconds since 1970 of the years 1 to 9999, which is what a `Timestamp` may hold.
MIN_TIMESTAMP: Final = -62_135_596_800
MAX_TIMESTAMP: Final = 253_402_300_799
#: Seconds that a `Duration` may hold, either way.
MAX_DURATION: Final = 315_576_000_000
SECOND: Final = 1_000_000_000

SIZED: Final = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES})


class UnknownRuleError(Exception):
    """An annotation that has no quick check; the type is left to protovalidate."""


class Conditions:
    """
    Writes expressions over the names that `constant` makes, and over ``size`` if *sized*.

    *sized*: ``size`` is at least the length in bytes of every string.  *no_nul*: no string holds
    U+0000, so none is looked at for it.
    """

    def __init__(self, *, sized: bool, no_nul: bool) -> None:
        self._sized = sized
        self._no_nul = no_nul
        #: The constants by name.
        self.names: dict[str, Any] = {}

    def constant(self, value: object) -> str:
        """Return a name for *value*."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def of(self, field: FieldDescriptor, rules: rules_pb.FieldRules, name: str) -> list[str]:
        """
        Return expressions that all hold of a value called *name* if it is surely valid.

        Raises `UnknownRuleError`.
        """
        limits = value_limits(rules)
        if field.message_type is not None:
            return SPECIAL[field.message_type.full_name](limits, name)
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._string(limits, name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._length(name, *_take(limits, "len", "min_len", "max_len"))
        if field.enum_type is None:
            return self._number(limits, name)
        defined_only, not_in = _take(limits, "defined_only", "not_in")
        barred = frozenset(not_in or ())
        if defined_only:
            return [
                f"{name} in {self.constant(frozenset(field.enum_type.values_by_number) - barred)}"
            ]
        return [f"{name} not in {self.constant(barred)}"] if barred else []

    def _string(self, limits: dict[str, Any], name: str) -> list[str]:
        *bounds, pattern = _take(limits, "len", "min_len", "max_len", "pattern")
        sized = self._length(name, *bounds)
        if pattern is None:
            return sized if self._no_nul else [*sized, f'"\\0" not in {name}']
        known = _Known(pattern)
        seen, new = self.constant(known.seen), self.constant(known.learn)
        return [*sized, f"({name} in {seen} or {new}({name}))"]

    def _length(
        self, name: str, exact: int | None, least: int | None, most: int | None
    ) -> list[str]:
        if exact is not None:
            return [f"len({name}) == {exact}"]
        found = [f"len({name}) >= {least}"] if least else []
        if most is not None:
            longer = f"len({name}) <= {most}"
            found.append(f"(size <= {most} or {longer})" if self._sized else longer)
        return found

    def _number(self, limits: dict[str, Any], name: str) -> list[str]:
        least, most, below, finite = _take(limits, "gte", "lte", "lt", "finite")
        bounds = (f"{least!r} <= {name}", f"{name} <= {most!r}", f"{name} < {below!r}")
        found = [
            condition
            for condition, limit in zip(bounds, (least, most, below), strict=True)
            if limit is not None
        ]
        return [*found, f"{self.constant(math.isfinite)}({name})"] if finite else found


class _Known:
    """
    What matched a pattern before: codes of organisations and divisions come in every message.

    At most 4096 of them, of at most 18 characters; ids are longer and seldom come twice.
    """

    def __init__(self, pattern: str) -> None:
        # At least as strict as RE2's search: the whole text must match, in ASCII classes.
        self._matches = re.compile(pattern, re.ASCII).fullmatch
        self.seen: set[str] = set()

    def learn(self, value: str) -> bool:
        if self._matches(value) is None or "\0" in value:
            return False
        if len(value) <= 18:
            if len(self.seen) >= 4096:
                self.seen.clear()
            self.seen.add(value)
        return True


def only_known(rules: Protobuf, known: set[str | None], field: FieldDescriptor) -> dict[str, Any]:
    """Return the rules that are set, by name; raises `UnknownRuleError` for any not *known*."""
    given = {rule.name: value for rule, value in rules.ListFields()}
    if given.keys() - known:
        raise UnknownRuleError(field.full_name)
    return given


def value_limits(rules: rules_pb.FieldRules) -> dict[str, Any]:
    """Return the rules for a value of the field's type, by name."""
    kind = rules.WhichOneof("type")
    if kind in (None, "repeated"):
        return {}
    return {rule.name: value for rule, value in getattr(rules, str(kind)).ListFields()}


def _take(limits: dict[str, Any], *names: str) -> list[Any]:
    """Return the limits called *names*, None where not set; raises for any other."""
    if limits.keys() - set(names):
        raise UnknownRuleError(", ".join(limits))
    return [limits.get(name) for name in names]


def _timestamp(limits: dict[str, Any], name: str) -> list[str]:
    _take(limits)
    return [
        f"{MIN_TIMESTAMP} <= {name}.seconds <= {MAX_TIMESTAMP}",
        f"0 <= {name}.nanos < {SECOND}",
    ]


def _duration(limits: dict[str, Any], name: str) -> list[str]:
    least, most = _take(limits, "gte", "lte")
    low = -MAX_DURATION if least is None else least.seconds + math.ceil(least.nanos / SECOND)
    high = MAX_DURATION if most is None else most.seconds
    # Fractions near a limit, and negative ones, are left to protovalidate.
    return [
        f"{low} <= {name}.seconds <= {high}",
        f"0 <= {name}.nanos < {SECOND}",
        f"({name}.seconds < {high} or not {name}.nanos)",
    ]


#: Messages that are values to this program, with what is asked of each.
SPECIAL: Final[dict[str, Callable[[dict[str, Any], str], list[str]]]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
}
