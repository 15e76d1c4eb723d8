"""Reading and writing keys and certificates: whole or not at all, keys for their owner only."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs import pem
from certs.errors import Refused, said
from certs.passphrase import NOBODY, Passphrase

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644

_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


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

    On failure, this function raises `Refused` and leaves nothing.
    """
    require_absent(path)
    return replace(path, data, private=private)


def replace(path: Path, data: bytes, *, private: bool = False) -> Path:
    """
    Put *data* in the place of what *path* holds, in one step and durably.

    Whoever reads meanwhile, or after a crash, finds the old content or the new.  Raises `Refused`.
    """
    mode = PRIVATE_MODE if private else PUBLIC_MODE
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # left by a process that was killed
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)  # whatever the umask
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        part.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise Refused(
            en=f"{path} cannot be written: {said(error).en}. Check the folder, its rights and the "
            "room on the disk.",
            zh=f"无法写入 {path}：{said(error).zh}。请检查目录、权限与磁盘空间。",
        ) from error
    return path


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable (fsync of a directory)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> bytes:
    """Return the content of *path*, or refuse with the reason."""
    try:
        if path.stat().st_size > pem.MOST_BYTES:
            raise Refused(
                en=f"{path} is larger than {pem.MOST_BYTES} bytes; this tool reads no such file. "
                "Give the right one.",
                zh=f"{path} 超过 {pem.MOST_BYTES} 字节，本工具不读取如此大的文件。请更换文件。",
            )
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            en=f"{path} cannot be read: {said(error).en}. Check the path and its rights.",
            zh=f"无法读取 {path}：{said(error).zh}。请检查路径及其权限。",
        ) from error


def key_pem(key: PrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    """Return *key* as PKCS #8, encrypted where a *passphrase* is given."""
    how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def read_private_key(path: Path, passphrase: Passphrase = NOBODY) -> PrivateKeyTypes:
    """Return the key in *path*; refuse one that others than its owner may read."""
    data = read(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Refused(
            en=f"{path} may be read by others (mode {mode:o}); a private key must not. "
            f"Find out who read it, then: chmod 600 {path}",
            zh=f"{path} 可被他人读取（权限 {mode:o}），私钥不得如此。"
            f"请先查明何人读取过，再执行：chmod 600 {path}",
        )
    secret = passphrase.of(path) if data.lstrip().startswith(_ENCRYPTED) else None
    try:
        return load_pem_private_key(data, password=secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if secret is not None:
            raise Refused(
                en=f"{path} does not open: the passphrase is wrong, or the file is damaged. Try "
                "again; after that, restore the file from its backup.",
                zh=f"无法打开 {path}：口令有误或文件损坏。请重试；仍不行则从备份恢复该文件。",
            ) from error
        raise Refused(
            en=f"{path} is no PEM private key. Give the key file that this tool wrote.",
            zh=f"{path} 不是 PEM 私钥。请使用本工具写出的密钥文件。",
        ) from error


def read_authority_key(path: Path, passphrase: Passphrase = NOBODY) -> ec.EllipticCurvePrivateKey:
    """Return an authority's key, or refuse."""
    key = read_private_key(path, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused(
            en=f"{path} is no elliptic-curve key. Give the file that `certs init` wrote.",
            zh=f"{path} 不是椭圆曲线密钥。请使用 `certs init` 写出的文件。",
        )
    return key


def read_signing_key(
    path: Path, passphrase: Passphrase = NOBODY
) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    """Return a gateway's, bridge's, signer's or witness's key, or refuse."""
    key = read_private_key(path, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Refused(
            en=f"{path} holds a kind of key that this tool never makes. Give a key of `certs csr`.",
            zh=f"{path} 的密钥类型并非本工具所生成。请使用 `certs csr` 生成的密钥。",
        )
    return key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return every certificate in *path*, first to last; refuse a file with none or damaged ones."""
    return pem.certificates(str(path), read(path))
