"""Somebody who carries out an abuse of `tests.attack.abuses`, and notes what the bridge did about it."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from certs.development import Credential
from tests.attack.abuses import Abuse
from tests.attack.frames import (
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
)

#: Error codes of RFC 9113 section 7, by number.
CODES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
)  # fmt: skip
#: What may wait in a line's own buffer before no further burst is taken.
_ENOUGH = 1 << 20
#: Bytes taken off a line in one turn.
_TAKEN = 1 << 16


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What was done, and what came of it."""

    lines: int = 0
    bursts: int = 0
    sent: int = 0
    #: GOAWAY and RST_STREAM by their code, HEADERS (answers and their ends), closed lines.
    came: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        came = ", ".join(f"{what} x{times}" for what, times in self.came.most_common(4))
        return f"{self.lines} lines, {self.bursts} bursts, {self.sent} bytes: {came or 'nothing'}"


class _Line:
    """One connection, never waited for."""

    def __init__(
        self, abuse: Abuse, ledger: Ledger, root: Path, gateway: Credential, port: int
    ) -> None:
        self._abuse = abuse
        self._ledger = ledger
        self._bursts = abuse.bursts()
        self._out = bytearray()
        self._in = bytearray()
        self.due = 0.0
        self.open = True
        ledger.lines += 1
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket: socket.socket = plain
        if abuse.certificate:
            context = ssl.create_default_context(cafile=root)
            context.check_hostname = False
            context.load_cert_chain(gateway.certificate, gateway.key)
            context.set_alpn_protocols(["h2"])
            try:
                self.socket = context.wrap_socket(plain, server_hostname="localhost")
            except OSError:
                plain.close()
                raise
            setting = struct.pack(">HI", INITIAL_WINDOW_SIZE, abuse.window)
            self._out += PREFACE + frame(SETTINGS, 0, 0, setting)
        self.socket.setblocking(False)

    def turn(self, now: float) -> bool:
        """Say and hear what can be without waiting; return whether anything moved."""
        moved = False
        if now >= self.due and len(self._out) < _ENOUGH:
            self._out += next(self._bursts)
            self._ledger.bursts += 1
            self.due = now + self._abuse.every
        try:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                while self._out:
                    sent = self.socket.send(self._out[:_TAKEN])
                    del self._out[:sent]
                    self._ledger.sent += sent
                    moved = True
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                if self._abuse.reads:
                    heard = self.socket.recv(_TAKEN)
                    moved = True
                    self._in += heard
                    if not heard:
                        self.close("closed")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._in += self._left()
            self.close("reset" if error.errno in (errno.ECONNRESET, errno.EPIPE) else "broken")
        self._note()
        return moved

    def _left(self) -> bytes:
        heard = b""
        with contextlib.suppress(OSError):
            while more := self.socket.recv(_TAKEN):
                heard += more
        return heard

    def _note(self) -> None:
        while self._abuse.certificate and len(self._in) >= 9:
            length = int.from_bytes(self._in[:3])
            if len(self._in) < 9 + length:
                return
            kind, payload = self._in[3], bytes(self._in[9 : 9 + length])
            del self._in[: 9 + length]
            if kind == GOAWAY:
                code = CODES[int.from_bytes(payload[4:8])]
                self._ledger.came[
                    f"GOAWAY {code} {payload[8:].decode('ascii', 'replace')}".strip()
                ] += 1
            elif kind == RST_STREAM:
                self._ledger.came[f"RST_STREAM {CODES[int.from_bytes(payload)]}"] += 1
            elif kind == HEADERS:
                self._ledger.came["HEADERS"] += 1

    def close(self, why: str) -> None:
        """Let go of it."""
        if self.open:
            self._ledger.came[why] += 1
        self.open = False
        self.socket.close()


class Hostile:
    """An abuse under way against the bridge on *port*; lines that the bridge cuts are dialled again."""

    def __init__(self, abuse: Abuse, root: Path, gateway: Credential, port: int) -> None:
        self.abuse = abuse
        self.ledger = Ledger()
        self._dial = (abuse, self.ledger, root, gateway, port)
        self._lines: list[_Line] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.socket.close()

    def turns(self) -> Iterator[Ledger]:
        """Go on and on; yields after every turn of all lines."""
        while True:
            now = time.monotonic()
            self._lines = [line for line in self._lines if line.open]
            if len(self._lines) < self.abuse.lines:
                try:
                    self._lines.append(_Line(*self._dial))
                except OSError:
                    self.ledger.came["not let in"] += 1
            moved = [line.turn(now) for line in self._lines]
            yield self.ledger
            if not any(moved):
                waiting = [line.socket for line in self._lines if line.open]
                select.select(waiting if self.abuse.reads else [], [], [], 0.02)
