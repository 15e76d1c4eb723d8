"""
Where a bridge is not the first: what a relay brings was judged elsewhere, and what it must fetch.

The relay's word for that rests on its registration here (`exchange.bridge.policy.Policy.relays`):
it cannot forge an author, but it could claim a first bridge that never judged.
"""

from __future__ import annotations

from typing import Protocol

from exchange.acts import MOVING_KINDS
from exchange.bridge.policy import Policy
from exchange.bridge.said import Sayings
from exchange.store import Writer
from exchange.submission import Pushed
from exchange.ticket import Handoff, Message


class Here(Protocol):
    """What a drain knows here (`exchange.bridge.decide.Working`)."""

    writer: Writer
    policy: Policy
    handoffs: dict[str, Handoff]
    sayings: Sayings


def judged_elsewhere(pushed: Pushed, message: Message) -> bool:
    """Return whether another bridge has judged *message* already: a relay brings it, with its way."""
    return pushed.caller != message.author and bool(pushed.received.hops)


def beyond(message: Message, duty: Handoff, here: Here) -> str:
    """
    Return who behind a relay stands opposite the hand-off that opened the own duty *duty*, or "".

    An own duty's moves are said to oneself.  The bridge beyond the relay saw it open and must see it
    end, or it would call it open, and overdue, for ever.
    """
    if not duty.own_duty or message.kind not in MOVING_KINDS:
        return ""
    opener = here.sayings.opener(message.ticket_id, duty.id)
    if opener is None:
        return ""
    opened_by = here.handoffs.get(opener.handoff_id)
    opened_by = opened_by or here.writer.handoffs({opener.handoff_id}).get(opener.handoff_id)
    other = opened_by.receiver if opened_by is not None else ""
    return other if here.policy.is_carried(other) else ""
