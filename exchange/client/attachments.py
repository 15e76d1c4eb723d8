"""The client's side of attachments: how files stand at the bridge, chunks to it and from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import grpc

from exchange._proto.v1 import attachment_service_pb2 as pb
from exchange._proto.v1.attachment_service_pb2_grpc import AttachmentServiceStub
from exchange.attachments import MOST_NAMED, AttachmentRefusal, AttachmentStanding, Chunk
from exchange.client.calls import Calls, as_many
from exchange.wire.attachments import (
    chunk_from_proto,
    chunk_to_proto,
    refusal_from_proto,
    standing_from_proto,
)

#: Bytes of chunks in one call at most, unless one chunk is more: a ticket that comes in between shares
#: the line with no more than that.
CALL_BYTES = 1024 * 1024
#: A slow line has so much longer than for other calls: 1 MiB in a minute are 140 kbit/s.
_LONGER = timedelta(seconds=40)


class AttachmentCalls:
    """Attachments over one channel; methods raise what a call of the client raises."""

    def __init__(self, channel: grpc.Channel, call: Calls) -> None:
        self._call = call
        self._stub = AttachmentServiceStub(channel)

    def check(self, roots: Sequence[bytes]) -> list[AttachmentStanding]:
        """Return how these files stand at the bridge, in order; nothing is asked for none."""
        found: list[AttachmentStanding] = []
        for start in range(0, len(roots), MOST_NAMED):
            some = roots[start : start + MOST_NAMED]
            request = pb.CheckAttachmentsRequest(chunk_roots=some)
            response = self._call(self._stub.CheckAttachments, request, longer=_LONGER)
            found += [standing_from_proto(one) for one in as_many(response.standings, some)]
        return found

    def lacking(self, token: str = "") -> tuple[list[AttachmentStanding], str]:
        """
        Return files that those the caller speaks for have cited and the bridge lacks chunks of.

        And the token of the next page, empty on the last one.
        """
        request = pb.CheckAttachmentsRequest(page_token=token)
        response = self._call(self._stub.CheckAttachments, request, longer=_LONGER)
        return [standing_from_proto(one) for one in response.standings], response.next_page_token

    def put(self, chunks: Sequence[Chunk]) -> list[AttachmentRefusal | None]:
        """Put chunks, in one call; return why each is not kept, None where it is."""
        request = pb.PutChunksRequest(chunks=[chunk_to_proto(chunk) for chunk in chunks])
        response = self._call(self._stub.PutChunks, request, longer=_LONGER)
        return [refusal_from_proto(one.refusal) for one in as_many(response.outcomes, chunks)]

    def get(self, root: bytes, numbers: Sequence[int]) -> list[Chunk] | AttachmentRefusal:
        """Return those of the chunks that the bridge has; nothing of them is checked here."""
        request = pb.GetChunksRequest(chunk_root=root, numbers=numbers)
        response = self._call(self._stub.GetChunks, request, longer=_LONGER)
        refusal = refusal_from_proto(response.refusal)
        if refusal is not None:
            return refusal
        return [chunk_from_proto(chunk) for chunk in response.chunks]
