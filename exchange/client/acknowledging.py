"""What an organisation says of what was delivered to it, signed."""

from __future__ import annotations

from collections.abc import Sequence

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.client.messages import Acknowledgement, Declined, Noted, Written
from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE, SigningKey, sign
from exchange.wire.receipts import (
    refused_receipt,
    refused_statement,
    written_receipt,
    written_statement,
)


def signed(
    batch: Sequence[Acknowledgement], by: str, signer: SigningKey
) -> list[pb.Acknowledgement]:
    """Return *batch* as *by* says it, in its order; one signature each of the written and the declined."""
    written = [item for item in batch if isinstance(item, Written)]
    declined = [item for item in batch if isinstance(item, Declined)]
    written_bytes = [
        written_statement(w.message_id, w.digest, by, w.time, w.local_number) for w in written
    ]
    declined_bytes = [
        refused_statement(d.message_id, d.digest, by, d.refusal, d.time, set_aside=d.set_aside)
        for d in declined
    ]
    signed_written = zip(written_bytes, sign(WRITTEN_TYPE, written_bytes, signer), strict=True)
    signed_declined = zip(declined_bytes, sign(REFUSED_TYPE, declined_bytes, signer), strict=True)
    found = []
    for item in batch:
        if isinstance(item, Noted):
            found.append(pb.Acknowledgement(receipt_position=item.position))
        elif isinstance(item, Written):
            found.append(pb.Acknowledgement(written=written_receipt(*next(signed_written))))
        else:
            found.append(pb.Acknowledgement(refused=refused_receipt(*next(signed_declined))))
    return found
