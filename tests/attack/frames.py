"""
As much of HTTP/2 (RFC 9113) as it takes to misbehave in it: a connection that reads when it likes.

Header fields are sent as literals without indexing or Huffman (RFC 7541 section 6.2.2).
"""

from __future__ import annotations

import socket
import ssl
import struct
from types import TracebackType
from typing import Self

from certs.development import Credential
from tests.pki import Pki

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    head = struct.pack(">I", len(payload))[1:]
    return head + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, parts = len(raw) - 127, [127]
    while rest > 127:
        parts.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*parts, rest]) + raw


def fields(method: str, **more: str) -> bytes:
    """Return the header block of a gRPC call of *method* (``/service/name``)."""
    listed = {
        ":method": "POST",
        ":scheme": "https",
        ":path": method,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    } | {name.replace("_", "-"): value for name, value in more.items()}
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in listed.items())


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    """Return *payload* with gRPC's prefix."""
    return struct.pack(">BI", compressed, len(payload)) + payload


class Wire:
    """One TLS connection of *credential*'s, on which frames are written and read by hand."""

    def __init__(
        self, pki: Pki, port: int, credential: Credential, *, window: int = 65_535
    ) -> None:
        context = ssl.create_default_context(cafile=pki.development.bridge_trust)
        context.check_hostname = False
        context.load_cert_chain(credential.certificate, credential.key)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        setting = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, setting))
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, *frames: bytes) -> None:
        """Send frames."""
        self._socket.sendall(b"".join(frames))

    def abort(self) -> None:
        """Vanish: the connection is reset in the middle of whatever it carries."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def wait_for(self, *kinds: int) -> tuple[int, int, bytes]:
        """Return the next frame of one of *kinds*: kind, stream, payload; others are skipped."""
        while True:
            head = self._read(9)
            length = int.from_bytes(head[:3])
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self._read(length)
            if kind in kinds and not (kind == SETTINGS and flags & ACK):
                return kind, stream, payload

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65_536)
            if not more:
                raise ConnectionResetError("the bridge hung up")
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
