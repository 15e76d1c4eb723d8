"""
What an integrator would write: a FastAPI service over PostgreSQL, one row per POST.

``POST /tickets`` is answered once its row is committed; a repeat is recognised by its id.
``GET /tickets`` waits up to a second for what is not acknowledged; ``POST /acknowledged`` is committed,
too.  A page is a sequence of id (16 bytes), length (4 bytes, big-endian) and content.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from fastapi import FastAPI, Request, Response

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ticket (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE, content BYTEA NOT NULL,
    received TIMESTAMPTZ NOT NULL DEFAULT now(), acknowledged TIMESTAMPTZ
);
CREATE INDEX IF NOT EXISTS waiting ON ticket (position) WHERE acknowledged IS NULL;
"""
_KEEP = "INSERT INTO ticket (id, content) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
_WAITING = "SELECT id, content FROM ticket WHERE acknowledged IS NULL ORDER BY position LIMIT $1"
_DONE = "UPDATE ticket SET acknowledged = now() WHERE id = ANY ($1)"


class Service:
    """The three calls."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool | None = None
        self._arrived = asyncio.Event()

    @asynccontextmanager
    async def open(self, _: FastAPI) -> AsyncIterator[None]:
        """Hold the connections for the length of the service's life."""
        async with asyncpg.create_pool(os.environ["DATABASE"], min_size=8, max_size=8) as pool:
            await pool.execute(_SCHEMA)
            self._pool = pool
            yield

    async def put(self, request: Request) -> Response:
        """Keep one ticket, durably."""
        assert self._pool is not None
        number = UUID(hex=request.headers["ticket-id"])
        await self._pool.execute(_KEEP, number, await request.body())
        self._arrived.set()
        return Response(status_code=201)

    async def page(self, limit: int) -> Response:
        """Return what waits."""
        assert self._pool is not None
        self._arrived.clear()
        rows = await self._pool.fetch(_WAITING, limit)
        if not rows:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), 1)
            rows = await self._pool.fetch(_WAITING, limit)
        parts = (row["id"].bytes + len(row["content"]).to_bytes(4) + row["content"] for row in rows)
        return Response(b"".join(parts), media_type="application/octet-stream")

    async def acknowledged(self, request: Request) -> Response:
        """Note, durably, what the receiver has written."""
        assert self._pool is not None
        await self._pool.execute(_DONE, json.loads(await request.body()))
        return Response(status_code=204)


def make() -> FastAPI:
    """Return the application, for uvicorn."""
    service = Service()
    app = FastAPI(lifespan=service.open)
    app.add_api_route("/tickets", service.put, methods=["POST"])
    app.add_api_route("/tickets", service.page, methods=["GET"])
    app.add_api_route("/acknowledged", service.acknowledged, methods=["POST"])
    return app
