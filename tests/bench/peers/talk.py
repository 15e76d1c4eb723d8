"""
One client of a peer, as a program of its own: it reads the tickets, then obeys line by line.

A line on standard input is a command, ``["send", first, last, pack]`` or ``["receive", count]``; its
answer is a line of JSON on standard output.  Times are of the machine's monotonic clock, so that
those of two processes can be compared.  Only the standard library and the peer's own client are
needed: these programs run in an environment of their own, in which nothing of ours is installed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Messages sent and not yet confirmed: as many as our own desk has under way in batches of 128.
WINDOW = 256
#: Deliveries taken at once.
TAKEN = 128
#: Seconds without a delivery after which something is wrong.
PATIENCE = 60.0

_ID, _LENGTH = 16, 4

#: One message: an id (32 hex digits), and the tickets in it.
Parcel = tuple[str, bytes]


def write_tickets(path: Path, tickets: Sequence[tuple[bytes, bytes]]) -> None:
    """Write (id of 16 bytes, content) of every ticket."""
    with path.open("wb") as out:
        for number, content in tickets:
            out.write(number + len(content).to_bytes(_LENGTH) + content)


def read_tickets(path: Path) -> list[Parcel]:
    """Return what `write_tickets` wrote."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at + _ID : at + _ID + _LENGTH])
        start = at + _ID + _LENGTH
        found.append((data[at : at + _ID].hex(), data[start : start + size]))
        at = start + size
    return found


def packed(tickets: Sequence[Parcel], pack: int) -> list[Parcel]:
    """Return *tickets* as they are sent: one a message, or *pack* in one opaque message."""
    if pack == 1:
        return list(tickets)
    return [
        (tickets[at][0], b"".join(content for _, content in tickets[at : at + pack]))
        for at in range(0, len(tickets), pack)
    ]


@dataclass(frozen=True, slots=True)
class Job:
    """Where the server is, and what this client shows and trusts."""

    port: int
    roots: str
    key: str
    chain: str
    tickets: Path
    #: A folder for what the client itself keeps.
    home: Path
    #: Which of several clients of one server it is.
    variant: str

    @classmethod
    def read(cls, text: str) -> Job:
        """Return the job that `asked` wrote."""
        said = json.loads(text)
        return cls(**said | {"tickets": Path(said["tickets"]), "home": Path(said["home"])})

    def tls(self) -> ssl.SSLContext:
        """Return mutual TLS 1.3."""
        context = ssl.create_default_context(cafile=self.roots)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.chain, self.key)
        return context


class Desk(Protocol):
    """A connected client."""

    async def send(self, parcel: Parcel) -> None:
        """Send one message; return when the server confirmed it."""

    async def receive(self, count: int) -> int:
        """Wait for messages, at most *count*; return how many came, before they are acknowledged."""

    async def acknowledge(self) -> None:
        """Acknowledge what `receive` returned; return when the server knows."""

    async def close(self) -> None:
        """Hang up."""


async def _send(desk: Desk, parcels: Iterator[Parcel]) -> tuple[float, float]:
    async def sending() -> None:
        for parcel in parcels:
            await desk.send(parcel)

    begun = time.monotonic()
    await asyncio.gather(*(sending() for _ in range(WINDOW)))
    return begun, time.monotonic()


async def _receive(desk: Desk, count: int) -> tuple[float, float]:
    first = 0.0
    while count > 0:
        count -= await asyncio.wait_for(desk.receive(min(count, TAKEN)), PATIENCE)
        first = first or time.monotonic()
        await desk.acknowledge()
    return first, time.monotonic()


async def _obey(job: Job, connect: Callable[[Job], Awaitable[Desk]]) -> None:
    tickets, desk = read_tickets(job.tickets), await connect(job)
    loop = asyncio.get_running_loop()
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        used = time.process_time()
        match json.loads(line):
            case ["send", first, last, pack]:
                times = await _send(desk, iter(packed(tickets[first:last], pack)))
            case ["receive", count]:
                times = await _receive(desk, count)
            case other:
                raise ValueError(other)
        print(json.dumps([*times, time.process_time() - used]), flush=True)
    await desk.close()


def run(connect: Callable[[Job], Awaitable[Desk]]) -> None:
    """Be the program: connect as the first argument says, and obey until standard input ends."""
    asyncio.run(_obey(Job.read(sys.argv[1]), connect))
