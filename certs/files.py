"""Reading and writing keys and certificates: never overwriting, keys for their owner only."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs.errors import Refused, said

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644


def require_absent(*paths: Path) -> None:
    """Refuse when one of *paths* exists, so that a command writes all of its files or none."""
    for path in paths:
        if path.exists():
            raise Refused(
                en=f"{path} exists and is not overwritten: a key or certificate that is in use "
                "must not be lost. Choose another name, or move the old file away.",
                zh=f"{path} 已存在，不予覆盖，以免丢失正在使用的密钥或证书。请另选名称或先移走旧文件。",
            )


def write_new(path: Path, data: bytes, *, private: bool = False) -> Path:
    """
    Write *data* to a file that must not exist yet, durably; a private one for its owner only.

    On failure, this function raises `Refused`.
    """
    require_absent(path)
    mode = PRIVATE_MODE if private else PUBLIC_MODE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)  # whatever the umask
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise Refused(
            en=f"{path} cannot be written: {said(error).en}. Check the folder and its rights.",
            zh=f"无法写入 {path}：{said(error).zh}。请检查目录及其权限。",
        ) from error
    return path


def read(path: Path) -> bytes:
    """Return the content of *path*, or refuse with the reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            en=f"{path} cannot be read: {said(error).en}. Check the path and its rights.",
            zh=f"无法读取 {path}：{said(error).zh}。请检查路径及其权限。",
        ) from error


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return *key* as unencrypted PKCS#8; the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_authority_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return an authority's key; refuse one that others than its owner may read."""
    data = read(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Refused(
            en=f"{path} may be read by others (mode {mode:o}); an authority's key must not. "
            f"Find out who read it, then: chmod 600 {path}",
            zh=f"{path} 可被他人读取（权限 {mode:o}），认证机构密钥不得如此。"
            f"请先查明何人读取过，再执行：chmod 600 {path}",
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused(
            en=f"{path} is no unencrypted PEM private key ({error}). Give the file that "
            "`certs init` wrote.",
            zh=f"{path} 不是未加密的 PEM 私钥（{error}）。请使用 `certs init` 写出的文件。",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused(
            en=f"{path} is no elliptic-curve key. Give the file that `certs init` wrote.",
            zh=f"{path} 不是椭圆曲线密钥。请使用 `certs init` 写出的文件。",
        )
    return key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return every certificate in *path*, first to last; refuse a file with none."""
    data = read(path)
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise Refused(
            en=f"{path} holds no readable certificate ({error}). Give a PEM certificate file.",
            zh=f"{path} 中没有可读的证书（{error}）。请提供 PEM 证书文件。",
        ) from error
    # The parser drops a block it cannot read and goes on; a dropped block must not go unnoticed.
    if len(found) != data.count(b"-----BEGIN "):
        raise Refused(
            en=f"{path} holds blocks that are no certificate. Remove them, or fetch it again.",
            zh=f"{path} 含有非证书内容块。请删除这些内容或重新获取该文件。",
        )
    return found
