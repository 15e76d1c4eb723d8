"""
Sealing keys: an organisation's own, in a folder; others', as their signers vouch for them.

In the folder stand two files a key: ``NAME.key``, private, and ``NAME.sealing``, the signed statement that
is published.  To rotate is to make another pair; old private keys stay, for what was sealed to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from exchange.causes import cause
from exchange.client.messages import Sealer
from exchange.envelope import P256_SHA256, Verifier, read_file, read_private_file, sign
from exchange.errors import ConfigurationError, VerificationError
from exchange.identity import verify_signer
from exchange.sealing import (
    SEALING_KEY_TYPE,
    SUITE,
    PrivateKey,
    PublicKey,
    key_id,
    new_private_key,
    read_private_key,
    read_public_key,
)
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.wire.sealing import KeyStatement, key_statement, read_key, signed_key

PRIVATE, PUBLISHED = ".key", ".sealing"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedKey:
    """A sealing key in force, and since when."""

    public: PublicKey
    begins: datetime


def verified(raw: bytes, trust: TrustStore, now: datetime) -> VerifiedKey | None:
    """Return the key in the file *raw*; None unless it is in force and its organisation's signer, too, says so."""
    try:
        said = read_key(raw)
        if said.suite != SUITE or not said.begins <= now < said.ends:
            return None
        signer = verify_signer(said.chain, trust, now)
        Verifier().verify(
            SEALING_KEY_TYPE, said.statement, said.signature, signer.key, allowed=(P256_SHA256,)
        )
        if signer.organisation != said.organisation:
            return None
        return VerifiedKey(
            public=read_public_key(said.organisation, said.public), begins=said.begins
        )
    except VerificationError:
        return None  # whoever published it is nobody we seal to; others may have published, too


class Lifetime(NamedTuple):
    """From when to when a key may be sealed to."""

    begins: datetime
    ends: datetime


class OwnKeys:
    """The sealing keys in *folder*; files that are added are found without a restart."""

    def __init__(self, organisation: str, folder: Path) -> None:
        """Read the folder; raises `ConfigurationError` naming the file that cannot be used."""
        self.organisation = organisation
        self.folder = folder
        self._private: dict[bytes, PrivateKey] = {}
        self._load()

    def private(self, identifier: bytes) -> PrivateKey | None:
        """Return the private key called *identifier*; None where the folder has none."""
        if identifier not in self._private:
            self._load()
        return self._private.get(identifier)

    def current(self, now: datetime) -> PublicKey | None:
        """Return the public key, among those whose private one is here, that begins last before *now*."""
        begun = [said for said in self.statements() if said.begins <= now]
        for said in sorted(begun, key=lambda one: one.begins, reverse=True):
            public = read_public_key(self.organisation, said.public)
            if said.organisation == self.organisation and self.private(public.key_id) is not None:
                return public
        return None

    def statements(self) -> list[KeyStatement]:
        """Return what the folder's statements say; raises `ConfigurationError` naming a file that is none."""
        return [read_statement(path) for path in _files(self.folder, PUBLISHED)]

    def _load(self) -> None:
        for path in _files(self.folder, PRIVATE):
            try:
                key = read_private_key(read_private_file(path))
            except VerificationError as error:
                raise _unfit(path, error.text) from error
            self._private[key_id(key.public_key())] = key


def read_statement(path: Path) -> KeyStatement:
    """Return what the file of a sealing key says; raises `ConfigurationError` naming it."""
    try:
        return read_key(read_file(path))
    except VerificationError as error:
        raise _unfit(path, error.text) from error


def make_key(sealer: Sealer, chain: Sequence[bytes], folder: Path, life: Lifetime) -> Path:
    """
    Make *sealer*'s organisation a key pair in *folder*; return the statement's file, which is to be published.

    *chain* are the signer's certificates (DER, leaf first).  Raises `ConfigurationError` where one that
    begins on the same day is there already, or nothing can be written.
    """
    pem = new_private_key()
    public = read_private_key(pem).public_key().public_bytes_raw()
    statement = key_statement(sealer.organisation, SUITE, public, life.begins, life.ends)
    (signature,) = sign(SEALING_KEY_TYPE, [statement], sealer.signer)
    name = f"{sealer.organisation}-{life.begins:%Y%m%d}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The private key first: a statement without it would have others seal what nobody can open.
        _write(folder / f"{name}{PRIVATE}", pem, 0o600)
        path = folder / f"{name}{PUBLISHED}"
        _write(path, signed_key(statement, signature, chain), 0o644)
    except OSError as error:
        why = cause(error)
        raise ConfigurationError(
            _UNMADE.fill(path=error.filename or folder, why_en=why.en, why_zh=why.zh)
        ) from error
    return path


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except FileNotFoundError:
        return  # no key was made yet
    except OSError as error:
        raise _unfit(folder, cause(error)) from error


_UNMADE = Text(
    en="{path} cannot be made: {why_en}. What was there is as it was.",
    zh="无法创建 {path}：{why_zh}。原有文件未作改动。",
)


def _unfit(path: Path, why: Text) -> ConfigurationError:
    text = Text(en=f"{path}: {why.en}", zh=f"{path}：{why.zh}")
    return ConfigurationError(text, file=str(path))
