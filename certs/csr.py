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
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.errors import Refused
from certs.files import key_pem, require_absent, write_new
from certs.passphrase import NOBODY, Passphrase
from certs.pem import MALFORMED
from certs.profiles import PROFILES, Profile, check_key
from certs.statements import Signer
from certs.token import SUFFIX, Token, create_key

#: A request of this tool has about 300 bytes; an RSA-16384 key would need 5 kB.
MOST_REQUEST_BYTES = 16 * 1024


def build_request(label: str, key: Signer) -> x509.CertificateSigningRequest:
    """Return a request for *key*; *label* only helps people to tell requests apart."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    # Ed25519 hashes by itself (RFC 8410).
    return builder.sign(
        key, hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    )


def new_key(profile: Profile) -> Signer:
    """Return a new key of the kind that *profile* takes first."""
    if not profile.curves:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(profile.curves[0]())


def create_request(
    stem: Path,
    label: str,
    profile: Profile = PROFILES["gateway-tls"],
    token: Token | None = None,
    pin: Passphrase = NOBODY,
) -> tuple[Path, Path]:
    """
    Make a key for *profile* and its request beside each other; return both paths.

    With a *token* the key is made there, and ``<stem>.token`` says where.

    The key is ``<stem>.key``, mode 0600, and stays where it is; ``<stem>.csr`` goes to the
    authority.  Raises `Refused` when either exists.
    """
    key_path = _beside(stem, ".key" if token is None else SUFFIX)
    request_path = _beside(stem, ".csr")
    require_absent(key_path, request_path)
    if not 1 <= len(label) <= 64:  # X.520 ub-common-name
        raise Refused(
            en=f"The label {label!r} has {len(label)} characters; it takes 1 to 64. "
            "Give a shorter --label.",
            zh=f"标签 {label!r} 有 {len(label)} 个字符，应为 1 至 64 个。请缩短 --label。",
        )
    key: Signer
    if token is not None:
        slot, key = create_key(token, label, pin)
        check_key(profile, key.public_key())
        content = slot.text()
    else:
        key = new_key(profile)
        content = key_pem(key)
    request = build_request(label, key)
    write_new(key_path, content, private=True)
    write_new(request_path, request.public_bytes(Encoding.PEM))
    return key_path, request_path


def _beside(stem: Path, suffix: str) -> Path:
    """Return *stem* with *suffix* added; `with_suffix` would eat the end of "gw.1"."""
    return stem.with_name(stem.name + suffix)


def accept_request(request_pem: bytes, profile: Profile) -> CertificatePublicKeyTypes:
    """
    Return the request's key once its maker has proved to hold it and *profile* takes it.

    On failure, this function raises `Refused`.
    """
    if len(request_pem) > MOST_REQUEST_BYTES:
        raise Refused(
            en=f"The request has {len(request_pem)} bytes; at most {MOST_REQUEST_BYTES} are read, and a real "
            "one has a few hundred. Ask its owner for the .csr file that `certs csr` wrote.",
            zh=f"该请求有 {len(request_pem)} 字节，最多读取 {MOST_REQUEST_BYTES} 字节，正常请求仅数百字节。"
            "请向申请方索取 `certs csr` 写出的 .csr 文件。",
        )
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key = request.public_key()
        proved = request.is_signature_valid
    except (*MALFORMED, UnsupportedAlgorithm) as error:
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
