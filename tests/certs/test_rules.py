"""`doctor` and `probe` name the very rule that refuses, and refuse nothing that the bridge takes."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import authority_key_id, builder
from certs.belief import believed
from certs.cli import run
from certs.defects import build_defects
from certs.development import BRIDGE, POLICE, Credential
from certs.files import read_certificates
from certs.names import Name
from certs.probe import Client, dial
from certs.profiles import PROFILES, key_usage
from certs.rules import Finding, Rule, Trust, judge
from exchange.certificates import GATEWAY, SIGNER, RuleBroken, verify
from exchange.trust import TrustStore
from tests.attack.process import BridgeProcess
from tests.certs.place import DAY, Place, certs
from tests.mtls.handshake import mirror
from tests.pki import CITY_12345, Pki, pki

__all__ = ["pki"]

#: Every defect of `certs.defects`, and the rule that names it.
DEFECTS = {
    "expired": Rule.EXPIRY,
    "not-yet-valid": Rule.CLOCK,
    "wrong-network": Rule.NETWORK,
    "unknown-network": Rule.NETWORK,
    "unknown-root": Rule.CHAIN,
    "two-names": Rule.NAME,
    "name-and-host": Rule.NAME,
    "common-name-only": Rule.NAME,
    "host-only": Rule.NAME,
    "malformed-name": Rule.NAME,
    "signer-name": Rule.NAME,
    "server-only": Rule.USAGE,
    "server-and-client": Rule.USAGE,
    "no-usage": Rule.USAGE,
    "no-digital-signature": Rule.KEY_USAGE,
    "rsa-1024": Rule.KEY,
    "authority": Rule.AUTHORITY,
    "self-signed": Rule.CHAIN,
    "signer-expired": Rule.EXPIRY,
    "signer-wrong-network": Rule.NETWORK,
    "signer-unknown-root": Rule.CHAIN,
    "signer-without-nonrepudiation": Rule.KEY_USAGE,
    "signer-dials-too": Rule.USAGE,
    "signer-gateway-usage": Rule.USAGE,
    "signer-gateway-name": Rule.NAME,
    "signer-two-names": Rule.NAME,
    "signer-p384": Rule.KEY,
}


def trust_of(pki: Pki) -> Trust:
    """Return the two networks' roots."""
    return Trust(roots={n: read_certificates(path) for n, path in pki.development.trust.items()})


def bridge_trust(pki: Pki) -> Trust:
    """Return the root of the bridge's authority."""
    return Trust(roots={BRIDGE: read_certificates(pki.development.bridge_trust)})


def refusing(found: list[Finding]) -> list[Rule]:
    """Return the rules that refuse."""
    return [one.rule for one in found if not one.fine]


class TestJudge:
    @pytest.mark.parametrize("defect", DEFECTS)
    def test_each_defect_is_named_and_nothing_else_refuses(self, pki: Pki, defect: str) -> None:
        """One defect, one rule."""
        profile = PROFILES[
            "signer" if defect.startswith("signer-") and defect != "signer-name" else "gateway-tls"
        ]
        chain = read_certificates(pki.defects[defect].certificate)
        rules = refusing(judge(chain, trust_of(pki), profile, datetime.now(UTC)))
        assert rules == [DEFECTS[defect]]

    def test_every_defect_that_is_made_is_judged(self, pki: Pki, tmp_path: Path) -> None:
        """None is left out of the table above."""
        made = build_defects(tmp_path, pki.development, CITY_12345, POLICE, datetime.now(UTC))
        assert set(made) == set(DEFECTS)

    @pytest.mark.parametrize("kind", ["gateway", "signer"])
    def test_the_judge_and_the_bridge_agree(self, pki: Pki, kind: str) -> None:
        """On the good certificates, and on each bad one."""
        at = datetime.now(UTC)
        purpose, profile = (
            (GATEWAY, PROFILES["gateway-tls"])
            if kind == "gateway"
            else (SIGNER, PROFILES["signer"])
        )
        good = pki.gateway(CITY_12345) if kind == "gateway" else pki.signer(CITY_12345)
        offered = {"good": good, **pki.defects}
        for name, credential in offered.items():
            chain = read_certificates(credential.certificate)
            taken = not refusing(judge(chain, trust_of(pki), profile, at))
            try:
                verify(chain, pki.trust(), purpose, at)
                accepted = True
            except RuleBroken:
                accepted = False
            assert (name, taken) == (name, accepted)

    def test_a_missing_issuing_certificate_is_told_from_an_unknown_root(self, pki: Pki) -> None:
        """By what is known of the network, or because only the leaf is there."""
        chain = read_certificates(pki.gateway(CITY_12345).certificate)
        known = Trust(roots=trust_of(pki).roots, issuing={CITY_12345.network: chain[1:]})
        for trust in (known, trust_of(pki)):
            found = judge(chain[:1], trust, PROFILES["gateway-tls"], datetime.now(UTC))
            assert refusing(found) == [Rule.INTERMEDIATE]
        assert refusing(judge([], known, PROFILES["gateway-tls"], datetime.now(UTC))) == [
            Rule.UNREADABLE
        ]

    @pytest.mark.parametrize(
        ("host", "rules"),
        [("localhost", []), ("127.0.0.1", []), ("::1", []), ("LOCALHOST", []), ("127.0.0.2", [Rule.NAME]),
         ("bridge.example", [Rule.NAME])],
    )  # fmt: skip
    def test_a_bridge_is_known_by_what_it_is_dialled_by(
        self, pki: Pki, host: str, rules: list[Rule]
    ) -> None:
        """A DNS name as a name, an address as an address."""
        chain = read_certificates(pki.development.bridge.certificate)
        found = judge(
            chain, bridge_trust(pki), PROFILES["bridge-tls"], datetime.now(UTC), host=host
        )
        assert refusing(found) == rules


def _constrained(*, constrained: bool) -> tuple[list[x509.Certificate], x509.Certificate, str]:
    """Return a gateway's chain under an issuing key with or without a constraint to its network, and the root."""
    now, uri = datetime.now(UTC), Name(
        network=CITY_12345.network, region="140400", organisation=CITY_12345.organisation, role="gw", number=1
    ).uri  # fmt: skip
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    made: list[x509.Certificate] = []
    for level, key in enumerate(keys):
        signer, above = (keys[level - 1], made[-1].subject) if made else (key, _named("0"))
        built = builder(_named(str(level)), key.public_key(), above, now, now + DAY)
        built = built.add_extension(authority_key_id(signer.public_key()), critical=False)
        built = built.add_extension(
            x509.BasicConstraints(ca=level < 2, path_length=1 - level if level < 2 else None),
            critical=True,
        )
        built = built.add_extension(
            key_usage(key_cert_sign=level < 2, crl_sign=level < 2, digital_signature=level == 2),
            critical=True,
        )
        if level == 1 and constrained:
            network = x509.UniformResourceIdentifier(CITY_12345.network)
            built = built.add_extension(x509.NameConstraints([network], None), critical=True)
        if level == 2:
            built = built.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
            ).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        made.append(built.sign(signer, hashes.SHA256()))
    return [made[2], made[1]], made[0], CITY_12345.network


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"level {name}")])


@pytest.mark.parametrize("constrained", [False, True])
def test_why_no_authority_carries_a_name_constraint(*, constrained: bool) -> None:
    """The bridge's verifier refuses a right chain for it; the day it does not, profiles may carry one."""
    chain, root, network = _constrained(constrained=constrained)
    trust = TrustStore({network: [root]})
    if not constrained:
        verify(chain, trust, GATEWAY, datetime.now(UTC))
        return
    with pytest.raises(RuleBroken) as raised:
        verify(chain, trust, GATEWAY, datetime.now(UTC))
    assert "unsupported name constraint" in str(raised.value.__cause__)


class TestDoctor:
    def test_revocation_and_a_stale_list_are_rules_too(self, place: Place) -> None:
        """Both from the trust folder."""
        gateway = place.issue()
        place.trusted()
        trust = believed(place.trust, None, place.now)
        chain = read_certificates(gateway)
        judged = judge(chain, trust, PROFILES["gateway-tls"], place.now)
        assert refusing(judged) == []
        later = judge(chain, trust, PROFILES["gateway-tls"], place.now + 8 * DAY)
        assert refusing(later) == [Rule.REVOCATION_LIST]

    def test_the_command_says_the_rule_and_the_remedy(self, pki: Pki, tmp_path: Path) -> None:
        """In both languages, and as data; a swapped key comes first."""
        roots = pki.development.trust[CITY_12345.network]
        bad = pki.defects["server-only"]
        assert (
            run(["doctor", str(pki.gateway(CITY_12345).certificate), "--roots", str(roots)], {})
            == 0
        )
        said = certs("doctor", bad.certificate, "--roots", roots, "--profile", "gateway-tls")
        assert (said.exit_code, "Refused by the rule: usage" in said.output) == (1, True)
        said = certs(
            "doctor", bad.certificate, "--roots", roots, "--profile", "gateway-tls", lang="zh"
        )
        assert "拒绝的规则：usage" in said.output
        swapped = certs(
            "doctor", pki.gateway(CITY_12345).certificate, "--roots", roots, "--json",
            "--key", pki.signer(CITY_12345).key,
        )  # fmt: skip
        assert [one["rule"] for one in json.loads(swapped.output) if not one["fine"]] == ["pair"]
        assert "Nobody is trusted" in certs("doctor", bad.certificate).output
        late = certs(
            "doctor", pki.gateway(CITY_12345).certificate, "--roots", roots, "--at", "2040-01-01"
        )
        assert "Refused by the rule: expiry" in late.output


def probed(
    pki: Pki,
    port: int,
    client: Credential | None = None,
    *,
    trust: Trust | None = None,
    host: str = "localhost",
) -> list[Finding]:
    """Probe the port, with or without a client certificate."""
    shown = None
    if client is not None:
        chain = read_certificates(client.certificate)
        shown = Client(
            key=client.key, chain_file=client.certificate, chain=chain, trust=trust_of(pki)
        )
    return dial(host, port, datetime.now(UTC), trust=trust or bridge_trust(pki), client=shown)


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real bridge in a process of its own; its port."""
    process = BridgeProcess(pki, tmp_path_factory.mktemp("bridge"))
    process.start()
    yield process.port
    process.close()


class TestProbe:
    def test_a_bridge_and_a_gateway_as_they_should_be(self, pki: Pki, bridge: int) -> None:
        """Every rule is content, TLS 1.2 and callers without a certificate being refused."""
        found = probed(pki, bridge, pki.gateway(CITY_12345))
        assert refusing(found) == []
        assert {Rule.TLS_VERSION, Rule.CLIENT_CERTIFICATE, Rule.CHAIN, Rule.NAME} <= {
            one.rule for one in found
        }

    @pytest.mark.parametrize("defect", ["expired", "unknown-root", "server-only", "self-signed"])
    def test_what_grpc_calls_socket_closed_has_a_name(
        self, pki: Pki, bridge: int, defect: str
    ) -> None:
        """A client certificate that TLS refuses: the rule that it breaks, and that it was refused."""
        found = probed(pki, bridge, pki.defects[defect])
        assert refusing(found) == [DEFECTS[defect], Rule.CLIENT_CERTIFICATE]

    def test_a_swapped_key_is_named_before_anything_is_sent(self, pki: Pki, bridge: int) -> None:
        """The pair does not fit."""
        good = pki.gateway(CITY_12345)
        swapped = Credential(key=pki.signer(CITY_12345).key, certificate=good.certificate)
        assert refusing(probed(pki, bridge, swapped)) == [Rule.PAIR]

    def test_a_bridge_under_another_root_or_name_is_named(self, pki: Pki, bridge: int) -> None:
        """What the client would refuse."""
        assert refusing(probed(pki, bridge, trust=trust_of(pki))) == [Rule.CHAIN]
        found = dial(
            "127.0.0.1", bridge, datetime.now(UTC), trust=bridge_trust(pki), name="bridge.example"
        )
        assert refusing(found) == [Rule.NAME]
        assert refusing(probed(pki, bridge, host="127.0.0.1")) == []

    def test_a_gateway_certificate_posing_as_the_bridge_is_named(self, pki: Pki) -> None:
        """It has neither usage nor name, and ends at another root."""
        with mirror(pki, pki.gateway(CITY_12345)) as port:
            rules = refusing(probed(pki, port))
        # Which versions grpc takes depends on what else was imported before it; a bridge sees to that.
        assert [one for one in rules if one is not Rule.TLS_VERSION] == [
            Rule.USAGE, Rule.NAME, Rule.CHAIN,
        ]  # fmt: skip

    def test_nobody_there(self, pki: Pki) -> None:
        """No host of that name, and no listener."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
            assert refusing(probed(pki, port, host="127.0.0.1")) == [Rule.REACHABLE]
        assert refusing(probed(pki, 1, host="nowhere.invalid")) == [Rule.REACHABLE]

    def test_an_old_server_without_client_certificates(self, pki: Pki) -> None:
        """TLS 1.2, no HTTP/2, and only its leaf: each rule by its name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with leaf_only(pki) as path:
            context.load_cert_chain(path, pki.development.bridge.key)
        with served(context) as port:
            rules = refusing(probed(pki, port))
        assert rules == [
            Rule.TLS_VERSION, Rule.PROTOCOL, Rule.INTERMEDIATE, Rule.TLS_VERSION,
        ]  # fmt: skip

    def test_tls_12_is_found_although_the_server_wants_a_certificate_first(self, pki: Pki) -> None:
        """A handshake that fails for want of a client certificate does not hide the version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.development.bridge.certificate, pki.development.bridge.key)
        context.load_verify_locations(pki.development.trust[CITY_12345.network])
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        with served(context) as port:
            assert refusing(probed(pki, port)) == [Rule.TLS_VERSION]
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with served(context) as port:
            assert refusing(probed(pki, port)) == []

    def test_what_speaks_no_tls_is_named(self, pki: Pki) -> None:
        """A proxy, or another service."""
        with served(None) as port:
            assert refusing(probed(pki, port)) == [Rule.TLS]

    def test_the_command(self, pki: Pki, bridge: int) -> None:
        """Exit code 0 and 1; a malformed address is a misuse, with its form."""
        roots, good = pki.development.bridge_trust, pki.gateway(CITY_12345)
        common = ("probe", f"localhost:{bridge}", "--roots", roots)
        assert certs(*common, "--key", good.key, "--chain", good.certificate).exit_code == 0
        bad = pki.defects["expired"]
        said = certs(
            *common, "--key", bad.key, "--chain", bad.certificate,
            "--own-roots", pki.development.trust[CITY_12345.network], lang="zh",
        )  # fmt: skip
        assert (said.exit_code, "拒绝的规则：expiry" in said.output) == (1, True)
        assert certs("probe", "localhost", "--roots", roots).exit_code == 2
        assert certs("probe", "localhost:1", "--roots", roots, "--key", good.key).exit_code == 2


@contextmanager
def leaf_only(pki: Pki) -> Iterator[Path]:
    """Write the bridge's leaf without its issuer."""
    path = pki.development.folder / "leaf-only.pem"
    chain = pki.development.bridge.certificate.read_bytes()
    path.write_bytes(chain[: chain.index(b"-----END CERTIFICATE-----") + 26])
    yield path
    path.unlink()


@contextmanager
def served(context: ssl.SSLContext | None) -> Iterator[int]:
    """Listen, shake hands if *context* says how, say something that is not HTTP/2, and hang up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    if context is None:
                        connection.sendall(b"220 mail.example\r\n")
                        connection.recv(1024)
                    else:
                        with context.wrap_socket(connection, server_side=True) as tls:
                            tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
