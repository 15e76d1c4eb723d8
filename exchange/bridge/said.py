"""What was said about a ticket before: in earlier drains, and earlier in this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from exchange import lifecycle
from exchange.acts import GrantExtension, Kind, Offer
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode, refuse
from exchange.store import Writer
from exchange.text import Text
from exchange.ticket import Handoff, Message, own_duty_id

#: The kinds that say what a handler did.
_DISPOSALS = frozenset({Kind.PROGRESS.value, Kind.RESULT.value})
_NO_REQUEST = Text(
    en="The cited message is no request for more time on this hand-off.",
    zh="所引用的消息不是本移交的延期申请。",
)


_NO_NEW_DUE = Text(
    en="An extension that is granted says until when.", zh="同意延期的，须写明新的时限。"
)


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

    def request_cited(self, message: Message) -> Refusal | None:
        """Return the refusal of an answer to something that is no request for more time."""
        if not isinstance(message.act, GrantExtension):
            return None
        cited = self.by_digest(message.ticket_id, message.act.request_digest)
        if cited is None:
            raise PredecessorUnknown(lifecycle.AWAITED, handoff=message.handoff_id)
        field = "header.grant_extension.request_digest"
        if cited.kind != Kind.REQUEST_EXTENSION.value or cited.handoff_id != message.handoff_id:
            return refuse(RefusalCode.FIELD_INVALID, field, "request", _NO_REQUEST)
        if message.act.granted and message.act.new_due is None:
            field = "header.grant_extension.new_due_time"
            return refuse(RefusalCode.FIELD_INVALID, field, "required", _NO_NEW_DUE)
        return None

    def visited(self, handoff: Handoff) -> bool:
        """Return whether the citizen was asked as often as this hand-off came to a result."""
        kinds = [said.kind for said in self._of(handoff.ticket_id) if said.handoff_id == handoff.id]
        return kinds.count(Kind.VISIT.value) > kinds.count(Kind.REOPEN.value)

    def disposal_cited(self, offer: Offer, ticket_id: str) -> bool:
        """Return whether the cited message of this ticket says what was done (R12, R13)."""
        if not offer.prior_disposal_message_id:
            return False
        cited = self.by_id(ticket_id, offer.prior_disposal_message_id)
        return cited is not None and cited.kind in _DISPOSALS

    def opener(self, ticket_id: str, duty_id: str) -> Said | None:
        """Return the ticket's message that opened the own duty *duty_id*, or None."""
        return next(
            (
                said
                for said in self._of(ticket_id)
                if said.handoff_id and own_duty_id(said.handoff_id, said.digest) == duty_id
            ),
            None,
        )

    def _of(self, ticket_id: str) -> list[Said]:
        stored = self._stored.get(ticket_id)
        if stored is None:
            known = self.writer.digests({ticket_id}).values()
            stored = self._stored[ticket_id] = [
                Said(one.id, one.digest, one.kind, one.handoff_id, one.author) for one in known
            ]
        return stored + [Said.by(message) for message in self._new.get(ticket_id, [])]
