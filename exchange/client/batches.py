"""How much goes into one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exchange.client.messages import SealedMessage

#: Messages and bytes in one call at most; a bridge takes 4 MiB unless it is told otherwise.
CALL_MESSAGES = 128
CALL_BYTES = 768 * 1024


def split(messages: Sequence[SealedMessage]) -> Iterator[Sequence[SealedMessage]]:
    """Yield *messages* in order, in batches that each fit one call."""
    batch: list[SealedMessage] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == CALL_MESSAGES or size + len(message.envelope) > CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.envelope)
    if batch:
        yield batch
