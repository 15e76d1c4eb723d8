"""
Failures of a whole call, as they leave the bridge: a status, and what AIP-193 asks beside it.

Every one carries `google.rpc.ErrorInfo` (reason, domain ``hotline.exchange``, facts) and the
Chinese sentence as `google.rpc.LocalizedMessage`; where a retry can help, `google.rpc.RetryInfo`.
What a caller is told never depends on the inside of the bridge: an unexpected exception becomes
INTERNAL with a number that the journal has too.
"""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from exchange.errors import (
    BridgeUnavailable,
    ExchangeError,
    InvalidRequest,
    LimitExceeded,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    PredecessorUnknown,
    StoreUnavailable,
)
from exchange.text import Text

DOMAIN = "hotline.exchange"

#: What a caller may be told.  Every other failure is the bridge's own affair: INTERNAL.
CODES: dict[type[ExchangeError], grpc.StatusCode] = {
    NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    NotAuthorized: grpc.StatusCode.PERMISSION_DENIED,
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    PredecessorUnknown: grpc.StatusCode.FAILED_PRECONDITION,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    BridgeUnavailable: grpc.StatusCode.UNAVAILABLE,
}

#: Seconds after which a retry may help, where the failure does not say.
_RETRY_AFTER = 1.0

_INTERNAL = Text(
    en="The bridge failed inside; tell its operator the number {number}.",
    zh="网桥内部故障，请将编号 {number} 告知运营方。",
)


class Unexpected(ExchangeError):
    """Something failed that should not; *number* is in the journal beside the circumstances."""

    reason = "INTERNAL"

    def __init__(self, number: str) -> None:
        super().__init__(_INTERNAL.fill(number=number), number=number)


def code_of(error: ExchangeError) -> grpc.StatusCode:
    """Return the status that *error* leaves the bridge with."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL


def retry_after(error: ExchangeError) -> float:
    """Return the seconds after which a retry may help."""
    return float(error.facts.get("retry_after", _RETRY_AFTER))


def status_of(error: ExchangeError) -> Any:
    """Return *error* as a `google.rpc.Status` with its details."""
    code: Any = code_of(error).value
    status = status_pb2.Status(code=code[0], message=error.text.en)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts)
    status.details.add().Pack(info)
    status.details.add().Pack(
        error_details_pb2.LocalizedMessage(locale="zh-CN", message=error.text.zh)
    )
    if error.retryable:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_after(error) * 1000))
        status.details.add().Pack(retry)
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: ExchangeError) -> NoReturn:
    """End the call with *error*; the only place in this program that aborts a call."""
    status: Any = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
