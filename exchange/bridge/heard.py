"""
What has come for those who wait, as it was heard from the drains that wrote it.

A pull that looked into its mailbox, found nothing and waits need not look again where a drain says
all that is new: lanes that begin in it, with messages that are still at hand.  Whatever else
happens to a mailbox, the next pull looks into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exchange.acts import Kind
from exchange.store import Accepted, Content, Entry, Waiting
from exchange.submission import Pushed, Work

#: Messages of a drain that tells what it brings; under load one look finds more than a few drains bring.
TELLING = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A message in a lane that begins with it or just before; *place* is that of its work."""

    recipient: str
    lane: str
    urgency: int
    position: int
    place: int


def begun_in(
    mail: Sequence[Sequence[Any]], entries: Sequence[Entry], first: int, places: Sequence[int]
) -> tuple[Begun, ...]:
    """
    Return what *mail* brings to recipients who get nothing in it but whole new lanes.

    *mail* are the rows that a drain put into the mailboxes; its *entries* have the leaves from
    *first* on and came of the work at *places*.  Nothing is told of more than `TELLING` entries.
    """
    if len(entries) > TELLING:
        return ()
    begins = {
        entry.message.handoff_id
        for entry in entries
        if isinstance(entry, Accepted) and entry.message.kind is Kind.OFFER
    }
    if not begins:
        return ()
    partly = {
        recipient
        for _, recipient, lane, _, content, source in mail
        if lane not in begins or content != Content.MESSAGE.value or source < first
    }
    # A lane is handed out whole: as urgent as the most urgent in it, as it is in the mailbox itself.
    raised: dict[tuple[str, str], int] = {}
    for _, recipient, lane, urgency, _, _ in mail:
        raised[recipient, lane] = max(urgency, raised.get((recipient, lane), 0))
    return tuple(
        Begun(
            recipient=recipient,
            lane=lane,
            urgency=raised[recipient, lane],
            position=position,
            place=places[source - first],
        )
        for position, recipient, lane, _, _, source in mail
        if recipient not in partly
    )


def waiting(begun: Begun, work: Sequence[Work]) -> Waiting:
    """Return *begun* as its mailbox row would be read, the message taken from the *work* itself."""
    pushed = work[begun.place]
    if not isinstance(pushed, Pushed) or pushed.received.message is None:
        raise TypeError(f"no message: {pushed}")
    return Waiting(
        position=begun.position,
        lane=begun.lane,
        urgency=begun.urgency,
        content=Content.MESSAGE,
        message_id=pushed.received.message.id,
        payload=pushed.received.message.envelope,
    )
