"""The coded values of a message, held against the code tables that a site has loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as Protobuf

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import message_pb2 as pb
from exchange.coded import CodedValue, CodeTables
from exchange.errors import Violation
from exchange.submission import Received
from exchange.wire.checks import AnyDescriptor
from exchange.wire.content import GROUP_TYPES, group_name
from exchange.wire.fields import MAX_VIOLATIONS
from exchange.wire.headers import read_envelope

_CODED = common_pb.CodedValue.DESCRIPTOR


def reader(tables: CodeTables) -> Callable[[bytes], Received]:
    """
    Return `read_envelope` for a site that has loaded *tables*.

    What is wrong by them stands beside the message: only its first bridge judges it, and whether this
    is the first is not known yet.  Without tables nothing is looked at.
    """
    if not tables:
        return read_envelope

    def read(raw: bytes) -> Received:
        received = read_envelope(raw)
        if received.message is None:
            return received
        return replace(received, miscoded=tuple(_problems(raw, tables))[:MAX_VIOLATIONS])

    return read


def _problems(raw: bytes, tables: CodeTables) -> Iterator[Violation]:
    envelope = pb.Envelope.FromString(raw)
    header = pb.Header.FromString(envelope.header)
    parts: list[tuple[str, Protobuf]] = [("header.", header)]
    for salted in envelope.groups:
        if salted.group in GROUP_TYPES:
            group = GROUP_TYPES[salted.group].FromString(salted.content)
            parts.append((f"{group_name(salted.group)}.", group))
    for prefix, part in parts:
        for path, value in _values(part, prefix):
            problem = tables.problem(value)
            if problem is not None:
                yield Violation(field=f"{path}.code", rule="code_table", text=problem)


def _values(message: Protobuf, prefix: str) -> Iterator[tuple[str, CodedValue]]:
    """Yield the coded values anywhere in *message*, with their paths."""
    for field in _leading(message.DESCRIPTOR):
        if not field.is_repeated and not message.HasField(field.name):
            continue
        found = getattr(message, field.name)
        for place, one in enumerate(found if field.is_repeated else (found,)):
            path = f"{prefix}{field.name}" + (f"[{place}]" if field.is_repeated else "")
            if field.message_type is _CODED:
                yield path, CodedValue(system=one.system, code=one.code, version=one.version)
            else:
                yield from _values(one, f"{path}.")


@cache
def _leading(descriptor: AnyDescriptor) -> tuple[FieldDescriptor, ...]:
    """Return the fields that hold coded values, or lead to some."""
    return tuple(
        field
        for field in descriptor.fields
        if field.message_type is not None and _leads(field.message_type, frozenset())
    )


def _leads(descriptor: AnyDescriptor, seen: frozenset[str]) -> bool:
    if descriptor is _CODED or descriptor.full_name in seen:
        return descriptor is _CODED
    below = seen | {descriptor.full_name}
    return any(
        field.message_type is not None and _leads(field.message_type, below)
        for field in descriptor.fields
    )
