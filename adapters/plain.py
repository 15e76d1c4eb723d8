"""Messages and receipts as JSON objects: what the reference adapter's files hold."""

from __future__ import annotations

import base64
from typing import Any

from adapters.spool_files import FileNews
from adapters.spool_records import Decision
from exchange.client import IncomingMessage, IncomingReceipt
from exchange.errors import Refusal


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
        **({"withheld": item.withheld} if item.withheld else {}),
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
    if receipt.set_aside:
        found["set_aside"] = receipt.set_aside
    return found


def file_object(news: FileNews) -> dict[str, Any]:
    """Return what became of one file as the object that a file beside it holds."""
    found: dict[str, Any] = {
        "message_id": news.message_id,
        "answer": "whole" if news.refusal is None else "refused",
        "sha256": news.sha256.hex(),
        "size": news.size,
    }
    if news.attachment_id:
        found["attachment_id"] = news.attachment_id
    if news.refusal is not None:
        text = news.refusal.text
        found["refusal"] = {"code": news.refusal.name, "en": text.en, "zh": text.zh}
    return found


def refusal_object(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal: its code's name, the sentence, and every field at fault."""
    return {
        "code": refusal.code.name,
        "en": refusal.text.en,
        "zh": refusal.text.zh,
        "fields": [violation.field for violation in refusal.violations],
    }
