"""
Signed notes (c2sp.org/signed-note): a text of whole lines and the signatures under it.

A log's head is published as such a note.  Reading is strict, so that one meaning has one
spelling; a flipped bit anywhere makes another note or none.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from exchange.envelope import SigningKey, VerifyingKey, read_file, read_private_file
from exchange.errors import ConfigurationError, VerificationError
from exchange.text import Text

# A co-signature may have 5 kB one day; sixteen of them must be accepted (c2sp.org/signed-note).
MAX_NOTE = 128 * 1024
MAX_SIGNATURES = 64

# The signature type of plain Ed25519 signatures; no other is read here.
_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, kw_only=True)
class NoteVerifier:
    """A log's public key under its name; ``str()`` gives the C2SP verifier key."""

    name: str
    #: The raw 32-byte Ed25519 public key.
    public: bytes

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """Return the verifier key that *text* stands for; raises `ConfigurationError` if none."""
        name, key_hash, public, _ = read_key(text)
        verifier = cls(name=name, public=public)
        if verifier.key_hash != key_hash:
            raise key_broken()
        return verifier

    @classmethod
    def load(cls, path: Path) -> NoteVerifier:
        """Return the verifier key in the file *path*; raises `ConfigurationError`."""
        return cls.parse(read_file(path).decode("utf-8", "replace").strip())

    @cached_property
    def key_hash(self) -> bytes:
        """The four bytes that signature lines name the key by."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @cached_property
    def key(self) -> VerifyingKey:
        """The same key as one that signs other statements, such as a bridge's refusals."""
        return VerifyingKey.from_public_key(ed25519.Ed25519PublicKey.from_public_bytes(self.public))

    def check(self, value: bytes, text: bytes) -> None:
        """Raise `InvalidSignature` unless *value* signs *text*."""
        ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(value, text)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{encode_base64(_ED25519 + self.public)}"


@dataclass(frozen=True, kw_only=True)
class LogKey:
    """A log's private key under its name, which is also the log's origin."""

    name: str
    key: ed25519.Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> LogKey:
        """Return the key made from 32 random bytes; raises `ConfigurationError` on a bad name."""
        if not _fit_name(name):
            raise _misconfigured(
                f"{name[:80]!r} is no name for a log: no spaces, no plus sign, not empty.",
                f"“{name[:80]}”不能作为日志名称：不得为空，不得含空格或加号。",
            )
        return cls(name=name, key=ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def parse(cls, text: str) -> LogKey:
        """Return the key that `encode` wrote; raises `ConfigurationError` if *text* is none."""
        if not text.startswith(_PRIVATE):
            raise key_broken()
        name, key_hash, seed, _ = read_key(text.removeprefix(_PRIVATE))
        key = cls.from_seed(name, seed)
        if key.verifier.key_hash != key_hash:
            raise key_broken()
        return key

    @classmethod
    def load(cls, path: Path) -> LogKey:
        """Read a key file of one line; raises `ConfigurationError` naming the file."""
        content = read_private_file(path)
        try:
            return cls.parse(content.decode().removesuffix("\n"))
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise _misconfigured(
                f"{path} holds no log key.", f"{path} 不是日志密钥文件。"
            ) from error

    @cached_property
    def verifier(self) -> NoteVerifier:
        """The public half, for trust bundles."""
        return NoteVerifier(name=self.name, public=self.key.public_key().public_bytes_raw())

    @cached_property
    def signing_key(self) -> SigningKey:
        """The same key as one that signs other statements, such as a bridge's refusals."""
        return SigningKey.from_private_key(self.key)

    def encode(self) -> str:
        """Return the private key as one line of text, in the form of Go's ``sumdb/note``."""
        secret = encode_base64(_ED25519 + self.key.private_bytes_raw())
        return f"{_PRIVATE}{self.name}+{self.verifier.key_hash.hex()}+{secret}"


def sign_note(text: str, key: LogKey) -> bytes:
    """
    Return the note: *text*, an empty line, the key's signature line.

    Raises `ValueError` when *text* does not end a line or has other control characters.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ValueError("the text of a note is whole lines without control characters")
    value = key.verifier.key_hash + key.key.sign(text.encode())
    return f"{text}\n— {key.name} {encode_base64(value)}\n".encode()


def open_note(note: bytes, verifiers: Iterable[NoteVerifier]) -> tuple[str, frozenset[str]]:
    """
    Return the note's text and the names of the keys among *verifiers* that signed it.

    Signatures by other keys are ignored, as witnesses may add theirs.  Raises `VerificationError`
    when the note is malformed, signed twice by one key, signed by none of *verifiers*, or when
    one of theirs does not hold.
    """
    text, lines = split_note(note)
    known = {(verifier.name, verifier.key_hash): verifier for verifier in verifiers}
    seen: set[tuple[str, bytes]] = set()
    names: set[str] = set()
    for line in lines:
        name, value = read_signature(line)
        key_id = name, value[:4]
        if key_id in seen:
            raise note_broken()
        seen.add(key_id)
        if key_id in known:
            try:
                known[key_id].check(value[4:], text.encode())
            except InvalidSignature as error:
                raise _broken(
                    f"The signature of {name} under the note does not hold.",
                    f"{name} 的签名与文本不符。",
                ) from error
            names.add(name)
    if not names:
        raise _broken("No trusted key has signed this note.", "该文本没有任何受信任密钥的签名。")
    return text, frozenset(names)


def split_note(note: bytes) -> tuple[str, list[str]]:
    """
    Return the text and the signature lines of a note, whose signatures are not looked at.

    Raises `VerificationError` when it is malformed or larger than any note need be.
    """
    if len(note) > MAX_NOTE:
        raise note_broken()
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise note_broken() from error
    text, empty, signatures = whole.rpartition("\n\n")
    lines = signatures.split("\n")
    if not empty or lines.pop() or not 1 <= len(lines) <= MAX_SIGNATURES or _CONTROL.search(whole):
        raise note_broken()
    return text + "\n", lines


def encode_base64(data: bytes) -> str:
    """Return *data* in standard base64 (RFC 4648, section 4)."""
    return b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """Return the bytes of *text*; raises `VerificationError` for any but the one spelling."""
    try:
        data = b64decode(text)
    except ValueError as error:
        raise note_broken() from error
    if encode_base64(data) != text:
        raise note_broken()
    return data


def note_broken() -> VerificationError:
    """Return the failure of a note, checkpoint or proof file that is not in its format."""
    return _broken("The checkpoint or proof is malformed.", "检查点或证明的格式不正确。")


def read_signature(line: str) -> tuple[str, bytes]:
    """Return the key name, and the key hash with the signature, of one line; raises `VerificationError`."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    value = decode_base64(encoded)
    if dash != "—" or not _fit_name(name) or len(value) <= 4:
        raise note_broken()
    return name, value


def read_key(text: str, types: Sequence[bytes] = (_ED25519,)) -> tuple[str, bytes, bytes, bytes]:
    """
    Return name, hash, 32 bytes and type of ``name+hash+base64(type || bytes)``.

    Raises `ConfigurationError` unless it is a key of one of *types*.
    """
    try:
        name, key_hash, encoded = text.split("+", 2)
        data = decode_base64(encoded)
    except (ValueError, VerificationError) as error:
        raise key_broken() from error
    fit = _fit_name(name) and re.fullmatch(r"[0-9a-f]{8}", key_hash)
    if not fit or len(data) != 33 or data[:1] not in types:
        raise key_broken()
    return name, bytes.fromhex(key_hash), data[1:], data[:1]


def _fit_name(name: str) -> bool:
    printable = not any(letter.isspace() or letter < " " or letter == "+" for letter in name)
    return printable and 0 < len(name) <= 255


def key_broken() -> ConfigurationError:
    """Return the failure of a line that is no key."""
    return _misconfigured(
        "This is no log key in the form name+hash+base64, or its hash is wrong.",
        "日志密钥应为“名称+散列+base64”的形式，且散列须正确。",
    )


def _broken(en: str, zh: str) -> VerificationError:
    return VerificationError(Text(en=en, zh=zh))


def _misconfigured(en: str, zh: str) -> ConfigurationError:
    return ConfigurationError(Text(en=en, zh=zh))
