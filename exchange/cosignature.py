"""
Co-signatures of checkpoints (c2sp.org/tlog-cosignature, Ed25519): who else saw this head, and when.

A witness signs a log's checkpoint together with its own time, once it has made sure that this head
grew out of the one it saw before.  The signature stands as one more line under the note, so that a
co-signed checkpoint is still that checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from exchange.errors import ConfigurationError, VerificationError
from exchange.note import (
    LogKey,
    NoteVerifier,
    encode_base64,
    key_broken,
    note_broken,
    read_key,
    read_signature,
    split_note,
)
from exchange.text import Text

_COSIGNATURE = b"\x04"
_ED25519 = b"\x01"
_SIGNED = "cosignature/v1\ntime {time}\n{text}"
#: Time (8 bytes, big-endian, seconds since 1970) and Ed25519 signature.
_SIZE = 72
#: The last second that `datetime` knows.
_LAST = 253_402_300_799


@dataclass(frozen=True, kw_only=True)
class WitnessKey:
    """A witness's public key under its name; ``str()`` gives the C2SP verifier key of type 0x04."""

    name: str
    #: The raw 32-byte Ed25519 public key.
    public: bytes

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """
        Return the key that *text* stands for; raises `ConfigurationError` if none.

        The verifier key file that was made beside the private key (type 0x01) names the same key.
        """
        name, key_hash, public, kind = read_key(text, (_COSIGNATURE, _ED25519))
        found = cls(name=name, public=public)
        plain = NoteVerifier(name=name, public=public)
        if key_hash != (found.key_hash if kind == _COSIGNATURE else plain.key_hash):
            raise key_broken()
        return found

    @classmethod
    def of(cls, key: LogKey) -> WitnessKey:
        """Return the public half of *key*."""
        return cls(name=key.name, public=key.verifier.public)

    @cached_property
    def key_hash(self) -> bytes:
        """The four bytes that co-signature lines name the key by."""
        return sha256(self.name.encode() + b"\n" + _COSIGNATURE + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{encode_base64(_COSIGNATURE + self.public)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """That *witness* saw a checkpoint at *time*, whole seconds by its own clock; *line* says so."""

    witness: str
    time: datetime
    line: str


def cosign(text: str, key: LogKey, time: datetime) -> Cosignature:
    """Return *key*'s co-signature of the checkpoint whose note has *text*, given at *time*."""
    seconds = int(time.timestamp())
    signature = key.key.sign(_SIGNED.format(time=seconds, text=text).encode())
    value = WitnessKey.of(key).key_hash + seconds.to_bytes(8) + signature
    return Cosignature(
        witness=key.name,
        time=datetime.fromtimestamp(seconds, UTC),
        line=f"— {key.name} {encode_base64(value)}",
    )


def cosignatures(note: bytes, keys: Iterable[WitnessKey]) -> list[Cosignature]:
    """
    Return the co-signatures under *note* by *keys*, in its order; other lines are ignored.

    Raises `VerificationError` where the note is malformed, or one of theirs does not hold.
    """
    text, lines = split_note(note)
    known = {(key.name, key.key_hash): key for key in keys}
    found: list[Cosignature] = []
    for line in lines:
        name, value = read_signature(line)
        key = known.get((name, value[:4]))
        if key is not None:
            found.append(Cosignature(witness=name, time=_check(text, key, value[4:]), line=line))
    return found


def signed_by(note: bytes, line: str, keys: Iterable[WitnessKey]) -> WitnessKey | None:
    """
    Return which of *keys* signed a co-signature's *line*, by its name and key hash; None for one by another key.

    Raises `VerificationError` where the line is malformed, or does not hold for *note* by the key that it names,
    or names another one than the key that signed it.
    """
    text, _ = split_note(note)
    name, value = read_signature(line)
    named = [key for key in keys if key.name == name]
    for key in named:
        if key.key_hash == value[:4]:
            _check(text, key, value[4:])
            return key
    for key in named:
        try:
            _check(text, key, value[4:])
        except VerificationError:
            continue
        raise note_broken()  # it is this key's, and the hash was changed
    return None


def cosigned_by(line: str) -> tuple[str, datetime]:
    """Return which witness a co-signature's *line* names, and when; raises `VerificationError` if none."""
    name, value = read_signature(line)
    seconds = int.from_bytes(value[4:12])
    if len(value) != 4 + _SIZE or seconds > _LAST:
        raise note_broken()
    return name, datetime.fromtimestamp(seconds, UTC)


def with_lines(note: bytes, lines: Sequence[str]) -> bytes:
    """Return *note* with *lines* under it, each once."""
    text, there = split_note(note)
    every = dict.fromkeys((*there, *lines))
    return f"{text}\n{''.join(f'{line}{chr(10)}' for line in every)}".encode()


def read_witness_keys(lines: str) -> list[WitnessKey]:
    """Return the keys in a file, one a line; raises `ConfigurationError` where there is none."""
    found = [WitnessKey.parse(line.strip()) for line in lines.splitlines() if line.strip()]
    if not found:
        raise ConfigurationError(_NO_KEY)
    return found


def _check(text: str, key: WitnessKey, value: bytes) -> datetime:
    """Return the time that *value* signs with *text*; raises `VerificationError`."""
    seconds = int.from_bytes(value[:8])
    if len(value) != _SIZE or seconds > _LAST:
        raise note_broken()
    signed = _SIGNED.format(time=seconds, text=text).encode()
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key.public).verify(value[8:], signed)
    except InvalidSignature as error:
        raise VerificationError(_BROKEN.fill(name=key.name)) from error
    return datetime.fromtimestamp(seconds, UTC)


_BROKEN = Text(
    en="The co-signature of {name} under the checkpoint does not hold.",
    zh="检查点下 {name} 的联署与其内容不符。",
)
_NO_KEY = Text(
    en="The file holds no witness's verifier key: one a line, in the form name+hash+base64.",
    zh="文件中没有见证者验证公钥：应每行一个，形如“名称+散列+base64”。",
)
