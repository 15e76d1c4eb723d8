"""
What a bridge does when it is dialled: every rule that gRPC sums up as "Socket closed", by its name.

The probe makes up to three TLS connections of its own and never speaks gRPC: one that looks at the
chain, one that offers TLS 1.2 only, and one that shows a client certificate and waits for HTTP/2
SETTINGS, the first thing that a server says to a client it accepted.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509

from certs.errors import said
from certs.profiles import PROFILES
from certs.rules import Finding, Rule, Trust, broken, fine, judge

_T = TypeVar("_T")

#: For how long each connection may take to answer.
SECONDS = 10.0

# RFC 9113 3.4: the client's preface, then its (empty) SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4

#: What the other side's alerts mean (RFC 8446 6.2), in OpenSSL's spelling.
_ALERTS: dict[str, tuple[str, str]] = {
    "CERTIFICATE_EXPIRED": ("it says that the certificate has expired", "对方称证书已过期"),
    "UNKNOWN_CA": (
        "it does not trust the certificate's root, or misses the issuing certificate",
        "对方不信任该证书的根，或缺少签发证书",
    ),
    "BAD_CERTIFICATE": ("it says that the certificate is bad", "对方称证书有误"),
    "CERTIFICATE_REVOKED": ("it says that the certificate is revoked", "对方称证书已吊销"),
    "UNSUPPORTED_CERTIFICATE": (
        "the certificate's usage (EKU) is not that of a client",
        "证书用途（EKU）不是客户端",
    ),
    "CERTIFICATE_REQUIRED": ("it demands a client certificate", "对方要求客户端证书"),
    "CERTIFICATE_UNKNOWN": ("it refuses the certificate", "对方拒绝该证书"),
    "DECRYPT_ERROR": ("key and certificate do not fit", "密钥与证书不配对"),
    "HANDSHAKE_FAILURE": (
        "it refuses this kind of key or wants a certificate",
        "对方不接受此类密钥，或要求证书",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What to show to the server: PEM files of the chain and its key, and the chain itself."""

    key: Path
    chain_file: Path
    chain: Sequence[x509.Certificate]
    trust: Trust | None


def dial(
    host: str,
    port: int,
    at: datetime,
    *,
    trust: Trust,
    client: Client | None = None,
    name: str | None = None,
) -> list[Finding]:
    """
    Dial *host* at *port* and say what every rule finds.

    *trust* is whom the caller believes for the bridge; *name* is the name to ask for where *host* is
    only its address.
    """
    asked = name or host
    first = _shake(host, port, asked, _context())
    if isinstance(first, Finding):
        return [first]
    chain, version, protocol = first
    found = [
        fine(Rule.REACHABLE, f"{host}:{port} answers.", f"{host}:{port} 有应答。"),
        _version(version),
        _protocol(protocol),
        *judge(chain, trust, PROFILES["bridge-tls"], at, host=asked),
        _old_tls(host, port, asked),
        _anonymous(host, port, asked),
    ]
    if client is not None:
        found += _accepted(host, port, asked, client, at)
    return found


def _context(
    *, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED, client: Client | None = None
) -> ssl.SSLContext:
    """Return a context that verifies nothing: the rules do, and say what they find."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    context.set_alpn_protocols(["h2"])
    if client is not None:
        context.load_cert_chain(client.chain_file, client.key, password=_no_password)
    return context


def _no_password() -> str:
    return ""  # an encrypted key is refused instead of asked for on the terminal


def _shake(
    host: str, port: int, name: str, context: ssl.SSLContext
) -> tuple[list[x509.Certificate], str, str | None] | Finding:
    """Return the peer's chain, the version and the protocol; or why there was no handshake."""

    def look(tls: ssl.SSLSocket) -> tuple[list[x509.Certificate], str, str | None]:
        return _peer_chain(tls), tls.version() or "?", tls.selected_alpn_protocol()

    return _dialled(host, port, name, context, look)


def _dialled(
    host: str, port: int, name: str, context: ssl.SSLContext, look: Callable[[ssl.SSLSocket], _T]
) -> _T | Finding:
    try:
        raw = socket.create_connection((host, port), timeout=SECONDS)
    except socket.gaierror:
        return broken(
            Rule.REACHABLE, f"There is no host {host}.", f"找不到主机 {host}。",
            "Correct the name, or ask who runs the name service.", "请更正主机名，或询问域名服务的管理者。",
        )  # fmt: skip
    except OSError as error:
        why = said(error)
        return broken(
            Rule.REACHABLE,
            f"{host}:{port} cannot be reached: {why.en}.", f"无法连接 {host}:{port}：{why.zh}。",
            "Check that the bridge runs and that firewall and port are right.",
            "请检查网桥是否运行，防火墙与端口是否正确。",
        )  # fmt: skip
    try:
        with raw, context.wrap_socket(raw, server_hostname=name) as tls:
            return look(tls)
    except (ssl.SSLError, OSError) as error:
        return broken(
            Rule.TLS,
            f"{host}:{port} speaks no TLS that can be agreed on ({_reason(error)}).",
            f"{host}:{port} 无法建立 TLS 连接（{_reason(error)}）。",
            "Check that the port is the bridge's own, without a proxy that ends TLS in between.",
            "请确认该端口是网桥本身，其间没有终止 TLS 的代理。",
        )  # fmt: skip


def _peer_chain(tls: ssl.SSLSocket) -> list[x509.Certificate]:
    """Return what the peer sent, leaf first."""
    # Public from Python 3.13 on; before, on the object below, with certificates instead of bytes.
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [x509.load_der_x509_certificate(one) for one in public()]
    below: Any = getattr(tls, "_sslobj", None)
    chain = below.get_unverified_chain() if below is not None else None
    return [x509.load_der_x509_certificate(one.public_bytes(2)) for one in chain or ()]


def _version(version: str) -> Finding:
    if version == "TLSv1.3":
        return fine(Rule.TLS_VERSION, "TLS 1.3.", "TLS 1.3。")
    return broken(
        Rule.TLS_VERSION, f"It agreed on {version}.", f"协商结果为 {version}。", *_ONLY_13
    )


_ONLY_13 = (
    "The bridge accepts TLS 1.3 alone; is a proxy in between, or has it an RSA key?",
    "网桥只接受 TLS 1.3；其间是否有代理，或其密钥为 RSA？",
)


def _protocol(protocol: str | None) -> Finding:
    if protocol == "h2":
        return fine(Rule.PROTOCOL, "HTTP/2.", "HTTP/2。")
    return broken(
        Rule.PROTOCOL, "It does not speak HTTP/2 (ALPN).", "对方不支持 HTTP/2（ALPN）。",
        "Check that this is a bridge's port.", "请确认这是网桥的端口。",
    )  # fmt: skip


def _old_tls(host: str, port: int, name: str) -> Finding:
    """Offer TLS 1.2 alone: a server that takes it picks a cipher suite, even if it then wants more."""
    context = _context(newest=ssl.TLSVersion.TLSv1_2)
    try:
        with (
            socket.create_connection((host, port), timeout=SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False) as tls,
        ):
            with suppress(OSError):  # also when it goes on to ask for a client certificate
                tls.do_handshake()
            taken = tls.cipher() is not None
    except OSError:
        taken = False
    if taken:
        return broken(
            Rule.TLS_VERSION, "It still takes TLS 1.2.", "对方仍接受 TLS 1.2。", *_ONLY_13
        )
    return fine(Rule.TLS_VERSION, "TLS 1.2 is refused.", "拒绝 TLS 1.2。")


def _anonymous(host: str, port: int, name: str) -> Finding:
    if _settled(host, port, name, _context()) is None:
        return broken(
            Rule.CLIENT_CERTIFICATE,
            "It lets in callers without a certificate.", "对方允许无证书者接入。",
            "This is not how a bridge behaves: find out what listens there.", "网桥不会如此：请查明该端口上是什么程序。",
        )  # fmt: skip
    return fine(
        Rule.CLIENT_CERTIFICATE, "Callers without a certificate are refused.", "拒绝无证书者接入。"
    )


def _accepted(host: str, port: int, name: str, client: Client, at: datetime) -> list[Finding]:
    """Show the client certificate; if it is refused, also hold it against the rules here."""
    try:
        context = _context(client=client)
    except (ssl.SSLError, OSError) as error:
        return [broken(
            Rule.PAIR,
            f"{client.key} and {client.chain_file} cannot be used together ({_reason(error)}).",
            f"{client.key} 与 {client.chain_file} 不能配对使用（{_reason(error)}）。",
            "Give the key that the request was made with, not encrypted.", "请给出申请时所用、未加密的密钥。",
        )]  # fmt: skip
    refused = _settled(host, port, name, context)
    own = []
    if client.trust is not None:
        own = [
            one
            for one in judge(client.chain, client.trust, PROFILES["gateway-tls"], at)
            if not one.fine
        ]
    if refused is None:
        return [
            *own,
            fine(Rule.CLIENT_CERTIFICATE, "TLS lets your certificate in.", "TLS 接受您的证书。"),
        ]
    en, zh = refused
    return [*own, broken(
        Rule.CLIENT_CERTIFICATE,
        f"Your certificate is refused: {en}.", f"您的证书被拒绝：{zh}。",
        "Look at the findings before this one; if there is none, ask the bridge's operator whether your "
        "network's newest root is in force there and whether you are on the deny list: certs doctor",
        "请看上面的结论；若无，请向网桥运维方核实贵网络的最新根是否已在其处生效，以及贵方是否在其拒绝名单中：certs doctor",
    )]  # fmt: skip


def _settled(host: str, port: int, name: str, context: ssl.SSLContext) -> tuple[str, str] | None:
    """Return None when the server greets us with SETTINGS, else why not."""

    def greet(tls: ssl.SSLSocket) -> tuple[str, str] | None:
        try:
            tls.sendall(_PREFACE)
            head = b""
            while len(head) < 9:
                more = tls.recv(9 - len(head))
                if not more:
                    return ("it closed the connection without a word", "对方未说明原因即断开连接")
                head += more
        except (ssl.SSLError, OSError) as error:
            return _alert(error)
        return None if head[3] == _SETTINGS else ("it does not speak HTTP/2", "对方不是 HTTP/2")

    outcome = _dialled(host, port, name, context, greet)
    return (outcome.what.en, outcome.what.zh) if isinstance(outcome, Finding) else outcome


def _alert(error: OSError) -> tuple[str, str]:
    reason = _reason(error)
    for word, meaning in _ALERTS.items():
        if word in reason:
            return meaning
    return (f"it closed the connection ({reason})", f"对方断开连接（{reason}）")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return said(error).en
