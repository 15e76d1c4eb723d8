"""What a sealed message names besides its predecessor."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.acts import GrantExtension, Offer, Release
from exchange.client.messages import SealedMessage
from exchange.wire.headers import read_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """What a message names besides its predecessor, and is never decided without; empty: nothing."""

    handoff_id: str = ""
    digest: bytes = b""


def cited(message: SealedMessage) -> Cited:
    """Return what *message* cites; nothing where its envelope is malformed, which a bridge refuses."""
    received = read_envelope(message.envelope).message
    match received.act if received is not None else None:
        case Offer(onward_of=handoff_id):
            return Cited(handoff_id=handoff_id)
        case Release(take_over_digest=digest) | GrantExtension(request_digest=digest):
            return Cited(digest=digest)
    return Cited()
