"""
What an adapter is started with: the gateway's files, and a secret of its own.

The gateway's configuration is the file that ``exchange push`` and ``exchange doctor`` read, so that a
link that ``doctor`` finds in order is in order for the adapter too.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

from exchange.client import GatewayFiles, Sealer, derived_salts
from exchange.envelope import SigningKey, read_private_file
from exchange.errors import ConfigurationError
from exchange.text import Text

_WORDS = ("target", "organisation")
_PATHS = ("bridge_roots", "gateway_key", "gateway_chain", "signer_key", "signer_chain")
_KEYS = {*_WORDS, *_PATHS, "trust", "log_verifiers"}

_UNREADABLE = Text(
    en="The configuration {path} cannot be read: {why}",
    zh="无法读取配置文件 {path}：{why}",
)
_WRONG = Text(
    en="The configuration {path}: {key} is missing, misspelt or of the wrong type. Known keys: {known}.",
    zh="配置文件 {path}：{key} 缺失、拼写错误或类型不符。可用的键：{known}。",
)


def read_gateway(path: Path) -> GatewayFiles:
    """Return a gateway's files; paths are relative to *path*; raises `ConfigurationError`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(_UNREADABLE.fill(path=path, why=error)) from error
    for key in table:
        if key not in _KEYS:
            raise _wrong(path, key)
    folder = path.resolve().parent
    words = {key: _word(table, key, path) for key in (*_WORDS, *_PATHS)}
    trust, logs = table.get("trust"), table.get("log_verifiers")
    if not isinstance(trust, dict) or not all(isinstance(v, str) for v in trust.values()):
        raise _wrong(path, "trust")
    if not isinstance(logs, list) or not all(isinstance(v, str) for v in logs):
        raise _wrong(path, "log_verifiers")
    return GatewayFiles(
        target=words["target"],
        organisation=words["organisation"],
        bridge_roots=folder / words["bridge_roots"],
        gateway_key=folder / words["gateway_key"],
        gateway_chain=folder / words["gateway_chain"],
        signer_key=folder / words["signer_key"],
        signer_chain=folder / words["signer_chain"],
        trust={network: folder / name for network, name in trust.items()},
        log_verifiers=[folder / name for name in logs],
    )


def open_sealer(files: GatewayFiles, secret: Path) -> Sealer:
    """
    Return a sealer whose salts follow from the file *secret*, which is made at first use.

    Keep that file with the platform's backups: with it a lost spool repeats byte for byte.
    """
    try:
        secret.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(_UNREADABLE.fill(path=secret, why=error)) from error
    else:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
    salt = read_private_file(secret)
    if len(salt) != 32:
        raise ConfigurationError(_SHORT.fill(path=secret, size=len(salt)))
    signer = SigningKey.load(files.signer_key, files.signer_chain)
    return Sealer(files.organisation, signer, salts=derived_salts(salt))


_SHORT = Text(
    en="The secret {path} has {size} bytes, not 32. Put its backup back, or remove it and have a "
    "new one made.",
    zh="密钥文件 {path} 长度为 {size} 字节，应为 32。请恢复其备份，或删除后重新生成。",
)


def _word(table: dict[str, Any], key: str, path: Path) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(path, key)
    return value


def _wrong(path: Path, key: str) -> ConfigurationError:
    return ConfigurationError(_WRONG.fill(path=path, key=key, known=", ".join(sorted(_KEYS))))
