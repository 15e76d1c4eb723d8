"""
A client of NATS JetStream: a stream in files, confirmed publishing, a durable pull consumer.

The server recognises a repeated ``Nats-Msg-Id`` for two minutes, its default.  One acknowledgement
serves for everything before it, and is itself confirmed.
"""

from __future__ import annotations

from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, StorageType

from tests.bench.peers.talk import PATIENCE, Job, Parcel, run

STREAM = SUBJECT = "tickets"


class JetStreamDesk:
    """One connection; the consumer is made with the first `receive`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._stream = client.jetstream(timeout=PATIENCE)
        self._consumer: Any = None
        self._last: Any = None

    @classmethod
    async def connect(cls, job: Job) -> JetStreamDesk:
        """Connect, and declare the stream."""
        client = await nats.connect(
            f"tls://127.0.0.1:{job.port}", tls=job.tls(), tls_hostname="localhost"
        )
        desk = cls(client)
        await desk._stream.add_stream(name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE)
        return desk

    async def send(self, parcel: Parcel) -> None:
        """Publish; return when the stream has it."""
        number, content = parcel
        await self._stream.publish(SUBJECT, content, headers={"Nats-Msg-Id": number})

    async def receive(self, count: int) -> int:
        """Take what came."""
        if self._consumer is None:
            config = ConsumerConfig(ack_policy=AckPolicy.ALL)
            self._consumer = await self._stream.pull_subscribe(SUBJECT, "desk", config=config)
        while True:
            try:
                came = await self._consumer.fetch(count, timeout=5)
            except TimeoutError:
                continue
            self._last = came[-1]
            return len(came)

    async def acknowledge(self) -> None:
        """Acknowledge everything up to the last, and wait until the server says so."""
        await self._last.ack_sync(timeout=PATIENCE)

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


if __name__ == "__main__":
    run(JetStreamDesk.connect)
