"""What the four calls take and give: between the contract's messages and this program's own types."""

from __future__ import annotations

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.bridge import Head
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode, refuse
from exchange.server.failures import retry_after
from exchange.submission import (
    Delivered,
    Outcome,
    Passed,
    Recorded,
    Refused,
    Retry,
    Statement,
    Stored,
)
from exchange.wire.calls import Seen, look_at, unpack_signature
from exchange.wire.headers import time_to_proto
from exchange.wire.receipts import (
    fill_stored,
    read_passed,
    read_refused,
    read_written,
    refused_receipt,
    retry_outcome,
    written_receipt,
)
from exchange.wire.sealing import show_only

#: Seconds after which a message whose predecessor is missing may be pushed again.
_PREDECESSOR_DELAY = 1.0


def _retry(retry: Retry) -> pb.Retry:
    error = retry.error
    delay = _PREDECESSOR_DELAY if isinstance(error, PredecessorUnknown) else retry_after(error)
    return retry_outcome(error, delay)


def push_outcome(made: pb.PushOutcome, outcome: Outcome) -> None:
    """Make an empty *made* what became of a pushed message."""
    match outcome:
        case Stored():
            fill_stored(made.stored, outcome.message_id, outcome.proof)
        case Refused():
            made.refused.CopyFrom(refused_receipt(outcome.statement, outcome.signature))
        case Retry():
            made.retry.CopyFrom(_retry(outcome))
        case Recorded():
            raise TypeError(outcome)


def acknowledge_outcome(made: pb.AcknowledgeOutcome, outcome: Outcome) -> None:
    """Make an empty *made* what became of an acknowledgement."""
    match outcome:
        case Recorded():
            made.recorded.SetInParent()
            if outcome.leaf_index is not None:
                made.recorded.leaf_index = outcome.leaf_index
        case Refused():
            made.refused.CopyFrom(refused_receipt(outcome.statement, outcome.signature))
        case Retry():
            made.retry.CopyFrom(_retry(outcome))
        case Stored():
            raise TypeError(outcome)


def read_acknowledgement(said: pb.Acknowledgement) -> Statement | Passed | Refusal | int:
    """Return what was said: a statement, what was passed on, a noted position; or why it is unfit."""
    match said.WhichOneof("acknowledgement"):
        case "written":
            return read_written(said.written)
        case "refused":
            return read_refused(said.refused)
        case "receipt_position":
            return said.receipt_position
        case "passed":
            return read_passed(said.passed)
        case _:
            return refuse(RefusalCode.MALFORMED, "statement", "required")


def seen_of(delivered: Delivered) -> Seen:
    """Return the key that signed what is delivered, and whether it is an opening with sealed groups."""
    for receipt in (delivered.written, delivered.refused):
        if receipt is not None:
            return Seen(key_id=unpack_signature(receipt[1]).key_id)
    return look_at(delivered.envelope)


def delivery(made: pb.Delivery, delivered: Delivered) -> None:
    """Make an empty *made* one delivery."""
    made.lane = delivered.lane
    made.position = delivered.position
    made.attempt = delivered.attempt
    made.lease_expire_time.CopyFrom(time_to_proto(delivered.lease_expires))
    if delivered.written is not None:
        statement, signature = delivered.written
        written = written_receipt(statement, unpack_signature(signature))
        made.receipt.written.CopyFrom(written)
    elif delivered.refused is not None:
        statement, signature = delivered.refused
        refused = refused_receipt(statement, unpack_signature(signature))
        made.receipt.refused.CopyFrom(refused)
    elif delivered.withheld:
        hidden = delivered.withheld
        made.envelope = show_only(delivered.envelope, lambda group: group not in hidden)
    else:
        made.envelope = delivered.envelope


def head_of(head: pb.HandoffHead, *, aside: bool = False) -> Head:
    """Return one party's newest message of a hand-off; *aside* as in `Head`."""
    return Head(
        handoff_id=head.handoff_id,
        digest=head.digest,
        notes=frozenset(head.message_ids) if head.compare_notes else None,
        aside=aside,
    )
