"""Who dials with a bad certificate, asks for too much, or acknowledges what is not its own."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.envelope import WRITTEN_TYPE, sign
from exchange.errors import RefusalCode
from exchange.wire.receipts import refusal_of, written_receipt, written_statement
from tests.attack.evidence import counts, findings, grown
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, Running, calling, failure, matter

#: What TLS itself refuses: no root vouches for it, or it is not for clients.
BY_TLS = {"unknown-root", "self-signed", "expired", "not-yet-valid", "server-only", "rsa-1024",
          "no-digital-signature"}  # fmt: skip

GATEWAYS = (
    "expired",
    "not-yet-valid",
    "wrong-network",
    "unknown-network",
    "unknown-root",
    "two-names",
    "name-and-host",
    "common-name-only",
    "host-only",
    "malformed-name",
    "signer-name",
    "server-only",
    "server-and-client",
    "no-usage",
    "no-digital-signature",
    "rsa-1024",
    "authority",
    "self-signed",
)


@pytest.mark.parametrize("defect", GATEWAYS)
def test_a_bad_certificate_gets_nothing_in(bridge: Running, pki: Pki, defect: str) -> None:
    """Its push is not carried, whoever refuses it; the same desk is served with its good one."""
    before = counts(bridge.settings.database)
    with calling(pki, bridge.port, CITY_12345, pki.defects[defect]) as bad:
        sealed = bad.sealer.seal(matter())
        with pytest.raises(grpc.RpcError) as raised:
            bad.push(sealed)
    if raised.value.code() is grpc.StatusCode.UNAVAILABLE:
        assert defect in BY_TLS
    else:
        code, reason, facts = failure(raised)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "NOT_AUTHENTICATED")
        assert facts["rule"]
    assert grown(before, counts(bridge.settings.database)) == {}
    with calling(pki, bridge.port, CITY_12345) as good:
        outcomes = good.push(sealed)
        assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]


def test_acknowledging_what_is_not_ones_own(
    bridge: Running, pki: Pki, hotline: Caller, police: Caller, county: Caller
) -> None:
    """Another's message, one that never was, another's name, positions of any size: nothing moves."""
    opening, offer = matter()
    hotline.push(hotline.sealer.seal([opening, offer]))
    (delivery, *_) = [d for d in police.pull() if d.lane == offer.handoff_id]
    before = counts(bridge.settings.database)
    stolen = county.written(delivery, opening.message_id)
    in_its_name = Caller(police.desk, county.channel, county.sealer)
    pretended = in_its_name.written(delivery, opening.message_id)
    invented = county.written(delivery, str(uuid.uuid4()))
    positions = [
        pb.Acknowledgement(receipt_position=position)
        for position in (0, delivery.position, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)
    ]
    outcomes = county.acknowledge(stolen, pretended, invented, *positions)
    assert [refusal_of(outcome.refused).code for outcome in outcomes[:3]] == [
        RefusalCode.NOT_A_PARTY,
        RefusalCode.AUTHOR_MISMATCH,
        RefusalCode.NOT_A_PARTY,
    ]
    assert {outcome.WhichOneof("outcome") for outcome in outcomes[3:]} == {"recorded"}
    police.acknowledge(pb.Acknowledgement(receipt_position=delivery.position))
    assert grown(before, counts(bridge.settings.database)) == {"refusal": 3}
    good = police.written(delivery, opening.message_id)
    first = police.acknowledge(good, good)
    again = police.acknowledge(good)
    assert first[0] == first[1] == again[0]
    assert first[0].recorded.HasField("leaf_index")
    assert not findings(bridge.settings.database, pki)


def test_a_false_digest_is_not_a_receipt(
    bridge: Running, pki: Pki, hotline: Caller, police: Caller
) -> None:
    """A "written" for other bytes than were delivered, and a signature that was bent."""
    opening, offer = matter()
    hotline.push(hotline.sealer.seal([opening, offer]))
    (delivery, *_) = [d for d in police.pull() if d.lane == offer.handoff_id]
    before = counts(bridge.settings.database)
    statement = written_statement(
        opening.message_id, bytes(32), CITY_110.organisation, datetime.now(UTC), "A-1"
    )
    (signature,) = sign(WRITTEN_TYPE, [statement], police.sealer.signer)
    other = pb.Acknowledgement(written=written_receipt(statement, signature))
    good = police.written(delivery, opening.message_id)
    bent = receipt_pb2.WrittenReceipt()
    bent.CopyFrom(good.written)
    bent.signature.value = bent.signature.value[:-1] + bytes([bent.signature.value[-1] ^ 1])
    outcomes = police.acknowledge(other, pb.Acknowledgement(written=bent), good)
    assert [refusal_of(outcome.refused).code for outcome in outcomes[:2]] == [
        RefusalCode.DIFFERENT_CONTENT,
        RefusalCode.SIGNATURE_INVALID,
    ]
    assert outcomes[2].WhichOneof("outcome") == "recorded"
    assert grown(before, counts(bridge.settings.database)) == {
        "refusal": 2, "receipt": 1, "trail": 1, "drain": 1,
    }  # fmt: skip
    assert not findings(bridge.settings.database, pki)


def test_strange_heads_are_answered(bridge: Running, hotline: Caller) -> None:
    """Reconciling hand-offs that never were, another's, and ones with impossible digests."""
    heads = [
        pb.HandoffHead(handoff_id="x" * 36),
        pb.HandoffHead(handoff_id=str(uuid.uuid4()), digest=bytes(32)),
        pb.HandoffHead(handoff_id=str(uuid.uuid4()), message_ids=["漢" * 100, ""]),
    ]
    before = counts(bridge.settings.database)
    request = pb.ReconcileHandoffsRequest(heads=heads)
    found = hotline.exchange.ReconcileHandoffs(request, timeout=20).findings
    assert [finding.agreement for finding in found] == [pb.HANDOFF_AGREEMENT_UNKNOWN] * 3
    with pytest.raises(grpc.RpcError) as raised:
        hotline.exchange.ReconcileHandoffs(
            pb.ReconcileHandoffsRequest(heads=[pb.HandoffHead(handoff_id="\0" * 36)]), timeout=20
        )
    assert failure(raised)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert grown(before, counts(bridge.settings.database)) == {}


def test_too_many_waiting_pulls_are_told_and_the_others_served(
    bridge: Running, pki: Pki, hotline: Caller, police: Caller
) -> None:
    """The limit is one organisation's own; its waiting pulls each get a matter or an honest end."""
    limit = bridge.settings.limits.waiting_pulls
    while police.pull():
        pass  # what earlier tests left is leased now
    request = pb.PullMessagesRequest(max_deliveries=1)
    request.wait.FromSeconds(60)
    waiting = [police.exchange.PullMessages.future(request, timeout=70) for _ in range(limit + 4)]
    told = [call for call in _first_done(waiting, 4) if call.exception()]
    assert len(told) == 4
    for call in told:
        error: Any = call.exception()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "16" in str(error.details())
    hotline.push(hotline.sealer.seal([m for _ in range(limit) for m in matter()]))
    served = [call.result() for call in waiting if call not in told]
    lanes = [delivery.lane for response in served for delivery in response.deliveries]
    assert len(set(lanes)) == len(lanes) == limit
    assert all(delivery.attempt == 1 for response in served for delivery in response.deliveries)


def _first_done(calls: list[grpc.Future], count: int) -> list[grpc.Future]:  # type: ignore[type-arg]
    """Return *calls* that have ended, once there are *count* of them."""
    ended: list[grpc.Future] = []  # type: ignore[type-arg]
    enough = threading.Event()

    def note(call: grpc.Future) -> None:  # type: ignore[type-arg]
        ended.append(call)
        if len(ended) >= count:
            enough.set()

    for call in calls:
        call.add_done_callback(note)
    assert enough.wait(60)
    return list(ended)
