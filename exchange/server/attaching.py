"""
Attachments' chunks, between bytes and the store: apart from the messages, and never in their way.

One request at a time has one of the reading threads, however many ask: tickets keep the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Any, TypeVar

from exchange import settings
from exchange._proto.v1 import attachment_service_pb2 as pb
from exchange.attachments import AttachmentRefusal, Bounds
from exchange.errors import InvalidRequest
from exchange.server.guard import Call
from exchange.server.journal import Journal
from exchange.server.limits import Allowances
from exchange.store.attachments import Attachments
from exchange.text import Text
from exchange.wire.attachments import (
    chunk_from_proto,
    chunk_to_proto,
    standing_to_proto,
    tell,
)

#: How often chunks that are too old are looked for.
_SWEEP = timedelta(hours=1)
#: Bytes of the chunks in one answer; gRPC's clients take 4 MiB unless they are told otherwise.
_ANSWER = 3 * 1024 * 1024

_Answer = TypeVar("_Answer")

_STRANGE_TOKEN = Text(
    en="The page token is not one that this bridge gave; begin with an empty one.",
    zh="分页标记不是本网桥给出的，请从空标记开始。",
)


def bounds_of(limits: settings.Attachments) -> Bounds:
    """Return what the bridge carries, as its settings say."""
    return Bounds(
        types=frozenset(limits.types),
        file_bytes=limits.file_mib * 1024 * 1024,
        chunks_of_one=limits.chunks_of_one,
        total_bytes=limits.total_mib * 1024 * 1024,
        keep=timedelta(days=limits.keep_days),
    )


class AttachmentService:
    """Answers the contract's ``AttachmentService``; *relays* are those of the bridge's settings."""

    def __init__(
        self,
        kept: Attachments,
        reader: Executor,
        allowances: Allowances,
        journal: Journal,
        *,
        relays: Mapping[str, Sequence[str]],
    ) -> None:
        self._kept = kept
        self._reader = reader
        self._allowances = allowances
        self._journal = journal
        self._relays = relays
        self._one = asyncio.Lock()
        self._swept: datetime | None = None

    async def check(
        self, request: pb.CheckAttachmentsRequest, call: Call
    ) -> pb.CheckAttachmentsResponse:
        """Say which chunks are lacking."""
        speaks_for = self._speaks_for(call)
        self._allowances.spend_messages(call.organisation, max(len(request.chunk_roots), 1))
        if request.chunk_roots:
            roots = list(request.chunk_roots)
            found = await self._do(self._kept.standings, speaks_for, roots, call.time)
            return pb.CheckAttachmentsResponse(standings=[standing_to_proto(one) for one in found])
        token = request.page_token or "0"
        if not (token.isascii() and token.isdecimal() and len(token) <= 18):
            raise InvalidRequest(_STRANGE_TOKEN, rule="page-token")
        found, end = await self._do(self._kept.lacking, speaks_for, call.time, int(token))
        return pb.CheckAttachmentsResponse(
            standings=[standing_to_proto(one) for one in found],
            next_page_token=str(end) if end else "",
        )

    async def put(self, request: pb.PutChunksRequest, call: Call) -> pb.PutChunksResponse:
        """Keep chunks, one after the other."""
        speaks_for = self._speaks_for(call)
        self._allowances.spend_messages(call.organisation, len(request.chunks))
        if self._swept is None or not timedelta(0) <= call.time - self._swept < _SWEEP:
            self._swept = call.time
            gone = await self._do(self._kept.sweep, call.time)
            if gone:
                self._journal.info("attachments-expired", files=gone)
        response = pb.PutChunksResponse()
        for chunk in request.chunks:
            refusal = await self._do(self._kept.put, speaks_for, chunk_from_proto(chunk), call.time)
            outcome = response.outcomes.add()
            tell(outcome, refusal)
            if refusal is not None:
                self._journal.info(
                    "chunk-refused", organisation=call.organisation, why=refusal.name
                )
        return response

    async def get(self, request: pb.GetChunksRequest, call: Call) -> pb.GetChunksResponse:
        """Return the chunks that are there."""
        speaks_for = self._speaks_for(call)
        self._allowances.spend_messages(call.organisation, len(request.numbers))
        found = await self._do(
            self._kept.chunks,
            speaks_for,
            request.chunk_root,
            list(request.numbers),
            call.time,
            _ANSWER,
        )
        response = pb.GetChunksResponse()
        if isinstance(found, AttachmentRefusal):
            tell(response, found)
        else:
            response.chunks.extend(chunk_to_proto(chunk) for chunk in found)
        return response

    def _speaks_for(self, call: Call) -> frozenset[str]:
        return frozenset({call.organisation, *self._relays.get(call.organisation, ())})

    async def _do(self, work: Callable[..., _Answer], *arguments: Any) -> _Answer:
        async with self._one:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._reader, work, *arguments)
