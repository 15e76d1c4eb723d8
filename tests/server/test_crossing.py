"""A message crosses: pushed, durable, pulled, acknowledged, and its receipt comes back."""

from __future__ import annotations

from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from tests.server.running import Caller, matter


def test_a_ticket_crosses_and_its_receipt_comes_back(hotline: Caller, police: Caller) -> None:
    """Push, stored receipt, pull, signed written, and the author pulls that receipt."""
    sealed = hotline.sealer.seal(matter())
    stored = hotline.push(sealed)
    assert [o.WhichOneof("outcome") for o in stored] == ["stored", "stored"], stored

    (delivery, *_) = [d for d in police.pull() if d.envelope == sealed[-1].envelope]
    (recorded,) = police.acknowledge(police.written(delivery, sealed[-1].message_id))
    assert recorded.WhichOneof("outcome") == "recorded", recorded

    answers = hotline.pull(5)
    written = [d.receipt.written for d in answers if d.WhichOneof("content") == "receipt"]
    assert [w.statement for w in written] != []

    trail = hotline.tickets.GetTrail(ticket_pb.GetTrailRequest(ticket_id=sealed[0].ticket_id))
    assert [entry.kind for entry in trail.entries] == ["open_ticket", "offer", "written"]
