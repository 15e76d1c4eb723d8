"""A signer for the tests of envelopes, with its certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from exchange.envelope import (
    SigningKey,
)


def certificate(key: Any) -> x509.Certificate:
    """A self-signed certificate: these tests are about bytes, not about trust."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .sign(key, algorithm)
    )


KEY = ec.generate_private_key(ec.SECP256R1())
AUTHOR = SigningKey.from_certificate(KEY, [certificate(KEY)])
