"""What a certificate is made from: requests, names, the log's key."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.csr import accept_request, create_request
from certs.development import GOVERNMENT
from certs.errors import Refused
from certs.files import write_new
from certs.logkey import note_keys
from certs.names import Name, Witness, parse_name, parse_witness
from certs.profiles import PROFILES, ProfileName
from tests.certs.issuing import ORGANISATION, desk_name, request_for


class TestRequests:
    def test_the_key_stays_and_the_request_goes(self, tmp_path: Path) -> None:
        """Two files: a private one, and one without any secret."""
        key, request = create_request(tmp_path / "gw.1", "gw.1")
        assert (key.name, request.name) == ("gw.1.key", "gw.1.csr")
        assert key.stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE" not in request.read_bytes()
        accept_request(request.read_bytes(), PROFILES["gateway-tls"])

    @pytest.mark.parametrize("suffix", [".key", ".csr"])
    def test_neither_file_is_overwritten(self, tmp_path: Path, suffix: str) -> None:
        """When one of the two exists, nothing is written at all."""
        write_new(tmp_path / f"gw{suffix}", b"mine")
        with pytest.raises(Refused, match="not overwritten"):
            create_request(tmp_path / "gw", "gw")
        assert [path.name for path in tmp_path.iterdir()] == [f"gw{suffix}"]

    def test_a_request_without_proof_of_possession_is_refused(self) -> None:
        """Somebody else's public key under a signature that is not its own."""
        pem = request_for(ec.generate_private_key(ec.SECP256R1()))
        der = bytearray(x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER))
        der[-1] ^= 1
        broken = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
        with pytest.raises(Refused, match="does not hold the key"):
            accept_request(broken, PROFILES["gateway-tls"])

    def test_junk_is_refused(self) -> None:
        """The sentence says which file is wanted."""
        with pytest.raises(Refused, match=r"certs csr"):
            accept_request(b"junk", PROFILES["gateway-tls"])

    @pytest.mark.parametrize("profile", list(PROFILES))
    def test_wrong_kinds_of_key_are_refused(self, profile: ProfileName) -> None:
        """RSA and P-521 never; P-384 not for signers; Ed25519 for witnesses alone."""
        keys: list[CertificateIssuerPrivateKeyTypes] = [
            rsa.generate_private_key(65537, 2048),
            ec.generate_private_key(ec.SECP521R1()),
        ]
        if profile == "signer":
            keys.append(ec.generate_private_key(ec.SECP384R1()))
        for key in keys:
            with pytest.raises(Refused, match=r"takes (secp256r1|Ed25519)"):
                accept_request(request_for(key), PROFILES[profile])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        edwards = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
        pem = edwards.public_bytes(Encoding.PEM)
        if profile == "witness":
            accept_request(pem, PROFILES[profile])
            return
        with pytest.raises(Refused, match="Ed25519"):
            accept_request(pem, PROFILES[profile])

    def test_rsa_for_a_bridge_says_why(self) -> None:
        """An RSA server key would let TLS 1.2 back in."""
        request = request_for(rsa.generate_private_key(65537, 2048))
        with pytest.raises(Refused, match=r"TLS 1\.2"):
            accept_request(request, PROFILES["bridge-tls"])


class TestNames:
    def test_a_name_and_its_uri_are_one(self) -> None:
        """What is written can be read."""
        for name in (desk_name(), desk_name("signer")):
            assert parse_name(name.uri) == name

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "https://hotline12345.example/region/140400/org/140400000000/gw/1",
            "spiffe://hotline12345.example/region/1404/org/140400000000/gw/1",
            "spiffe://hotline12345.example/region/140400/org/14040000000/gw/1",
            "spiffe://hotline12345.example/region/140400/org/11140400MB1X0001OY/gw/1",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/0",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/01",
            "spiffe://hotline12345.example/region/140400/org/140400000000/admin/1",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/1/",
            "spiffe://hotline12345.example/region/140400/org/140400000000/gw/1\n",
            "spiffe://hotline12345.example/region/１４０４００/org/140400000000/gw/1",
            "spiffe://HOTLINE12345.example/region/140400/org/140400000000/gw/1",
        ],
    )
    def test_what_is_no_name(self, uri: str) -> None:
        """Near misses spell nobody."""
        assert parse_name(uri) is None

    @pytest.mark.parametrize(
        ("region", "organisation", "number"),
        [("1404", ORGANISATION, 1), ("140400", "short", 1), ("140400", ORGANISATION, 0)],
    )
    def test_bad_parts_are_refused(self, region: str, organisation: str, number: int) -> None:
        """Both languages say which option to correct."""
        with pytest.raises(Refused) as raised:
            Name(
                network=GOVERNMENT,
                region=region,
                organisation=organisation,
                role="gw",
                number=number,
            )
        assert "--" in raised.value.sentence.en
        assert "--" in raised.value.sentence.zh

    @pytest.mark.parametrize(
        ("number", "good"), [(0, False), (1, True), (9999, True), (10000, False)]
    )
    def test_a_witness_has_a_number(self, number: int, *, good: bool) -> None:
        """From 1 to 9999; its URI can be read again."""
        if good:
            witness = Witness(network=GOVERNMENT, number=number)
            assert parse_witness(witness.uri) == witness
            return
        assert parse_witness(f"spiffe://{GOVERNMENT}/witness/{number}") is None
        with pytest.raises(Refused, match="--number"):
            Witness(network=GOVERNMENT, number=number)


class TestLogKey:
    def test_it_is_a_signed_note_key(self) -> None:
        """The key id of the C2SP note format: SHA-256 over name, newline, type and key."""
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        private, verifier = note_keys("bridge.example/log/1", key)
        name, key_id, encoded = verifier.split("+", 2)
        public = base64.b64decode(encoded)
        assert public == b"\x01" + key.public_key().public_bytes_raw()
        assert hashlib.sha256(f"{name}\n".encode() + public).hexdigest().startswith(key_id)
        assert private.startswith(f"PRIVATE+KEY+{name}+{key_id}+")
        assert base64.b64decode(private.rsplit("+", 1)[1])[1:] == bytes(range(32))

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
    def test_a_bad_name_is_refused(self, name: str) -> None:
        """Spaces and plus signs would break the note's lines."""
        with pytest.raises(Refused, match="no log name"):
            note_keys(name, ed25519.Ed25519PrivateKey.generate())
