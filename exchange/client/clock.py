"""What time the bridge has: its health answer tells it, and a gateway's doctor compares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc
from grpc_health.v1 import health_pb2

from exchange.client.calls import Calls
from exchange.client.channel import as_error

_CHECK = "/grpc.health.v1.Health/Check"
#: The trailing metadata that tells it (`exchange.server.guard.TIME`).
_TIME = "exchange-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTold:
    """The bridge's *time*, and when by our own clock it was *asked* for and *heard*; all UTC."""

    time: datetime
    asked: datetime
    heard: datetime

    @property
    def ahead(self) -> timedelta:
        """How far our clock is certainly ahead of the bridge's, negative behind it; nothing within the call."""
        if self.asked > self.time:
            return self.asked - self.time
        return min(self.heard - self.time, timedelta(0))


def ask_time(channel: grpc.Channel, call: Calls) -> ClockTold | None:
    """
    Ask the bridge for its time, once; None from a version that does not tell it.

    Raises the `ExchangeError` that the bridge's status means.
    """
    check = channel.unary_unary(
        _CHECK,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    patience = call.patience
    asked = patience.clock()
    answered = check.future(
        health_pb2.HealthCheckRequest(), timeout=patience.deadline.total_seconds()
    )
    try:
        answered.result()
    except grpc.RpcError as failed:
        error, _ = as_error(failed, call.target, call.file)
        raise error from failed
    heard = patience.clock()
    for key, value in answered.trailing_metadata() or ():
        if key == _TIME:
            told = value.decode("ascii", "replace") if isinstance(value, bytes) else value
            try:
                time = datetime.fromisoformat(told)
            except ValueError:
                return None
            return None if time.tzinfo is None else ClockTold(time=time, asked=asked, heard=heard)
    return None
