"""
The connection to a bridge, and what its failures mean.

What gRPC says of a refused handshake is "Socket closed"; a person needs to know what to look at
next.  So every failure becomes one of `exchange.errors`, by the bridge's ``ErrorInfo.reason``
where it gave one, else by the status code.
"""

from __future__ import annotations

import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from grpc_status import rpc_status

from exchange import errors, withdrawn
from exchange.client import waiting
from exchange.client.files import GatewayFiles, require_own
from exchange.client.targets import Targets
from exchange.client.token import Signs, gateway_secret
from exchange.envelope import read_file
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text
from exchange.trust import read_authorities

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


def dial(files: GatewayFiles, *, signs: bool = True) -> grpc.Channel:
    """
    Return a channel to the bridge that *files* name, once everything in them is found to be right.

    Whoever only reads (*signs* False) needs no signer's certificate.

    Raises `ConfigurationError` naming the file at fault: roots with anything in them that is no
    authority, or a certificate that is another's.
    """
    require_own(files, signs=signs)
    roots = read_file(files.bridge_roots)
    _require_some(roots)
    read_authorities(files.bridge_roots)  # grpc drops what follows a malformed block
    key, chain = (
        gateway_secret(files.gateway_key, files.gateway_pin),
        read_file(files.gateway_chain),
    )
    return secure_channel(files.target, roots=roots, key=key, chain=chain, waits=True)


def secure_channel(
    target: str, *, roots: bytes, key: bytes | Signs, chain: bytes, waits: bool = False
) -> grpc.Channel:
    """
    Return a channel to the bridge at *target*: ``host:port``, or several of them with commas between.

    Several are bridges that share a database; whichever can be reached is asked.  *roots* is the PEM that
    vouches for the bridge, *key* (or what signs for it) and *chain* the gateway's PEM.  Futures of
    a channel that *waits* are moved by whoever waits for them (`exchange.client.waiting`).  Raises `ConfigurationError` for empty roots: gRPC would then trust every public web authority.
    """
    _require_some(roots)
    if isinstance(key, bytes):
        credentials = grpc.ssl_channel_credentials(
            root_certificates=roots, private_key=key, certificate_chain=chain
        )
    else:
        credentials = _signed_elsewhere(key, roots, chain)
    options = [*OPTIONS, waiting.OPTION] if waits else list(OPTIONS)
    channels = [grpc.secure_channel(one, credentials, options=options) for one in addresses(target)]
    if waits:
        channels = [waiting.WaitingChannel(one) for one in channels]
    return channels[0] if len(channels) == 1 else Targets(channels)


def _signed_elsewhere(key: Signs, roots: bytes, chain: bytes) -> grpc.ChannelCredentials:
    """Return credentials whose handshakes *key* signs; raises `ConfigurationError` where grpc cannot do that."""
    try:
        # Experimental: the version in constraints.txt has it, and a test dials with it.  Who has no token
        # does without.
        from grpc.experimental import (  # noqa: PLC0415
            ExperimentalApiWarning,
            ssl_channel_credentials_with_custom_signer,
        )
    except ImportError as error:
        raise ConfigurationError(_NO_SIGNER.fill(version=grpc.__version__)) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalApiWarning)
        credentials: grpc.ChannelCredentials = ssl_channel_credentials_with_custom_signer(
            private_key_sign_fn=key, root_certificates=roots, certificate_chain=chain
        )
        return credentials


def addresses(target: str) -> list[str]:
    """Return the addresses in *target*; raises `ConfigurationError` where there is none."""
    found = [one.strip() for one in target.split(",")]
    if not all(found):
        raise ConfigurationError(_NO_ADDRESS.fill(target=target))
    return found


_NO_SIGNER = Text(
    en="grpc {version} lets no token sign a handshake. Install the version that constraints.txt names, or let "
    "'gateway_key' name a key file.",
    zh="grpc {version} 不支持由令牌签署握手。请安装 constraints.txt 指定的版本，或将 gateway_key 改为密钥文件。",
)
_NO_ADDRESS = Text(
    en="The setting 'target' is '{target}', which has an empty address. Write host:port, or several with "
    "commas between: a.example:5110, b.example:5110.",
    zh="配置项 target 为“{target}”，其中有空地址。请写作“主机:端口”，多个地址以逗号分隔："
    "a.example:5110, b.example:5110。",
)


def _require_some(roots: bytes) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        raise ConfigurationError(_NO_ROOTS)


_NO_ROOTS = Text(
    en="The file of the bridge's root certificates holds none; without one any public web authority "
    "could pose as the bridge. Ask the bridge's operator for the root, out of band.",
    zh="网桥根证书文件中没有证书；否则任何公共认证机构都可冒充网桥。请通过其他渠道向网桥运营方索取根证书。",
)

_KINDS: tuple[type[ExchangeError], ...] = (
    *ExchangeError.__subclasses__(),
    withdrawn.CertificateRevoked,
    withdrawn.CallerDenied,
    withdrawn.RevocationUnknown,
)
_BY_REASON: dict[str, type[ExchangeError]] = {kind.reason: kind for kind in _KINDS}

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

# What gRPC's detail says -> what that means for a person; the first that fits.  Where several
# addresses were tried it speaks of the last.
_UNREACHED: tuple[tuple[str, Text], ...] = (
    (
        r"resolv|DNS|name not found",
        Text(
            en="The bridge cannot be reached: this machine knows no address for the name in "
            "{target}. Check the spelling of 'target', and the name service.",
            zh="无法连接网桥：本机查不到 {target} 中名称的地址。请检查 target 的拼写及域名解析。",
        ),
    ),
    (
        r"Connection refused",
        Text(
            en="The bridge cannot be reached: nothing listens at {target}. Check that address and "
            "port are right and that the bridge runs.",
            zh="无法连接网桥：{target} 没有程序监听。请检查地址与端口，以及网桥是否在运行。",
        ),
    ),
    (
        r"No route|unreachable|imed out|imeout",
        Text(
            en="The bridge cannot be reached: nobody answers at {target}. Check the address, the "
            "line, and that the firewalls let this port out.",
            zh="无法连接网桥：{target} 无应答。请检查地址、线路，以及防火墙是否放行该出向端口。",
        ),
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|ostname|not in peer certificate",
        Text(
            en="What answers at {target} does not prove to be the bridge, so nothing was sent: no "
            "root in 'bridge_roots' vouches for its certificate, or that has expired or names "
            "another host.",
            zh="{target} 的应答方未能证明自己是网桥，未发送任何内容：bridge_roots 中没有能验证其证书的"
            "根证书，或其证书已过期，或证书名称与地址不符。",
        ),
    ),
    (
        r"WRONG_VERSION_NUMBER|TSI_PROTOCOL_FAILURE",
        Text(
            en="What answers at {target} does not speak TLS 1.3 as a bridge does. Check the port.",
            zh="{target} 的应答方不是以 TLS 1.3 通信的网桥。请检查端口。",
        ),
    ),
    (
        r"Failed to create security handshaker",
        Text(
            en="The connection to {target} cannot be begun: 'gateway_key' and 'gateway_chain' do not "
            "belong together, or the certificate is of a kind that TLS does not take.",
            zh="无法开始与 {target} 的连接：gateway_key 与 gateway_chain 不匹配，或证书类型不可用于 TLS。",
        ),
    ),
    (
        r"failed to connect",
        Text(
            en="The bridge at {target} was reached and refused the handshake: our certificate is "
            "expired, not yet valid, or of an authority that the bridge does not know; or a "
            "firewall cut the connection.",
            zh="已到达网桥 {target}，但对方拒绝握手：我方证书已过期、尚未生效或其签发机构不为网桥所知；"
            "也可能是防火墙切断了连接。",
        ),
    ),
    (
        r"Socket closed|reset|Broken pipe|GOAWAY|transport",
        Text(
            en="The connection to the bridge at {target} was lost during the call; it may be "
            "repeated safely.",
            zh="与网桥 {target} 的连接在调用途中断开，可放心重复调用。",
        ),
    ),
)
_UNAVAILABLE = Text(
    en="The bridge at {target} is not available ({detail}); the call may be repeated safely.",
    zh="网桥 {target} 暂不可用（{detail}），可放心重复调用。",
)
_TOO_LATE = Text(
    en="The bridge at {target} did not answer in time; the call may be repeated safely.",
    zh="网桥 {target} 未在时限内应答，可放心重复调用。",
)
_DOCTOR = Text(
    en=" To find the cause: exchange doctor{config}", zh="查明原因：exchange doctor{config}"
)
_OTHER = Text(
    en="The bridge at {target} answered {code}: {detail}",
    zh="网桥 {target} 返回 {code}：{detail}",
)


def _unreached(detail: str, target: str, code: grpc.StatusCode, file: Path | None) -> Text:
    """Return what became of the link, and the command that looks further."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = _TOO_LATE.fill(target=target)
    else:
        found = (text for sign, text in _UNREACHED if re.search(sign, detail))
        text = next(found, _UNAVAILABLE).fill(target=target, detail=detail)
    more = _DOCTOR.fill(config=f" --config {file}" if file is not None else "")
    return Text(en=text.en + more.en, zh=text.zh + more.zh)


def as_error(
    failed: grpc.RpcError, target: str, file: Path | None = None
) -> tuple[ExchangeError, timedelta]:
    """
    Return what *failed* means, and how long the bridge asks to wait before a retry.

    *file* is the configuration that names *target*, where there is one.
    """
    if not isinstance(failed, grpc.Call):
        raise failed
    code, detail = failed.code(), failed.details() or ""
    info, delay, localized = _details(failed)
    kind = _BY_STATUS.get(code, errors.InvalidRequest)
    if info is not None:  # the bridge itself spoke
        kind = _BY_REASON.get(info.reason, kind)
        text = Text(en=localized.get("en", detail), zh=localized.get("zh", detail))
        return kind(text, **dict(info.metadata)), delay
    if kind is errors.BridgeUnavailable:
        text = _unreached(detail, target, code, file)
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
