"""Messages and receipts as JSON objects: what the reference adapter's files hold."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, TypeVar

from adapters.spool_records import Decision
from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage
from exchange.errors import InvalidRequest, Refusal
from exchange.text import Text

_TEXTS = ("ticket_id", "handoff_id", "recipient", "message_id", "record", "revision")
_KEYS = {
    "kind", "created", "previous", "urgency", "marker", "classification", "act", "groups", *_TEXTS,
}  # fmt: skip

_Word = TypeVar("_Word", bound=IntEnum)


def read_line(line: str) -> OutgoingMessage:
    """
    Return the message of one JSON line; see ``README.md`` for its keys.

    Raises `InvalidRequest` naming the key at fault.
    """
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(_NO_JSON.fill(why=error)) from error
    if not isinstance(value, dict):
        raise InvalidRequest(_NO_JSON.fill(why="not an object"))
    return read_message(value)


def read_message(value: Mapping[str, Any]) -> OutgoingMessage:
    """Return the message that a JSON object describes; raises `InvalidRequest`."""
    for key in value:
        if key not in _KEYS:
            raise _wrong(key, f"not one of {', '.join(sorted(_KEYS))}", "不是可用的键")
    texts = {key: _text(value, key) for key in _TEXTS}
    known = ", ".join(kind.value for kind in Kind)
    try:
        kind = Kind(value.get("kind"))
    except ValueError:
        raise _wrong("kind", f"not one of {known}", f"应为下列之一：{known}") from None
    try:
        previous = base64.b64decode(_text(value, "previous"), validate=True)
    except binascii.Error:
        raise _wrong("previous", "not base64", "不是 base64") from None
    return OutgoingMessage(
        kind=kind,
        created=_time(value),
        previous=previous,
        urgency=_word(value, "urgency", Urgency.ROUTINE),
        marker=_word(value, "marker", Marker.ACTUAL),
        classification=_word(value, "classification", Classification.ORDINARY),
        act=_object(value, "act"),
        groups={name: _object(value["groups"], name) for name in _object(value, "groups")},
        **texts,
    )


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key, "")
    if not isinstance(found, str):
        raise _wrong(key, "not a string", "不是字符串")
    return found


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise _wrong(key, "not an object", "不是对象")
    return found


def _time(value: Mapping[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(_text(value, "created"))
    except ValueError:
        raise _wrong("created", "not an RFC 3339 time", "不是 RFC 3339 时间") from None
    if found.tzinfo is None:
        raise _wrong("created", "without a time zone, such as +08:00", "缺少时区，例如 +08:00")
    return found.astimezone(UTC)


def _word(value: Mapping[str, Any], key: str, usual: _Word) -> _Word:
    word = _text(value, key) or usual.name
    kind = type(usual)
    try:
        return kind[word.upper()]
    except KeyError:
        known = ", ".join(member.name.lower() for member in kind)
        raise _wrong(key, f"not one of {known}", f"应为下列之一：{known}") from None


def message_object(item: IncomingMessage) -> dict[str, Any]:
    """Return a delivered message as the object that an inbox file holds."""
    message = item.message
    return {
        "message_id": message.id,
        "kind": message.kind.value,
        "ticket_id": message.ticket_id,
        "handoff_id": message.handoff_id,
        "author": message.author,
        "recipient": message.recipient,
        "created": message.created.isoformat(),
        "urgency": message.urgency.name.lower(),
        "marker": message.marker.name.lower(),
        "classification": message.classification.name.lower(),
        "digest": base64.b64encode(message.digest).decode(),
        "act": item.act,
        "groups": item.groups,
        "envelope": base64.b64encode(message.envelope).decode(),
    }


def decision_object(decision: Decision) -> dict[str, Any]:
    """Return the bridge's answer to a message as the object that a receipt file holds."""
    found: dict[str, Any] = {
        "message_id": decision.message_id,
        "kind": decision.kind.value,
        "ticket_id": decision.ticket_id,
        "handoff_id": decision.handoff_id,
        "answer": "stored" if decision.refusal is None else "refused",
        "digest": base64.b64encode(decision.digest).decode(),
        "receipt": base64.b64encode(decision.receipt).decode(),
    }
    if decision.refusal is not None:
        found["refusal"] = refusal_object(decision.refusal)
    if decision.dropped:
        found["answer"] = "dropped"
    return found


def receipt_object(receipt: IncomingReceipt) -> dict[str, Any]:
    """Return the other side's receipt as the object that a receipt file holds."""
    found: dict[str, Any] = {
        "message_id": receipt.message_id,
        "answer": "written" if receipt.refusal is None else "refused",
        "organisation": receipt.organisation,
        "time": receipt.time.isoformat(),
        "local_number": receipt.local_number,
        "digest": base64.b64encode(receipt.digest).decode(),
        "receipt": base64.b64encode(receipt.receipt).decode(),
    }
    if receipt.refusal is not None:
        found["refusal"] = refusal_object(receipt.refusal)
    return found


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal: its code's name, the sentence, and every field at fault."""
    return {
        "code": refusal.code.name,
        "en": refusal.text.en,
        "zh": refusal.text.zh,
        "fields": [violation.field for violation in refusal.violations],
    }


_NO_JSON = Text(en="The line is no JSON object: {why}.", zh="该行不是 JSON 对象：{why}。")


def _wrong(key: str, en: str, zh: str) -> InvalidRequest:
    return InvalidRequest(Text(en=f"{key}: {en}.", zh=f"{key}：{zh}。"), field=key)
