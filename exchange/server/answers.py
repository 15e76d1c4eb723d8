"""
How large an answer may become: gRPC's clients take 4 MiB unless they are told otherwise.

What goes on in a next call (a pull, a page) is cut before that, and at least one item is always given;
of what a comparison redelivered only so much is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.bridge import Finding
from exchange.store import Content, Waiting
from exchange.wire.calls import envelope_key_id, unpack_signature

#: Bytes of an answer that could be cut; the rest of 4 MiB is room for a checkpoint and headers.
ANSWER_BYTES = 3_670_016
#: Message ids that one answer names, of 38 bytes each.
NAMED = 65_536
#: Bytes of a delivery beside what it carries, and of a signer's chain (4 x 4096), at most.
_DELIVERY_BYTES = 160
_CHAIN_BYTES = 16_416


class Answer(Protocol):
    """A response of the contract."""

    def ByteSize(self) -> int:  # noqa: N802  # protobuf's name
        """Return its size on the wire."""


_Answer = TypeVar("_Answer", bound=Answer)


def fitting(waiting: Sequence[Waiting]) -> int:
    """Return how many of *waiting* one answer has room for, with the chains of their signers."""
    sizes = [len(w.payload) + len(w.signature) + _DELIVERY_BYTES for w in waiting]
    if sum(sizes) + len(waiting) * _CHAIN_BYTES <= ANSWER_BYTES:
        return len(waiting)
    left, signers = ANSWER_BYTES, set[bytes]()
    for place, (one, size) in enumerate(zip(waiting, sizes, strict=True)):
        signer = _signer_of(one)
        left -= size if signer in signers else size + _CHAIN_BYTES
        signers.add(signer)
        if left < 0 and place:
            return place
    return len(waiting)


def page_within(make: Callable[[int], _Answer], size: int) -> _Answer:
    """Return the page that *make* gives for *size* items, or for as many as one answer has room for."""
    while True:
        page = make(size)
        found = page.ByteSize()
        if found <= ANSWER_BYTES or size == 1:
            return page
        # A tenth less than would fit if all items were alike, so that it ends soon.
        size = max(1, min(size - 1, size * ANSWER_BYTES * 9 // (found * 10)))


def _signer_of(one: Waiting) -> bytes:
    if one.content is Content.MESSAGE:
        return envelope_key_id(one.payload)
    return unpack_signature(one.signature).key_id


def findings_of(found: Iterable[Finding]) -> list[pb.HandoffFinding]:
    """Return what a comparison found, of what is delivered again the first `NAMED`."""
    made, room = [], NAMED
    for finding in found:
        made.append(
            pb.HandoffFinding(
                handoff_id=finding.handoff_id,
                agreement=finding.agreement.value,  # type: ignore[arg-type]  # the contract's numbers
                bridge_digest=finding.digest,
                redelivered_message_ids=finding.redelivered[:room],
            )
        )
        room = max(0, room - len(finding.redelivered))
    return made
