"""
A gateway's key in a PKCS #11 token: it signs each handshake there and never leaves it.

``gateway_key`` then names the ``.token`` file that the certificate tool made (`certs.token`); the PIN comes
from the file ``gateway_pin``, else from the one that CERTS_PASSPHRASE_FILE names.  grpc's way to let
another sign is experimental, and only clients have it: a bridge's TLS key is a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from certs.errors import Refused
from certs.passphrase import passphrase
from certs.token import SUFFIX, TokenKey, fits, open_key
from exchange.envelope import read_file, read_private_file
from exchange.errors import ConfigurationError
from exchange.text import Text

#: What grpc asks for a signature: data and algorithm in, the signature out.
Signs = Callable[..., Any]


def in_token(key: Path) -> bool:
    """Return whether *key* says where in a token the key is, instead of holding it."""
    return key.suffix == SUFFIX


def gateway_secret(key: Path, pin: Path | None) -> bytes | Signs:
    """
    Return the key in the file *key* (PEM), or what signs with the one in the token that it names.

    Raises `ConfigurationError` naming the file, or what the token says.
    """
    if not in_token(key):
        return read_private_file(key)
    found = open_token(key, pin)

    def sign(data: bytes, _algorithm: Any, _done: Any) -> bytes:
        # A P-256 key signs by one algorithm; grpc asks for no other of its certificate.  What the token
        # refuses meanwhile (it was pulled out) fails this handshake alone.
        return found.sign_sha256(data)

    return sign


def open_token(key: Path, pin: Path | None) -> TokenKey:
    """Return the key that the ``.token`` file *key* names; raises `ConfigurationError`."""
    try:
        return open_key(key, passphrase(pin, None))
    except Refused as refused:
        text = Text(en=refused.sentence.en, zh=refused.sentence.zh)
        raise ConfigurationError(text, file=str(key)) from refused


def token_fits(key: Path, chain: Path, pin: Path | None) -> bool:
    """Return whether the token's key is that of the first certificate in *chain*; raises as `open_token`."""
    try:
        return fits(open_token(key, pin), read_file(chain))
    except Refused as refused:
        text = Text(en=refused.sentence.en, zh=refused.sentence.zh)
        raise ConfigurationError(text, file=str(chain)) from refused
