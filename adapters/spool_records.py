"""What a spool holds, as values; and their way in and out of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from exchange.acts import Kind, Urgency
from exchange.client import SealedMessage
from exchange.errors import Refusal, RefusalCode, Violation
from exchange.text import Text

#: The columns of ``outgoing`` that `sealed` reads, in its order.
COLUMNS = "message_id, kind, ticket_id, handoff_id, recipient, urgency, previous, digest, envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What became of one message of the platform's; told until `Spool.told`.

    *refusal* is None where it was stored.  A message that was *dropped* was never pushed, because
    one that it builds on was refused: *refusal* is then that one's.
    """

    message_id: str
    kind: Kind
    ticket_id: str
    handoff_id: str
    digest: bytes
    refusal: Refusal | None = None
    dropped: bool = False
    #: The receipt's bytes: a serialised ``Receipt`` of the contract; empty where dropped.
    receipt: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHandoff:
    """What must be known of a hand-off to say something on it."""

    handoff_id: str
    ticket_id: str
    #: The organisation on the other side; this one itself on an own duty.
    peer: str
    #: Digest of the newest state-moving message.
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """How a spool stands; times are UTC."""

    waiting: int
    oldest_waiting: datetime | None
    refused: int
    quarantined: int
    unacknowledged: int
    #: What the runner noted: ``pushed``, ``pulled``, ``error`` and others, newest each.
    notes: dict[str, str] = field(default_factory=dict)

    def lag(self, now: datetime) -> timedelta:
        """Return how long the oldest message has been waiting."""
        return now - self.oldest_waiting if self.oldest_waiting else timedelta(0)


def sealed(row: Sequence[Any]) -> SealedMessage:
    """Return the message of a row of `COLUMNS`."""
    return SealedMessage(
        message_id=row[0],
        kind=Kind(row[1]),
        ticket_id=row[2],
        handoff_id=row[3],
        recipient=row[4],
        urgency=Urgency(row[5]),
        previous=row[6],
        digest=row[7],
        envelope=row[8],
    )


def refusal_json(refusal: Refusal | None) -> str | None:
    """Return a refusal as the text of a column."""
    if refusal is None:
        return None
    violations = [[v.field, v.rule, v.text.en, v.text.zh] for v in refusal.violations]
    return json.dumps([int(refusal.code), violations], ensure_ascii=False)


def refusal_of(text: str | None) -> Refusal | None:
    """Return the refusal that `refusal_json` wrote."""
    if text is None:
        return None
    code, violations = json.loads(text)
    return Refusal(
        code=RefusalCode(code),
        violations=tuple(
            Violation(field=name, rule=rule, text=Text(en=en, zh=zh))
            for name, rule, en, zh in violations
        ),
    )
