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
    StoreMismatch,
    StoreUnavailable,
    StoreUnusable,
    TamperingFound,
    VerificationError,
)
from exchange.text import Text
from exchange.withdrawn import CallerDenied, CertificateRevoked, RevocationUnknown

DOMAIN = "hotline.exchange"

#: What a caller may be told.  Every other failure is the bridge's own affair: INTERNAL.
CODES: dict[type[ExchangeError], grpc.StatusCode] = {
    NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    CertificateRevoked: grpc.StatusCode.UNAUTHENTICATED,
    RevocationUnknown: grpc.StatusCode.UNAUTHENTICATED,
    CallerDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotAuthorized: grpc.StatusCode.PERMISSION_DENIED,
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    PredecessorUnknown: grpc.StatusCode.FAILED_PRECONDITION,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    # Not before somebody has mended it (google.rpc.Code): to try again before is in vain.
    StoreMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    StoreUnusable: grpc.StatusCode.FAILED_PRECONDITION,
    BridgeUnavailable: grpc.StatusCode.UNAVAILABLE,
}

#: Seconds after which a retry may help, where the failure does not say.
_RETRY_AFTER = 1.0

_INTERNAL = Text(
    en="The bridge failed inside; tell its operator the number {number}.",
    zh="网桥内部故障，请将编号 {number} 告知运营方。",
)
_STORE_FAILED = Text(
    en="The bridge cannot use its database at present and has stored nothing of this; try again "
    "later.",
    zh="网桥目前无法使用数据库，本次内容均未保存，请稍后重试。",
)
_STORE_UNUSABLE = Text(
    en="The bridge cannot use its database until its operator has mended it, and has stored nothing of "
    "this. Keep it, tell the operator, and send it again when the bridge is mended.",
    zh="网桥数据库须由运营方修复后方可使用，本次内容均未保存。请保留内容、告知运营方，修复后再发送。",
)

#: What can be wrong with the database as a whole.
STORE_FAILURES = (StoreUnavailable, StoreMismatch, StoreUnusable)


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


def store_failure(error: ExchangeError) -> ExchangeError:
    """
    Return what callers are told where the database failed with *error*.

    Where it lies and what it said is its operator's affair; whether to try again is everybody's.
    """
    if isinstance(error, StoreMismatch):
        return StoreMismatch(_STORE_UNUSABLE)
    if isinstance(error, StoreUnusable | TamperingFound | VerificationError):
        return StoreUnusable(_STORE_UNUSABLE)
    return StoreUnavailable(_STORE_FAILED)


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
