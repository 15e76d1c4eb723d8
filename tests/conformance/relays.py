"""The reference relay as the kit wants it; whoever breaks it takes another kind of connection."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from adapters.relay.relay import Relay
from adapters.telling import Voice
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.client import Answer, Carrier, Load, Patience, read_gateway

#: Seconds of a call, and the pauses between tries: what a case waits for shall come soon.
DEADLINE = 2


class Sound(Carrier):
    """The relay's own connection to a bridge; what is broken in those below it is broken here."""

    PATIENCE: ClassVar = Patience(
        deadline=timedelta(seconds=DEADLINE),
        attempts=2,
        first_wait=timedelta(milliseconds=50),
        longest_wait=timedelta(milliseconds=200),
    )

    config: Path
    folder: Path
    #: Whether this is the lower bridge, and the connection to the other one.
    is_lower: bool
    other: Sound

    def begin(self) -> None:
        """Look at what an earlier process left."""

    def fetch(
        self, limit: int = 128, wait: timedelta = timedelta(0), *, after: int | None = None
    ) -> list[Load]:
        """Fetch, and change what was fetched."""
        return list(self.changed(super().fetch(limit, wait, after=after)))

    def changed(self, loads: list[Load]) -> Sequence[Load]:
        """Return what is brought instead of *loads*."""
        return loads

    def bring_only(
        self, loads: Sequence[Load], kept: Sequence[Load], instead: Answer
    ) -> list[Answer]:
        """Bring what is *kept* of *loads*; the rest is answered *instead*."""
        chosen = {id(load) for load in kept}
        answers = iter(Carrier.bring(self, kept) if kept else ())
        return [next(answers) if id(load) in chosen else instead for load in loads]


def run(lower: Path, upper: Path, folder: Path, kind: type[Sound] = Sound) -> None:
    """Join two bridges until a signal."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        kind.dial(read_gateway(lower), kind.PATIENCE) as below,
        kind.dial(read_gateway(upper), kind.PATIENCE) as above,
    ):
        for carrier, config, other in ((below, lower, above), (above, upper, below)):
            carrier.config, carrier.folder, carrier.other = config, folder, other
            carrier.is_lower = carrier is below
        below.begin()
        above.begin()
        relay = Relay(
            below, above, folder, Voice(sys.stderr, "en", lambda: datetime.now(UTC)),
            wait=timedelta(seconds=1),
        )  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: relay.stop())
        relay.run()


def said(load: Load) -> pb.Acknowledgement:
    """Return what a load acknowledges."""
    return pb.Acknowledgement.FromString(load.acknowledgement)


def header(load: Load) -> message_pb2.Header:
    """Return the header of a load; an empty one of what is no envelope."""
    return message_pb2.Header.FromString(envelope(load).header)


def envelope(load: Load) -> message_pb2.Envelope:
    """Return the envelope of a load; an empty one of what is none."""
    return message_pb2.Envelope.FromString(load.envelope)


def rewritten(load: Load, found: message_pb2.Envelope) -> Load:
    """Return the load with another envelope."""
    return replace(load, envelope=found.SerializeToString(deterministic=True))
