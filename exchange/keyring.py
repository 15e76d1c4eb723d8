"""
The key ring: the keys under which the database's data keys are wrapped (encryption at rest).

A ring is one file, for its owner's eyes alone, of several numbered 256-bit keys of which one is
current::

    {"format": "hotline.exchange/key-ring/v1", "current": 2,
     "keys": [{"number": 1, "made": "2026-03-01T08:00:00Z", "key": "<base64>"}, ...]}

With a passphrase, ``current`` and ``keys`` stand encrypted in it: AES-256-GCM under a key that scrypt
(RFC 7914; N 2^15, r 8, p 3) makes of the passphrase.

A data key encrypts what was said about one ticket: AES-256-GCM, each time under a new random nonce of
96 bits.  One key encrypts a ticket's messages and no more, some hundred of the 2^32 that NIST SP
800-38D, 8.3, allows it; no counter has to survive a crash or a restored backup.  Data keys are wrapped
by the ring's current key (AES key wrap, RFC 3394): another ring key is another wrapping of 40 bytes,
and the content stays as it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from exchange.causes import cause
from exchange.envelope import read_file
from exchange.errors import ConfigurationError, VerificationError
from exchange.text import Text

FORMAT = "hotline.exchange/key-ring/v1"
#: Bytes of every key.
SIZE = 32
#: Keys of one ring at most; a number is never used twice.
KEYS_MOST = 100
#: As `certs.passphrase` asks: NIST SP 800-63B-4, 3.1.1.2.
LEAST_CHARACTERS = 15

_NONCE = 12
_OTHERS = 0o077
#: No message begins with the first byte: in protobuf it would be a field without a number.
_MARK = b"\x00\x01"
_ID = 16
_HEAD = len(_MARK) + _ID + _NONCE
_ABOUT = "hotline.exchange/at-rest/v1 message.envelope"

_NO_RING = Text(
    en="{file} is no key ring, or is damaged: {why}. Put it back from its copy.",
    zh="{file} 不是密钥环文件或已损坏：{why}。请从副本恢复。",
)
_NO_FILE = Text(
    en="There is no key ring {file}. If there was one, put it back from its copy: without it nothing that "
    "was encrypted can be read. Only before the first: exchange keys new",
    zh="没有密钥环文件 {file}。如曾有过，请从副本恢复：没有它，已加密的内容均无法读取。仅在首次使用时执行："
    "exchange keys new",
)
_LOCKED = Text(
    en="The key ring {file} is encrypted, and no passphrase file is configured. Set at_rest.passphrase_file.",
    zh="密钥环 {file} 已用口令加密，而未配置口令文件。请设置 at_rest.passphrase_file。",
)
_WRONG_PASSPHRASE = Text(
    en="The passphrase in {passphrase} does not open the key ring {file}, or that was changed. Name the right "
    "one, or put the ring back from its copy.",
    zh="{passphrase} 中的口令不能打开密钥环 {file}，或密钥环已被改动。请指定正确的口令，或从副本恢复密钥环。",
)
_SHORT = Text(
    en="The first line of {passphrase} has fewer than {least} characters. Choose a longer passphrase: a "
    "sentence is fine.",
    zh="{passphrase} 首行少于 {least} 个字符。请改用更长的口令，一句话即可。",
)
_MISSING = Text(
    en="Key {number} is not in the key ring {file}, and content of this database is under it. Put the ring "
    "that has it in place (exchange keys show), or its copy.",
    zh="密钥环 {file} 中没有 {number} 号密钥，而本数据库有内容由其保护。请放回含该密钥的密钥环"
    "（exchange keys show）或其副本。",
)
_WRONG = Text(
    en="Key {number} of the key ring {file} is not the one that this database's data keys are wrapped by, or "
    "table data_key was changed. Put the ring of this database in place.",
    zh="密钥环 {file} 的 {number} 号密钥与本数据库数据密钥所用的不符，或表 data_key 被改动。请放回本数据库的密钥环。",
)
_FULL = Text(
    en="The key ring {file} has {most} keys already. Remove old ones first: exchange keys remove NUMBER",
    zh="密钥环 {file} 已有 {most} 个密钥。请先移除旧密钥：exchange keys remove 编号",
)
_BUSY = Text(
    en="Another operator is changing the key ring {file} at this moment; nothing was changed. Repeat the "
    "command when they have finished.",
    zh="此刻另有操作员正在更改密钥环 {file}，未作改动。请待其完成后再执行。",
)
_UNWRITABLE = Text(
    en="The key ring {file} cannot be written: {why}. Nothing was changed.",
    zh="无法写入密钥环 {file}：{why}。未作改动。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """One key of a ring."""

    number: int
    made: datetime
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """Keys by number, one of them *current*; *file* is for what is said about it."""

    file: Path
    current: int
    keys: Mapping[int, RingKey]

    def wrap(self, secret: bytes) -> bytes:
        """Return the data key *secret* wrapped by the current key, 40 bytes (RFC 3394)."""
        return aes_key_wrap(self.keys[self.current].secret, secret)

    def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """
        Return the data key that key *number* wrapped.

        Raises `ConfigurationError` where the ring has no such key, `VerificationError` where that
        key is another, or the bytes are.
        """
        key = self.keys.get(number)
        if key is None:
            raise ConfigurationError(_MISSING.fill(number=number, file=self.file))
        try:
            return aes_key_unwrap(key.secret, wrapped)
        except InvalidUnwrap as error:
            raise VerificationError(_WRONG.fill(number=number, file=self.file)) from error

    def with_new(self, now: datetime, secret: bytes) -> KeyRing:
        """Return the ring with one more key, the current one; raises `ConfigurationError` when it is full."""
        if len(self.keys) >= KEYS_MOST:
            raise ConfigurationError(_FULL.fill(file=self.file, most=KEYS_MOST))
        number = max(self.keys, default=0) + 1
        new = RingKey(number=number, made=now, secret=secret)
        return KeyRing(file=self.file, current=number, keys={**self.keys, number: new})

    def without(self, number: int) -> KeyRing:
        """Return the ring without key *number*, which is there and not the current one."""
        rest = {key: one for key, one in self.keys.items() if key != number}
        return KeyRing(file=self.file, current=self.current, keys=rest)


def empty(file: Path) -> KeyRing:
    """Return the ring that *file* will be, without keys."""
    return KeyRing(file=file, current=0, keys={})


def load_ring(file: Path, passphrase: Path | None = None) -> KeyRing:
    """
    Return the ring in *file*; *passphrase* is the file whose first line opens it, if it is encrypted.

    Raises `ConfigurationError` that names the file at fault and the mend: it is not there, others may
    read it, it is damaged, or the passphrase is wrong.
    """
    if not file.exists():
        raise ConfigurationError(_NO_FILE.fill(file=file))
    content = read_file(file, _OTHERS)
    try:
        said = json.loads(content)
        if said["format"] != FORMAT:
            raise ValueError("format")
        if "sealed" in said:
            if passphrase is None:
                raise ConfigurationError(_LOCKED.fill(file=file))
            _, said = _opened(said, file, passphrase)
        keys = [_key(one) for one in said["keys"]]
        ring = KeyRing(file=file, current=said["current"], keys={one.number: one for one in keys})
        if len(ring.keys) != len(keys) or ring.current not in ring.keys:
            raise ValueError("current")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # What the file says is secret: only where it fails is told.
        why = Text(en=type(error).__name__, zh=type(error).__name__)
        raise ConfigurationError(
            Text(
                en=_NO_RING.en.format(file=file, why=why.en),
                zh=_NO_RING.zh.format(file=file, why=why.zh),
            )
        ) from None
    return ring


def save_ring(ring: KeyRing, passphrase: Path | None = None) -> None:
    """
    Put *ring* in its file's place, durably and in one step, mode 0600; encrypted with a *passphrase*.

    Raises `ConfigurationError`; then the file is as it was.
    """
    said: dict[str, Any] = {
        "current": ring.current,
        "keys": [
            {
                "number": one.number,
                "made": one.made.astimezone(UTC).isoformat(timespec="seconds"),
                "key": b64encode(one.secret).decode(),
            }
            for _, one in sorted(ring.keys.items())
        ],
    }
    if passphrase is not None:
        salt, nonce = os.urandom(16), os.urandom(_NONCE)
        under = AESGCM(_stretched(_first_line(passphrase), salt))
        sealed = nonce + under.encrypt(nonce, json.dumps(said).encode(), FORMAT.encode())
        said = {"salt": b64encode(salt).decode(), "sealed": b64encode(sealed).decode()}
    _put(ring.file, (json.dumps({"format": FORMAT} | said, indent=1) + "\n").encode())


def change_passphrase(ring: KeyRing, passphrase: Path, new: Path) -> None:
    """
    Encrypt *ring* under the first line of the file *new*, and put that into the file *passphrase*.

    Wherever this is cut short, however often it is done again, *passphrase* opens the ring: it holds the one
    before on a second line until the ring is under the new one.  Raises `ConfigurationError`.
    """
    after, said = _first_line(new), json.loads(read_file(ring.file, _OTHERS))
    # Not the first line: where an earlier change was cut short, that may be one that opens nothing yet.
    before, _ = _opened(said, ring.file, passphrase) if "sealed" in said else (b"", {})
    _put(passphrase, after + b"\n" + before + b"\n")
    save_ring(ring, passphrase)
    _put(passphrase, after + b"\n")


def _put(file: Path, content: bytes) -> None:
    """Put *content* in *file*'s place, durably and in one step, mode 0600."""
    draft = file.with_name(f".{file.name}.part")
    try:
        draft.unlink(missing_ok=True)  # left by a process that was killed
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            out.write(content)
            out.flush()
            os.fsync(descriptor)
        draft.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise _unwritable(file, error) from error


@contextmanager
def changing(file: Path) -> Iterator[None]:
    """Let nobody else change the ring in *file* meanwhile; raises `ConfigurationError` when one does."""
    try:
        descriptor = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(_BUSY.fill(file=file)) from error
        yield
    finally:
        os.close(descriptor)


class RingFile:
    """A ring as its file has it: read again whenever that was replaced; for several threads."""

    def __init__(self, file: Path, passphrase: Path | None = None) -> None:
        self.file = file
        self._passphrase = passphrase
        self._lock = threading.Lock()
        self._found: tuple[int, int, int] | None = None
        self._ring: KeyRing | None = None

    def now(self) -> KeyRing:
        """Return the ring as its file stands; raises as `load_ring` does."""
        with self._lock:
            try:
                stat = self.file.stat()
            except OSError:
                found = None
            else:
                found = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self._ring is None or found is None or found != self._found:
                self._ring = load_ring(self.file, self._passphrase)
                self._found = found
            return self._ring

    def holding(self, number: int) -> KeyRing:
        """Return a ring with key *number*, as it was read before if that has it; raises as `now` does."""
        ring = self._ring
        return ring if ring is not None and number in ring.keys else self.now()


class DataKey:
    """The key of one ticket's content."""

    def __init__(self, key_id: str, ticket_id: str, secret: bytes) -> None:
        #: A random UUID: a ticket that speaks again after its content was destroyed has another key.
        self.id = key_id
        self.ticket_id = ticket_id
        self._cipher = AESGCM(secret)
        self._head = _MARK + bytes.fromhex(key_id.replace("-", ""))

    def encrypt(self, message_id: str, envelope: bytes) -> bytes:
        """Return *envelope* as it is stored for this message of this ticket, and for no other."""
        nonce = os.urandom(_NONCE)
        return b"".join(
            (self._head, nonce, self._cipher.encrypt(nonce, envelope, self._about(message_id)))
        )

    def decrypt(self, message_id: str, stored: bytes) -> bytes:
        """Return the envelope; raises `ValueError` where *stored* is another's, or was changed."""
        try:
            return self._cipher.decrypt(
                stored[_HEAD - _NONCE : _HEAD], stored[_HEAD:], self._about(message_id)
            )
        except InvalidTag as error:
            raise ValueError("not what was encrypted for this message") from error

    def _about(self, message_id: str) -> bytes:
        return f"{_ABOUT}\n{self.id}\n{self.ticket_id}\n{message_id}".encode()


def is_encrypted(stored: bytes) -> bool:
    """Return whether *stored* is not an envelope as it came, but encrypted by a `DataKey`."""
    return stored[:1] == _MARK[:1]


def data_key_of(stored: bytes) -> str:
    """Return the id of the data key of *stored*; raises `ValueError` for none that we encrypted."""
    if len(stored) < _HEAD or stored[: len(_MARK)] != _MARK:
        raise ValueError("of a form that this program does not know")
    digits = stored[len(_MARK) : len(_MARK) + _ID].hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _unwritable(file: Path, error: OSError) -> ConfigurationError:
    why = cause(error)
    return ConfigurationError(
        Text(
            en=_UNWRITABLE.en.format(file=file, why=why.en),
            zh=_UNWRITABLE.zh.format(file=file, why=why.zh),
        )
    )


def _key(said: Mapping[str, Any]) -> RingKey:
    number, secret = said["number"], b64decode(said["key"], validate=True)
    if not isinstance(number, int) or not 0 < number < 1 << 31 or len(secret) != SIZE:
        raise ValueError("key")
    return RingKey(number=number, made=datetime.fromisoformat(said["made"]), secret=secret)


def _opened(said: Mapping[str, Any], file: Path, passphrase: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the line of *passphrase* that opens what the ring's *file* has *said*, and what is in it."""
    sealed, salt = b64decode(said["sealed"], validate=True), b64decode(said["salt"], validate=True)
    lines = read_file(passphrase, _OTHERS).split(b"\n")
    # While it is being changed, the one before stands on the second line (`change_passphrase`).
    for line in (_first_line(passphrase), *lines[1:2]):
        line = line.rstrip(b"\r")  # noqa: PLW2901
        under = AESGCM(_stretched(line, salt))
        with suppress(InvalidTag):
            opened: dict[str, Any] = json.loads(
                under.decrypt(sealed[:_NONCE], sealed[_NONCE:], FORMAT.encode())
            )
            return line, opened
    raise ConfigurationError(_WRONG_PASSPHRASE.fill(file=file, passphrase=passphrase))


def _stretched(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=SIZE, n=1 << 15, r=8, p=3).derive(passphrase)


def _first_line(path: Path) -> bytes:
    line = read_file(path, _OTHERS).split(b"\n", 1)[0].rstrip(b"\r")
    if len(line.decode("utf-8", "replace")) < LEAST_CHARACTERS:
        raise ConfigurationError(_SHORT.fill(passphrase=path, least=LEAST_CHARACTERS))
    return line
