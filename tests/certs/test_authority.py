"""The authorities of the certificate tool: what they make, what they ignore, what they refuse."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import (
    Authority,
    Hosts,
    chain_pem,
    issue,
    open_authority,
)
from certs.csr import accept_request
from certs.development import BRIDGE, GOVERNMENT, POLICE, Desk, build
from certs.errors import Refused
from certs.founding import create_authority
from certs.names import Name, Role
from certs.profiles import PROFILES, SIGNER_USAGE, ProfileName
from tests.certs.issuing import NOW, desk_name, new_key, request_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The government network's issuing authority."""
    folder = tmp_path_factory.mktemp("authority")
    create_authority(folder, GOVERNMENT, NOW)
    return open_authority(folder)


class TestAuthority:
    def test_root_and_issuing_are_what_the_readme_says(self, tmp_path: Path) -> None:
        """P-384 over P-256, path lengths 1 and 0, ten and two years, back-dated, named."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        root = x509.load_pem_x509_certificate(files.root.read_bytes())
        issuing = x509.load_pem_x509_certificate(files.issuing.read_bytes())
        root.verify_directly_issued_by(root)
        issuing.verify_directly_issued_by(root)
        for certificate, curve, length, days in (
            (root, "secp384r1", 1, 3652),
            (issuing, "secp256r1", 0, 730),
        ):
            key = certificate.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            assert key.curve.name == curve
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            assert constraints.critical
            assert (constraints.value.ca, constraints.value.path_length) == (True, length)
            assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
            assert certificate.not_valid_after_utc == NOW + timedelta(days=days)
        assert files.trust.read_bytes() == files.root.read_bytes()

    def test_keys_are_for_their_owner_only(self, tmp_path: Path) -> None:
        """Private keys have mode 0600 whatever the umask; an open one is refused."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        for key in (files.root_key, files.issuing_key):
            assert key.stat().st_mode & 0o777 == 0o600
        files.issuing_key.chmod(0o640)
        with pytest.raises(Refused, match="chmod 600"):
            open_authority(tmp_path)

    def test_a_second_init_changes_nothing(self, tmp_path: Path) -> None:
        """A root in use is never overwritten."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        before = files.root_key.read_bytes()
        with pytest.raises(Refused, match="not overwritten"):
            create_authority(tmp_path, GOVERNMENT, NOW)
        assert files.root_key.read_bytes() == before

    def test_issuing_works_without_the_root(self, tmp_path: Path) -> None:
        """The root's folder may be carried away."""
        files = create_authority(tmp_path, GOVERNMENT, NOW)
        files.root_key.unlink()
        files.root.unlink()
        assert open_authority(tmp_path).network == GOVERNMENT

    def test_a_pair_that_does_not_match_is_refused(self, tmp_path: Path) -> None:
        """Another authority's key beside the certificate is found before anything is signed."""
        files = create_authority(tmp_path / "a", GOVERNMENT, NOW)
        other = create_authority(tmp_path / "b", POLICE, NOW)
        files.issuing_key.write_bytes(other.issuing_key.read_bytes())
        with pytest.raises(Refused, match="is not the key of"):
            open_authority(tmp_path / "a")

    @pytest.mark.parametrize(
        "network", ["", "Hotline.Example", "localhost", "a..b", "x/y.z", "网.cn"]
    )
    def test_a_bad_network_name_is_refused(self, tmp_path: Path, network: str) -> None:
        """The name is part of every identity, so its form is strict."""
        with pytest.raises(Refused, match="no network name"):
            create_authority(tmp_path, network, NOW)


class TestIssue:
    @pytest.mark.parametrize(
        ("profile", "role", "usage", "commits", "days"),
        [
            ("gateway-tls", "gw", ExtendedKeyUsageOID.CLIENT_AUTH, False, 90),
            ("signer", "signer", SIGNER_USAGE, True, 365),
        ],
    )
    def test_the_profile_decides_everything(
        self,
        authority: Authority,
        *,
        profile: ProfileName,
        role: Role,
        usage: x509.ObjectIdentifier,
        commits: bool,
        days: int,
    ) -> None:
        """A request that asks for a server's, an authority's and a stranger's rights gets none."""
        key = accept_request(
            request_for(ec.generate_private_key(ec.SECP256R1())), PROFILES[profile]
        )
        leaf = issue(authority, PROFILES[profile], key, desk_name(role), NOW)
        extensions = leaf.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.UniformResourceIdentifier(desk_name(role).uri)]
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        bits = extensions.get_extension_for_class(x509.KeyUsage)
        assert bits.critical
        assert (bits.value.digital_signature, bits.value.content_commitment) == (True, commits)
        assert not bits.value.key_cert_sign
        assert "bridge.example" not in leaf.subject.rfc4514_string()
        assert leaf.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert leaf.not_valid_after_utc == NOW + timedelta(days=days)
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        leaf.verify_directly_issued_by(authority.certificate)

    def test_a_bridge_has_hosts_and_no_uri(self, authority: Authority) -> None:
        """DNS names and addresses, server use only."""
        hosts = Hosts(names=("bridge.example",), addresses=("192.0.2.7", "2001:db8::7"))
        leaf = issue(authority, PROFILES["bridge-tls"], new_key(), hosts, NOW)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["bridge.example"]
        assert len(names.get_values_for_type(x509.IPAddress)) == 2
        assert not names.get_values_for_type(x509.UniformResourceIdentifier)
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]

    def test_serials_differ(self, authority: Authority) -> None:
        """Serial numbers are random, so nobody can tell how many were issued."""
        leaves = [
            issue(authority, PROFILES["gateway-tls"], new_key(), desk_name(), NOW) for _ in range(3)
        ]
        assert len({leaf.serial_number for leaf in leaves}) == 3
        assert chain_pem(leaves[0], authority).count(b"BEGIN CERTIFICATE") == 2

    @pytest.mark.parametrize(
        ("profile", "holder", "days", "words"),
        [
            ("gateway-tls", desk_name("signer"), None, "no name for a gateway-tls"),
            ("gateway-tls", desk_name(network=POLICE), None, "Ask the authority of police110"),
            ("gateway-tls", Hosts(names=("localhost",)), None, "could pose as the bridge"),
            ("bridge-tls", desk_name(), None, "no name for a bridge-tls"),
            ("bridge-tls", Hosts(names=()), None, "needs a DNS name"),
            ("bridge-tls", Hosts(names=("*.example",)), None, "without wildcard"),
            ("bridge-tls", Hosts(names=("a.example",), addresses=("1.2.3",)), None, "no IP"),
            ("gateway-tls", desk_name(), 91, "1 to 90 days"),
            ("gateway-tls", desk_name(), 0, "1 to 90 days"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self,
        authority: Authority,
        profile: ProfileName,
        holder: Name | Hosts,
        days: int | None,
        words: str,
    ) -> None:
        """Each refusal says what was asked and what to do."""
        with pytest.raises(Refused, match=words.replace("*", r"\*")):
            issue(authority, PROFILES[profile], new_key(), holder, NOW, days=days)

    def test_nothing_outlives_its_issuer(self, authority: Authority) -> None:
        """Towards the end of the issuing certificate only shorter lives are given."""
        late = NOW + timedelta(days=700)
        with pytest.raises(Refused, match="Renew the issuing certificate"):
            issue(authority, PROFILES["gateway-tls"], new_key(), desk_name(), late)
        issue(authority, PROFILES["gateway-tls"], new_key(), desk_name(), late, days=30)


class TestDevelopment:
    def test_a_set_is_whole(self, tmp_path: Path) -> None:
        """Three authorities, roots apart, a bridge, a log key, two credentials for every desk."""
        desk = Desk(network=POLICE, region="140400", organisation="140400000000")
        made = build(tmp_path / "set", desks=[desk], now=NOW)
        assert set(made.authorities) == {GOVERNMENT, POLICE, BRIDGE}
        assert set(made.trust) == {GOVERNMENT, POLICE}
        for root in (*made.trust.values(), made.bridge_trust):
            assert root.read_bytes().count(b"BEGIN CERTIFICATE") == 1
        files = made.desks[desk.organisation]
        for credential in (made.bridge, files.gateway, files.signer):
            assert credential.key.stat().st_mode & 0o777 == 0o600
            assert credential.certificate.read_bytes().count(b"BEGIN CERTIFICATE") == 2
        assert made.log_key.stat().st_mode & 0o777 == 0o600
        assert made.log_verifier.read_text().startswith(f"{BRIDGE}/log/1+")

    def test_an_existing_folder_is_left_alone(self, tmp_path: Path) -> None:
        """A second call does not mix two sets."""
        with pytest.raises(Refused, match="not overwritten"):
            build(tmp_path, desks=[], now=NOW)
