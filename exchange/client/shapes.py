"""What can be said, field by field, for who fills messages from something else: a mapping file."""

from __future__ import annotations

from exchange.acts import MOVING_KINDS, TICKET_KINDS, Kind
from exchange.client.messages import OutgoingMessage
from exchange.errors import Violation
from exchange.wire.shapes import (
    Shape,
    act_shape,
    group_shape,
    groups_allowed,
    groups_needed,
    message_violations,
)

__all__ = [
    "Shape",
    "act_shape",
    "faults",
    "group_shape",
    "groups_allowed",
    "groups_needed",
]


def faults(message: OutgoingMessage, organisation: str) -> tuple[Violation, ...]:
    """
    Return what breaks the contract's field rules in what *organisation* is about to say.

    What a spool fills in, ticket, recipient and predecessor, is not looked for.  Raises
    `InvalidRequest` for what cannot even be encoded.
    """
    kind = message.kind
    header = {
        "message_id": message.id_for(organisation),
        "ticket_id": message.ticket_id or _SOME_ID,
        "author": organisation,
        "create_time": message.created.isoformat(),
        "marker": int(message.marker),
        "classification": int(message.classification),
        "urgency": int(message.urgency),
        kind.value: dict(message.act),
    }
    if kind not in TICKET_KINDS:
        header["handoff_id"] = message.handoff_id or _SOME_ID
        header["recipient"] = message.recipient or organisation
    if kind in MOVING_KINDS and kind is not Kind.OFFER:
        header["previous"] = _SOME_DIGEST
    return message_violations(header, message.groups)


_SOME_ID = "00000000-0000-8000-8000-000000000000"
_SOME_DIGEST = "A" * 43 + "="
