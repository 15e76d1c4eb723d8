"""
Certificate signing requests (RFC 2986): made by the key's owner, taken by the authority.

A request proves that its maker holds the key, and says nothing else that counts: every extension
and the subject in it are ignored, and the authority's profile decides.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.errors import Refused
from certs.files import key_pem, require_absent, write_new
from certs.profiles import Profile, check_key


def build_request(label: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    """Return a request for *key*; *label* only helps people to tell requests apart."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def create_request(stem: Path, label: str) -> tuple[Path, Path]:
    """
    Make a P-256 key and its request beside each other; return the paths of key and request.

    The key is ``<stem>.key``, mode 0600, and stays where it is; ``<stem>.csr`` goes to the
    authority.  Raises `Refused` when either exists.
    """
    key_path, request_path = _beside(stem, ".key"), _beside(stem, ".csr")
    require_absent(key_path, request_path)
    if not 1 <= len(label) <= 64:  # X.520 ub-common-name
        raise Refused(
            en=f"The label {label!r} has {len(label)} characters; it takes 1 to 64. "
            "Give a shorter --label.",
            zh=f"标签 {label!r} 有 {len(label)} 个字符，应为 1 至 64 个。请缩短 --label。",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    request = build_request(label, key)
    write_new(key_path, key_pem(key), private=True)
    write_new(request_path, request.public_bytes(Encoding.PEM))
    return key_path, request_path


def _beside(stem: Path, suffix: str) -> Path:
    """Return *stem* with *suffix* added; `with_suffix` would eat the end of "gw.1"."""
    return stem.with_name(stem.name + suffix)


def accept_request(pem: bytes, profile: Profile) -> CertificatePublicKeyTypes:
    """
    Return the request's key once its maker has proved to hold it and *profile* takes it.

    On failure, this function raises `Refused`.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(
            en=f"The request cannot be read ({error}). Ask its owner for the .csr file that "
            "`certs csr` wrote.",
            zh=f"无法读取该请求（{error}）。请向申请方索取 `certs csr` 写出的 .csr 文件。",
        ) from error
    if not proved:
        raise Refused(
            en="The request is not signed by its own key: whoever sent it does not hold the key, "
            "or the file was changed on the way. Ask its owner for it again.",
            zh="该请求未由其自身密钥签名：发送者并不持有该密钥，或文件在途中被改动。请向申请方重新索取。",
        )
    check_key(profile, key)
    return key
