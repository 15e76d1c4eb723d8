"""
What a platform must provide to be linked: the obligations of an adapter, as a protocol.

An adapter is a class with these methods.  The runner calls them; whatever they raise that is not
said here is a failure of the platform: it is noted, and tried again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from adapters.spool import Spool
from adapters.spool_records import Decision
from exchange.acts import MOVING_KINDS, NOTE_KINDS, TICKET_KINDS, Kind
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage, SealedMessage
from exchange.errors import InvalidRequest, Refusal, RefusalCode, refuse
from exchange.text import Text

#: What a platform wants sent: to be sealed by the runner, or sealed by itself.
Outgoing = OutgoingMessage | SealedMessage


class Indigestible(Exception):
    """
    The platform cannot write a message, ever: it is put in quarantine and refused with a reason.

    For a database that is locked or down raise anything else: that passes, the message comes again.
    """

    def __init__(self, text: Text, code: RefusalCode = RefusalCode.FIELD_INVALID) -> None:
        super().__init__(str(text))
        self.refusal: Refusal = refuse(code, "envelope", "indigestible", text)


class Adapter(Protocol):
    """
    One platform, as the runner sees it.

    Methods are called from several threads: of what says something and of what comes, one at a time each,
    but what comes by turns from two threads, so that something urgent need not wait.
    """

    def outgoing(self) -> Sequence[Outgoing]:
        """
        Return what the platform wants sent and `kept` has not been called for, in order.

        Messages of one ticket stand in the order in which they were said.  Saying something again
        (same id) is harmless.
        """

    def kept(self, messages: Sequence[Outgoing]) -> None:
        """Learn that *messages* are durable in the spool: they need not be returned again."""

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Learn that *message* cannot even be encoded; it is not kept and must not be lost."""

    def decided(self, decision: Decision) -> None:
        """Learn that the bridge stored or refused a message; told again until this returns."""

    def deliver(self, item: IncomingMessage) -> str:
        """
        Write *item* into the platform's own database and return the record's number there.

        The message's id is written in the same transaction as the record; when this returns, both
        are durable.  An id that is there already changes nothing and gives the same number.

        Raises `Indigestible` where it can never be written.
        """

    def answered(self, receipt: IncomingReceipt) -> None:
        """Learn that the other side has written a message, or has refused it."""

    def on_arrival(self, item: IncomingMessage) -> None:
        """Remind a person (R50: 声音、消息提醒) of what has been written and acknowledged."""


def complete(message: OutgoingMessage, spool: Spool) -> OutgoingMessage:
    """
    Return *message* with what the spool knows of its hand-off and the platform left out.

    That is the ticket, the recipient and, for a state-moving message, its predecessor.  Raises
    `InvalidRequest` where neither knows the recipient.
    """
    if message.kind in TICKET_KINDS:
        return message
    known = spool.handoff(message.handoff_id)
    if known is None:
        if not message.recipient or (message.kind in MOVING_KINDS - {Kind.OFFER}):
            raise InvalidRequest(_UNKNOWN.fill(handoff=message.handoff_id))
        return message
    previous = message.previous
    if not previous and message.kind not in NOTE_KINDS and message.kind is not Kind.OFFER:
        previous = known.head
    return replace(
        message,
        ticket_id=message.ticket_id or known.ticket_id,
        recipient=message.recipient or known.peer,
        previous=previous,
    )


_UNKNOWN = Text(
    en="The hand-off {handoff} is not known here; check its id, or wait until its offer has arrived.",
    zh="此处不认识移交 {handoff}，请核对编号，或等待其移交消息到达。",
)
