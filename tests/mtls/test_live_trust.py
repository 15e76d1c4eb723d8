"""
Trust changes while the bridge serves: at once, as a whole, and without a restart.

Each peer stays connected throughout: what is refused here was let in a moment before, on the very same
connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health_pb2, health_pb2_grpc

from certs.denylist import changing, issuer_key_id, make_entry
from certs.development import GOVERNMENT, POLICE
from certs.founding import create_authority
from exchange._proto.v1 import exchange_service_pb2 as pb
from tests.mtls.handshake import dial, look, mirror
from tests.mtls.living import (
    Living,
    ended,
    issuing_of,
    leaf_of,
    lists_of,
    living,
    signed_list,
)
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Caller, calling, failure, matter


@dataclass
class Clock:
    """The bridge's clock, which a test may set."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    """The time as it is."""
    return Clock()


@pytest.fixture
def site(pki: Pki, tmp_path: Path, clock: Clock) -> Iterator[Living]:
    """A bridge with an empty list of the hotlines' network."""
    with living(pki, tmp_path, lists=True, clock=clock) as found:
        yield found


@pytest.fixture
def hotline(pki: Pki, site: Living) -> Iterator[Caller]:
    """The city's hotline, connected."""
    with calling(pki, site.bridge.port, CITY_12345) as found:
        yield found


@pytest.fixture
def police(pki: Pki, site: Living) -> Iterator[Caller]:
    """The city's 110, connected."""
    with calling(pki, site.bridge.port, CITY_110) as found:
        yield found


def poll(site: Living, caller: Caller) -> Any:
    """Begin a long poll; return its future once it is inside."""
    assert site.bridge.server is not None
    before = len(site.bridge.server._bells)
    request = pb.PullMessagesRequest()
    request.wait.FromSeconds(50)
    future = caller.exchange.PullMessages.future(request, timeout=60)
    reached = threading.Event()
    while len(site.bridge.server._bells) == before:
        assert not future.done()
        reached.wait(0.01)
    return future


def denied(site: Living, **thing: str) -> str:
    """Shut somebody out; return the entry's id."""
    entry = make_entry(reason="演练", since=datetime.now(UTC), by="li", **thing)
    count = len(site.bridge.events("trust-in-force"))
    with changing(site.folder / "deny.toml") as entries:
        entries[entry.id] = entry
    site.until("trust-in-force", count + 1)
    return entry.id


def refused(caller: Caller) -> tuple[grpc.StatusCode, str, str]:
    """Call; return status, reason and rule of the refusal."""
    with pytest.raises(grpc.RpcError) as raised:
        caller.pull()
    code, reason, facts = failure(raised)
    return code, reason, facts["rule"]


def why(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, str]:
    """Return the same of a call that was cut."""
    code, reason, facts = failure(SimpleNamespace(value=error))
    return code, reason, facts["rule"]


CALLER_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "CALLER_DENIED", "denied")
REVOKED = (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_REVOKED", "revoked")
STALE = (grpc.StatusCode.UNAUTHENTICATED, "REVOCATION_UNKNOWN", "crl-stale")


class TestDenied:
    @pytest.mark.parametrize(
        "by", ["certificate", "authority", "serial", "organisation", "network"]
    )
    def test_a_long_poll_is_cut_and_nothing_more_is_let_in(
        self, pki: Pki, site: Living, hotline: Caller, police: Caller, by: str
    ) -> None:
        """By whatever it is named; its neighbour's poll goes on, and gets what comes."""
        own, leaf = poll(site, hotline), leaf_of(pki.gateway(CITY_12345))
        other = poll(site, police)
        thing = {
            "certificate": {"certificate": leaf.fingerprint(hashes.SHA256()).hex()},
            "authority": {"certificate": issuing_of(pki).fingerprint(hashes.SHA256()).hex()},
            "serial": {"issuer": issuer_key_id(leaf), "serial": f"{leaf.serial_number:x}"},
            "organisation": {"organisation": CITY_12345.organisation},
            "network": {"network": GOVERNMENT},
        }[by]
        entry = denied(site, **thing)

        assert why(ended(own)) == CALLER_DENIED
        assert refused(hotline) == CALLER_DENIED
        assert not other.done()
        count = len(site.bridge.events("trust-in-force"))
        with changing(site.folder / "deny.toml") as entries:
            del entries[entry]
        site.until("trust-in-force", count + 1)
        assert hotline.push(hotline.sealer.seal(matter()))[0].HasField("stored")
        assert other.result(timeout=20).deliveries

    def test_what_is_denied_elsewhere_denies_nobody_here(
        self, site: Living, hotline: Caller
    ) -> None:
        """The organisation's code in the other network, and another's serial number."""
        denied(site, organisation=CITY_12345.organisation, network=POLICE)
        denied(site, issuer="00" * 20, serial="1")

        assert not hotline.pull()

    def test_health_is_closed_too(self, pki: Pki, site: Living) -> None:
        """Anybody whom TLS lets in may ask and watch, but who was shut out."""
        with dial(pki, site.bridge.port, pki.gateway(CITY_12345)) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            watching = health.Watch(health_pb2.HealthCheckRequest())
            assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
            denied(site, network=GOVERNMENT)
            with pytest.raises(grpc.RpcError) as raised:
                next(watching)
            assert failure(raised)[1] == "CALLER_DENIED"
            with pytest.raises(grpc.RpcError) as raised:
                health.Check(health_pb2.HealthCheckRequest())
            assert failure(raised)[1] == "CALLER_DENIED"


class TestRevoked:
    def test_tls_alone_lets_a_revoked_certificate_in(self, pki: Pki) -> None:
        """H4, with the guard off: grpc's Python API knows no list, on a new connection either."""
        with mirror(pki) as port, dial(pki, port, pki.gateway(CITY_12345)) as channel:
            assert look(channel)

    def test_a_long_poll_is_cut_and_nothing_more_is_let_in(
        self, pki: Pki, site: Living, hotline: Caller, police: Caller
    ) -> None:
        """The authority's list names the gateway's serial number."""
        own, other = poll(site, hotline), poll(site, police)
        serial = leaf_of(pki.gateway(CITY_12345)).serial_number
        said = site.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=2, revoked=[serial]))

        assert said["lists"] == [f"{GOVERNMENT} 2", f"{GOVERNMENT} 2"]
        assert why(ended(own)) == REVOKED
        assert refused(hotline) == REVOKED
        with calling(pki, site.bridge.port, CITY_12345) as again:
            assert refused(again) == REVOKED
        assert not other.done()
        other.cancel()

    def test_a_revoked_authority_takes_everybody_along(
        self, pki: Pki, site: Living, hotline: Caller
    ) -> None:
        """The whole chain is looked at, not the leaf alone."""
        own = poll(site, hotline)
        authority = issuing_of(pki).serial_number
        site.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=2, authorities=[authority]))

        assert why(ended(own)) == REVOKED
        assert refused(hotline) == REVOKED

    def test_a_withdrawn_root_takes_everybody_along(
        self, pki: Pki, site: Living, hotline: Caller, tmp_path: Path
    ) -> None:
        """H4: the connection stays, and nothing more is let in on it."""
        own = poll(site, hotline)
        create_authority(tmp_path / "another", GOVERNMENT, pki.made_at)
        another = tmp_path / "another" / "trust" / f"{GOVERNMENT}.pem"
        (site.folder / f"{GOVERNMENT}.crl.pem").unlink()
        said = site.refuse(f"{GOVERNMENT}.pem", another.read_bytes())
        assert said["file"].endswith(".crl.pem")  # the old root's lists are no longer proved
        site.change(f"{GOVERNMENT}.crl.pem", _lists_of_another(tmp_path / "another", pki))

        refusal = grpc.StatusCode.UNAUTHENTICATED, "NOT_AUTHENTICATED", "chain"
        assert why(ended(own)) == refusal
        assert refused(hotline) == refusal

    def test_a_revoked_signer_signs_nothing_more(
        self, pki: Pki, site: Living, hotline: Caller
    ) -> None:
        """The gateway may still call; what it brings is refused, signed and recorded."""
        assert hotline.push(hotline.sealer.seal(matter()))[0].HasField("stored")
        serial = leaf_of(pki.signer(CITY_12345)).serial_number
        site.change(f"{GOVERNMENT}.crl.pem", lists_of(pki, number=2, revoked=[serial]))

        outcomes = hotline.push(hotline.sealer.seal(matter()))

        assert {outcome.WhichOneof("outcome") for outcome in outcomes} == {"refused"}

    def test_without_a_list_of_its_authority_nobody_is_let_in(
        self, pki: Pki, site: Living, hotline: Caller
    ) -> None:
        """The root's list alone does not say which gateways were revoked."""
        root = lists_of(pki, number=2).split(b"-----BEGIN")[1]
        site.change(f"{GOVERNMENT}.crl.pem", b"-----BEGIN" + root)

        code, reason, rule = refused(hotline)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "REVOCATION_UNKNOWN")
        assert rule == "crl-missing"


def _lists_of_another(folder: Path, pki: Pki) -> bytes:
    development = SimpleNamespace(authorities={GOVERNMENT: folder})
    return lists_of(SimpleNamespace(development=development, made_at=pki.made_at), number=9)  # type: ignore[arg-type]


class TestEnds:
    def test_a_certificate_that_ends_cuts_what_is_under_way(
        self, pki: Pki, site: Living, hotline: Caller, clock: Clock
    ) -> None:
        """At its notAfter, however old the connection and however long the poll."""
        own = poll(site, hotline)
        clock.ahead = leaf_of(pki.gateway(CITY_12345)).not_valid_after_utc - datetime.now(UTC)
        clock.ahead += timedelta(seconds=1)

        expired = grpc.StatusCode.UNAUTHENTICATED, "NOT_AUTHENTICATED", "validity"
        assert why(ended(own)) == expired
        assert refused(hotline) == expired

    def test_an_old_list_alarms_first_and_then_closes(
        self, site: Living, hotline: Caller, clock: Clock
    ) -> None:
        """Within the grace calls pass, with an alarm; after it they are cut and refused."""
        own = poll(site, hotline)
        clock.ahead = timedelta(days=7, hours=1)
        said = site.until("crl-stale")
        assert said["network"] == GOVERNMENT
        assert not hotline.pull()
        assert not own.done()

        clock.ahead = timedelta(days=7, hours=2, seconds=1)

        assert why(ended(own)) == STALE
        assert refused(hotline) == STALE

    def test_a_fresh_list_opens_again(
        self, pki: Pki, site: Living, hotline: Caller, clock: Clock
    ) -> None:
        """Nothing has to be restarted, and the same connection goes on."""
        clock.ahead = timedelta(days=8)
        assert refused(hotline) == STALE
        fresh = lists_of(pki, number=2, begins=clock())
        site.change(f"{GOVERNMENT}.crl.pem", fresh)

        assert not hotline.pull()


_JUNK = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
_LISTS, _ROOTS = f"{GOVERNMENT}.crl.pem", f"{GOVERNMENT}.pem"


def _forged(pki: Pki) -> bytes:
    """Return a list in the root's name with another's signature."""
    own, other = (pki.development.authorities[network] for network in (GOVERNMENT, POLICE))
    return signed_list(
        own / "root/root.pem", other / "root/root.key", [],
        number=5, life=timedelta(days=7), begins=pki.made_at,
    )  # fmt: skip


@dataclass(frozen=True)
class Spoilt:
    """A file, what of it is wrong, and what the alarm says."""

    file: str
    make: Callable[[bytes, Pki], bytes]
    says: str


SPOILT: dict[str, Spoilt] = {
    "empty-roots": Spoilt(_ROOTS, lambda _good, _pki: b"", "holds no certificate"),
    "junk-in-the-middle": Spoilt(
        _ROOTS, lambda good, _: good + _JUNK + good, "no whole certificate"
    ),
    "anothers-root": Spoilt(
        _ROOTS, lambda _, pki: pki.development.trust[POLICE].read_bytes(), POLICE
    ),
    "junk-in-the-chain": Spoilt(
        "tls.pem", lambda good, _: good + _JUNK, "not a PEM certificate chain"
    ),
    "half-a-chain": Spoilt(
        "tls.pem", lambda good, _: good + good.replace(b"BEGIN", b"BEGUN"), "no whole"
    ),
    "anothers-certificate": Spoilt(
        "tls.pem", lambda _, pki: pki.gateway(CITY_110).certificate.read_bytes(), "private key"
    ),
    "anothers-key": Spoilt(
        "tls.key", lambda _, pki: pki.gateway(CITY_110).key.read_bytes(), "private key"
    ),
    "no-key": Spoilt("tls.key", lambda _good, _pki: b"", "private key"),
    "no-list": Spoilt(_LISTS, lambda _good, _pki: b"", "holds no list"),
    "older-list": Spoilt(_LISTS, lambda _, pki: lists_of(pki, number=0), "number 0"),
    "forged-list": Spoilt(_LISTS, lambda _, pki: _forged(pki), "spoilt or forged"),
    "anothers-list": Spoilt(
        _LISTS, lambda _, pki: lists_of(pki, number=2, network=POLICE), "another network's"
    ),
    "entry-without-reason": Spoilt(
        "deny.toml", lambda _good, _pki: b"[[deny]]\n", "'reason' is missing"
    ),
    "no-deny-list": Spoilt("deny.toml", lambda _good, _pki: b"deny = 1", "each entry begins with"),
}


class TestRefusedAsAWhole:
    @pytest.mark.parametrize("name", SPOILT)
    def test_what_is_wrong_changes_nothing_and_alarms(
        self, pki: Pki, site: Living, hotline: Caller, name: str
    ) -> None:
        """The alarm names the file in both languages; mended, it is over, without a new generation."""
        spoilt = SPOILT[name]
        path = site.folder / spoilt.file
        good = path.read_bytes() if path.exists() else b""
        said = site.refuse(spoilt.file, spoilt.make(good, pki))

        of_pair = str(site.folder / "tls.pem")  # what is wrong with one is wrong with the pair
        assert said["file"] == (of_pair if spoilt.file.startswith("tls.") else str(path))
        assert said["generation"] == 1
        assert spoilt.says in said["said"]
        assert said["said_zh"] != said["said"]
        assert site.metric("exchange_trust_refused") == 1
        with calling(pki, site.bridge.port, CITY_12345) as again:  # a handshake of its own
            assert not again.pull()
        assert not hotline.pull()
        if good:
            site.put(spoilt.file, good)
        else:
            path.unlink()
        assert site.until("trust-restored")["generation"] == 1
        assert site.metric("exchange_trust_refused") == 0

    def test_what_is_right_beside_it_waits(self, site: Living, hotline: Caller) -> None:
        """Half a change is no change: the deny list counts once the roots are whole again."""
        good = (site.folder / f"{POLICE}.pem").read_bytes()
        site.refuse(f"{POLICE}.pem", b"")
        count = len(site.bridge.events("trust-refused"))
        with changing(site.folder / "deny.toml") as entries:
            entry = make_entry(reason="x", since=datetime.now(UTC), by="li", network=GOVERNMENT)
            entries[entry.id] = entry
        site.until("trust-refused", count + 1)
        assert not hotline.pull()

        site.change(f"{POLICE}.pem", good)

        assert refused(hotline) == CALLER_DENIED

    def test_a_deny_list_that_vanishes_still_holds(self, site: Living, hotline: Caller) -> None:
        """Whoever removes the file lets nobody in by it."""
        denied(site, network=GOVERNMENT)
        (site.folder / "deny.toml").unlink()

        assert "is gone" in site.until("trust-refused")["said"]
        assert refused(hotline) == CALLER_DENIED


class TestTheBridgesOwn:
    def test_it_renews_under_load_and_nothing_is_dropped(
        self, pki: Pki, site: Living, hotline: Caller
    ) -> None:
        """Three certificates in a row; every push on old and new connections is answered and stored."""
        renewing, stored = threading.Event(), list[bool]()

        def load() -> None:
            while not renewing.is_set():
                for caller in (hotline, None):
                    stored.append(_pushed(pki, site, caller))

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            renewed = [site.renew(number) for number in range(3)]
        finally:
            renewing.set()
            for thread in threads:
                thread.join()

        assert stored
        assert all(stored)
        assert _presented(pki, site.bridge.port) == leaf_of(renewed[-1]).public_bytes(Encoding.DER)

    def test_health_says_which_generation_is_in_force(self, pki: Pki, site: Living) -> None:
        """In health's trailing metadata and the metrics; it counts up with every change."""
        with dial(pki, site.bridge.port, pki.gateway(CITY_110)) as channel:
            assert _generation(channel) == "1"
            denied(site, organisation=CITY_12345.organisation)
            assert _generation(channel) == "2"
        assert site.metric("exchange_trust_generation") == 2


def _pushed(pki: Pki, site: Living, caller: Caller | None) -> bool:
    if caller is not None:
        return all(one.HasField("stored") for one in caller.push(caller.sealer.seal(matter())))
    with calling(pki, site.bridge.port, CITY_12345) as fresh:
        return _pushed(pki, site, fresh)


def _generation(channel: grpc.Channel) -> str:
    health: Any = health_pb2_grpc.HealthStub(channel)
    _, call = health.Check.with_call(health_pb2.HealthCheckRequest())
    return str(dict(call.trailing_metadata())["exchange-trust-generation"])


def _presented(pki: Pki, port: int) -> bytes:
    """Return the certificate that a new connection is shown, in DER."""
    client = ssl.create_default_context(cafile=str(pki.development.bridge_trust))
    gateway = pki.gateway(CITY_12345)
    client.load_cert_chain(gateway.certificate, gateway.key)
    client.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""
