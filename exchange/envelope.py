"""
The bytes that are signed.

Three layers, each over exact bytes as they were sent, never over a re-encoding:

1. A field group (person, content, place …) is bound by `group_digest`, salted, so that the group
   can be withheld or destroyed without breaking a signature and its digest gives nothing away.
2. A header holds those digests.  `message_digest` of its bytes is at once the message's digest,
   its leaf in a signed batch and what the log records.
3. A `Signature` stands over the Merkle root of a batch of such bytes; a message signed alone is a
   batch of one.  The key signs the DSSE pre-authentication encoding of the payload type and of
   the batch size (8 bytes, big-endian) followed by the root, so nothing signed as one type of
   statement can pass as another.

Suites are named in the signature and allowed by the verifier's own configuration per peer; they
are never negotiated.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from exchange.causes import cause
from exchange.errors import ConfigurationError, VerificationError
from exchange.merkle import MAX_PATH, Frontier, NodeMemo, leaf_hash, root_from_path
from exchange.text import Text

MESSAGE_TYPE = "application/vnd.hotline-exchange.message.v1"
WRITTEN_TYPE = "application/vnd.hotline-exchange.written.v1"
REFUSED_TYPE = "application/vnd.hotline-exchange.refused.v1"

P256_SHA256 = "p256-sha256"
ED25519 = "ed25519"

MIN_SALT = 16
MAX_SALT = 64

# Larger batches gain nothing (one signature is shared by 128 already) and cost the verifier memory.
MAX_BATCH = 4096

# First bytes of a group digest's input; RFC 9162 nodes begin with 0x00 or 0x01, so no collision.
_GROUP_DOMAIN = b"hotline-exchange/group/v1"

_ECDSA = ec.ECDSA(hashes.SHA256())

_UNFIT = Text(
    en="This kind of key signs nothing here; use P-256 (authors) or Ed25519 (bridges).",
    zh="此类密钥不可用于签名，请使用 P-256（发文方）或 Ed25519（桥接方）。",
)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def group_digest(group: int, salt: bytes, content: bytes) -> bytes:
    """
    Return the salted digest by which a header binds the field group numbered *group*.

    SHA-256 of: the domain string, *group* (4 bytes), the salt's length (1 byte), the salt, the
    content's length (8 bytes), the content; numbers unsigned and big-endian.  Raises
    `VerificationError` unless the salt has 16 to 64 bytes and the number fits.
    """
    if not MIN_SALT <= len(salt) <= MAX_SALT:
        raise _broken(
            f"The salt of a field group has {len(salt)} bytes; {MIN_SALT} to {MAX_SALT} are needed.",
            f"字段组的盐长度为 {len(salt)} 字节，应为 {MIN_SALT} 至 {MAX_SALT} 字节。",
        )
    if not 0 <= group < 1 << 32:
        raise _broken(f"There is no field group {group}.", f"不存在编号为 {group} 的字段组。")
    head = _group_head(group, len(salt))
    return sha256(b"".join((head, salt, len(content).to_bytes(8), content))).digest()


@lru_cache(256)
def _group_head(group: int, salt_size: int) -> bytes:
    return _GROUP_DOMAIN + group.to_bytes(4) + salt_size.to_bytes(1)


def message_digest(header: bytes) -> bytes:
    """Return the digest of a message or statement: the RFC 9162 leaf hash of its exact bytes."""
    return leaf_hash(header)


def signed_bytes(payload_type: str, batch_size: int, root: bytes) -> bytes:
    """Return what a key signs: DSSE PAE of the type and of ``batch_size (8 bytes) || root``."""
    name = payload_type.encode()
    body = batch_size.to_bytes(8) + root
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One message's signature: its batch's, and the path from the message to the batch's root."""

    #: Name in `SUITES`.
    suite: str
    #: SHA-256 of the signer certificate's DER, or of a bare key's SubjectPublicKeyInfo.
    key_id: bytes
    #: The suite's signature over `signed_bytes`.
    value: bytes
    batch_size: int = 1
    batch_index: int = 0
    #: 32-byte hashes from the leaf's sibling to the root's child.
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One way to sign; `check` raises `InvalidSignature`."""

    sign: Callable[[PrivateKey, bytes], bytes]
    check: Callable[[PublicKey, bytes, bytes], None]


def _sign_p256(key: PrivateKey, data: bytes) -> bytes:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(type(key))
    r, s = decode_dss_signature(key.sign(data, _ECDSA))
    return r.to_bytes(32) + s.to_bytes(32)


def _check_p256(key: PublicKey, value: bytes, data: bytes) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(value) != 64:
        raise InvalidSignature
    der = encode_dss_signature(int.from_bytes(value[:32]), int.from_bytes(value[32:]))
    key.verify(der, data, _ECDSA)


def _sign_ed25519(key: PrivateKey, data: bytes) -> bytes:
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise TypeError(type(key))
    return key.sign(data)


def _check_ed25519(key: PublicKey, value: bytes, data: bytes) -> None:
    if not isinstance(key, ed25519.Ed25519PublicKey) or len(value) != 64:
        raise InvalidSignature
    key.verify(value, data)


#: Authors sign with P-256, ``r || s`` of 32 bytes each; a bridge's log key is Ed25519.
SUITES: dict[str, Suite] = {
    P256_SHA256: Suite(sign=_sign_p256, check=_check_p256),
    ED25519: Suite(sign=_sign_ed25519, check=_check_ed25519),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """A public key and the identifier that signatures name it by; it fits exactly one suite."""

    suite: str
    key_id: bytes
    spki: bytes = field(repr=False)
    key: PublicKey = field(compare=False, repr=False)

    @classmethod
    def from_certificate(cls, certificate: x509.Certificate) -> VerifyingKey:
        """
        Return the key of a signer certificate; whether to trust it is the caller's to decide.

        Raises `VerificationError` when no suite takes this kind of key.
        """
        der = certificate.public_bytes(serialization.Encoding.DER)
        return cls._make(certificate.public_key(), sha256(der).digest())

    @classmethod
    def from_public_key(cls, key: PublicKey) -> VerifyingKey:
        """Return a bare key, named by its SubjectPublicKeyInfo; a bridge's log key is one."""
        return cls._make(key, sha256(_spki(key)).digest())

    @classmethod
    def _make(cls, key: CertificatePublicKeyTypes, key_id: bytes) -> VerifyingKey:
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(suite=ED25519, key_id=key_id, spki=_spki(key), key=key)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
            return cls(suite=P256_SHA256, key_id=key_id, spki=_spki(key), key=key)
        raise VerificationError(_UNFIT)


@lru_cache(maxsize=1024)
def verifying_key(suite: str, key_id: bytes, spki: bytes) -> VerifyingKey:
    """Return the key that came apart into these."""
    key: Any = serialization.load_der_public_key(spki)
    return VerifyingKey(suite=suite, key_id=key_id, spki=spki, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """
    A private key and, except for a log key, its certificate chain (leaf first).

    A key that lives in a token needs no other class: an `EllipticCurvePrivateKey` whose ``sign``
    calls the token will do.
    """

    public: VerifyingKey
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def from_certificate(cls, key: PrivateKey, chain: Sequence[x509.Certificate]) -> SigningKey:
        """Return the key of ``chain[0]``; raises `ConfigurationError` when they do not fit."""
        if not chain or _spki(key.public_key()) != _spki(chain[0].public_key()):
            raise _misconfigured(
                "The private key does not belong to the first certificate of the chain.",
                "私钥与证书链中的第一张证书不匹配。",
            )
        try:
            public = VerifyingKey.from_certificate(chain[0])
        except VerificationError as error:
            raise ConfigurationError(error.text) from error
        return cls(public=public, key=key, chain=tuple(chain))

    @classmethod
    def from_private_key(cls, key: PrivateKey) -> SigningKey:
        """Return a key without a certificate, named by its public key."""
        return cls(public=VerifyingKey.from_public_key(key.public_key()), key=key)

    @classmethod
    def load(cls, key_path: Path, chain_path: Path) -> SigningKey:
        """
        Read a PEM private key (PKCS #8, not encrypted) and its PEM certificate chain.

        Raises `ConfigurationError`, naming the file, when one cannot be read or does not fit.
        """
        try:
            key = serialization.load_pem_private_key(read_private_file(key_path), password=None)
        except TypeError as error:
            raise _misconfigured(
                f"The private key {key_path} is encrypted; give a file without a password.",
                f"私钥文件 {key_path} 已加密，请提供未设密码的文件。",
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _misconfigured(
                f"{key_path} holds no PEM private key.", f"{key_path} 不是 PEM 格式的私钥文件。"
            ) from error
        try:
            chain = x509.load_pem_x509_certificates(read_file(chain_path))
        except ValueError as error:
            raise _misconfigured(
                f"{chain_path} is not a PEM certificate chain.",
                f"{chain_path} 不是 PEM 格式的证书链。",
            ) from error
        if not isinstance(key, PrivateKey):
            raise _misconfigured(f"{key_path}: {_UNFIT.en}", f"{key_path}：{_UNFIT.zh}")
        return cls.from_certificate(key, chain)

    def sign_bytes(self, data: bytes) -> bytes:
        """Return the suite's signature over *data* itself; `sign` is what messages need."""
        return SUITES[self.public.suite].sign(self.key, data)


def sign(payload_type: str, payloads: Sequence[bytes], signer: SigningKey) -> list[Signature]:
    """
    Sign *payloads* as one batch: one signature operation, one `Signature` each, in their order.

    Raises `ValueError` for more than `MAX_BATCH` payloads.
    """
    if len(payloads) > MAX_BATCH:
        raise ValueError(f"a batch holds at most {MAX_BATCH} payloads, not {len(payloads)}")
    if not payloads:
        return []
    growth = Frontier().append([message_digest(payload) for payload in payloads])
    value = signer.sign_bytes(signed_bytes(payload_type, len(payloads), growth.frontier.root()))
    return [
        Signature(
            suite=signer.public.suite,
            key_id=signer.public.key_id,
            value=value,
            batch_size=len(payloads),
            batch_index=index,
            path=path,
        )
        for index, path in enumerate(growth.paths())
    ]


class Verifier:
    """
    Verifies the signatures of one drain; what many messages share is computed once.

    Failures are remembered as well: a batch under a bad signature costs one verification, not one
    a message.  Drop it with the drain: what it remembers grows with what it has seen.
    """

    def __init__(self) -> None:
        self._nodes = NodeMemo()
        self._holds: dict[tuple[bytes, str, int, bytes, bytes], bool] = {}

    def verify(
        self,
        payload_type: str,
        payload: bytes,
        signature: Signature,
        key: VerifyingKey,
        *,
        allowed: Collection[str],
        digest: bytes = b"",
    ) -> None:
        """
        Check that *key* signed *payload*, whose *digest* we may have taken, by one of the suites *allowed*.

        Raises `VerificationError` when anything does not hold.
        """
        if signature.suite not in SUITES or signature.suite not in allowed:
            raise _broken(
                f"The signature suite {signature.suite[:40]!r} is not allowed here.",
                f"此处不允许使用签名套件“{signature.suite[:40]}”。",
            )
        if signature.key_id != key.key_id or signature.suite != key.suite:
            raise _broken(
                "The signature names another key than the signer's.",
                "签名所指的密钥不是签名者的密钥。",
            )
        size = signature.batch_size
        if not 1 <= size <= MAX_BATCH or len(signature.path) > MAX_PATH:
            raise _broken(
                f"A signed batch holds 1 to {MAX_BATCH} messages.",
                f"一个签名批次应含 1 至 {MAX_BATCH} 条消息。",
            )
        leaf = digest or message_digest(payload)
        root = root_from_path(leaf, signature.batch_index, size, signature.path, self._nodes)
        # A public key fits one suite, so its bytes stand for both.
        question = (key.spki, payload_type, size, root, signature.value)
        holds = self._holds.get(question)
        if holds is None:
            holds = _holds(key, payload_type, size, root, signature.value)
            self._holds[question] = holds
        if not holds:
            raise _broken("The signature does not hold for these bytes.", "签名与所签内容不符。")


def _holds(key: VerifyingKey, payload_type: str, size: int, root: bytes, value: bytes) -> bool:
    try:
        SUITES[key.suite].check(key.key, value, signed_bytes(payload_type, size, root))
    except InvalidSignature:
        return False
    return True


def read_file(path: Path, forbidden: int = 0) -> bytes:
    """
    Return the file's bytes.

    Raises `ConfigurationError`, naming the file and the mend, when it cannot be read or its mode
    has one of the *forbidden* bits.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode if os.name == "posix" else 0
            content = file.read()
    except OSError as error:
        raise _misconfigured(
            f"{path} cannot be read: {cause(error).en}.", f"无法读取 {path}：{cause(error).zh}。"
        ) from error
    if mode & forbidden:
        raise _misconfigured(
            f"{path} is open to others (mode {mode & 0o777:04o}); run: chmod 600 {path}",
            f"{path} 对其他用户开放（权限 {mode & 0o777:04o}），请执行：chmod 600 {path}",
        )
    return content


def read_private_file(path: Path) -> bytes:
    """Return a private key's file, as `read_file`; owner and group may read it, the owner write."""
    return read_file(path, stat.S_IWGRP | stat.S_IRWXO)


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _broken(en: str, zh: str) -> VerificationError:
    return VerificationError(Text(en=en, zh=zh))


def _misconfigured(en: str, zh: str) -> ConfigurationError:
    return ConfigurationError(Text(en=en, zh=zh))
