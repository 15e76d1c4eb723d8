"""
Field groups that only some organisations can read: the bytes and what binds them.

1. A sealed group is the salted group under AES-256-GCM.  Its key follows from the group's salt and the
   message's digest, so that sealing the same group again gives the same bytes (a message is pushed
   until it is answered), and whoever may read the group can pass its key on.
2. The key is wrapped for each organisation by HPKE (RFC 9180, base mode).  Message, ticket, group and
   recipient stand in ``info``: a wrapped key that is moved to another place opens nothing there.
3. Neither proves anything by itself.  What was opened is believed once its salted digest is the one
   that the author signed (`exchange.envelope.group_digest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from exchange.acts import Group
from exchange.errors import VerificationError
from exchange.text import Text

PrivateKey = X25519PrivateKey

#: The one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
SUITE = "hpke-x25519-sha256-aes256gcm"
#: The payload type under which an organisation signs its sealing key.
SEALING_KEY_TYPE = "application/vnd.hotline-exchange.sealing-key.v1"

#: Bytes of the key of a group, or of a file.
KEY_SIZE = 32
#: Never sealed: by whose number a matter is found, by when it is due, and who may know it.  Whatever
#: else routes, times or counts stands in the header; none of these three has words about persons.
NEVER_SEALED = frozenset({Group.IDENTITY, Group.DEADLINE, Group.SHARE_SCOPE})

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_KEY = b"hotline-exchange/sealed-group-key/v1"
_GROUP = b"hotline-exchange/sealed-group/v1"
_WRAPPED = b"hotline-exchange/sealed-key/v1"
# A key seals one text: it follows from a salt and the digest that binds salt and text together.
_NONCE = bytes(12)
_CHUNK = b"hotline-exchange/encrypted-chunk/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a sealed group belongs: the message's digest (32 bytes), its ticket's id, the group's number."""

    digest: bytes
    ticket_id: str
    group: int

    def bound(self, domain: bytes, recipient: str = "") -> bytes:
        """Return the bytes that bind to this place: each part after its length, 2 bytes, big-endian."""
        parts = (domain, self.digest, self.ticket_id.encode(), self.group.to_bytes(4))
        named = (*parts, recipient.encode()) if recipient else parts
        return b"".join(len(part).to_bytes(2) + part for part in named)


def key_id(public: X25519PublicKey) -> bytes:
    """Return the id by which a sealing key is named: SHA-256 of its 32 bytes."""
    return sha256(public.public_bytes_raw()).digest()


def group_key(place: Place, salt: bytes) -> bytes:
    """Return the 32-byte key of a group: HKDF-SHA256 of its *salt*, bound to its place."""
    return HKDF(SHA256(), 32, salt=None, info=place.bound(_KEY)).derive(salt)


def close_group(place: Place, key: bytes, salted: bytes) -> bytes:
    """Return the ciphertext of *salted*, a serialised ``SaltedGroup``, under its `group_key`."""
    return AESGCM(key).encrypt(_NONCE, salted, place.bound(_GROUP))


def open_group(place: Place, key: bytes, ciphertext: bytes) -> bytes:
    """Return what `close_group` closed; raises `VerificationError` where it was not this, or not here."""
    try:
        return AESGCM(key).decrypt(_NONCE, ciphertext, place.bound(_GROUP))
    except InvalidTag as error:
        raise VerificationError(_DAMAGED, rule="sealed.content") from error


def close_chunk(key: bytes, number: int, count: int, content: bytes) -> bytes:
    """
    Return chunk *number* of *count* under a file's *key*, 16 bytes longer.

    A key closes one file, cut in one way: its nonces are the chunks' numbers.
    """
    return AESGCM(key).encrypt(number.to_bytes(12), content, _CHUNK + count.to_bytes(4))


def open_chunk(key: bytes, number: int, count: int, content: bytes) -> bytes:
    """Return what `close_chunk` closed; raises `VerificationError` where it was not this, or not here."""
    try:
        return AESGCM(key).decrypt(number.to_bytes(12), content, _CHUNK + count.to_bytes(4))
    except InvalidTag as error:
        raise VerificationError(_CHUNK_DAMAGED, rule="encrypted.chunk") from error


def wrap(place: Place, key: bytes, recipient: str, public: X25519PublicKey) -> bytes:
    """Return a group's *key* as only *recipient* can unwrap it: HPKE's encapsulated key, then the text."""
    return _SUITE.encrypt(key, public, info=place.bound(_WRAPPED, recipient))


def unwrap(place: Place, wrapped: bytes, recipient: str, private: X25519PrivateKey) -> bytes:
    """
    Return the key that `wrap` wrapped.

    Raises `VerificationError` where it was wrapped for another recipient, key, ticket, message or group.
    """
    try:
        return _SUITE.decrypt(wrapped, private, info=place.bound(_WRAPPED, recipient))
    except (InvalidTag, ValueError) as error:
        raise VerificationError(_NOT_FOR_THIS, rule="sealed.binding") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An organisation's sealing key that its signer vouches for."""

    organisation: str
    public: X25519PublicKey

    @property
    def key_id(self) -> bytes:
        """Its id."""
        return key_id(self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """The key to a sealed group, for *recipient* alone."""

    recipient: str
    key_id: bytes
    wrapped: bytes


def wrapped_for(place: Place, key: bytes, readers: Sequence[PublicKey]) -> list[WrappedKey]:
    """Return a group's *key*, wrapped for each of *readers*."""
    return [
        WrappedKey(
            recipient=reader.organisation,
            key_id=reader.key_id,
            wrapped=wrap(place, key, reader.organisation, reader.public),
        )
        for reader in readers
    ]


def new_private_key() -> bytes:
    """Return a new private sealing key as a PEM file's bytes (PKCS #8)."""
    key = X25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(pem: bytes) -> X25519PrivateKey:
    """Return the private key of a PEM file; raises `VerificationError` where it holds none for sealing."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VerificationError(_NO_PRIVATE_KEY) from error
    if not isinstance(key, X25519PrivateKey):
        raise VerificationError(_NO_PRIVATE_KEY)
    return key


def read_public_key(organisation: str, raw: bytes) -> PublicKey:
    """Return *organisation*'s public key from its 32 bytes; raises `VerificationError` for other bytes."""
    try:
        return PublicKey(organisation=organisation, public=X25519PublicKey.from_public_bytes(raw))
    except ValueError as error:
        raise VerificationError(_NO_PUBLIC_KEY) from error


_NO_PRIVATE_KEY = Text(
    en="This is no private sealing key (PEM, PKCS #8, X25519, not encrypted).",
    zh="不是封装私钥（PEM、PKCS #8、X25519、未加密）。",
)
_NO_PUBLIC_KEY = Text(en="This is no public sealing key.", zh="不是封装公钥。")
_NOT_FOR_THIS = Text(
    en="The key to a sealed group was not made for this recipient, ticket, message and group, or it was "
    "damaged on the way.",
    zh="封装字段组的密钥并非为此接收机构、此单、此消息及此字段组而作，或在途中受损。",
)
_DAMAGED = Text(
    en="A sealed group does not open with its key: it belongs to another place, or was damaged.",
    zh="封装字段组无法用其密钥打开：内容属于别处，或已受损。",
)
_CHUNK_DAMAGED = Text(
    en="A chunk of an encrypted file does not open with the key that its message gives.",
    zh="加密附件的分片无法用消息所给的密钥打开。",
)
