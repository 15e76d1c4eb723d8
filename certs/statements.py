"""
Signed statements: exact bytes, their type, and who signed them, as one line of JSON.

What is signed is what the exchange signs, a batch of one: the DSSE pre-authentication encoding of
the type and of ``batch size (8 bytes) || RFC 9162 leaf hash of the payload``.  So a statement can be
put into a bridge's log and verified there as it stands.  The key is named by the SHA-256 of its
certificate's DER; ECDSA signatures are ``r || s``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import Refused

Signer = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_SIZES = {"secp256r1": 32, "secp384r1": 48}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One signed statement; its `payload` is JSON in UTF-8 with sorted keys."""

    type: str
    payload: bytes
    key_id: str
    signature: bytes

    def line(self) -> bytes:
        """Return the statement as one line, without the line's end."""
        return json.dumps(
            {
                "type": self.type,
                "payload": base64.b64encode(self.payload).decode(),
                "key_id": self.key_id,
                "signature": base64.b64encode(self.signature).decode(),
            },
            separators=(",", ":"),
        ).encode()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the line, in hexadecimal."""
        return hashlib.sha256(self.line()).hexdigest()

    def says(self) -> dict[str, Any]:
        """Return the payload as data; raises `ValueError` when it is none."""
        said = json.loads(self.payload)
        return dict(said.items()) if isinstance(said, dict) else _not_an_object()


def state(kind: str, said: dict[str, Any], key: Signer, certificate: x509.Certificate) -> Statement:
    """Sign what is *said* as a statement of *kind* with the key of *certificate*."""
    payload = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    data = signed_bytes(kind, payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(data)
    else:
        size = _SIZES[key.curve.name]
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_hash(size))))
        signature = r.to_bytes(size) + s.to_bytes(size)
    return Statement(type=kind, payload=payload, key_id=key_id(certificate), signature=signature)


def read_statement(line: bytes, kind: str) -> Statement:
    """Return the statement of *kind* that *line* holds; raises `ValueError` when it holds none."""
    try:
        found = json.loads(line)
        made = Statement(
            type=found["type"],
            payload=base64.b64decode(found["payload"], validate=True),
            key_id=found["key_id"],
            signature=base64.b64decode(found["signature"], validate=True),
        )
    except (TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise ValueError(f"no statement: {error}") from error
    if made.type != kind:
        raise ValueError(f"a statement of another type: {made.type}")
    made.says()
    return made


def holds(statement: Statement, certificate: x509.Certificate) -> bool:
    """Return whether *certificate*'s key signed *statement*; whom to believe is another question."""
    key = certificate.public_key()
    data = signed_bytes(statement.type, statement.payload)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(statement.signature, data)
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _SIZES:
            size = _SIZES[key.curve.name]
            if len(statement.signature) != 2 * size:
                return False
            r, s = statement.signature[:size], statement.signature[size:]
            der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
            key.verify(der, data, ec.ECDSA(_hash(size)))
        else:
            return False
    except InvalidSignature:
        return False
    return statement.key_id == key_id(certificate)


def signed_bytes(kind: str, payload: bytes) -> bytes:
    """Return what a key signs for a *payload* of *kind*."""
    name = kind.encode()
    body = (1).to_bytes(8) + hashlib.sha256(b"\x00" + payload).digest()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)


def key_id(certificate: x509.Certificate) -> str:
    """Return by which name *certificate*'s key signs: SHA-256 of its DER, in hexadecimal."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def unreadable(what: object, error: ValueError, command: str) -> Refused:
    """Return the refusal of a file that holds no statement; *command* writes such files."""
    return Refused(
        en=f"{what} cannot be read ({error}). Give the file that `certs {command}` wrote, unchanged.",
        zh=f"无法读取 {what}（{error}）。请提供 `certs {command}` 写出的原始文件。",
    )


def _not_an_object() -> dict[str, Any]:
    raise ValueError("the payload is no object")


def _hash(size: int) -> hashes.HashAlgorithm:
    return hashes.SHA256() if size == 32 else hashes.SHA384()
