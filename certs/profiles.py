"""
The kinds of certificate, each fixed here: a request chooses nothing but its key.

====================  =======================  ==========================================
profile               used for                 name
====================  =======================  ==========================================
gateway-tls           dialling the bridge      one URI ``…/gw/<n>``, no DNS name
bridge-tls            being dialled            DNS names, and IP addresses if any
signer                signing messages         one URI ``…/signer/<n>``
witness               co-signing a log         one URI ``spiffe://<network>/witness/<n>``
witness-tls           a witness that dials     one URI, as above
====================  =======================  ==========================================

A gateway certificate is for clients only and carries no DNS name, so that it can never pose as the
bridge; a bridge certificate is for servers only, so that it can never pose as a gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.errors import Refused
from certs.names import Role

ProfileName = Literal["gateway-tls", "bridge-tls", "signer", "witness", "witness-tls"]

# The purpose "signs messages of the exchange": the object identifier of a UUID (ITU-T X.667
# section 7), version 5 in the URL namespace over "hotline-exchange/message-signer".
SIGNER_USAGE = x509.ObjectIdentifier("2.25.98568447353177642693997237057153466335")

# The purpose "co-signs checkpoints of a log", likewise over "hotline-exchange/log-witness".
WITNESS_USAGE = x509.ObjectIdentifier("2.25.184170541784128449710818413371363054337")

# Clocks of two networks disagree by minutes; a fresh certificate must work at once on both.
BACKDATED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """
    One kind of certificate: its purpose, its keys, and its life in days.

    `curves` is empty where the key is Ed25519.  `role` is None for what names no organisation.
    """

    name: ProfileName
    usage: x509.ObjectIdentifier
    curves: tuple[type[ec.EllipticCurve], ...]
    days: int
    signs_statements: bool
    role: Role | None


PROFILES: dict[ProfileName, Profile] = {
    "gateway-tls": Profile(
        name="gateway-tls",
        usage=ExtendedKeyUsageOID.CLIENT_AUTH,
        curves=(ec.SECP256R1, ec.SECP384R1),
        days=90,
        signs_statements=False,
        role="gw",
    ),
    "bridge-tls": Profile(
        name="bridge-tls",
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        curves=(ec.SECP256R1, ec.SECP384R1),
        days=90,
        signs_statements=False,
        role=None,
    ),
    "signer": Profile(
        name="signer",
        usage=SIGNER_USAGE,
        curves=(ec.SECP256R1,),
        days=365,
        signs_statements=True,
        role="signer",
    ),
    # Co-signatures of checkpoints are Ed25519 (C2SP tlog-cosignature).
    "witness": Profile(
        name="witness",
        usage=WITNESS_USAGE,
        curves=(),
        days=365,
        signs_statements=True,
        role=None,
    ),
    # TLS stacks take neither its kind of key nor its usage: a witness dials with another certificate.
    "witness-tls": Profile(
        name="witness-tls",
        usage=ExtendedKeyUsageOID.CLIENT_AUTH,
        curves=(ec.SECP256R1, ec.SECP384R1),
        days=90,
        signs_statements=False,
        role=None,
    ),
}


#: The profiles whose certificates name a witness.
WITNESSES: frozenset[ProfileName] = frozenset({"witness", "witness-tls"})


def check_key(profile: Profile, key: CertificatePublicKeyTypes) -> None:
    """Refuse a key that *profile* does not allow."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, profile.curves):
        return
    if isinstance(key, ed25519.Ed25519PublicKey) and not profile.curves:
        return
    allowed = " / ".join(str(curve.name) for curve in profile.curves) or "Ed25519"
    why = Refused(
        en=f"The request's key is {describe_key(key)}; a {profile.name} certificate takes "
        f"{allowed}. Make a new request with `certs csr`.",
        zh=f"请求中的密钥为 {describe_key(key)}，{profile.name} 证书只接受 {allowed}。"
        "请用 `certs csr` 重新生成请求。",
    )
    if profile.name == "bridge-tls" and isinstance(key, rsa.RSAPublicKey):
        # TLS 1.2 is kept out by offering only suites that need an RSA key; with one it returns.
        why = Refused(
            en="The request's key is RSA; with an RSA key the bridge could be talked down to "
            f"TLS 1.2. It takes {allowed}. Make a new request with `certs csr`.",
            zh="请求中的密钥为 RSA；使用 RSA 密钥会使网桥可能降级到 TLS 1.2，"
            f"只接受 {allowed}。请用 `certs csr` 重新生成请求。",
        )
    raise why


def describe_key(key: CertificatePublicKeyTypes) -> str:
    """Return a short description of *key*, such as ``secp256r1`` or ``RSA 2048``."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """Return the key usage with the four bits this tool uses, the others off."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
