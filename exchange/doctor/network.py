"""Probes of the way to the bridge: name, port, TLS 1.3, and who is let in."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange.doctor.findings import Finding, Status, fine, wrong
from exchange.text import Text

#: Seconds for one step on the way.
STEP = 4.0
#: Two clocks that differ by more are worth a word: deadlines of minutes are told by them.
CLOCKS_DIFFER = timedelta(seconds=30)

# What an HTTP/2 client says first (RFC 9113 section 3.4): preface and empty settings.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

# OpenSSL's X509_V_ERR numbers.
_NOT_YET, _EXPIRED, _NAME, _ADDRESS = 9, 10, 62, 64
_UNKNOWN = frozenset({2, 18, 19, 20, 21})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is presented (None: nothing) and what vouches for the bridge; PEM files."""

    chain: Path | None
    key: Path | None
    roots: Path


def clocks(ahead: timedelta) -> Finding:
    """Say how far this machine's clock is *ahead* of the bridge's, negative behind it."""
    seconds = round(abs(ahead).total_seconds())
    if abs(ahead) <= CLOCKS_DIFFER:
        return fine("clock", "Our clock and the bridge's agree", "本机与网桥的时钟一致")
    en, zh = ("ahead of", "快") if ahead > timedelta(0) else ("behind", "慢")
    return wrong(
        "clock",
        Text(en=f"This machine's clock is {seconds} s {en} the bridge's",
             zh=f"本机时钟比网桥{zh} {seconds} 秒"),
        Text(en="One of the two is wrong. Receipts, deadlines and certificates are judged by them.",
             zh="其中之一有误；回执、时限与证书均以时钟为准。"),
        Text(en="Set this machine's clock right: timedatectl set-ntp true; if it is right, tell the bridge's "
                "operator",
             zh="请校准本机时钟：timedatectl set-ntp true；如本机无误，请告知网桥运营方"),
        Status.WARN,
    )  # fmt: skip


def split_address(address: str) -> tuple[str, int] | None:
    """Return host and port of ``host:port`` or ``[v6]:port``; None if it is neither."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not int(port) < 65536:
        return None
    return host.strip("[]"), int(port)


def reach(address: str, credentials: Credentials, now: datetime) -> Iterator[Finding]:
    """Go all the way to the bridge at *address*, as far as it goes; to each of several."""
    for one in address.split(","):
        yield from _reach(one.strip(), credentials, now)


def _reach(address: str, credentials: Credentials, now: datetime) -> Iterator[Finding]:
    place = split_address(address)
    if place is None:
        yield wrong(
            "address",
            Text(en=f"'{address}' is no address", zh=f"“{address}”不是地址"),
            Text(en="It is not host:port.", zh="格式不是“主机:端口”。"),
            Text(en="Write it as bridge.example:5110.", zh="请写作 bridge.example:5110。"),
        )
        return
    connection = _connect(*place)
    if isinstance(connection, Finding):
        yield connection
        return
    with connection:
        yield fine("port", f"{address} answers", f"{address} 可以连通")
        yield from _shake_hands(connection, place[0], credentials, now)


def _connect(host: str, port: int) -> socket.socket | Finding:
    at = f"{host}:{port}"
    try:
        return socket.create_connection((host, port), STEP)
    except socket.gaierror as error:
        return wrong(
            "name",
            Text(en=f"The name {host} is not known", zh=f"无法解析主机名 {host}"),
            Text(en=f"{error.strerror}.", zh=f"{error.strerror}。"),
            Text(en=f"Correct 'target', or add {host} to the DNS or /etc/hosts.",
                 zh=f"请更正 target，或在 DNS 或 /etc/hosts 中登记 {host}。"),
        )  # fmt: skip
    except ConnectionRefusedError:
        return wrong(
            "port",
            Text(en=f"Nobody listens on {at}", zh=f"{at} 无服务监听"),
            Text(en="The machine is there and refuses: the bridge does not run, or on another port.",
                 zh="主机可达但拒绝连接：网桥未运行，或使用其他端口。"),
            Text(en="On the bridge run: exchange serve; or correct 'target'.",
                 zh="请在网桥上执行 exchange serve，或更正 target。"),
        )  # fmt: skip
    except TimeoutError:
        return wrong(
            "port",
            Text(en=f"{at} does not answer", zh=f"{at} 无应答"),
            Text(en=f"No answer within {STEP:g} s: a firewall drops the packets, or the machine is off.",
                 zh=f"{STEP:g} 秒内无应答：防火墙丢弃了报文，或主机未开机。"),
            Text(en=f"Ask for one outbound hole to {at} (TCP).", zh=f"请开通到 {at} 的出向 TCP 访问。"),
        )  # fmt: skip
    except OSError as error:
        return wrong(
            "port",
            Text(en=f"{at} cannot be reached", zh=f"无法到达 {at}"),
            Text(en=f"{error.strerror or error}.", zh=f"{error.strerror or error}。"),
            Text(
                en="Check the route to it: ip route get, ping", zh="请检查路由：ip route get、ping"
            ),
        )


def _shake_hands(
    connection: socket.socket, host: str, credentials: Credentials, now: datetime
) -> Iterator[Finding]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(credentials.roots)
        if credentials.chain is not None:
            context.load_cert_chain(credentials.chain, credentials.key)
    except (ssl.SSLError, OSError) as error:
        yield wrong(
            "tls", _TLS, Text(en=f"Our own files cannot be used: {error}.", zh=f"本方文件不可用：{error}。"),
            Text(en="See the findings about keys and certificates.", zh="请见密钥与证书各项。"),
        )  # fmt: skip
        return
    try:
        with context.wrap_socket(connection, server_hostname=host) as secure:
            ends = str((secure.getpeercert() or {}).get("notAfter", ""))
            secure.sendall(_GREETING)
            greeted = secure.recv(9)
    except ssl.SSLCertVerificationError as error:
        yield _bridge_not_believed(error, host, credentials.roots, now)
    except ssl.SSLError as error:
        yield _no_tls(error)
    except (TimeoutError, OSError) as error:
        yield _hung_up(error, credentials)
    else:
        if not greeted:
            yield _hung_up(None, credentials)
            return
        until = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
        yield fine(
            "tls",
            f"TLS 1.3 with the bridge; its certificate is valid until {until:%Y-%m-%d}",
            f"与网桥的 TLS 1.3 连接正常；其证书有效期至 {until:%Y-%m-%d}",
        )


_TLS = Text(en="The bridge and we do not come together over TLS", zh="与网桥的 TLS 握手失败")
_ASK_OPERATOR = Text(
    en="Tell the bridge's operator; do not switch the check off.",
    zh="请告知网桥运营方；切勿关闭校验。",
)


def _bridge_not_believed(
    error: ssl.SSLCertVerificationError, host: str, roots: Path, now: datetime
) -> Finding:
    """Return why the bridge's certificate does not convince us: what gRPC keeps to itself."""
    clock = now.strftime("%Y-%m-%d %H:%M UTC")
    if error.verify_code == _EXPIRED:
        cause = Text(en=f"The bridge's certificate has expired (our clock says {clock}).",
                     zh=f"网桥证书已过期（本机时钟为 {clock}）。")  # fmt: skip
        fix = Text(en="Its operator renews it; if the clock is wrong: timedatectl set-ntp true",
                   zh="请网桥运营方更新证书；若时钟有误：timedatectl set-ntp true")  # fmt: skip
        return wrong("tls-bridge-expired", _TLS, cause, fix)
    if error.verify_code == _NOT_YET:
        cause = Text(en=f"The bridge's certificate is not valid yet; our clock says {clock}, and is "
                     "probably behind.", zh=f"网桥证书尚未生效；本机时钟为 {clock}，很可能偏慢。")  # fmt: skip
        fix = Text(en="Set the clock right: timedatectl set-ntp true",
                   zh="请校准时钟：timedatectl set-ntp true")  # fmt: skip
        return wrong("clock", _TLS, cause, fix)
    if error.verify_code in (_NAME, _ADDRESS):
        cause = Text(en=f"The bridge's certificate is not for the name {host}.",
                     zh=f"网桥证书不含名称 {host}。")  # fmt: skip
        fix = Text(en="Dial it by a name that its certificate has (exchange certs show), or have that "
                   "name added.", zh="请使用其证书所载名称连接（exchange certs show），或为其证书增加该名称。")  # fmt: skip
        return wrong("tls-name", _TLS, cause, fix)
    if error.verify_code in _UNKNOWN:
        cause = Text(en=f"No root in {roots} vouches for the bridge's certificate "
                     f"({error.verify_message}).",
                     zh=f"{roots} 中的根证书不能验证网桥证书（{error.verify_message}）。")  # fmt: skip
        fix = Text(en="Fetch the bridge's root from its operator, out of band, and compare its SHA-256: "
                   "exchange certs show", zh="请通过其他渠道向网桥运营方索取根证书并核对 SHA-256："
                   "exchange certs show")  # fmt: skip
        return wrong("tls-chain", _TLS, cause, fix)
    cause = Text(en=f"{error.verify_message}.", zh=f"{error.verify_message}。")
    return wrong("tls-chain", _TLS, cause, _ASK_OPERATOR)


def _no_tls(error: ssl.SSLError) -> Finding:
    said = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version number" in said or "http request" in said or "record layer" in said:
        cause = Text(en="What listens there does not speak TLS.", zh="对端不是 TLS 服务。")
        fix = Text(en="Correct 'target': another program has this port, or a proxy stands between.",
                   zh="请更正 target：该端口属于其他程序，或中间有代理。")  # fmt: skip
        return wrong("tls-none", _TLS, cause, fix)
    if "protocol version" in said or "unsupported protocol" in said:
        cause = Text(en="The other side does not speak TLS 1.3.", zh="对端不支持 TLS 1.3。")
        fix = Text(en="A proxy or an old gateway stands between; let the connection pass untouched.",
                   zh="中间存在代理或旧网关，请直通该连接。")  # fmt: skip
        return wrong("tls-version", _TLS, cause, fix)
    if "certificate required" in said:
        return _hung_up(None, Credentials(chain=None, key=None, roots=Path()))
    cause = Text(en=f"{said}.", zh=f"{said}。")
    return wrong("tls-refused", _TLS, cause, _ASK_OPERATOR)


def _hung_up(error: OSError | None, credentials: Credentials) -> Finding:
    """Return what it means that the bridge ends the connection after our certificate was sent."""
    if credentials.chain is None:
        return wrong(
            "tls-no-certificate",
            _TLS,
            Text(en="The bridge asks for a client certificate, and we sent none.",
                 zh="网桥要求客户端证书，而本方未发送。"),
            Text(en="Set 'gateway_chain' and 'gateway_key'.", zh="请配置 gateway_chain 与 gateway_key。"),
        )  # fmt: skip
    if error is not None and error.errno not in (errno.ECONNRESET, errno.EPIPE, None):
        cause = Text(en=f"{error.strerror or error}.", zh=f"{error.strerror or error}。")
        return wrong("tls-refused", _TLS, cause, _ASK_OPERATOR)
    return wrong(
        "tls-refused",
        _TLS,
        Text(en="We believe the bridge, but it hung up on our certificate: it is expired, not a "
             "gateway's, or the bridge does not have our network's root.",
             zh="本方信任网桥，但网桥拒绝了本方证书：已过期、不是网关证书，或网桥没有本网络的根证书。"),
        Text(en="See the finding about the gateway's certificate; if that is well, hand your network's "
             "root to the bridge's operator (its setting 'networks').",
             zh="请见网关证书一项；若无问题，请将本网络根证书交给网桥运营方（其 networks 配置）。"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """By what a bridge of this configuration is known: its certificate, and that it has the database."""

    #: PEM, the bridge's own first.
    certificate: Path
    #: Who serves the configured database; None if nobody does.
    served_by: Callable[[], str | None]


def listening(address: str, ours: Ours | None = None) -> Iterator[Finding]:
    """Look whether a bridge could listen on *address*, or who does already; *ours* may."""
    place = split_address(address)
    if place is None:
        yield wrong(
            "address",
            Text(en=f"'{address}' is no address to listen on", zh=f"“{address}”不是监听地址"),
            Text(en="It is not host:port.", zh="格式不是“主机:端口”。"),
            Text(en="Write 'listen' as 0.0.0.0:5110.", zh="请将 listen 写作 0.0.0.0:5110。"),
        )
        return
    host, port = place
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            yield _taken(address, host, port, ours)
            return
        yield wrong(
            "port",
            Text(en=f"{address} cannot be listened on", zh=f"无法监听 {address}"),
            Text(en=f"{error.strerror}.", zh=f"{error.strerror}。"),
            Text(en="Set 'listen' to an address of this machine, and a port above 1023.",
                 zh="请将 listen 设为本机地址及 1023 以上端口。"),
        )  # fmt: skip
    else:
        yield fine("port", f"{address} is free", f"{address} 空闲")


def _taken(address: str, host: str, port: int, ours: Ours | None) -> Finding:
    """Return whether our own bridge listens on *address* or somebody else."""
    what = Text(en=f"{address} is taken", zh=f"{address} 已被占用")
    see = Text(en=f"See who: ss -ltnp 'sport = :{port}'", zh=f"请查看：ss -ltnp 'sport = :{port}'")
    if ours is None or not _presents(host, port, ours.certificate):
        cause = Text(
            en="Another program listens there: it does not present the bridge's certificate. (After a "
            "renewal, restart the bridge.)",
            zh="其他程序正在监听：其未出示本网桥证书。（如刚更新证书，请重启网桥。）",
        )
        return wrong("port", what, cause, see)
    who = ours.served_by()
    if who is None:
        cause = Text(
            en="A bridge with this certificate listens there, and it does not use this database.",
            zh="持有本证书的网桥正在监听，但使用的不是本数据库。",
        )
        fix = Text(
            en="Look at the configuration it was started with, and stop it or correct 'database'. "
            + see.en,
            zh="请核对其启动配置，将其停止或更正 database。" + see.zh,
        )
        return wrong("port", what, cause, fix)
    by = f" ({who})" if who else ""
    return fine(
        "port", f"The bridge is running here: {address}{by}", f"网桥正在此运行：{address}{by}"
    )


def _presents(host: str, port: int, certificate: Path) -> bool:
    """Return whether who listens there proves to have the key of *certificate* (TLS 1.3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    # Not a root decides but the very certificate; its key has signed the handshake.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    here = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        expected = ssl.PEM_cert_to_DER_cert(_first_block(certificate.read_text("ascii")))
        with (
            socket.create_connection((here, port), STEP) as connection,
            context.wrap_socket(connection) as secure,
        ):
            return secure.getpeercert(binary_form=True) == expected
    except (OSError, ValueError):
        return False  # other findings name the file or the address; nobody of ours answers here


def _first_block(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[pem.find("-----BEGIN CERTIFICATE-----") : pem.find(end) + len(end)]
