"""Connections that hang, lie or drown: the bridge goes on serving those that do not."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from tests.attack.evidence import column, findings
from tests.attack.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Wire,
    fields,
    frame,
    message,
)
from tests.attack.process import BridgeProcess
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, calling, matter

PUSH = "/hotline.exchange.v1.ExchangeService/PushMessages"
PULL = "/hotline.exchange.v1.ExchangeService/PullMessages"


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge that the tests of this module share."""
    made = BridgeProcess(pki, tmp_path_factory.mktemp("connections") / "bridge")
    made.start()
    yield made
    made.close()


@pytest.fixture
def hotline(pki: Pki, bridge: BridgeProcess) -> Iterator[Caller]:
    """The city's 12345 desk, which must be served whatever others do."""
    with calling(pki, bridge.port, CITY_12345) as caller:
        serves(caller)
        yield caller
        serves(caller)


def serves(caller: Caller) -> list[str]:
    """Push a matter; return the ids."""
    sealed = caller.sealer.seal(matter())
    outcomes = caller.push(sealed)
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
    return [one.message_id for one in sealed]


def request_of(caller: Caller, count: int = 1) -> tuple[list[str], bytes]:
    """Return the ids of new matters' messages, and the request that pushes them."""
    sealed = caller.sealer.seal([m for _ in range(count) for m in matter()])
    request = pb.PushMessagesRequest(
        envelopes=[one.envelope for one in sealed], certificates=caller.certificates
    )
    return [one.message_id for one in sealed], request.SerializeToString()


def test_a_call_that_breaks_off_leaves_nothing(
    pki: Pki, bridge: BridgeProcess, hotline: Caller
) -> None:
    """The connection is reset when half of the request was sent: it was never asked."""
    ids, request = request_of(hotline, 8)
    sent = message(request)
    with Wire(pki, bridge.port, pki.gateway(CITY_12345)) as wire:
        wire.send(
            frame(HEADERS, END_HEADERS, 1, fields(PUSH)), frame(DATA, 0, 1, sent[: len(sent) // 2])
        )
        wire.wait_for(SETTINGS)
        wire.abort()
    serves(hotline)
    stored = set(column(bridge.database, "message", "id"))
    assert not stored.intersection(ids)


def test_who_does_not_wait_for_the_answer_can_ask_again(
    pki: Pki, bridge: BridgeProcess, hotline: Caller
) -> None:
    """The whole request was sent and the line went dead: stored whole or not at all, repeatable."""
    for _ in range(5):
        sealed = hotline.sealer.seal([m for _ in range(8) for m in matter()])
        request = pb.PushMessagesRequest(
            envelopes=[one.envelope for one in sealed], certificates=hotline.certificates
        )
        with Wire(pki, bridge.port, pki.gateway(CITY_12345)) as wire:
            sent = message(request.SerializeToString())
            chunks = [sent[at : at + 16_000] for at in range(0, len(sent), 16_000)]
            wire.send(
                frame(HEADERS, END_HEADERS, 1, fields(PUSH)),
                *(frame(DATA, 0, 1, chunk) for chunk in chunks[:-1]),
                frame(DATA, END_STREAM, 1, chunks[-1]),
            )
            wire.wait_for(SETTINGS)
            wire.abort()
        first = hotline.push(sealed)
        assert {outcome.WhichOneof("outcome") for outcome in first} == {"stored"}
        assert hotline.push(sealed) == first
    assert not findings(bridge.database, pki)


def test_a_client_that_is_killed_in_the_middle(
    pki: Pki, bridge: BridgeProcess, hotline: Caller
) -> None:
    """A waiting pull of a dead process takes no delivery: the next pull gets it at the first try."""
    gateway = pki.gateway(CITY_110)
    child = subprocess.Popen(
        [sys.executable, "-c", _WAITING_PULL, str(bridge.port),
         *map(str, (pki.development.bridge_trust, gateway.key, gateway.certificate))],
        stdout=subprocess.PIPE,
        env=os.environ | {"GRPC_VERBOSITY": "NONE"},
    )  # fmt: skip
    with child, calling(pki, bridge.port, CITY_110) as police:
        assert child.stdout is not None
        assert child.stdout.readline() == b"waiting\n"
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        before = {delivery.position for delivery in police.pull(max_deliveries=512)}
        ids = serves(hotline)
        delivered = [d for d in police.pull(wait=30) if d.position not in before]
        assert len(delivered) == len(ids)
        assert {delivery.attempt for delivery in delivered} == {1}


_WAITING_PULL = """
import sys, grpc
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
port, *files = sys.argv[1:]
root, key, chain = (open(path, "rb").read() for path in files)
credentials = grpc.ssl_channel_credentials(root, key, chain)
with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
    stub = ExchangeServiceStub(channel)
    while stub.PullMessages(pb.PullMessagesRequest(max_deliveries=512), timeout=30).deliveries:
        pass
    request = pb.PullMessagesRequest()
    request.wait.FromSeconds(60)
    call = stub.PullMessages.future(request, timeout=70)
    stub.PullMessages(pb.PullMessagesRequest(), timeout=30)  # the waiting one is inside by now
    print("waiting", flush=True)
    call.result()
"""


def test_a_thousand_idle_connections(pki: Pki, bridge: BridgeProcess, hotline: Caller) -> None:
    """More than the bridge takes at once: those inside are served, and others once there is room."""
    with ExitStack() as stack:
        idle = []
        for _ in range(1000):
            plain = stack.enter_context(socket.socket())
            plain.setblocking(False)
            plain.connect_ex(("127.0.0.1", bridge.port))
            idle.append(plain)
        for _ in range(3):
            serves(hotline)
    with calling(pki, bridge.port, CITY_110) as police:
        grpc.channel_ready_future(police.channel).result(30)
        police.pull()


def test_half_open_handshakes(pki: Pki, bridge: BridgeProcess, hotline: Caller) -> None:
    """A hundred that stop in the middle of a TLS handshake keep nobody else from one."""
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(20)  # and nothing more
    with ExitStack() as stack:
        for _ in range(100):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", bridge.port)))
            plain.sendall(hello)
        with calling(pki, bridge.port, CITY_110) as police:
            police.pull()
        serves(hotline)


def test_slow_readers_hold_up_only_themselves(
    pki: Pki, bridge: BridgeProcess, hotline: Caller
) -> None:
    """They ask for all that waits and take no byte of it; the same desk is served elsewhere."""
    hotline.push(hotline.sealer.seal([m for _ in range(64) for m in matter()]))
    asked = message(pb.PullMessagesRequest(max_deliveries=16).SerializeToString())
    with ExitStack() as stack:
        for _ in range(4):
            wire = stack.enter_context(Wire(pki, bridge.port, pki.gateway(CITY_110), window=0))
            wire.send(
                frame(HEADERS, END_HEADERS, 1, fields(PULL)), frame(DATA, END_STREAM, 1, asked)
            )
            wire.wait_for(HEADERS)  # it has its answer before it, and does not take it
        with calling(pki, bridge.port, CITY_110) as police:
            assert police.pull()
        serves(hotline)


def test_a_gzip_bomb_within_the_limit_of_what_is_received(
    pki: Pki, bridge: BridgeProcess, hotline: Caller
) -> None:
    """A few hundred kilobytes that would be half a gigabyte: refused, and never unpacked."""
    bomb = gzip.compress(bytes(1 << 29), 9)
    assert len(bomb) < 4 << 20
    status = Path(f"/proc/{bridge.pid}/status")

    def peak() -> int:
        (line,) = [li for li in status.read_text("ascii").splitlines() if li.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    before = peak()
    with Wire(pki, bridge.port, pki.gateway(CITY_12345)) as wire:
        sent = message(bomb, compressed=True)
        chunks = [sent[at : at + 16_000] for at in range(0, len(sent), 16_000)]
        wire.send(frame(HEADERS, END_HEADERS, 1, fields(PUSH, grpc_encoding="gzip")))
        for chunk in chunks[:3]:  # what the window lets through
            wire.send(frame(DATA, 0, 1, chunk))
        with calling(pki, bridge.port, CITY_12345) as caller:
            ask = caller.channel.unary_unary(
                PUSH, request_serializer=bytes, response_deserializer=bytes
            )
            with pytest.raises(grpc.RpcError) as raised:
                ask(bytes(1 << 27), timeout=60, compression=grpc.Compression.Gzip)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert peak() - before < 1 << 27


def test_metadata_without_end(pki: Pki, bridge: BridgeProcess, hotline: Caller) -> None:
    """A header block that goes on and on is cut off, and with it only its own connection."""
    with Wire(pki, bridge.port, pki.gateway(CITY_12345)) as wire:
        block = fields(PULL, **{f"x_{number}": "y" * 1000 for number in range(15)})
        wire.send(frame(HEADERS, END_STREAM, 1, block[:16_000]))
        with suppress(OSError):  # hung up on
            for _ in range(2000):
                wire.send(
                    frame(CONTINUATION, 0, 1, b"\0" + b"\x01z" + b"\x7f\xff\x7c" + bytes(15_999))
                )
            wire.wait_for(GOAWAY, RST_STREAM, HEADERS)
    serves(hotline)


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 256,
        frame(SETTINGS, 0, 0, b"\0" * 7),
        frame(DATA, END_STREAM, 1, b"without headers"),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\xff" * 100),
        frame(HEADERS, END_HEADERS, 1, fields(PUSH)) + frame(DATA, END_STREAM, 1, b"\0\xff\xff\xff\xff"),
        frame(HEADERS, END_HEADERS, 1, fields(PUSH)) + frame(DATA, END_STREAM, 1, b""),
        frame(HEADERS, END_HEADERS, 1, fields("/nothing/here")) + frame(DATA, END_STREAM, 1, message(b"")),
        frame(HEADERS, END_HEADERS, 1, fields(PUSH, grpc_encoding="lzma"))
        + frame(DATA, END_STREAM, 1, message(b"x", compressed=True)),
    ],
    ids=["http1", "noise", "settings", "stray-data", "hpack", "huge-length", "no-message", "no-method",
         "coding"],
)  # fmt: skip
def test_junk_on_a_good_connection(
    pki: Pki, bridge: BridgeProcess, hotline: Caller, junk: bytes
) -> None:
    """From a desk with a good certificate: answered or hung up on, and nobody else notices."""
    with Wire(pki, bridge.port, pki.gateway(CITY_12345)) as wire, suppress(OSError):  # hung up on
        wire.send(junk, frame(PING, 0, 0, bytes(8)))
        wire.wait_for(GOAWAY, RST_STREAM, HEADERS, PING)
    serves(hotline)


def test_the_bridge_survived_it_all(pki: Pki, bridge: BridgeProcess) -> None:
    """The same process, without one unexpected error in its journal, stops in good order."""
    assert bridge.end(signal.SIGTERM) == 0
    written = bridge.journal.read_text("utf-8")
    assert '"event":"unexpected"' not in written.replace(": ", ":")
    assert "Traceback" not in written
    assert not findings(bridge.database, pki)
