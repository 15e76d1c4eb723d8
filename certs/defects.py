"""
Certificates that must be refused, each named for its one defect, for tests and drills.

Everything else about each of them is as it should be, so that a refusal proves the one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import Authority, open_authority
from certs.development import Credential, Desk, DevelopmentSet
from certs.files import key_pem, write_new
from certs.founding import create_authority
from certs.profiles import SIGNER_USAGE, key_usage

_CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
_SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
_STATEMENT = key_usage(digital_signature=True, content_commitment=True)
_HANDSHAKE = key_usage(digital_signature=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a certificate says; the defaults are those of a good gateway certificate."""

    names: Sequence[x509.GeneralName]
    usages: Sequence[x509.ObjectIdentifier] = _CLIENT
    bits: x509.KeyUsage = _HANDSHAKE
    issuer: Authority | None = None
    starts: timedelta = timedelta(minutes=-5)
    ends: timedelta = timedelta(days=1)
    is_authority: bool = False
    curve: ec.EllipticCurve | None = None
    rsa_bits: int | None = None


def build_defects(
    folder: Path, development: DevelopmentSet, desk: Desk, other: str, now: datetime
) -> dict[str, Credential]:
    """
    Write the bad certificates of *desk* into *folder*; return them by the name of the defect.

    *other* is the network whose authority issues what it should not.  Names that begin with
    ``signer-`` are message signers, the others gateways.
    """
    own = open_authority(development.authorities[desk.network])
    foreign = open_authority(development.authorities[other])
    stranger_folder = folder / "stranger"
    create_authority(stranger_folder, desk.network, now)  # same name, another root
    stranger = open_authority(stranger_folder)

    gateway, signer = _uri(desk.name("gw").uri), _uri(desk.name("signer").uri)
    second = _uri(desk.name("gw", 2).uri)
    elsewhere = _uri(f"spiffe://nowhere.example/{desk.name('gw').uri.split('/', 3)[3]}")
    plans = {
        "expired": _Plan(names=[gateway], starts=timedelta(days=-2), ends=timedelta(days=-1)),
        "not-yet-valid": _Plan(names=[gateway], starts=timedelta(hours=12)),
        "wrong-network": _Plan(names=[gateway], issuer=foreign),
        "unknown-network": _Plan(names=[elsewhere]),
        "unknown-root": _Plan(names=[gateway], issuer=stranger),
        "two-names": _Plan(names=[gateway, second]),
        "name-and-host": _Plan(names=[gateway, x509.DNSName("localhost")]),
        "common-name-only": _Plan(names=[]),
        "host-only": _Plan(names=[x509.DNSName("gateway.example")]),
        "malformed-name": _Plan(names=[_uri(f"spiffe://{desk.network}/org/1/gw/1")]),
        "signer-name": _Plan(names=[signer]),
        "server-only": _Plan(names=[gateway], usages=_SERVER),
        "server-and-client": _Plan(names=[gateway], usages=[*_CLIENT, *_SERVER]),
        "no-usage": _Plan(names=[gateway], usages=[]),
        "no-digital-signature": _Plan(names=[gateway], bits=key_usage(content_commitment=True)),
        "rsa-1024": _Plan(names=[gateway], rsa_bits=1024),
        "authority": _Plan(names=[gateway], is_authority=True),
        "signer-expired": _signer(signer, starts=timedelta(days=-2), ends=timedelta(days=-1)),
        "signer-wrong-network": _signer(signer, issuer=foreign),
        "signer-unknown-root": _signer(signer, issuer=stranger),
        "signer-without-nonrepudiation": _signer(signer, bits=_HANDSHAKE),
        "signer-dials-too": _signer(signer, usages=[SIGNER_USAGE, *_CLIENT]),
        "signer-gateway-usage": _signer(signer, usages=_CLIENT),
        "signer-gateway-name": _signer(gateway),
        "signer-two-names": _Plan(names=[signer, gateway], usages=[SIGNER_USAGE], bits=_STATEMENT),
        "signer-p384": _signer(signer, curve=ec.SECP384R1()),
    }
    made = {defect: _write(folder, defect, plan, own, now) for defect, plan in plans.items()}
    made["self-signed"] = _write_self_signed(folder, "self-signed", gateway, now)
    return made


def _uri(uri: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(uri)


def _signer(
    name: x509.GeneralName,
    *,
    usages: Sequence[x509.ObjectIdentifier] = (SIGNER_USAGE,),
    bits: x509.KeyUsage = _STATEMENT,
    issuer: Authority | None = None,
    starts: timedelta = timedelta(minutes=-5),
    ends: timedelta = timedelta(days=1),
    curve: ec.EllipticCurve | None = None,
) -> _Plan:
    return _Plan(
        names=[name], usages=usages, bits=bits, issuer=issuer, starts=starts, ends=ends, curve=curve
    )


def _write(folder: Path, defect: str, plan: _Plan, own: Authority, now: datetime) -> Credential:
    issuer = plan.issuer or own
    key: CertificateIssuerPrivateKeyTypes
    if plan.rsa_bits is not None:
        key = rsa.generate_private_key(65537, plan.rsa_bits)
    else:
        key = ec.generate_private_key(plan.curve or ec.SECP256R1())
    builder = _builder(key, defect, plan, now).issuer_name(issuer.certificate.subject)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
    )
    leaf = builder.sign(issuer.key, hashes.SHA256())
    chain = leaf.public_bytes(Encoding.PEM) + issuer.certificate.public_bytes(Encoding.PEM)
    return _credential(folder, defect, key, chain)


def _write_self_signed(
    folder: Path, defect: str, name: x509.GeneralName, now: datetime
) -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(key, defect, _Plan(names=[name]), now).issuer_name(_subject(defect))
    leaf = builder.sign(key, hashes.SHA256())
    return _credential(folder, defect, key, leaf.public_bytes(Encoding.PEM))


def _builder(
    key: CertificateIssuerPrivateKeyTypes, defect: str, plan: _Plan, now: datetime
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(defect))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + plan.starts)
        .not_valid_after(now + plan.ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=plan.is_authority, path_length=None), critical=True)
        .add_extension(plan.bits, critical=True)
    )
    if plan.usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(plan.usages), critical=False)
    if plan.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(plan.names), critical=False)
    return builder


def _subject(defect: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"defect {defect}")])


def _credential(
    folder: Path, defect: str, key: CertificateIssuerPrivateKeyTypes, chain: bytes
) -> Credential:
    return Credential(
        key=write_new(folder / f"{defect}.key", key_pem(key), private=True),
        certificate=write_new(folder / f"{defect}.pem", chain),
    )
