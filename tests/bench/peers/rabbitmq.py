"""
A client of RabbitMQ: a quorum queue, publisher confirms, one acknowledgement for what came together.

A queue does not recognise what it has had before, so the receiver does: the ids that it has seen
stand in a table of its own, durable before it acknowledges.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import aio_pika

from tests.bench.peers.talk import TAKEN, Job, Parcel, run

QUEUE = "tickets"


class RabbitDesk:
    """One connection and channel; consuming begins with the first `receive`."""

    def __init__(self, connection: Any, channel: Any, seen: sqlite3.Connection) -> None:
        self._connection = connection
        self._channel = channel
        self._seen = seen
        self._came: asyncio.Queue[Any] = asyncio.Queue()
        self._held: list[Any] = []
        self._consumes = False

    @classmethod
    async def connect(cls, job: Job) -> RabbitDesk:
        """Connect, and declare the queue."""
        connection = await aio_pika.connect(
            host="127.0.0.1", port=job.port, ssl=True, ssl_context=job.tls()
        )
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=2 * TAKEN)
        arguments = {"x-queue-type": "quorum"}
        await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
        seen = sqlite3.connect(job.home / "seen.db", isolation_level=None)
        seen.execute("PRAGMA journal_mode = WAL")
        seen.execute("PRAGMA synchronous = FULL")
        seen.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        return cls(connection, channel, seen)

    async def send(self, parcel: Parcel) -> None:
        """Publish; return when a majority (here: the one node) has it on disk."""
        number, content = parcel
        message = aio_pika.Message(
            content, message_id=number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await self._channel.default_exchange.publish(message, routing_key=QUEUE, mandatory=True)

    async def receive(self, count: int) -> int:
        """Take what came, and note durably that it did."""
        if not self._consumes:
            queue = await self._channel.get_queue(QUEUE)
            await queue.consume(self._came.put)
            self._consumes = True
        self._held = [await self._came.get()]
        while len(self._held) < count and not self._came.empty():
            self._held.append(self._came.get_nowait())
        new = [(message.message_id,) for message in self._held]
        self._seen.execute("BEGIN IMMEDIATE")
        self._seen.executemany("INSERT OR IGNORE INTO seen VALUES (?)", new)
        self._seen.execute("COMMIT")
        return len(self._held)

    async def acknowledge(self) -> None:
        """Acknowledge up to the last; AMQP does not answer that."""
        await self._held[-1].ack(multiple=True)

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()


if __name__ == "__main__":
    run(RabbitDesk.connect)
