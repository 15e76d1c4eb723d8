"""
Tickets to store: messages with real digests, and what a bridge would have decided about them.

The envelopes are JSON, not the contract's: the store takes them as bytes, and the audit takes the
function that reads them as an argument.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from exchange.acts import Classification, Kind, Marker, Offer, TicketKind, Urgency
from exchange.errors import VerificationError
from exchange.merkle import leaf_hash
from exchange.note import LogKey
from exchange.store import Accepted, Content, Delivery, Known, Refused, Standing, Written
from exchange.submission import Statement
from exchange.text import Text
from exchange.ticket import Handoff, Message, State, Ticket

KEY = LogKey.from_seed("bridge.test/log/1", bytes(32))
HOTLINE = "11140400MB0000001X"
POLICE = "140400000000"
WATER = "91140400MA0000002Y"
NOW = datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)


@dataclass
class Story:
    """Makes messages that nobody sent; the same seed makes the same ones."""

    chance: random.Random = field(default_factory=lambda: random.Random(12345))
    time: datetime = NOW

    def later(self, **delta: float) -> None:
        """Let time pass."""
        self.time += timedelta(**delta)

    def new_id(self) -> str:
        """Return the next id."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def message(
        self,
        kind: Kind,
        ticket_id: str,
        handoff_id: str = "",
        *,
        author: str = HOTLINE,
        recipient: str = "",
        urgency: Urgency = Urgency.ROUTINE,
    ) -> Message:
        """Return a message with an envelope of its own."""
        header = json.dumps(
            {
                "id": self.new_id(),
                "kind": kind.value,
                "ticket_id": ticket_id,
                "handoff_id": handoff_id,
                "author": author,
                "recipient": recipient,
                "urgency": int(urgency),
                "created": self.time.isoformat(),
            }
        )
        content = self.chance.randbytes(40).hex()
        return read_envelope(json.dumps({"header": header, "content": content}).encode())

    def open_ticket(self, *, region: str = "140400", matter: str = "NM.H.01.01") -> Accepted:
        """Return an accepted opening."""
        message = self.message(Kind.OPEN_TICKET, self.new_id())
        ticket = Ticket(
            id=message.ticket_id,
            kind=TicketKind.WORK_ORDER,
            origin=message.author,
            first_receiver=message.author,
            region=region,
            matter=matter,
            marker=Marker.ACTUAL,
            classification=Classification.ORDINARY,
            urgency=Urgency.ROUTINE,
            opened=self.time,
        )
        return Accepted(message=message, time=self.time, ticket=ticket)

    def offer(
        self,
        ticket: Ticket,
        *,
        sender: str = HOTLINE,
        receiver: str = POLICE,
        urgency: Urgency = Urgency.ROUTINE,
        due: timedelta | None = timedelta(hours=2),
        onward_of: str = "",
    ) -> Accepted:
        """Return an accepted offer, delivered to its receiver."""
        message = self.message(
            Kind.OFFER, ticket.id, self.new_id(), author=sender, recipient=receiver, urgency=urgency
        )
        handoff = Handoff(
            id=message.handoff_id,
            ticket_id=ticket.id,
            sender=sender,
            receiver=receiver,
            state=State.OFFERED,
            head=message.digest,
            offer=Offer(
                matter=ticket.matter,
                catalogue_edition="2026-01",
                profile="changzhi",
                profile_edition="1",
                onward_of=onward_of,
                take_due=self.time + timedelta(minutes=30),
            ),
            offered=self.time,
        )
        return Accepted(
            message=message,
            time=self.time,
            handoffs=(
                Standing(
                    handoff=handoff,
                    answers=sender,
                    decides=receiver,
                    due=None if due is None else self.time + due,
                    assessed_by="12345",
                ),
            ),
            state=int(State.OFFERED),
            answers=sender,
            deliveries=(delivery_of(message),),
        )

    def say(self, kind: Kind, handoff: Handoff, author: str, **changed: object) -> Accepted:
        """Return *author*'s accepted message on *handoff*, which becomes *changed*."""
        other = handoff.sender if author == handoff.receiver else handoff.receiver
        message = self.message(kind, handoff.ticket_id, handoff.id, author=author, recipient=other)
        after = replace(handoff, **changed)  # type: ignore[arg-type]
        if after.state is not handoff.state:
            after = replace(after, head=message.digest)
        answers = {
            State.OFFERED: after.sender, State.RETURNED: "", State.CLOSED: "",
        }.get(after.state, after.receiver)  # fmt: skip
        return Accepted(
            message=message,
            time=self.time,
            handoffs=(Standing(handoff=after, answers=answers, decides=after.sender),),
            state=int(after.state),
            answers=answers,
            deliveries=(delivery_of(message),),
        )

    def written(self, known: Known, organisation: str = POLICE) -> Written:
        """Return *organisation*'s receipt for the message *known*, delivered to its author."""
        statement = json.dumps({"written": known.id, "by": organisation}).encode()
        return Written(
            of=known,
            organisation=organisation,
            statement=statement,
            signature=self.chance.randbytes(64),
            digest=leaf_hash(statement),
            time=self.time,
            state=int(State.OFFERED),
            answers=known.author,
            deliver=Delivery(
                recipient=known.author,
                lane=known.handoff_id,
                urgency=int(Urgency.ROUTINE),
                message_id=known.id,
            ),
        )

    def refused(self, known: Known, organisation: str = POLICE) -> Refused:
        """Return *organisation*'s refusal of the message *known*, which it cannot digest."""
        return Refused(
            message_id=known.id,
            digest=known.digest,
            refused_by=organisation,
            statement=b"cannot digest " + known.id.encode(),
            signature=self.chance.randbytes(64),
            time=self.time,
            of=known,
            deliver=Delivery(
                recipient=known.author,
                lane=known.handoff_id,
                urgency=int(Urgency.ROUTINE),
                message_id=known.id,
            ),
        )


def delivery_of(message: Message) -> Delivery:
    """Return the delivery of *message* to its recipient, in its hand-off's lane."""
    return Delivery(
        recipient=message.recipient,
        lane=message.handoff_id,
        urgency=int(message.urgency),
        message_id=message.id,
    )


def handoff_of(accepted: Accepted) -> Handoff:
    """Return the hand-off that *accepted* opened or changed."""
    return accepted.handoffs[0].handoff


def ticket_of(accepted: Accepted) -> Ticket:
    """Return the ticket that *accepted* opened."""
    assert accepted.ticket is not None
    return accepted.ticket


def read_envelope(envelope: bytes) -> Message:
    """Return the message in *envelope*; raises `VerificationError` if it is none."""
    try:
        header = json.loads(envelope)["header"]
        said = json.loads(header)
        kind = Kind(said["kind"])
        created = datetime.fromisoformat(said["created"])
        urgency = Urgency(said["urgency"])
    except (ValueError, KeyError, TypeError) as error:
        raise VerificationError(Text(en="no message", zh="不是消息")) from error
    return Message(
        id=said["id"],
        kind=kind,
        ticket_id=said["ticket_id"],
        handoff_id=said["handoff_id"],
        author=said["author"],
        recipient=said["recipient"],
        previous=b"",
        created=created,
        marker=Marker.ACTUAL,
        classification=Classification.ORDINARY,
        urgency=urgency,
        digest=leaf_hash(header.encode()),
        header=header.encode(),
        envelope=envelope,
    )


class StoryReader:
    """Reads what a `Story` makes; its statements are nobody's, so nothing is asked of them."""

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in *envelope*."""
        return read_envelope(envelope)

    def statement(
        self, kind: Content, statement: bytes, signature: bytes, at: datetime | None
    ) -> Statement:
        """Refuse: a story's statements cannot be read."""
        raise VerificationError(Text(en="no statement", zh="不是声明"))
