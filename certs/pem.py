"""
PEM text (RFC 7468), read strictly: every block is known and whole, or the file is refused.

The usual parsers skip a block that they cannot read, and some drop everything after it: a trust
file would lose authorities without a word.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from certs.errors import Refused

CERTIFICATE = "CERTIFICATE"
CRL = "X509 CRL"

#: What cryptography raises for bytes that are not what they should be; not all are ValueErrors.
MALFORMED = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

#: No file of this tool comes near; what is larger is no such file, and is not parsed.
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block: what its BEGIN line says it is, its bytes, and the line that it ends at."""

    label: str
    der: bytes
    line: int


def blocks(what: str, data: bytes) -> list[Block]:
    """
    Return every block of *data*; text between blocks is a comment.

    *what* names the file in refusals.  Raises `Refused` for anything that is no whole block.
    """
    if len(data) > MOST_BYTES:
        raise Refused(
            en=f"{what} has {len(data)} bytes; at most {MOST_BYTES} are read. This is no file of "
            "certificates. Give the right one.",
            zh=f"{what} 有 {len(data)} 字节，最多读取 {MOST_BYTES} 字节；它不是证书文件。请更换文件。",
        )
    found: list[Block] = []
    label = ""
    body: list[str] | None = None
    lines = data.decode("ascii", "replace").splitlines()
    for number, line in enumerate(map(str.strip, lines), 1):
        if line.startswith("-----BEGIN ") and line.endswith("-----") and body is None:
            label, body = line[11:-5], []
        elif line == f"-----END {label}-----" and body is not None:
            try:
                der = base64.b64decode("".join(body), validate=True)
            except binascii.Error as error:
                raise _malformed(what, number) from error
            found.append(Block(label=label, der=der, line=number))
            body = None
        elif "-----" in line:
            raise _malformed(what, number)
        elif body is not None:
            body.append(line)
    if body is not None:
        raise _malformed(what, len(lines))
    return found


def certificates(what: str, data: bytes) -> list[x509.Certificate]:
    """Return every certificate in *data*, first to last; refuse a file with none or with others."""
    found = [_certificate(what, block) for block in blocks(what, data)]
    if not found:
        raise Refused(
            en=f"{what} holds no readable certificate. Give a PEM certificate file.",
            zh=f"{what} 中没有可读的证书。请提供 PEM 证书文件。",
        )
    return found


def crls(what: str, data: bytes) -> list[x509.CertificateRevocationList]:
    """
    Return every revocation list in *data*; refuse a file with none.

    The certificates of their issuers may stand beside them; they must be whole, and count for nothing.
    """
    found: list[x509.CertificateRevocationList] = []
    for block in blocks(what, data):
        if block.label == CERTIFICATE:
            _certificate(what, block)
            continue
        if block.label != CRL:
            raise _unexpected(what, block)
        try:
            one = x509.load_der_x509_crl(block.der)
            _read_through(one)
        except MALFORMED as error:
            raise _malformed(what, block.line) from error
        found.append(one)
    if not found:
        raise Refused(
            en=f"{what} holds no revocation list. Give the file that `certs crl make` wrote.",
            zh=f"{what} 中没有吊销列表。请提供 `certs crl make` 写出的文件。",
        )
    return found


def labels(data: bytes) -> Sequence[str]:
    """Return what the BEGIN lines of *data* say, to tell kinds of file apart."""
    lines = data[:MOST_BYTES].decode("ascii", "replace").splitlines()
    return [
        line[11:-5]
        for line in map(str.strip, lines)
        if line.startswith("-----BEGIN ") and line.endswith("-----")
    ]


def _certificate(what: str, block: Block) -> x509.Certificate:
    if block.label != CERTIFICATE:
        raise _unexpected(what, block)
    try:
        certificate = x509.load_der_x509_certificate(block.der)
        _read_through(certificate)
    except MALFORMED as error:
        raise _malformed(what, block.line) from error
    return certificate


def _read_through(found: x509.Certificate | x509.CertificateRevocationList) -> None:
    """Read every part once: the parts are only parsed when asked for, and may be malformed."""
    for extension in found.extensions:
        _ = extension.value
    if isinstance(found, x509.Certificate):
        _ = (found.subject, found.not_valid_before_utc, found.not_valid_after_utc)
        with suppress(UnsupportedAlgorithm):  # a kind of key that this tool never takes
            found.public_key()
        return
    for entry in found:
        _ = list(entry.extensions)


def _malformed(what: str, line: int) -> Refused:
    return Refused(
        en=f"{what}: the block that ends at line {line} is not whole; no readable certificate or "
        "list is taken from a damaged file. Fetch it again and compare its fingerprint.",
        zh=f"{what}：止于第 {line} 行的内容块不完整；损坏的文件一概不予采用。请重新获取并核对指纹。",
    )


def _unexpected(what: str, block: Block) -> Refused:
    return Refused(
        en=f"{what} holds blocks that are no certificate or list of the kind wanted "
        f"({block.label[:40]}, to line {block.line}). Remove them, or fetch it again.",
        zh=f"{what} 含有并非所需类型的内容块（{block.label[:40]}，止于第 {block.line} 行）。"
        "请删除这些内容或重新获取该文件。",
    )
