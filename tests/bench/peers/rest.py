"""
A client of the FastAPI service: with httpx, as people write it, or with as little as HTTP needs.

Either keeps its connections open, as many as it has requests under way.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Protocol

import httpx

from tests.bench.peers.talk import Job, Parcel, run

#: Connections of one client; more gain nothing on two cores.
CONNECTIONS = 32
_ID, _LENGTH = 16, 4


class Http(Protocol):
    """Makes one request; raises for any status but success."""

    async def ask(self, method: str, path: str, body: bytes = b"", number: str = "") -> bytes:
        """Return the body of the answer."""

    async def close(self) -> None:
        """Hang up."""


class Httpx:
    """With httpx."""

    def __init__(self, job: Job) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._client = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{job.port}", verify=job.tls(), limits=limits, timeout=60
        )

    async def ask(self, method: str, path: str, body: bytes = b"", number: str = "") -> bytes:
        """Return the body of the answer."""
        answer = await self._client.request(
            method, path, content=body, headers={"ticket-id": number} if number else None
        )
        return bytes(answer.raise_for_status().content)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()


class Minimal:
    """HTTP/1.1 by hand, for a server that always gives a length."""

    def __init__(self, job: Job) -> None:
        self._port, self._tls = job.port, job.tls()
        self._made = 0
        self._free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._free = asyncio.LifoQueue()

    async def ask(self, method: str, path: str, body: bytes = b"", number: str = "") -> bytes:
        """Return the body of the answer."""
        if self._free.empty() and self._made < CONNECTIONS:
            self._made += 1
            reader, writer = await _connect(self._port, self._tls)
        else:
            reader, writer = await self._free.get()
        id_line = f"ticket-id: {number}\r\n" if number else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\n{id_line}content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        if not lines[0].startswith("http/1.1 2"):
            raise RuntimeError(lines[0])
        sizes = [line for line in lines if line.startswith("content-length:")]
        size = int(sizes[0].partition(":")[2]) if sizes else 0
        answer = await reader.readexactly(size)
        self._free.put_nowait((reader, writer))
        return answer

    async def close(self) -> None:
        """Hang up."""
        while not self._free.empty():
            self._free.get_nowait()[1].close()


async def _connect(
    port: int, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=1 << 22)


class RestDesk:
    """A desk over either client."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._held: list[str] = []

    @classmethod
    async def connect(cls, job: Job) -> RestDesk:
        """Connections are made when they are needed first."""
        return cls(Httpx(job) if job.variant == "httpx" else Minimal(job))

    async def send(self, parcel: Parcel) -> None:
        """Post one ticket; it is committed when this returns."""
        await self._http.ask("POST", "/tickets", parcel[1], parcel[0])

    async def receive(self, count: int) -> int:
        """Take what waits."""
        while True:
            page = await self._http.ask("GET", f"/tickets?limit={count}")
            self._held, at = [], 0
            while at < len(page):
                self._held.append(page[at : at + _ID].hex())
                at += _ID + _LENGTH + int.from_bytes(page[at + _ID : at + _ID + _LENGTH])
            if self._held:
                return len(self._held)

    async def acknowledge(self) -> None:
        """Post the ids; they are committed when this returns."""
        await self._http.ask("POST", "/acknowledged", json.dumps(self._held).encode())

    async def close(self) -> None:
        """Hang up."""
        await self._http.close()


if __name__ == "__main__":
    run(RestDesk.connect)
