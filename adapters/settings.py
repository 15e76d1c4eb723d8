"""
What an adapter is started with: the gateway's files, and a secret of its own.

The gateway's configuration is the file that ``exchange push`` and ``exchange doctor`` read, so that a
link that ``doctor`` finds in order is in order for the adapter too.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from exchange.causes import cause
from exchange.client import GatewayFiles, Sealer, derived_salts, read_gateway
from exchange.envelope import SigningKey, read_private_file
from exchange.errors import ConfigurationError
from exchange.text import Text

__all__ = ["open_sealer", "own_secret", "read_gateway"]


def open_sealer(files: GatewayFiles, secret: Path) -> Sealer:
    """
    Return a sealer whose salts follow from the file *secret*, which is made at first use.

    Keep that file with the platform's backups: with it a lost spool repeats byte for byte.
    """
    salt = own_secret(secret)
    signer = SigningKey.load(files.signer_key, files.signer_chain)
    return Sealer(files.organisation, signer, salts=derived_salts(salt))


def own_secret(secret: Path) -> bytes:
    """
    Return the 32 bytes of the file *secret*, which is made at first use, for its owner's eyes alone.

    Raises `ConfigurationError` where it cannot be made, or holds something else.
    """
    try:
        secret.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        why = cause(error)
        raise ConfigurationError(
            Text(
                en=_UNMADE.en.format(path=secret, why=why.en),
                zh=_UNMADE.zh.format(path=secret, why=why.zh),
            )
        ) from error
    else:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
    found = read_private_file(secret)
    if len(found) != 32:
        raise ConfigurationError(_SHORT.fill(path=secret, size=len(found)))
    return found


_UNMADE = Text(en="The secret {path} cannot be made: {why}.", zh="无法创建密钥文件 {path}：{why}。")
_SHORT = Text(
    en="The secret {path} has {size} bytes, not 32. Put its backup back, or remove it and have a "
    "new one made.",
    zh="密钥文件 {path} 长度为 {size} 字节，应为 32。请恢复其备份，或删除后重新生成。",
)
