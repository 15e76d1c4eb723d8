"""What the bridge presents, and to whom it listens at all: TLS 1.3 with client certificates."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

import grpc

from exchange.envelope import P256_SHA256, SigningKey, read_file, read_private_file
from exchange.errors import ConfigurationError
from exchange.pem import CERTIFICATE, Malformed, blocks
from exchange.server.address import cannot_listen, require_free
from exchange.server.in_force import TlsConfiguration
from exchange.settings import Limits, Tls
from exchange.text import Text
from exchange.trust import TrustStore

_KEY_KIND = Text(
    en="The key {file} is of another kind than P-256; issue the bridge's certificate anew.",
    zh="密钥 {file} 不是 P-256，请重新签发网桥证书。",
)
_PAIR = Text(
    en="The bridge's certificate {file} with the key {key} cannot be used: {en}",
    zh="网桥证书 {file} 与密钥 {key} 不可用：{zh}",
)
_MALFORMED = Text(
    en="The certificate file {file} has a block at line {line} that is no whole certificate. Fetch it "
    "again.",
    zh="证书文件 {file} 第 {line} 行处的内容块不是完整证书，请重新获取。",
)
_VALIDITY = Text(
    en="The bridge's certificate {file} is valid from {begin} to {end} only. Renew it, or set the "
    "clock right.",
    zh="网桥证书 {file} 的有效期为 {begin} 至 {end}，请更新证书或校准时钟。",
)


def tls_configuration(tls: Tls, trust: TrustStore, now: datetime) -> TlsConfiguration:
    """
    Return what the bridge presents, and whom it listens to; every mistake is found here.

    TLS asks only whether some root vouches for a caller; whose it is, `exchange.identity` asks.  A key
    that is not P-256 is refused, because with RSA TLS 1.2 would be on offer (`exchange.identity.TLS13_ONLY`).

    Raises `ConfigurationError`.
    """
    try:
        key = SigningKey.load(tls.key, tls.certificate)
    except ConfigurationError as error:
        text = _PAIR.fill(file=tls.certificate, key=tls.key, en=error.text.en, zh=error.text.zh)
        raise ConfigurationError(text, file=str(tls.certificate)) from error
    if key.public.suite != P256_SHA256:
        raise ConfigurationError(_KEY_KIND.fill(file=tls.key), file=str(tls.key))
    pem = read_file(tls.certificate)
    try:
        deque(blocks(pem.decode(), {CERTIFICATE}), maxlen=0)
    except ValueError as error:
        line = error.line if isinstance(error, Malformed) else 1
        text = _MALFORMED.fill(file=tls.certificate, line=line)
        raise ConfigurationError(text, file=str(tls.certificate)) from error
    leaf = key.chain[0]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begin <= now <= end:
        raise ConfigurationError(
            _VALIDITY.fill(file=tls.certificate, begin=begin.isoformat(), end=end.isoformat()),
            file=str(tls.certificate),
        )
    return grpc.ssl_server_certificate_configuration(
        [(read_private_file(tls.key), pem)], root_certificates=trust.pem()
    )


def server_options(limits: Limits) -> list[tuple[str, Any]]:
    """Return grpc's options: what it shall refuse before any of our code runs."""
    return [
        ("grpc.so_reuseport", 0),  # else another process can take part in the port unnoticed
        # The guard's own limits answer with their reason; these are the walls behind them.
        ("grpc.max_receive_message_length", 2 * limits.request_bytes),
        ("grpc.max_send_message_length", -1),
        # Nothing compressed is unpacked: kilobytes become megabytes before anybody is asked who he is,
        # and beside other people's words, lengths tell what is inside (CVE-2013-3587).
        ("grpc.compression_enabled_algorithms_bitset", 1),  # identity alone
        ("grpc.max_metadata_size", 2 * limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", 2 * limits.metadata_bytes),
        ("grpc.max_concurrent_streams", 32),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        # A connection is as old as its certificate was when it was made: renew it now and then.
        ("grpc.max_connection_age_ms", 30 * 60_000),
        ("grpc.max_connection_age_grace_ms", 70_000),  # longer than the longest pull waits
        ("grpc.max_connection_idle_ms", 5 * 60_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ]


def listen(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Bind *server* to *address* (``host:port``) and return the port; or `ConfigurationError`."""
    require_free(address)
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise cannot_listen(address, error) from error
