"""How a request becomes a certificate: recorded first, then handed over."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Holder, issue
from certs.csr import accept_request
from certs.errors import Refused
from certs.files import replace, require_absent
from certs.journal import certificate_text
from certs.office import Office
from certs.profiles import Profile
from certs.register import key_digest


def enrol(
    office: Office,
    profile: Profile,
    request: bytes,
    holder: Holder,
    out: Path,
    *,
    days: int | None = None,
) -> x509.Certificate:
    """Answer *request* with a certificate for *holder* in *out*, which must be absent; or refuse."""
    require_absent(out)
    leaf = certify(office, profile, request, holder, days=days)
    deliver(office, leaf, out)
    return leaf


def certify(
    office: Office,
    profile: Profile,
    request: bytes,
    holder: Holder,
    *,
    days: int | None = None,
    renews: x509.Certificate | None = None,
) -> x509.Certificate:
    """Return the certificate that answers *request*, once it is in the journal; or refuse."""
    office.check_in_force()
    key = accept_request(request, profile)
    _check_fresh(office, key)
    leaf = issue(office.authority, profile, key, holder, office.now, days=days)
    facts = {
        "certificate": certificate_text(leaf),
        "profile": profile.name,
        "request_sha256": hashlib.sha256(request).hexdigest(),
    }
    if renews is None:
        office.record("issue", facts)
    else:
        office.record("renew", {**facts, "renews": f"{renews.serial_number:x}"})
    return leaf


def deliver(office: Office, leaf: x509.Certificate, out: Path) -> Path:
    """Write *leaf* and its issuer to *out*; a refusal says how to have it after all."""
    try:
        return replace(out, chain_of(office, leaf))
    except Refused as refused:
        serial = f"{leaf.serial_number:x}"
        why = refused.sentence
        raise Refused(
            en=f"The certificate is issued and recorded (serial {serial}), but could not be handed "
            f"over. {why.en} Then: certs fetch {serial[:12]} --out FILE",
            zh=f"证书已签发并记录（序列号 {serial}），但未能写出。{why.zh}然后执行：certs fetch {serial[:12]} --out 文件",
        ) from refused


def chain_of(office: Office, leaf: x509.Certificate) -> bytes:
    """Return what the holder of *leaf* presents: it, then the issuing certificate that signed it."""
    issuer = next(one for one in office.journal.issuing if one.subject == leaf.issuer)
    return leaf.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)


def _check_fresh(office: Office, key: CertificatePublicKeyTypes) -> None:
    """Refuse a key that has, or ever had, a certificate of this authority."""
    serial = office.register.keys.get(key_digest(key))
    if serial is None:
        return
    shown = f"{serial:x}"[:12]
    if serial in office.register.revoked:
        raise Refused(
            en=f"The request's key belongs to certificate {shown}, which was revoked; it never counts "
            "again. Make a new key and request: certs csr",
            zh=f"申请中的密钥属于已吊销的证书 {shown}，不得再用。请用 certs csr 生成新密钥与申请。",
        )
    raise Refused(
        en=f"The request's key has a certificate already (serial {shown}): one key, one certificate. "
        f"To have that one once more: certs fetch {shown} --out FILE. For another, make a new key: "
        "certs csr",
        zh=f"申请中的密钥已有证书（序列号 {shown}）：一把密钥只对应一份证书。重新取得该证书："
        f"certs fetch {shown} --out 文件；如需另一份，请用 certs csr 生成新密钥。",
    )
