"""Who signs is established by chain and name, and a trust file holds what it is for and no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.development import GOVERNMENT, POLICE, Credential
from exchange.envelope import SigningKey
from exchange.errors import (
    ConfigurationError,
    ExchangeError,
    VerificationError,
)
from exchange.identity import (
    verify_signer,
)
from exchange.note import LogKey, NoteVerifier
from exchange.trust import TrustStore
from tests.pki import CITY_110, CITY_12345, Pki


def _rule(raised: pytest.ExceptionInfo[ExchangeError]) -> str:
    assert raised.value.text.en
    assert raised.value.text.zh
    return raised.value.facts["rule"]


def _chain(credential: Credential) -> list[bytes]:
    found = x509.load_pem_x509_certificates(credential.certificate.read_bytes())
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


class TestSigners:
    def test_a_signer_is_who_its_certificate_says(self, pki: Pki) -> None:
        """The key comes ready to verify with, named by the leaf's fingerprint."""
        signer = verify_signer(_chain(pki.signer(CITY_110)), pki.trust(), pki.made_at)
        assert signer.party == (POLICE, CITY_110.organisation)
        assert signer.key.key_id == signer.fingerprint

    @pytest.mark.parametrize(
        ("defect", "rule"),
        [
            ("signer-expired", "validity"),
            ("signer-wrong-network", "wrong-network"),
            ("signer-unknown-root", "chain"),
            ("signer-without-nonrepudiation", "key-usage"),
            ("signer-dials-too", "usage"),
            ("signer-gateway-usage", "usage"),
            ("signer-gateway-name", "name"),
            ("signer-two-names", "name"),
            ("signer-p384", "key"),
        ],
    )
    def test_a_bad_signer_is_refused(self, pki: Pki, defect: str, rule: str) -> None:
        """Each defect is refused by its own rule."""
        with pytest.raises(VerificationError) as raised:
            verify_signer(_chain(pki.defects[defect]), pki.trust(), pki.made_at)
        assert _rule(raised) == rule

    def test_a_gateway_signs_nothing(self, pki: Pki) -> None:
        """A stolen gateway key gives no statements."""
        with pytest.raises(VerificationError) as raised:
            verify_signer(_chain(pki.gateway(CITY_12345)), pki.trust(), pki.made_at)
        assert _rule(raised) == "name"

    def test_issuers_must_be_sent_along_every_time(self, pki: Pki) -> None:
        """A leaf alone is refused even when the full chain is remembered: it must prove itself."""
        trust, chain = pki.trust(), _chain(pki.signer(CITY_12345))
        verify_signer(chain, trust, pki.made_at)
        with pytest.raises(VerificationError) as raised:
            verify_signer(chain[:1], trust, pki.made_at)
        assert _rule(raised) == "chain"

    @pytest.mark.parametrize("chain", [[], [b""], [b"junk"], [b"junk"] * 99])
    def test_junk_is_refused(self, pki: Pki, chain: list[bytes]) -> None:
        """Bytes that are no certificate are an answer, not an accident."""
        with pytest.raises(VerificationError) as raised:
            verify_signer(chain, pki.trust(), pki.made_at)
        assert _rule(raised) == "unreadable"

    def test_time_is_compared_when_remembered(self, pki: Pki) -> None:
        """The same remembered signer holds within its bounds only."""
        trust, chain = pki.trust(), _chain(pki.signer(CITY_12345))
        signer = verify_signer(chain, trust, pki.made_at)
        assert verify_signer(chain, trust, signer.not_after) is signer
        for moment in (signer.not_before - timedelta(seconds=1), _after(signer.not_after)):
            with pytest.raises(VerificationError):
                verify_signer(chain, trust, moment)

    def test_the_files_made_are_the_files_used(self, pki: Pki) -> None:
        """What the certificate tool writes, the envelope and the log read, and names agree."""
        files, made = pki.signer(CITY_110), pki.development
        signer = verify_signer(_chain(files), pki.trust(), pki.made_at)
        assert SigningKey.load(files.key, files.certificate).public == signer.key
        verifier = NoteVerifier.parse(made.log_verifier.read_text().strip())
        assert LogKey.load(made.log_key).verifier == verifier


def _after(moment: datetime) -> datetime:
    return moment + timedelta(seconds=1)


class TestTrustFiles:
    def test_an_empty_file_is_refused(self, pki: Pki, tmp_path: Path) -> None:
        """H6: nothing in the file must never mean trust in everybody."""
        _refused(tmp_path, b"", "holds no certificate")
        _refused(tmp_path, b"# a comment only\n", "holds no certificate")

    def test_no_network_is_refused(self) -> None:
        """A bridge that trusts nobody is a mistake."""
        with pytest.raises(ConfigurationError):
            TrustStore.load({})

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        """The text names the file."""
        with pytest.raises(ConfigurationError) as raised:
            TrustStore.load({GOVERNMENT: tmp_path / "absent.pem"})
        assert "absent.pem" in raised.value.text.zh

    def test_a_malformed_block_in_the_middle_is_refused(self, pki: Pki, tmp_path: Path) -> None:
        """H7: the usual parser drops the block and says nothing; here the line is named."""
        good = pki.development.trust[GOVERNMENT].read_bytes()
        junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        _refused(tmp_path, good + junk + good, "no whole certificate")
        _refused(tmp_path, good + good[:-40], "no whole certificate")
        _refused(tmp_path, good + good.replace(b"BEGIN", b"BEGUN"), "no whole certificate")
        key = pki.gateway(CITY_12345).key.read_bytes()
        _refused(tmp_path, good + key, "no whole certificate")

    def test_a_leaf_is_no_root(self, pki: Pki, tmp_path: Path) -> None:
        """Trusting a leaf would make its owner an authority in the reader's eyes."""
        leaf = pki.gateway(CITY_12345).certificate.read_bytes()
        _refused(tmp_path, leaf, "no authority's")

    def test_another_networks_root_is_refused(self, pki: Pki, tmp_path: Path) -> None:
        """Two files exchanged by mistake are named before anybody calls."""
        _refused(tmp_path, pki.development.trust[POLICE].read_bytes(), POLICE)

    def test_one_root_under_two_networks_is_refused(self, pki: Pki, tmp_path: Path) -> None:
        """An authority without a network in its certificate still vouches for one network only."""
        nameless = tmp_path / "nameless.pem"
        nameless.write_bytes(_nameless_root(pki))
        with pytest.raises(ConfigurationError) as raised:
            TrustStore.load({GOVERNMENT: nameless, POLICE: nameless})
        assert "two networks" in raised.value.text.en

    def test_comments_and_several_roots_are_fine(self, pki: Pki, tmp_path: Path) -> None:
        """A change of root needs both for a while, and people write down what is what."""
        path = tmp_path / "two.pem"
        good = pki.development.trust[GOVERNMENT].read_bytes()
        path.write_bytes("# 旧根\r\n".encode() + good + b"\n# new\n" + _nameless_root(pki))
        assert TrustStore.load({GOVERNMENT: path}).networks == {GOVERNMENT}


def _nameless_root(pki: Pki) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nameless root")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.made_at)
        .not_valid_after(pki.made_at + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def _refused(folder: Path, content: bytes, words: str) -> None:
    path = folder / "trust.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        TrustStore.load({GOVERNMENT: path})
    assert words in raised.value.text.en
    assert "trust.pem" in raised.value.text.zh
