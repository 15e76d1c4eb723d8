"""Starting and stopping: what must hold before anybody is served, and nothing lost at the end."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from certs.development import Credential
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.bridge import Drained
from exchange.config import Tls, load_settings
from exchange.errors import ConfigurationError, StoreUnavailable
from exchange.server.address import require_free
from exchange.server.credentials import server_credentials
from exchange.server.writer import Writer
from exchange.store.schema import migrate
from exchange.submission import Work
from exchange.text import Text
from tests.mtls.handshake import dial
from tests.pki import CITY_12345, Pki
from tests.server.running import Caller, Running, calling, failure, matter, running, write_settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge of the test's own."""
    with running(pki, tmp_path) as found:
        yield found


def writer_of(bridge: Running) -> Writer:
    """Return the running server's writer."""
    assert bridge.server is not None
    return bridge.server._writer


class Gate:
    """Holds every drain up until it is opened; says when one has begun."""

    def __init__(self, bridge: Running) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        writer = writer_of(bridge)
        drain = writer._drain

        def held(work: Sequence[Work], now: datetime) -> Drained:
            self.begun.set()
            assert self.opened.wait(30)
            return drain(work, now)

        writer._drain = held


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

    again = Running(bridge.settings)
    again.start()
    try:
        with calling(pki, again.port, CITY_12345) as caller:
            assert caller.push(sealed) == outcomes
    finally:
        again.stop()


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
    drain = writer._drain

    def failing(work: Sequence[Work], now: datetime) -> Drained:
        if away.is_set():
            raise StoreUnavailable(Text(en="host secret.internal refused", zh="…"))
        return drain(work, now)

    writer._drain = failing
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

    monkeypatch.setattr("exchange.store.Store.waiting", failing)
    with pytest.raises(grpc.RpcError) as raised:
        hotline.pull()
    code, reason, _ = failure(raised)
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "secret" not in str(raised.value)


# -- starting


def test_a_taken_port_is_a_clear_mistake(pki: Pki, bridge: Running, tmp_path: Path) -> None:
    """H13: a second bridge does not share the port; it says who is in the way and what to change."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = Running(load_settings(write_settings(pki, folder)))
    with pytest.raises(ConfigurationError, match="Address already in use") as raised:
        second.start(port=bridge.port)
    assert f"127.0.0.1:{bridge.port}" in raised.value.text.zh
    assert second.events("stopped")


def test_a_name_for_several_addresses_needs_all_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is taken is in the way, one that this machine does not have is not."""

    def resolve(_: str, port: int, **__: Any) -> list[Any]:
        hosts = ("127.0.0.1", "127.0.0.2", "192.0.2.1")  # the last is nobody's (RFC 5737)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"bridge.example:{taken.getsockname()[1]}"
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(ConfigurationError, match="Address already in use"):
            require_free(address)
    require_free(address)


@pytest.mark.parametrize("address", ["", "5110", "localhost", "localhost:http"])
def test_an_address_that_is_none_is_named(pki: Pki, tmp_path: Path, address: str) -> None:
    """With an example of one."""
    found = Running(load_settings(write_settings(pki, tmp_path)))
    with pytest.raises(ConfigurationError, match=r"0\.0\.0\.0:5110"):
        found.start(address=address)


def test_an_rsa_key_is_refused(pki: Pki) -> None:
    """With one, TLS 1.2 would be on offer again."""
    rsa = pki.defects["rsa-1024"]
    with pytest.raises(ConfigurationError):
        server_credentials(_tls(rsa), pki.trust(), pki.made_at)


def test_a_bridge_certificate_out_of_its_time_is_refused(pki: Pki) -> None:
    """Before anybody fails to connect for a reason that TLS does not tell."""
    tls = _tls(pki.development.bridge)
    for now in (pki.made_at + timedelta(days=4000), pki.made_at - timedelta(days=4000)):
        with pytest.raises(ConfigurationError, match="is valid from"):
            server_credentials(tls, pki.trust(), now)


def test_a_key_that_others_may_read_is_refused(pki: Pki, tmp_path: Path) -> None:
    """The bridge's key is its face."""
    key = shutil.copy(pki.development.bridge.key, tmp_path / "open.key")
    Path(key).chmod(0o644)
    opened = Tls(certificate=pki.development.bridge.certificate, key=Path(key))
    with pytest.raises(ConfigurationError, match="chmod 600"):
        server_credentials(opened, pki.trust(), pki.made_at)


@pytest.mark.parametrize(("first", "only"), [("grpc", "False"), ("exchange.cli", "True")])
def test_the_server_knows_whether_tls_1_2_is_shut_out(first: str, only: str) -> None:
    """Grpc reads how at its first import; who imports it before the server is found out."""
    program = f"import {first}\nfrom exchange.server import tls13_only\nprint(tls13_only)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": ""},
        capture_output=True,
        check=True,
        text=True,
    )
    assert said.stdout.strip() == only


def _tls(credential: Credential) -> Tls:
    return Tls(certificate=credential.certificate, key=credential.key)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('origin = "bridge.example/log/1"', 'origin = "other.example/log"', "'origin'"),
        ('listen = "', 'profile = "shangai"\nlisten = "', "did you mean 'shanghai'?"),
        ("[limits]", '[relays]\n"11140400MB1X00010Y" = ["140499000000"]\n[limits]',
         "140499000000"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named_at_the_start(
    pki: Pki, tmp_path: Path, old: str, new: str, named: str
) -> None:
    """Log key and origin, profile and installed ones, relays and register."""
    path = write_settings(pki, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    found = Running(load_settings(path))
    with pytest.raises(ConfigurationError, match=named.replace("?", r"\?")) as raised:
        found.start()
    assert named.rsplit(maxsplit=1)[-1].strip("'?") in raised.value.text.zh or named == "'origin'"


def test_no_root_at_all_is_refused(pki: Pki, tmp_path: Path) -> None:
    """H6: an empty trust would let nobody in on the server, and everybody on a client."""
    path = write_settings(pki, tmp_path)
    text = path.read_text(encoding="utf-8")
    begin, end = text.index("[networks]") + 10, text.index("[limits]")
    path.write_text(text[:begin] + "\n" + text[end:], encoding="utf-8")
    with pytest.raises(ConfigurationError, match="No network is trusted"):
        Running(load_settings(path)).start()


def test_a_client_without_a_certificate_gets_nothing(pki: Pki, bridge: Running) -> None:
    """Not even health."""
    credentials = grpc.ssl_channel_credentials(pki.development.bridge_trust.read_bytes())
    with (
        grpc.secure_channel(f"127.0.0.1:{bridge.port}", credentials) as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        health(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    with dial(pki, bridge.port, pki.gateway(CITY_12345)) as channel:
        assert health(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status == SERVING


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
