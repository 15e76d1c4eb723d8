"""
Who calls is established by the bridge, not by TLS alone.

Every hole is shown open first: TLS lets the caller reach a handler (the mirror has no guard).  Then
`identify` refuses the very same auth_context.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc._cython import cygrpc  # type: ignore[attr-defined]

import certs.profiles
import exchange.certificates
from certs.development import GOVERNMENT, POLICE, Credential, Desk
from certs.names import Name, parse_name
from exchange.errors import (
    ExchangeError,
    NotAuthenticated,
    NotAuthorized,
)
from exchange.identity import (
    METHODS,
    REMEMBERED,
    TLS13_ONLY,
    Caller,
    CallerKind,
    authorise,
    identify,
)
from exchange.trust import TrustStore
from tests.mtls.handshake import Context, dial, look, mirror
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki


@pytest.fixture(scope="module")
def port(pki: Pki) -> Iterator[int]:
    """A mirror that everybody whom TLS lets in can reach."""
    with mirror(pki) as found:
        yield found


@pytest.fixture(scope="module")
def context(pki: Pki, port: int) -> Context:
    """What grpc says about the city hotline's good gateway."""
    return _context(pki, port, pki.gateway(CITY_12345))


def _context(pki: Pki, port: int, credential: Credential) -> Context:
    with dial(pki, port, credential) as channel:
        return look(channel)


def _rule(raised: pytest.ExceptionInfo[ExchangeError]) -> str:
    assert raised.value.text.en
    assert raised.value.text.zh
    return raised.value.facts["rule"]


def _chain(credential: Credential) -> list[bytes]:
    found = x509.load_pem_x509_certificates(credential.certificate.read_bytes())
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


class TestGoodCallers:
    @pytest.mark.parametrize("desk", [CITY_12345, COUNTY_12345, CITY_110])
    def test_a_gateway_is_who_its_certificate_says(self, pki: Pki, port: int, desk: Desk) -> None:
        """Network, region, organisation and number come from the one URI of the leaf."""
        caller = identify(_context(pki, port, pki.gateway(desk)), pki.trust(), pki.made_at)
        assert (caller.network, caller.region) == (desk.network, desk.region)
        assert (caller.organisation, caller.gateway) == (desk.organisation, 1)
        assert caller.not_before < pki.made_at < caller.not_after

    def test_both_rooms_spell_names_alike(self, pki: Pki, context: Context) -> None:
        """The certificate tool's names and the bridge's are one language, though not one module."""
        leaf = x509.load_pem_x509_certificate(context["x509_pem_cert"][0])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        spoken, caller = parse_name(uri), identify(context, pki.trust(), pki.made_at)
        assert spoken == Name(
            network=caller.network,
            region=caller.region,
            organisation=caller.organisation,
            role="gw",
            number=caller.gateway,
        )
        assert certs.profiles.SIGNER_USAGE == exchange.certificates.SIGNER_USAGE


# Those that TLS itself refuses, so that no handler ever sees them.
_REFUSED_BY_TLS = [
    "expired",
    "not-yet-valid",
    "unknown-root",
    "self-signed",
    "server-only",
    "no-digital-signature",
    "signer-gateway-name",  # the signer's usage
]

# Those that TLS lets in: the defect, and the rule that must refuse it.
_LET_IN_BY_TLS = [
    ("wrong-network", "wrong-network"),  # H1
    ("unknown-network", "network-unknown"),
    ("two-names", "name"),
    ("name-and-host", "name"),
    ("common-name-only", "name"),
    ("host-only", "name"),
    ("malformed-name", "name"),
    ("signer-name", "name"),
    ("server-and-client", "usage"),
    ("no-usage", "usage"),
    ("rsa-1024", "key"),
    ("authority", "authority"),
]


class TestBadCertificates:
    @pytest.mark.parametrize("defect", _REFUSED_BY_TLS)
    def test_tls_refuses(self, pki: Pki, port: int, defect: str) -> None:
        """The handshake fails and no handler is reached."""
        with pytest.raises(grpc.RpcError) as raised:
            _context(pki, port, pki.defects[defect])
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize(("defect", "rule"), _LET_IN_BY_TLS)
    def test_identify_refuses_what_tls_lets_in(
        self, pki: Pki, port: int, defect: str, rule: str
    ) -> None:
        """Without the guard the caller reaches the handler; with it the named rule refuses."""
        seen = _context(pki, port, pki.defects[defect])
        with pytest.raises(NotAuthenticated) as raised:
            identify(seen, pki.trust(), pki.made_at)
        assert _rule(raised) == rule

    @pytest.mark.parametrize(
        ("defect", "rule"),
        [
            ("expired", "validity"),
            ("not-yet-valid", "validity"),
            ("unknown-root", "chain"),
            ("self-signed", "chain"),
            ("server-only", "usage"),
            ("no-digital-signature", "key-usage"),
            ("signer-gateway-name", "usage"),
        ],
    )
    def test_identify_refuses_what_tls_refuses(
        self, pki: Pki, context: Context, defect: str, rule: str
    ) -> None:
        """The guard does not lean on TLS: put into a real context, these are refused as well."""
        with pytest.raises(NotAuthenticated) as raised:
            identify(_swapped(context, pki.defects[defect]), pki.trust(), pki.made_at)
        assert _rule(raised) == rule

    def test_every_gateway_defect_is_tested(self, pki: Pki) -> None:
        """A defect that is made and never refused would be a hole with a name."""
        gateways = {name for name in pki.defects if not name.startswith("signer-")}
        tested = {*_REFUSED_BY_TLS, *(defect for defect, _ in _LET_IN_BY_TLS)}
        assert gateways <= tested

    def test_pooled_roots_would_take_the_other_networks_word(
        self, pki: Pki, port: int, context: Context
    ) -> None:
        """H1 with the guard off: both roots under one name vouch for the stolen identity."""
        seen = _context(pki, port, pki.defects["wrong-network"])
        roots = x509.load_pem_x509_certificates(pki.trust().pem())
        stolen = identify(seen, TrustStore({GOVERNMENT: roots}), pki.made_at)
        honest = identify(context, pki.trust(), pki.made_at)
        assert (stolen.organisation, stolen.network) == (honest.organisation, honest.network)
        with pytest.raises(NotAuthenticated) as raised:
            identify(seen, pki.trust(), pki.made_at)
        assert raised.value.facts["issued_by"] == POLICE

    def test_a_signer_does_not_dial(self, pki: Pki, context: Context) -> None:
        """And a stolen signer key opens no connection."""
        with pytest.raises(NotAuthenticated) as raised:
            identify(_swapped(context, pki.signer(CITY_12345)), pki.trust(), pki.made_at)
        assert _rule(raised) == "name"


class TestTheBridge:
    @pytest.mark.parametrize(
        ("defect", "host", "poses"),
        [
            ("server-and-client", "defect server-and-client", True),  # by its common name
            ("name-and-host", "localhost", False),  # a host name, but the usage of a gateway
        ],
    )
    def test_a_gateway_cannot_pose_as_the_bridge(
        self, pki: Pki, *, defect: str, host: str, poses: bool
    ) -> None:
        """The usage alone keeps a gateway's certificate from serving, even under a trusted root."""
        root, guest = pki.development.trust[GOVERNMENT], pki.gateway(CITY_110)
        with (
            mirror(pki, pki.defects[defect]) as port,
            dial(pki, port, guest, root, ssl_target_name_override=host) as channel,
        ):
            if poses:
                assert look(channel)
                return
            with pytest.raises(grpc.RpcError, match="unsupported certificate purpose"):
                look(channel)


def _swapped(context: Context, credential: Credential) -> Context:
    """Return a real context that presents another certificate."""
    found = x509.load_pem_x509_certificates(credential.certificate.read_bytes())
    pem = [certificate.public_bytes(Encoding.PEM) for certificate in found]
    return {**context, "x509_pem_cert": [pem[0]], "x509_pem_cert_chain": [b"".join(pem[1:])]}


class TestSessions:
    def test_a_resumed_session_is_refused(self, pki: Pki, port: int) -> None:
        """H2: resumption is real, TLS accepts it, and it never looks at the certificate."""
        cache = cygrpc.SSLSessionCacheLRU(4)
        first = _look_with(pki, port, CITY_12345, cache)
        assert first["ssl_session_reused"] == [b"false"]
        resumed = _look_with(pki, port, CITY_12345, cache)
        assert resumed["ssl_session_reused"] == [b"true"]
        with pytest.raises(NotAuthenticated) as raised:
            identify(resumed, pki.trust(), pki.made_at)
        assert _rule(raised) == "session-resumed"

    def test_a_shared_session_cache_cannot_lend_an_identity(self, pki: Pki, port: int) -> None:
        """H3: with a shared cache 110 would appear as 12345; the guard refuses."""
        cache = cygrpc.SSLSessionCacheLRU(4)
        first = _look_with(pki, port, CITY_12345, cache)
        borrowed = _look_with(pki, port, CITY_110, cache)
        assert borrowed["x509_pem_cert"] == first["x509_pem_cert"]  # the hole
        with pytest.raises(NotAuthenticated) as raised:
            identify(borrowed, pki.trust(), pki.made_at)
        assert _rule(raised) == "session-resumed"

    def test_expiry_counts_on_a_live_connection(self, pki: Pki, context: Context) -> None:
        """H4: the connection stays, the certificate ends; the next call on it is refused."""
        trust = pki.trust()
        caller = identify(context, trust, pki.made_at)
        identify(context, trust, caller.not_after)
        with pytest.raises(NotAuthenticated) as raised:
            identify(context, trust, caller.not_after + timedelta(microseconds=1))
        assert _rule(raised) == "validity"

    @pytest.mark.parametrize(
        ("key", "values", "rule"),
        [
            ("ssl_session_reused", [], "session-resumed"),
            ("ssl_tls_version", [b"TLSv1.2"], "tls-version"),
            ("ssl_tls_version", [], "tls-version"),
            ("x509_pem_cert", [], "unreadable"),
            ("x509_pem_cert", [b"junk"], "unreadable"),
            ("x509_pem_cert_chain", [b"junk"], "unreadable"),
            ("x509_pem_cert_chain", [], "chain"),
        ],
    )
    def test_a_missing_or_odd_answer_of_grpc_refuses(
        self, pki: Pki, context: Context, key: str, values: list[bytes], rule: str
    ) -> None:
        """The guard fails closed when grpc stops reporting what it rests on."""
        with pytest.raises(NotAuthenticated) as raised:
            identify({**context, key: values}, pki.trust(), pki.made_at)
        assert _rule(raised) == rule

    def test_tls_1_2_is_refused_by_the_server(self, pki: Pki) -> None:
        """H5: grpc takes TLS 1.2 as it comes, and refuses it with the one suite that does not fit."""
        assert _tls12_handshake(pki, {}) == "TLSv1.2"
        assert _tls12_handshake(pki, TLS13_ONLY) == "refused"


def _look_with(pki: Pki, port: int, desk: Desk, cache: object) -> Context:
    # Sessions are cached by server name, and an address is none.
    with dial(
        pki,
        port,
        pki.gateway(desk),
        ssl_session_cache=cache,
        ssl_target_name_override="localhost",
    ) as channel:
        return look(channel)


_SERVER = """
import sys, grpc
from concurrent.futures import ThreadPoolExecutor
key, chain, roots = (open(path, "rb").read() for path in sys.argv[1:])
server = grpc.server(ThreadPoolExecutor(1))
credentials = grpc.ssl_server_credentials([(key, chain)], roots, True)
print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
server.start()
sys.stdin.read()
"""


def _tls12_handshake(pki: Pki, environment: dict[str, str]) -> str:
    """Start a server with *environment* and offer it TLS 1.2 only; return what came of it."""
    bridge, gateway = pki.development.bridge, pki.gateway(CITY_12345)
    roots = pki.development.trust[GOVERNMENT]
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.load_verify_locations(pki.development.bridge_trust)
    client.load_cert_chain(gateway.certificate, gateway.key)
    client.set_alpn_protocols(["h2"])
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(bridge.key), str(bridge.certificate), str(roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if k not in TLS13_ONLY} | environment,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            return _handshake(client, port)
        finally:
            server.kill()


def _handshake(client: ssl.SSLContext, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with client.wrap_socket(plain, server_hostname="localhost") as secured:
                return str(secured.version())
        except (ssl.SSLError, ConnectionError):
            return "refused"


class TestMemory:
    def test_a_caller_is_remembered_for_seconds(self, pki: Pki, context: Context) -> None:
        """The same object comes back until the time is over, and not when the clock steps back."""
        trust, now = pki.trust(), pki.made_at
        caller = identify(context, trust, now)
        assert identify(context, trust, now + REMEMBERED / 2) is caller
        renewed = identify(context, trust, now + REMEMBERED)
        assert renewed is not caller
        assert identify(context, trust, now) is not renewed

    def test_another_trust_store_remembers_nothing(self, pki: Pki, context: Context) -> None:
        """A root that is withdrawn takes along everyone it vouched for, at once."""
        identify(context, pki.trust(), pki.made_at)
        only_police = TrustStore.load({POLICE: pki.development.trust[POLICE]})
        with pytest.raises(NotAuthenticated) as raised:
            identify(context, only_police, pki.made_at)
        assert _rule(raised) == "network-unknown"

    def test_a_refusal_is_not_remembered_as_a_pass(self, pki: Pki, context: Context) -> None:
        """What was refused is refused again."""
        trust, bad = pki.trust(), _swapped(context, pki.defects["two-names"])
        for _ in range(2):
            with pytest.raises(NotAuthenticated):
                identify(bad, trust, pki.made_at)


class TestMethods:
    @pytest.mark.parametrize("method", sorted(METHODS))
    def test_every_method_with_every_caller(self, pki: Pki, context: Context, method: str) -> None:
        """Who is registered may call what its kind may; who is not, only what anyone may."""
        caller = identify(context, pki.trust(), pki.made_at)
        if METHODS[method] is CallerKind.WITNESS:
            with pytest.raises(NotAuthorized) as refused:
                authorise(caller, method, registered={caller.party})
            assert _rule(refused) == "caller-kind"
            caller = replace(caller, kind=CallerKind.WITNESS, organisation="", region="")
        authorise(caller, method, registered={caller.party})
        strangers: list[Caller | None] = [None, caller]
        for stranger in strangers:
            if METHODS[method] is CallerKind.ANYONE:
                authorise(stranger, method, registered=())
                continue
            with pytest.raises(NotAuthorized) as raised:
                authorise(stranger, method, registered={(POLICE, caller.organisation)})
            mine = "witness" if METHODS[method] is CallerKind.WITNESS else "organisation"
            expected = f"{mine}-unregistered" if stranger else "caller-unknown"
            assert _rule(raised) == expected

    @pytest.mark.parametrize(
        "method",
        [
            "",
            "/hotline.exchange.v1.ExchangeService/pushMessages",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ],
    )
    def test_what_is_not_in_the_table_nobody_may_call(
        self, pki: Pki, context: Context, method: str
    ) -> None:
        """Denied by default, whoever asks."""
        caller = identify(context, pki.trust(), pki.made_at)
        with pytest.raises(NotAuthorized) as raised:
            authorise(caller, method, registered={caller.party})
        assert _rule(raised) == "method-unknown"
