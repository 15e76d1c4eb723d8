"""A gateway's certificate is renewed while it works: the new one is used, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from adapters.runner import Pace
from certs.authority import open_authority
from certs.development import Credential, _enrol
from exchange.client import ExchangeClient, GatewayFiles, read_gateway
from exchange.client.renewing import RenewingChannel
from exchange.errors import BridgeUnavailable, ConfigurationError
from exchange.server.serving import utc_now
from exchange.text import Text
from tests.adapters.linked import ONCE, Link
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, matter, running


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    with running(pki, folder) as found:
        yield found


@dataclass
class Gateway:
    """A gateway whose files are its own."""

    pki: Pki
    link: Link
    folder: Path

    @property
    def files(self) -> GatewayFiles:
        """Return the configuration."""
        return read_gateway(self.link.folder / f"{CITY_12345.organisation}.toml")

    def put(self, credential: Credential) -> None:
        """Put another pair in place, as a renewal does."""
        for source, name in (
            (credential.key, "gateway.key"),
            (credential.certificate, "gateway.pem"),
        ):
            beside = self.folder / f"{name}.new"
            beside.write_bytes(source.read_bytes())
            beside.chmod(0o600)
            beside.replace(self.folder / name)

    def renew(self, number: int) -> x509.Certificate:
        """Have the authority issue gateway *number*, put it in place, and return its certificate."""
        authority = open_authority(self.pki.development.authorities[CITY_12345.network])
        name = CITY_12345.name("gw", number)
        made = _enrol(authority, "gateway-tls", name, self.folder / f"gw{number}", utc_now())
        self.put(made)
        return x509.load_pem_x509_certificates(made.certificate.read_bytes())[0]


@pytest.fixture
def gateway(pki: Pki, bridge: Running, tmp_path: Path) -> Iterator[Gateway]:
    """The hotline's gateway number 1, not connected yet."""
    with Link(pki=pki, bridge=bridge, folder=tmp_path) as link:
        found = Gateway(pki, link, tmp_path)
        own = pki.gateway(CITY_12345)
        path = link.config(CITY_12345)
        text = path.read_text("utf-8").replace(str(own.key), "gateway.key")
        path.write_text(text.replace(str(own.certificate), "gateway.pem"), "utf-8")
        found.put(own)
        yield found


@pytest.fixture
def client(gateway: Gateway) -> Iterator[ExchangeClient]:
    """A client of it that looks before every call."""
    files = gateway.files
    with ExchangeClient.dial(files, patience=ONCE) as found:
        assert isinstance(found._channel, RenewingChannel)
        found._channel._look = 0.0
        yield found


def _until(holds: Callable[[], bool]) -> None:
    """Wait until it *holds*; nothing here takes a second."""
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not become so")


def callers(bridge: Running) -> list[int]:
    """Return the numbers of the gateways that called, in the journal's order."""
    return [call["gateway"] for call in bridge.events("call") if "gateway" in call]


def _has_called(bridge: Running, number: int) -> bool:
    return number in callers(bridge)


def test_the_next_call_uses_the_renewed_certificate(
    bridge: Running, gateway: Gateway, client: ExchangeClient
) -> None:
    """Without a restart; the bridge sees another gateway number."""
    client.pull()
    gateway.renew(2)
    client.pull()

    assert callers(bridge) == [1, 2]
    assert client.trouble is None


def test_renewed_under_load_nothing_is_lost(
    bridge: Running, gateway: Gateway, client: ExchangeClient
) -> None:
    """Several threads push throughout three renewals; every message is stored, each exactly once."""
    over, results = threading.Event(), list[Any]()

    def load() -> None:
        while not over.is_set():
            results.extend(client.push(matter()))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in (2, 3, 4):
            gateway.renew(number)
            _until(partial(_has_called, bridge, number))
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert results
    assert [one for one in results if one.stored is None] == []
    ids = [one.message_id for one in results]
    assert len(set(ids)) == len(ids)
    assert not client._channel._line.retired  # type: ignore[attr-defined]


def test_what_is_under_way_ends_on_the_old_channel(
    bridge: Running, gateway: Gateway, client: ExchangeClient
) -> None:
    """A long poll is not cut by the renewal; its channel closes once it has ended."""
    channel = client._channel
    assert isinstance(channel, RenewingChannel)
    old = channel._line
    got: list[Any] = []

    def poll() -> None:
        with suppress(BridgeUnavailable):  # interrupted
            got.extend(client.pull(wait=timedelta(seconds=50)))

    polling = threading.Thread(target=poll)
    polling.start()
    assert bridge.server is not None
    bells = bridge.server._bells
    _until(lambda: len(bells) == 1)
    gateway.renew(2)
    assert all(one.stored for one in client.push(matter()))
    assert (old.retired, old.calls) == (True, 1)
    assert not got
    client.interrupt()
    polling.join()

    _until(lambda: old.calls == 0)  # told on a thread of grpc's
    with pytest.raises(ValueError, match="closed channel"):
        old.channel.unary_unary("/a/b", bytes, bytes)(b"")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda g: (g.folder / "gateway.pem").write_bytes(b""), "no PEM file of its kind"),
        (lambda g: g.put(g.pki.gateway(CITY_110)), "speaks for"),
        (lambda g: g.put(g.pki.defects["expired"]), "holds from"),
        (
            lambda g: (g.folder / "gateway.pem").write_bytes(
                g.pki.defects["two-names"].certificate.read_bytes()
            ),
            "do not belong together",
        ),
    ],
)
def test_wrong_files_change_nothing_and_are_told(
    bridge: Running, gateway: Gateway, client: ExchangeClient, spoil: Callable[..., Any], says: str
) -> None:
    """Calls go on with the old certificate; once the files are right, they are used."""
    client.pull()
    spoil(gateway)
    client.pull()
    assert client.trouble is not None
    assert says in client.trouble.text.en
    assert client.trouble.text.zh

    gateway.renew(3)
    client.pull()

    assert callers(bridge) == [1, 1, 3]
    assert client.trouble is None


def test_the_runner_says_what_is_wrong_and_goes_on(gateway: Gateway) -> None:
    """A renewal that failed is noted like every other failure, and forgotten when it has passed."""
    desk = gateway.link.desk(CITY_110)
    runner = gateway.link.runner(CITY_110, desk, Pace())
    heard: list[tuple[str, bool]] = []
    runner._notes._notice = lambda what, why: heard.append((what, why is not None))
    channel = runner.client._channel
    assert isinstance(channel, RenewingChannel)
    runner._wake.set()  # `_out` does not wait
    runner._out()
    channel.trouble = ConfigurationError(Text(en="Spoilt.", zh="损坏。"))
    runner._wake.set()
    runner._out()
    channel.trouble = None
    runner._wake.set()
    runner._out()

    assert [said for said in heard if said[0] == "renewal"] == [
        ("renewal", False), ("renewal", True), ("renewal", False),
    ]  # fmt: skip


class TestRoots:
    """H6 and H7 on the client's side: what grpc itself would make of these files."""

    def test_grpc_takes_nothing_for_everybody(self, pki: Pki, bridge: Running) -> None:
        """The hole: with empty roots grpc goes by the public web authorities, without a word."""
        with (
            grpc.secure_channel(
                f"127.0.0.1:{bridge.port}", grpc.ssl_channel_credentials(root_certificates=b"")
            ) as channel,
            pytest.raises(grpc.RpcError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            channel.unary_unary("/a/b", bytes, bytes)(b"", timeout=20)

    def test_grpc_drops_what_follows_a_malformed_block(
        self, pki: Pki, bridge: Running, gateway: Gateway, tmp_path: Path
    ) -> None:
        """The hole, and then its end: the file is refused with the line named."""
        good = pki.development.bridge_trust.read_bytes()
        other = pki.development.trust[CITY_110.network].read_bytes()
        junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        own = pki.gateway(CITY_12345)
        roots = tmp_path / "roots.pem"
        roots.write_bytes(other + junk + good)
        with (
            grpc.secure_channel(
                f"127.0.0.1:{bridge.port}",
                grpc.ssl_channel_credentials(
                    roots.read_bytes(), own.key.read_bytes(), own.certificate.read_bytes()
                ),
            ) as channel,
            pytest.raises(grpc.RpcError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            channel.unary_unary("/a/b", bytes, bytes)(b"", timeout=20)

        with pytest.raises(ConfigurationError, match="no whole certificate"):
            ExchangeClient.dial(replace(gateway.files, bridge_roots=roots))
