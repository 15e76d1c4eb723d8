"""
The connection to a bridge, and what its failures mean.

What gRPC says of a refused handshake is "Socket closed"; a person needs to know what to look at
next.  So every failure becomes one of `exchange.errors`, by the bridge's ``ErrorInfo.reason``
where it gave one, else by the status code.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from grpc_status import rpc_status

from exchange import errors
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text

# A pull may answer with 512 envelopes of 64 KiB.
MAX_RESPONSE = 48 * 1024 * 1024

#: Channel options, each with its reason.
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment has no business between two desks
    ("grpc.use_local_subchannel_pool", 1),  # two identities in one process share no connection
    ("grpc.keepalive_time_ms", 60_000),  # firewalls forget idle connections
    ("grpc.max_receive_message_length", MAX_RESPONSE),
    ("grpc.enable_retries", 0),  # retries are ours, where they are counted and jittered
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 10_000),  # a bridge that is back is found within seconds
)
# No ``grpc.ssl_session_cache``, ever: the bridge refuses resumed sessions.


def secure_channel(target: str, *, roots: bytes, key: bytes, chain: bytes) -> grpc.Channel:
    """
    Return a channel to the bridge at *target* (``host:port``).

    *roots* is the PEM that vouches for the bridge, *key* and *chain* the gateway's PEM.  Raises
    `ConfigurationError` for empty roots: gRPC would then trust every public web authority.
    """
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        raise ConfigurationError(_NO_ROOTS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=roots, private_key=key, certificate_chain=chain
    )
    return grpc.secure_channel(target, credentials, options=list(OPTIONS))


_NO_ROOTS = Text(
    en="The file of the bridge's root certificates holds none; without one any public web authority "
    "could pose as the bridge. Ask the bridge's operator for the root, out of band.",
    zh="网桥根证书文件中没有证书；否则任何公共认证机构都可冒充网桥。请通过其他渠道向网桥运营方索取根证书。",
)

_BY_REASON: dict[str, type[ExchangeError]] = {
    kind.reason: kind for kind in ExchangeError.__subclasses__()
}

_BY_STATUS: dict[grpc.StatusCode, type[ExchangeError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.BridgeUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.BridgeUnavailable,
    grpc.StatusCode.CANCELLED: errors.BridgeUnavailable,
    # Failed inside: the next try may meet a mended bridge, and nothing was decided.
    grpc.StatusCode.INTERNAL: errors.BridgeUnavailable,
    grpc.StatusCode.UNKNOWN: errors.BridgeUnavailable,
    grpc.StatusCode.ABORTED: errors.StoreUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitExceeded,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAuthorized,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.StoreMismatch,
}

_UNREACHED = Text(
    en="The bridge at {target} cannot be reached, or it refused the connection without saying why "
    "({detail}). Run `exchange doctor`: it tells address, port, certificate, network and clock apart.",
    zh="无法连接网桥 {target}，或网桥未说明原因即拒绝连接（{detail}）。"
    "请运行 exchange doctor，逐项检查地址、端口、证书、网络与时钟。",
)
_TOO_LATE = Text(
    en="The bridge at {target} did not answer in time; the call may be repeated safely. If it goes "
    "on, run `exchange doctor`.",
    zh="网桥 {target} 未在时限内应答，可放心重复调用；若持续如此，请运行 exchange doctor。",
)
_OTHER = Text(
    en="The bridge at {target} answered {code}: {detail}",
    zh="网桥 {target} 返回 {code}：{detail}",
)


def as_error(failed: grpc.RpcError, target: str) -> tuple[ExchangeError, timedelta]:
    """Return what *failed* means, and how long the bridge asks to wait before a retry."""
    if not isinstance(failed, grpc.Call):
        raise failed
    code, detail = failed.code(), failed.details() or ""
    info, delay, localized = _details(failed)
    kind = _BY_STATUS.get(code, errors.InvalidRequest)
    if info is not None:  # the bridge itself spoke
        kind = _BY_REASON.get(info.reason, kind)
        text = Text(en=localized.get("en", detail), zh=localized.get("zh", detail))
        return kind(text, **dict(info.metadata)), delay
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = _TOO_LATE.fill(target=target)
    elif kind is errors.BridgeUnavailable:
        text = _UNREACHED.fill(target=target, detail=detail)
    else:
        text = _OTHER.fill(target=target, code=code.name, detail=detail)
    return kind(text), delay


def _details(failed: grpc.Call) -> tuple[ErrorInfo | None, timedelta, dict[str, str]]:
    info, delay, localized = None, timedelta(0), {}
    try:
        status = rpc_status.from_call(failed)
    except ValueError:  # details that contradict the status: somebody between us and the bridge
        status = None
    for detail in status.details if status else ():
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info := ErrorInfo())
        elif detail.Is(RetryInfo.DESCRIPTOR):
            detail.Unpack(retry := RetryInfo())
            delay = retry.retry_delay.ToTimedelta()
        elif detail.Is(LocalizedMessage.DESCRIPTOR):
            detail.Unpack(message := LocalizedMessage())
            localized[message.locale[:2]] = message.message
    return info, delay, localized
