"""What was said about a ticket before: in earlier drains, and earlier in this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from exchange.store import Writer
from exchange.ticket import Message


class Said(NamedTuple):
    """An accepted message, as far as one that cites it needs to know."""

    id: str
    digest: bytes
    kind: str
    handoff_id: str
    author: str

    @classmethod
    def by(cls, message: Message) -> Said:
        """Return what *message* says."""
        kind = message.kind.value
        return cls(message.id, message.digest, kind, message.handoff_id, message.author)


@dataclass(slots=True)
class Sayings:
    """
    The accepted messages of tickets, looked up when a message cites one.

    Most messages cite only the head of their hand-off, so a ticket is read when it is first asked
    for, and then once.
    """

    writer: Writer
    _stored: dict[str, list[Said]] = field(default_factory=dict)
    _new: dict[str, list[Message]] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """Take in a message that this drain accepted."""
        self._new.setdefault(message.ticket_id, []).append(message)

    def by_digest(self, ticket_id: str, digest: bytes) -> Said | None:
        """Return the ticket's message with this digest, or None."""
        return next((said for said in self._of(ticket_id) if said.digest == digest), None)

    def by_id(self, ticket_id: str, message_id: str) -> Said | None:
        """Return the ticket's message with this id, or None."""
        return next((said for said in self._of(ticket_id) if said.id == message_id), None)

    def _of(self, ticket_id: str) -> list[Said]:
        stored = self._stored.get(ticket_id)
        if stored is None:
            known = self.writer.digests({ticket_id}).values()
            stored = self._stored[ticket_id] = [
                Said(one.id, one.digest, one.kind, one.handoff_id, one.author) for one in known
            ]
        return stored + [Said.by(message) for message in self._new.get(ticket_id, [])]
