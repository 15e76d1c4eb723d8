"""What a program says that speaks before it has looked at a certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl


def greet(target: str) -> None:
    """Say a word to whoever listens at *target*, whatever certificate is shown there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, _, port = target.rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, int(port)), 60) as link,
        context.wrap_socket(link) as secured,
    ):
        secured.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
