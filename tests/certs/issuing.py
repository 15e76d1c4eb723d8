"""Names, keys and requests to hold the certificate tool against."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.development import GOVERNMENT, POLICE
from certs.names import Name, Role

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
ORGANISATION = "11140400MB1X00010Y"


def desk_name(role: Role = "gw", *, network: str = GOVERNMENT) -> Name:
    """Return the name of the hotline's desk, in *network*."""
    return Name(network=network, region="140400", organisation=ORGANISATION, role=role, number=1)


def new_key() -> ec.EllipticCurvePublicKey:
    """Return the public half of a new key."""
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def request_for(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a request that asks for everything it must not get."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bridge.example")])
    names: list[x509.GeneralName] = [
        x509.DNSName("bridge.example"),
        x509.UniformResourceIdentifier(desk_name(network=POLICE).uri),
    ]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
