"""A signing key from its files: what loads, and what is refused with which sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from exchange.envelope import (
    MESSAGE_TYPE,
    P256_SHA256,
    SigningKey,
    Verifier,
    VerifyingKey,
    sign,
)
from exchange.errors import ConfigurationError, VerificationError
from tests.unit.signers import AUTHOR, KEY, certificate


def pem(key: Any, password: bytes | None = None) -> bytes:
    """The key as PKCS #8."""
    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        cipher = serialization.BestAvailableEncryption(password)
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    )


def written(folder: Path, key: bytes, chain: bytes, mode: int = 0o600) -> tuple[Path, Path]:
    """Both files, the key's with *mode*."""
    paths = folder / "signer.key", folder / "signer.pem"
    for path, content in zip(paths, (key, chain), strict=True):
        path.write_bytes(content)
    paths[0].chmod(mode)
    return paths


CHAIN = certificate(KEY).public_bytes(serialization.Encoding.PEM)


class TestLoad:
    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
    def test_loads(self, tmp_path: Path, mode: int) -> None:
        """A key that only its owner and group can read loads with its chain and signs."""
        loaded = SigningKey.load(*written(tmp_path, pem(KEY), CHAIN, mode))
        [signature] = sign(MESSAGE_TYPE, [b"header"], loaded)

        Verifier().verify(
            MESSAGE_TYPE, b"header", signature, loaded.public, allowed=frozenset({P256_SHA256})
        )

    @pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602])
    def test_open_to_others(self, tmp_path: Path, mode: int) -> None:
        """A key open to others is refused with the command that closes it."""
        with pytest.raises(ConfigurationError, match=r"chmod 600 .*signer\.key"):
            SigningKey.load(*written(tmp_path, pem(KEY), CHAIN, mode))

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is named."""
        with pytest.raises(ConfigurationError, match=r"absent\.key"):
            SigningKey.load(tmp_path / "absent.key", tmp_path / "absent.pem")

    @pytest.mark.parametrize(
        ("key", "chain", "match"),
        [
            (b"", CHAIN, "no PEM private key"),
            (CHAIN, CHAIN, "no PEM private key"),
            (pem(KEY, b"secret"), CHAIN, "encrypted"),
            (pem(KEY), b"", "certificate chain"),
            (pem(KEY), pem(KEY), "certificate chain"),
            (pem(ec.generate_private_key(ec.SECP256R1())), CHAIN, "does not belong"),
            (pem(ed25519.Ed25519PrivateKey.generate()), CHAIN, "does not belong"),
            (pem(rsa.generate_private_key(65537, 2048)), CHAIN, r"signer\.key: This kind of key"),
        ],
        ids=[
            "empty",
            "not-key",
            "encrypted",
            "no-chain",
            "not-chain",
            "other",
            "other-kind",
            "rsa",
        ],
    )
    def test_unfit(self, tmp_path: Path, key: bytes, chain: bytes, match: str) -> None:
        """A file that does not fit is refused, and the sentence says in what way."""
        with pytest.raises(ConfigurationError, match=match):
            SigningKey.load(*written(tmp_path, key, chain))

    def test_unfit_curve(self, tmp_path: Path) -> None:
        """A P-384 key has no suite, as a file and as a peer's certificate."""
        key = ec.generate_private_key(ec.SECP384R1())
        chain = certificate(key)
        with pytest.raises(ConfigurationError, match="P-256"):
            SigningKey.load(
                *written(tmp_path, pem(key), chain.public_bytes(serialization.Encoding.PEM))
            )
        with pytest.raises(VerificationError, match="P-256"):
            VerifyingKey.from_certificate(chain)

    def test_secrets_stay_out_of_logs(self) -> None:
        """Printing a signing key shows nothing of the key."""
        assert "PrivateKey" not in repr(AUTHOR)
