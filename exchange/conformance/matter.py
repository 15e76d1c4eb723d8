"""Invented matters: what the kit's platforms say to each other."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from exchange import profile
from exchange.acts import MOVING_KINDS, Kind, Urgency
from exchange.client.messages import OutgoingMessage
from exchange.conformance.ground import DESKS

#: One matter for each direction, by who receives it.
_MATTERS = {"police": "NM.P.01.02", "hotline": "XC.H.01.01"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """A new ticket and its offer; *say* makes what follows on its hand-off."""

    opening: OutgoingMessage
    offer: OutgoingMessage

    @property
    def ticket(self) -> str:
        """The ticket's id."""
        return self.opening.ticket_id

    @property
    def handoff(self) -> str:
        """The hand-off's id."""
        return self.offer.handoff_id

    def say(
        self,
        kind: Kind,
        to: str,
        *,
        previous: bytes = b"",
        act: Mapping[str, Any] | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> OutgoingMessage:
        """Return a further message of the hand-off, to the organisation *to*."""
        return OutgoingMessage(
            kind=kind,
            ticket_id=self.ticket,
            handoff_id=self.handoff,
            created=datetime.now(UTC),
            recipient=to,
            previous=previous if kind in MOVING_KINDS else b"",
            message_id=str(uuid.uuid4()),
            act=act or {},
            groups=groups or {},
        )

    def progress(self, to: str, words: str = "已核查。") -> OutgoingMessage:
        """Return a note that either side may say at any time."""
        return self.say(Kind.PROGRESS, to, groups={"disposal": {"content": words}})

    def take(self, to: str, previous: bytes) -> OutgoingMessage:
        """Return the receiver's taking of the hand-off."""
        return self.say(Kind.TAKE, to, previous=previous, act={"local_number": "K-1"})

    def result(self, to: str, previous: bytes) -> OutgoingMessage:
        """Return the receiver's result."""
        return self.say(
            Kind.RESULT, to, previous=previous, act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已到场处理完毕。"}},
        )  # fmt: skip

    def close(self, to: str, previous: bytes) -> OutgoingMessage:
        """Return the sender's closing of the hand-off."""
        return self.say(Kind.CLOSE, to, previous=previous)


def new_matter(
    receiver: str = "police",
    *,
    urgency: Urgency = Urgency.ROUTINE,
    created: datetime | None = None,
    content: str = "示例路口有人推销假冒票据，请核查。",
) -> Matter:
    """Return a matter for *receiver* (``police`` or ``hotline``), said by the other one."""
    sender = DESKS["hotline" if receiver == "police" else "police"]
    rules, ticket, now = profile.load("national"), str(uuid.uuid4()), created or datetime.now(UTC)
    opening = OutgoingMessage(
        kind=Kind.OPEN_TICKET,
        ticket_id=ticket,
        created=now,
        urgency=urgency,
        message_id=str(uuid.uuid4()),
        act={
            "kind": f"TICKET_KIND_{'WORK_ORDER' if receiver == 'police' else 'POLICE_TICKET'}",
            "region": sender.region,
            "matter": _MATTERS[receiver],
            "catalogue_edition": rules.catalogue.edition,
            "first_receiver": sender.organisation,
        },
        groups={
            "identity": {"record_number": f"K-{ticket[:8]}"},
            "matter": {"title": "示例事项"},
            "content": {"content": content},
        },
    )
    offer = OutgoingMessage(
        kind=Kind.OFFER,
        ticket_id=ticket,
        handoff_id=str(uuid.uuid4()),
        created=now,
        urgency=urgency,
        recipient=DESKS[receiver].organisation,
        message_id=str(uuid.uuid4()),
        act={
            "form": "HANDOFF_FORM_TRANSFER",
            "matter": _MATTERS[receiver],
            "catalogue_edition": rules.catalogue.edition,
            "profile": rules.name,
            "profile_edition": rules.edition,
        },
        groups={"grounds": {"text": "属对方职责范围。"}},
    )
    return Matter(opening=opening, offer=offer)


def renamed(message: OutgoingMessage, **changes: Any) -> OutgoingMessage:
    """Return *message* with other fields."""
    return replace(message, **changes)
