"""Starting: what must hold before anybody is served, and what is refused with its reason."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from certs.development import Credential
from exchange.config import load_settings
from exchange.errors import ConfigurationError
from exchange.server.address import require_free
from exchange.server.credentials import tls_configuration
from exchange.settings import Tls
from tests.mtls.handshake import dial
from tests.pki import CITY_12345, Pki
from tests.server.running import Running, running, write_settings

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge of the test's own."""
    with running(pki, tmp_path) as found:
        yield found


def health(channel: grpc.Channel) -> Any:
    """Return the health service."""
    return health_pb2_grpc.HealthStub(channel)


def test_a_taken_port_is_a_clear_mistake(pki: Pki, bridge: Running, tmp_path: Path) -> None:
    """H13: a second bridge does not share the port; it says who is in the way and what to change."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = Running(load_settings(write_settings(pki, folder)))
    with pytest.raises(ConfigurationError, match="another program uses this address") as raised:
        second.start(port=bridge.port)
    assert f"127.0.0.1:{bridge.port}（配置项 listen）：地址已被其他程序占用" in raised.value.text.zh
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
        with pytest.raises(ConfigurationError, match="another program uses this address"):
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
        tls_configuration(_tls(rsa), pki.trust(), pki.made_at)


def test_a_bridge_certificate_out_of_its_time_is_refused(pki: Pki) -> None:
    """Before anybody fails to connect for a reason that TLS does not tell."""
    tls = _tls(pki.development.bridge)
    for now in (pki.made_at + timedelta(days=4000), pki.made_at - timedelta(days=4000)):
        with pytest.raises(ConfigurationError, match="is valid from"):
            tls_configuration(tls, pki.trust(), now)


def test_a_key_that_others_may_read_is_refused(pki: Pki, tmp_path: Path) -> None:
    """The bridge's key is its face."""
    key = shutil.copy(pki.development.bridge.key, tmp_path / "open.key")
    Path(key).chmod(0o644)
    opened = Tls(certificate=pki.development.bridge.certificate, key=Path(key))
    with pytest.raises(ConfigurationError, match="chmod 600"):
        tls_configuration(opened, pki.trust(), pki.made_at)


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
