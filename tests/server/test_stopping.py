"""Stopping, and going on while the store fails: nothing is lost, and health says so."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.bridge import Drained
from exchange.config import load_settings
from exchange.errors import StoreUnavailable
from exchange.store.schema import migrate
from exchange.submission import Work
from exchange.text import Text
from tests.mtls.handshake import dial
from tests.pki import CITY_12345, Pki
from tests.server.holding import Gate, ledger_of, writer_of
from tests.server.running import Caller, Running, calling, failure, matter, running, write_settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge of the test's own."""
    with running(pki, tmp_path) as found:
        yield found


def health(channel: grpc.Channel) -> Any:
    """Return the health service."""
    return health_pb2_grpc.HealthStub(channel)


# -- stopping


def test_a_push_inside_is_answered_before_the_end(
    pki: Pki, bridge: Running, hotline: Caller
) -> None:
    """Its drain is finished, its receipt given, and the next start finds it stored."""
    gate = Gate(bridge)
    sealed = hotline.sealer.seal(matter())
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(hotline.push, sealed)
        assert gate.begun.wait(30)
        stopping = pool.submit(bridge.stop)
        gate.opened.set()
        outcomes = pushing.result(30)
        stopping.result(30)
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "stored"]
    assert bridge.events("stopped")

    bridge.start()
    with calling(pki, bridge.port, CITY_12345) as caller:
        assert caller.push(sealed) == outcomes


def test_a_push_given_up_counts_until_it_is_stored(pki: Pki, tmp_path: Path) -> None:
    """Calling and hanging up is no way past the limit of messages in flight."""
    with (
        running(pki, tmp_path, messages_in_flight=512) as found,
        calling(pki, found.port, CITY_12345) as caller,
    ):
        gate = Gate(found)
        sealed = caller.sealer.seal(matter())
        request = pb.PushMessagesRequest(
            envelopes=[s.envelope for s in sealed], certificates=caller.certificates
        )
        given_up = caller.exchange.PushMessages.future(request)
        assert gate.begun.wait(30)
        given_up.cancel()
        while not [e for e in found.events("call") if e["code"] == "CANCELLED"]:
            assert not gate.opened.is_set()
        many = pb.PushMessagesRequest(envelopes=[b"x"] * 511)
        with pytest.raises(grpc.RpcError) as raised:
            caller.exchange.PushMessages(many)
        assert failure(raised)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        gate.opened.set()
        assert caller.push(sealed)[0].HasField("stored")


def test_waiting_pulls_end_with_the_bridge(bridge: Running, police: Caller) -> None:
    """They answer with nothing, well before their minute; no adapter sees a failure."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60)
        while not bridge.server or not len(bridge.server._bells):
            assert not waiting.done()
        bridge.stop()
        assert waiting.result(30) == []


def test_health_tells_that_the_bridge_stops(bridge: Running, hotline: Caller) -> None:
    """A watcher is told before the last answer is given."""
    watch = health(hotline.channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == SERVING
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(bridge.stop)
        assert next(watch).status == NOT_SERVING
        watch.cancel()
        stopping.result(30)


@contextmanager
def process(pki: Pki, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve in a process of its own, as the command does; yield it and its port."""
    path = write_settings(pki, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    migrate(load_settings(path).database)
    program = (
        "import asyncio, os, sys, pathlib\n"
        "from exchange.config import load_settings\n"
        "from exchange.server.opening import serve\n"
        "asyncio.run(serve(load_settings(pathlib.Path(sys.argv[1]), os.environ)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        env={"EXCHANGE_LISTEN": f"127.0.0.1:{port}", "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    ) as running_process:
        assert running_process.stderr is not None
        for line in running_process.stderr:
            if '"serving"' in line:
                break
        else:
            pytest.fail("the bridge did not come up")
        try:
            yield running_process, port
        finally:
            if running_process.poll() is None:
                running_process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_gracefully(pki: Pki, tmp_path: Path, number: signal.Signals) -> None:
    """A waiting pull is answered, the process says goodbye and ends with 0."""
    with process(pki, tmp_path) as (bridge, port), calling(pki, port, CITY_12345) as caller:
        request = pb.PullMessagesRequest(wait=Duration(seconds=60))
        waiting = caller.exchange.PullMessages.future(request, timeout=70)
        # On the same connection, so the pull before it is inside when this is answered.
        assert caller.push(caller.sealer.seal(matter()))
        bridge.send_signal(number)
        assert list(waiting.result().deliveries) == []
        assert bridge.stderr is not None
        assert '"stopped"' in bridge.stderr.read()
        assert bridge.wait(30) == 0


def test_a_second_signal_ends_at_once(pki: Pki, tmp_path: Path) -> None:
    """An operator who has waited enough is obeyed, even while a call keeps the bridge from ending."""
    with process(pki, tmp_path) as (bridge, port), calling(pki, port, CITY_12345) as caller:
        watch = health(caller.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        bridge.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING  # a watch does not end by itself
        bridge.send_signal(signal.SIGTERM)
        assert bridge.wait(30) == 128 + signal.SIGTERM


def test_only_tls_1_3_is_spoken(pki: Pki, tmp_path: Path) -> None:
    """H5: the real process refuses TLS 1.2 in the handshake, and speaks 1.3 to the same client."""
    gateway = pki.gateway(CITY_12345)
    with process(pki, tmp_path) as (_, port):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=str(pki.development.bridge_trust))
            context.load_cert_chain(gateway.certificate, gateway.key)
            context.maximum_version = version
            context.set_alpn_protocols(["h2"])
            with socket.create_connection(("127.0.0.1", port)) as plain:
                if version is ssl.TLSVersion.TLSv1_2:
                    with pytest.raises(ssl.SSLError):
                        context.wrap_socket(plain, server_hostname="localhost")
                else:
                    with context.wrap_socket(plain, server_hostname="localhost") as secure:
                        assert secure.version() == "TLSv1.3"


# -- the store fails


def test_health_follows_the_store(bridge: Running, hotline: Caller) -> None:
    """While the database is away a push is UNAVAILABLE and health says so; both come back."""
    away = threading.Event()
    away.set()
    writer = writer_of(bridge)
    ledger = ledger_of(bridge)
    drain = ledger.drain

    def failing(work: Sequence[Work], now: datetime) -> Drained:
        if away.is_set():
            raise StoreUnavailable(Text(en="host secret.internal refused", zh="…"))
        return drain(work, now)

    ledger.drain = failing  # type: ignore[method-assign]
    writer._probe_seconds = 0.01
    watch = health(hotline.channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == SERVING
    sealed = hotline.sealer.seal(matter())
    with pytest.raises(grpc.RpcError) as raised:
        hotline.push(sealed)
    code, reason, _ = failure(raised)
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "secret" not in str(raised.value)
    assert next(watch).status == NOT_SERVING
    away.clear()
    assert next(watch).status == SERVING
    watch.cancel()
    assert [o.WhichOneof("outcome") for o in hotline.push(sealed)] == ["stored", "stored"]


def test_reading_from_a_failing_store_tells_no_more_than_that(
    hotline: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's own words stay with the bridge."""

    def failing(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable(Text(en="host secret.internal refused", zh="…"))

    monkeypatch.setattr("exchange.store.Outbox.waiting", failing)
    with pytest.raises(grpc.RpcError) as raised:
        hotline.pull()
    code, reason, _ = failure(raised)
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "secret" not in str(raised.value)


def test_only_so_many_may_watch_health(pki: Pki, tmp_path: Path) -> None:
    """Anybody may open a watch, so their number is bounded."""
    with (
        running(pki, tmp_path, health_watches=1) as found,
        dial(pki, found.port, pki.gateway(CITY_12345)) as channel,
    ):
        first = health(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(first).status == SERVING
        with pytest.raises(grpc.RpcError) as raised:
            next(health(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30))
        assert failure(raised)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
