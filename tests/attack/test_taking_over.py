"""A registered desk that lies: it may not touch what it is no party to."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.acts import Kind
from exchange.client.messages import OutgoingMessage
from exchange.envelope import REFUSED_TYPE, message_digest, sign
from exchange.errors import RefusalCode, refuse
from exchange.ticket import own_duty_id
from exchange.wire.receipts import refusal_of, refused_receipt, refused_statement
from tests.attack.evidence import column, counts, findings, grown
from tests.pki import CITY_110, Pki
from tests.server.running import Caller, Running, header_of, matter


def test_a_hand_offs_id_cannot_be_taken_for_a_new_ticket(
    pki: Pki, bridge: Running, hotline: Caller, county: Caller
) -> None:
    """A new ticket and its offer under the id of a stranger's hand-off: refused, both ways to send it."""
    opening, offer = matter()
    hotline.push(hotline.sealer.seal([opening, offer]))
    before = column(bridge.settings.database, "handoff", "sender")
    for together in (True, False):
        own, stolen = matter()
        stolen = replace(stolen, handoff_id=offer.handoff_id)
        sealed = county.sealer.seal([own, stolen])
        if together:
            outcomes = county.push(sealed)
        else:
            outcomes = county.push(sealed[:1]) + county.push(sealed[1:])
        assert outcomes[0].WhichOneof("outcome") == "stored"
        assert refusal_of(outcomes[1].refused).code is RefusalCode.ALREADY_EXISTS
    assert column(bridge.settings.database, "handoff", "sender") == before
    assert not findings(bridge.settings.database, pki)


def test_an_own_duty_cannot_push_another_hand_off_aside(
    pki: Pki, bridge: Running, hotline: Caller
) -> None:
    """Its id is derived, so its sender can offer something else under it first: then it is refused."""
    opening, offer = matter()
    take_over = OutgoingMessage(
        kind=Kind.TAKE_OVER,
        ticket_id=opening.ticket_id,
        handoff_id=offer.handoff_id,
        created=datetime.now(UTC),
        recipient=CITY_110.organisation,
        message_id=str(uuid.uuid4()),
        groups={"grounds": {"text": "示例理由。"}},
    )
    (sealed,) = hotline.sealer.seal([take_over])
    duty = own_duty_id(offer.handoff_id, sealed.digest)
    other = replace(offer, handoff_id=duty, message_id=str(uuid.uuid4()))
    stored = hotline.push(hotline.sealer.seal([opening, offer, other]))
    assert [outcome.WhichOneof("outcome") for outcome in stored] == ["stored"] * 3
    (outcome,) = hotline.push([sealed])
    assert refusal_of(outcome.refused).code is RefusalCode.ALREADY_EXISTS
    assert not findings(bridge.settings.database, pki)


def test_a_refusal_repeated_tells_its_author_once(
    pki: Pki, bridge: Running, hotline: Caller, police: Caller
) -> None:
    """A receiver that says twice that it cannot digest a message is heard once."""
    opening, offer = matter()
    hotline.push(hotline.sealer.seal([opening, offer]))
    taken = [d for d in police.pull() if d.lane == offer.handoff_id][-1]
    digest = message_digest(header_of(taken.envelope))
    refusal = refuse(RefusalCode.MALFORMED, "envelope")
    statement = refused_statement(
        offer.message_id, digest, CITY_110.organisation, refusal, datetime.now(UTC)
    )
    (signature,) = sign(REFUSED_TYPE, [statement], police.sealer.signer)
    said = pb.Acknowledgement(refused=refused_receipt(statement, signature))
    before = counts(bridge.settings.database)
    first = police.acknowledge(said, said)
    again = police.acknowledge(said)
    assert [outcome.WhichOneof("outcome") for outcome in first + again] == ["recorded"] * 3
    after = counts(bridge.settings.database)
    assert grown(before, after) == {"refusal": 1, "mailbox": 1, "quarantine": 1}
    assert not findings(bridge.settings.database, pki)
