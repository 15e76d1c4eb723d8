"""Every field of the contract's messages stands in a golden vector, for whoever reads them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf.message import Message as Protobuf

from exchange._proto.v1 import message_pb2
from exchange.wire.content import GROUP_TYPES

SCENARIOS = Path(__file__).parents[1] / "proto" / "vectors" / "scenarios"


def _fields_set(message: Protobuf) -> set[str]:
    """Return the contract's fields that are set anywhere in *message*."""
    found = set()
    for field, value in message.ListFields():
        found.add(field.full_name)
        if field.message_type is not None and _is_ours(field.message_type):
            for one in value if field.is_repeated else (value,):
                found |= _fields_set(one)
    return found


def _fields_of(descriptor: Any, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the contract's fields of *descriptor* and of what it holds."""
    found = {field.full_name for field in descriptor.fields}
    for field in descriptor.fields:
        below = field.message_type
        if below is not None and _is_ours(below) and below.full_name not in seen:
            found |= _fields_of(below, seen | {below.full_name})
    return found


def _is_ours(descriptor: Any) -> bool:
    return str(descriptor.full_name).startswith("hotline.exchange.")


def _said(scenario: Path) -> set[str]:
    """Return the fields that are set in headers and groups of a scenario."""
    found: set[str] = set()
    for step in json.loads(scenario.read_text("utf-8"))["steps"]:
        envelope = message_pb2.Envelope.FromString(bytes.fromhex(step["envelope"]))
        found |= _fields_set(message_pb2.Header.FromString(envelope.header))
        for salted in envelope.groups:
            if salted.group in GROUP_TYPES:
                found |= _fields_set(GROUP_TYPES[salted.group].FromString(salted.content))
    return found


def test_every_field_of_a_ticket_is_set_somewhere() -> None:
    """Work orders, police tickets and all that is said of them: none is left for the first user to try."""
    every = _fields_of(message_pb2.Header.DESCRIPTOR)
    for kind in GROUP_TYPES.values():
        every |= _fields_of(kind.DESCRIPTOR)

    assert every - set().union(*map(_said, SCENARIOS.glob("*.json"))) == set()
