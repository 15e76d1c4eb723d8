"""The address that a bridge listens on, asked about before anything is opened."""

from __future__ import annotations

import errno
import ipaddress
import socket

from exchange.causes import cause
from exchange.errors import ConfigurationError
from exchange.text import Text

_TAKEN = Text(
    en="The bridge cannot listen on {address} (the setting '{setting}'): {why}.",
    zh="网桥无法监听 {address}（配置项 {setting}）：{why}。",
)
_NONE = Text(
    en="'{address}' is no address to listen on; write host:port, such as 0.0.0.0:5110.",
    zh="“{address}”不是监听地址，应写作 主机:端口，例如 0.0.0.0:5110。",
)
_FOREIGN = Text(
    en="The setting 'metrics' is {address}, which other machines can reach, and nobody there is asked "
    'who he is. Write 127.0.0.1:PORT; or, if that is meant, metrics_reach = "network".',
    zh="配置项 metrics 为 {address}，其他机器可以访问且无身份核验。请改为 127.0.0.1:端口；"
    '如确需开放，请设 metrics_reach = "network"。',
)


def metrics_place(address: str, reach: str) -> tuple[str, int]:
    """
    Return host and port of the setting ``metrics``.

    Raises `ConfigurationError` for what is no address, or one beyond this machine unless *reach*
    (the setting ``metrics_reach``) is ``network``.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(_NONE.fill(address=address), address=address)
    host = host.strip("[]")
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if not here and reach != "network":
        raise ConfigurationError(_FOREIGN.fill(address=address), address=address)
    return host, int(port)


def require_free(address: str) -> None:
    """
    Raise `ConfigurationError` unless *address* (``host:port``) can be listened on now.

    A name may stand for several (``localhost`` for two): none may be taken, though grpc would be
    content with the others.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(_NONE.fill(address=address), address=address)
    try:
        places = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, OverflowError) as error:
        raise cannot_listen(address, error) from error
    failures = [failure for place in places if (failure := _bind(*place)) is not None]
    for failure in failures:
        # A kind of address that this machine does not have (IPv6) may stay away.
        if failure.errno == errno.EADDRINUSE or len(failures) == len(places):
            raise cannot_listen(address, failure) from failure


def cannot_listen(address: str, error: Exception, setting: str = "listen") -> ConfigurationError:
    """Return the failure to listen on *address*, with its cause where the operating system gives one."""
    why = cause(error) if isinstance(error, OSError) else Text(en=str(error), zh=str(error))
    text = Text(
        en=_TAKEN.en.format(address=address, setting=setting, why=why.en),
        zh=_TAKEN.zh.format(address=address, setting=setting, why=why.zh),
    )
    return ConfigurationError(text, address=address)


def _bind(
    family: int, kind: int, protocol: int, _: str, place: tuple[object, ...]
) -> OSError | None:
    try:
        with socket.socket(family, kind, protocol) as probe:
            # As grpc does: connections that linger from before do not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error
    return None
