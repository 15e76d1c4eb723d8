"""Desks and one bridge in one process: real keys, a real store, the contract's real bytes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from exchange import profile
from exchange.acts import Kind
from exchange.bridge import Declared, Drained, Policy
from exchange.catalog import catalog
from exchange.client.messages import OutgoingMessage, SealedMessage, Sealer
from exchange.divisions import divisions
from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE, SigningKey, sign
from exchange.errors import Refusal
from exchange.facts import Site
from exchange.keyring import RingFile
from exchange.note import LogKey
from exchange.organisations import Register
from exchange.reckoning import said_of
from exchange.store import Store, migrate
from exchange.submission import (
    Acknowledged,
    Author,
    Delivered,
    Outcome,
    Pushed,
    Recorded,
    Refused,
    Stored,
    Work,
)
from exchange.wire.calls import pack_signature
from exchange.wire.headers import read_envelope
from exchange.wire.receipts import (
    read_refused,
    read_written,
    refused_receipt,
    refused_statement,
    written_receipt,
    written_statement,
)
from exchange.workdays import Calendar, calendar
from tests.bridge.whole import Bridge

HOTLINE = "113205070141497766"
POLICE = "320507000000"
DEPARTMENT = "123205070141497763"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
LOG_KEY = LogKey.from_seed("bridge.example/log", bytes(range(32)))

#: A matter that 110 hands to 12345 in Xiangcheng, and one that goes the other way.
TO_HOTLINE, TO_POLICE = "XC.H.01.01", "XC.P.01.01"

_OPENING: Mapping[str, Mapping[str, Any]] = {
    "identity": {"record_number": "W2026030200001"},
    "matter": {"title": "路面井盖缺失"},
    "content": {"content": "某路口人行道井盖缺失，存在安全隐患。"},
}
_WHY = {"grounds": {"text": "不属于本机构职责。"}}
_REVIEW = {
    "review": {
        "steps": [
            {
                "decision": "REVIEW_DECISION_APPROVED",
                "reviewer": {"name": "值班长"},
                "decide_time": "2026-03-02T08:00:00Z",
            }
        ]
    }
}


class Party:
    """One organisation with its signer key; the key stands in for its certificate."""

    def __init__(self, organisation: str) -> None:
        self.organisation = organisation
        self.key = SigningKey.from_private_key(ec.generate_private_key(ec.SECP256R1()))
        self.sealer = Sealer(organisation, self.key)
        self.author = Author(organisation=organisation, key=self.key.public, chain=())

    def seal(self, *messages: OutgoingMessage) -> list[SealedMessage]:
        """Sign *messages* as one batch."""
        return self.sealer.seal(messages)

    def pushes(self, sealed: Sequence[SealedMessage]) -> list[Pushed]:
        """Return *sealed* as its own gateway pushes it."""
        return [
            Pushed(
                received=read_envelope(one.envelope), caller=self.organisation, author=self.author
            )
            for one in sealed
        ]


@dataclass
class World:
    """A bridge over one database, with the parties' keys and a clock that is set by hand."""

    url: str
    now: datetime = START
    #: With it, what messages say is encrypted in the database.
    ring: RingFile | None = None
    #: Whether it enters into its log by which rules it reckons, as a bridge that is served does.
    says_rules: bool = False
    key: LogKey = LOG_KEY
    days: Calendar = field(default_factory=calendar)
    parties: dict[str, Party] = field(default_factory=dict)

    def __post_init__(self) -> None:
        migrate(self.url)
        for organisation in (HOTLINE, POLICE, DEPARTMENT):
            self.parties[organisation] = Party(organisation)
        self.bridge = self.open()

    def open(self) -> Bridge:
        """Open the bridge, as after a restart."""
        whole = catalog()
        site = Site(
            profiles={(p.name, p.edition): p for p in profile.installed().values()},
            catalogues={whole.edition: whole},
            register=Register(),
            divisions=divisions(),
        )
        return Bridge(
            store=Store.open(self.url, self.key, ring=self.ring),
            policy=Policy(site=site, calendar=self.days, relays={}),
            key=self.key.signing_key,
            origin=self.key.name,
            encode_refusal=refused_statement,
            encode_signature=pack_signature,
            rules=Declared(facts=said_of(site, self.days), salt="00", begins=True)
            if self.says_rules
            else None,
        )

    def restart(self) -> None:
        """Close the bridge and open it again on the same database."""
        self.bridge.store.close()
        self.bridge = self.open()

    def drain(self, *work: Work) -> list[Outcome]:
        """Let the bridge decide *work* in one drain, a second later than the one before."""
        return self.drained(*work).outcomes

    def drained(self, *work: Work) -> Drained:
        """Let the bridge decide *work*, and tell whom it woke."""
        self.now += timedelta(seconds=1)
        return self.bridge.drain(work, self.now)

    def push(self, organisation: str, *messages: OutgoingMessage) -> list[Outcome]:
        """Seal and push *messages* as one drain."""
        party = self.parties[organisation]
        return self.drain(*party.pushes(party.seal(*messages)))

    def pull(self, organisation: str, limit: int = 100, least: int = 0) -> list[Delivered]:
        """Lease what waits for *organisation*, in lanes of the urgency *least* or more."""
        return self.bridge.pull(organisation, limit, self.now, least=least)

    def write(self, organisation: str, *delivered: Delivered) -> list[Outcome]:
        """Acknowledge deliveries as durably written, or as noted where they are receipts."""
        return self.drain(*(self.written(organisation, one) for one in delivered))

    def written(self, organisation: str, delivered: Delivered) -> Acknowledged:
        """Return the acknowledgement of one delivery."""
        if not delivered.envelope:
            return Acknowledged(caller=organisation, receipt_position=delivered.position)
        party = self.parties[organisation]
        statement = written_statement(
            delivered.message_id,
            read_envelope(delivered.envelope).digest,
            organisation,
            self.now,
            "L-1",
        )
        (signature,) = sign(WRITTEN_TYPE, [statement], party.key)
        read = read_written(written_receipt(statement, signature))
        assert not isinstance(read, Refusal)
        return Acknowledged(caller=organisation, statement=read, author=party.author)

    def declined(
        self, organisation: str, delivered: Delivered, refusal: Refusal, *, set_aside: str = ""
    ) -> Acknowledged:
        """Return a receiver's signed refusal of one delivery, which may set it aside."""
        party = self.parties[organisation]
        digest = read_envelope(delivered.envelope).digest
        statement = refused_statement(
            delivered.message_id, digest, organisation, refusal, self.now, set_aside=set_aside
        )
        (signature,) = sign(REFUSED_TYPE, [statement], party.key)
        read = read_refused(refused_receipt(statement, signature))
        assert not isinstance(read, Refusal)
        return Acknowledged(caller=organisation, statement=read, author=party.author)

    # -- messages

    def message(self, kind: Kind, matter: Matter, **fields: Any) -> OutgoingMessage:
        """Return a message about *matter*; *fields* as of `OutgoingMessage`."""
        handoff = "" if kind in (Kind.OPEN_TICKET, Kind.CLOSE_TICKET) else matter.handoff_id
        return OutgoingMessage(
            kind=kind,
            ticket_id=matter.ticket_id,
            handoff_id=fields.pop("handoff_id", handoff),
            created=self.now,
            message_id=fields.pop("message_id", str(uuid.uuid4())),
            **fields,
        )

    def opening(self, matter: Matter, **act: Any) -> OutgoingMessage:
        """Return the message that opens *matter*'s ticket."""
        return self.message(
            Kind.OPEN_TICKET,
            matter,
            act={
                "kind": "TICKET_KIND_WORK_ORDER",
                "region": "320507",
                "matter": matter.item,
                "catalogue_edition": catalog().edition,
                **act,
            },
            groups=_OPENING,
        )

    def offer(self, matter: Matter, recipient: str, **act: Any) -> OutgoingMessage:
        """Return the offer of *matter*, with reason and review as Xiangcheng asks."""
        rules = profile.load("xiangcheng")
        return self.message(
            Kind.OFFER,
            matter,
            recipient=recipient,
            act={
                "matter": matter.item,
                "catalogue_edition": rules.catalogue.edition,
                "profile": rules.name,
                "profile_edition": rules.edition,
                **act,
            },
            groups=_WHY | _REVIEW,
        )


@dataclass
class Matter:
    """The ids of one ticket and its first hand-off."""

    item: str = TO_POLICE
    ticket_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    handoff_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def stored(outcome: Outcome) -> Stored:
    """Return *outcome*, which must be a stored receipt."""
    assert isinstance(outcome, Stored), outcome

    return outcome


def refused(outcome: Outcome) -> Refusal:
    """Return the refusal of *outcome*, which must be one."""
    assert isinstance(outcome, Refused), outcome

    return outcome.refusal


def recorded(outcome: Outcome) -> Recorded:
    """Return *outcome*, which must be a recorded acknowledgement."""
    assert isinstance(outcome, Recorded), outcome

    return outcome
