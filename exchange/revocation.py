"""
What an authority has taken back: its signed lists of revoked certificates (CRL, RFC 5280 section 5).

A list counts only under the signature of the authority whose certificates it names.  A root's is looked
at when the file is read; an issuing authority's certificate comes with its callers, so its list, unless
the certificate stands beside it in the file, is looked at when the first of them calls, and counts for
nobody before.  A list in force is never exchanged for an older one: else a copy from last month would
give a revoked certificate back its voice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exchange.causes import cause
from exchange.errors import ConfigurationError
from exchange.pem import CERTIFICATE, CRL, Malformed, blocks
from exchange.text import Text

#: How far ahead another network's clock may be.
_AHEAD = timedelta(minutes=10)
#: Extensions that change what a list means, and that this program does not read, are refused.
_UNDERSTOOD = {x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid}


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """
    One authority's list: the *number*, when it *begins* and when a newer one is due (*ends*).

    *name* tells the authority: the SHA-256 of its name and of the key id that the list gives.  *proved*
    says that a known authority's signature was found on it; the others wait for their authority.
    """

    network: str
    name: bytes
    number: int
    begins: datetime
    ends: datetime
    serials: frozenset[int]
    digest: bytes
    proved: bool
    crl: x509.CertificateRevocationList

    def is_of(self, authority: x509.Certificate) -> bool:
        """Return whether *authority* signed it."""
        return _signed(self.crl, authority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is known of a list that was in force before; *name* and *digest* as in `RevocationList`."""

    network: str
    name: bytes
    number: int
    digest: bytes
    #: Whether it was a root's.
    of_root: bool


def authority_of(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the public key of the authority *certificate*."""
    key = certificate.public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def read_revocations(
    network: str,
    path: Path,
    roots: Sequence[x509.Certificate],
    *,
    seen: Sequence[x509.Certificate],
    before: Sequence[RevocationList],
    remembered: Sequence[Remembered] = (),
    now: datetime,
) -> list[RevocationList]:
    """
    Return the lists in *path*, a PEM file that may hold certificates of authorities, too.

    *seen* are authorities below *roots* that callers have shown, *before* the lists in force, *remembered*
    those that were in force before this process began.  A list of
    an authority that nobody has shown yet is returned unproved; one whose time is over is returned:
    when it counts no more is its reader's to say.

    Raises `ConfigurationError` for a file that cannot be read, holds no list or a malformed block; or a
    list that bears another's signature than its authority's, has no number or no end, is from the
    future, is for a part of the certificates only, stands twice, or is older than the one in force; and
    where no list in it can be proved, for then it may be another network's.
    """
    certificates, lists = _read(path)
    if not lists:
        raise _wrong(path, _NONE)
    authorities = [*_issuers(path, certificates, roots), *seen]
    found: dict[bytes, RevocationList] = {}
    for crl in lists:
        one = _checked(network, path, crl, authorities, now)
        if one.name in found:
            raise _wrong(path, _TWICE.fill(issuer=crl.issuer.rfc4514_string()))
        found[one.name] = one
    if not any(one.proved for one in found.values()):
        raise _wrong(path, _UNPROVED.fill(network=network))
    for held in before:
        new = found.get(held.name)
        if new is not None and new.digest != held.digest and new.number <= held.number:
            raise _wrong(path, _OLDER.fill(number=new.number, held=held.number))
        # Without a root's list a revoked authority would come back; without another's, its
        # certificates are refused anyway.
        if new is None and any(held.is_of(root) for root in roots):
            raise _wrong(path, _GONE.fill(number=held.number))
    for past in remembered:
        new = found.get(past.name)
        if new is not None and new.digest != past.digest and new.number <= past.number:
            raise _wrong(path, _OLDER.fill(number=new.number, held=past.number))
        if new is None and past.of_root:
            raise _wrong(path, _GONE.fill(number=past.number))
    return list(found.values())


def _read(
    path: Path,
) -> tuple[list[x509.Certificate], list[x509.CertificateRevocationList]]:
    certificates: list[x509.Certificate] = []
    lists: list[x509.CertificateRevocationList] = []
    try:
        text = path.read_text(encoding="utf-8")
        for label, der, line in blocks(text, {CERTIFICATE, CRL}):
            try:
                if label == CERTIFICATE:
                    certificates.append(x509.load_der_x509_certificate(der))
                else:
                    lists.append(x509.load_der_x509_crl(der))
            except ValueError as error:
                raise Malformed(line) from error
    except Malformed as error:
        raise _wrong(path, _MALFORMED.fill(line=error.line)) from error
    except (OSError, UnicodeDecodeError) as error:
        why = cause(error)
        raise _wrong(
            path, Text(en=f"it cannot be read: {why.en}.", zh=f"无法读取：{why.zh}。")
        ) from error
    return certificates, lists


def _issuers(
    path: Path, certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> Iterator[x509.Certificate]:
    """Yield *roots*, and those of *certificates* that a root vouches for directly."""
    yield from roots
    for certificate in certificates:
        if not any(_issued(certificate, root) for root in roots):
            name = certificate.subject.rfc4514_string()
            raise _wrong(path, _STRANGER.fill(name=name))
        yield certificate


def _issued(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    if certificate == root:
        return True
    try:
        certificate.verify_directly_issued_by(root)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return constraints.value.ca


def _checked(
    network: str,
    path: Path,
    crl: x509.CertificateRevocationList,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> RevocationList:
    name = crl.issuer.rfc4514_string()
    for extension in crl.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise _wrong(path, _PARTIAL.fill(issuer=name, oid=extension.oid.dotted_string))
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        raise _wrong(path, _UNNUMBERED.fill(issuer=name)) from error
    ends = crl.next_update_utc
    if ends is None:
        raise _wrong(path, _ENDLESS.fill(issuer=name))
    begins = crl.last_update_utc
    if begins > now + _AHEAD:
        raise _wrong(path, _FUTURE.fill(issuer=name, begins=begins.isoformat()))
    key_id = _key_id(crl)
    claimed = [one for one in authorities if _claims(crl, key_id, one)]
    proved = any(_signed(crl, one) for one in claimed)
    if claimed and not proved:
        raise _wrong(path, _UNSIGNED.fill(issuer=name))
    return RevocationList(
        network=network,
        name=sha256(crl.issuer.public_bytes() + b"\0" + key_id).digest(),
        number=number,
        begins=begins,
        ends=ends,
        serials=frozenset(revoked.serial_number for revoked in crl),
        digest=sha256(crl.public_bytes(Encoding.DER)).digest(),
        proved=proved,
        crl=crl,
    )


def _key_id(crl: x509.CertificateRevocationList) -> bytes:
    try:
        said = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return b""
    return said.key_identifier or b""


def _claims(
    crl: x509.CertificateRevocationList, key_id: bytes, authority: x509.Certificate
) -> bool:
    """Return whether *crl* says that it is *authority*'s."""
    if crl.issuer != authority.subject:
        return False
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return True
    return not key_id or key_id == own


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if crl.issuer != authority.subject:
        return False
    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.crl_sign and crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (x509.ExtensionNotFound, TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _wrong(path: Path, why: Text) -> ConfigurationError:
    return ConfigurationError(
        Text(
            en=f"The revocation file {path} cannot be used: {why.en}",
            zh=f"吊销列表文件 {path} 不可用：{why.zh}",
        ),
        file=str(path),
    )


_NONE = Text(
    en="it holds no list. Fetch it again from the network's authority.",
    zh="其中没有吊销列表。请向该网络的认证机构重新获取。",
)
_MALFORMED = Text(
    en="the PEM block at line {line} is no whole certificate or revocation list. Fetch the file again.",
    zh="第 {line} 行处的 PEM 块不是完整的证书或吊销列表。请重新获取该文件。",
)
_STRANGER = Text(
    en="no root of the network vouches for the authority '{name}' in it. Fetch it from the network "
    "itself.",
    zh="其中的认证机构“{name}”不能由该网络的根证书验证。请向该网络获取。",
)
_UNSIGNED = Text(
    en="the list of '{issuer}' does not bear its signature: it is spoilt or forged. Fetch it again from "
    "the network's authority.",
    zh="“{issuer}”的吊销列表签名无效，可能已损坏或被伪造。请向该网络的认证机构重新获取。",
)
_UNPROVED = Text(
    en="no list in it is signed by a root of {network}, nor by an authority whose certificate stands in "
    "it: it may be another network's. Put the authority's certificate into it as well.",
    zh="其中没有任何列表由 {network} 的根证书或所附机构证书签名，可能属于其他网络。请同时放入该机构的证书。",
)
_PARTIAL = Text(
    en="the list of '{issuer}' has the critical extension {oid}: it is no full list. Ask for a full one.",
    zh="“{issuer}”的吊销列表含关键扩展 {oid}，并非完整列表。请索取完整列表。",
)
_UNNUMBERED = Text(
    en="the list of '{issuer}' has no number, so an older one could not be told. Ask for a numbered one.",
    zh="“{issuer}”的吊销列表没有编号，无法辨别新旧。请索取带编号的列表。",
)
_ENDLESS = Text(
    en="the list of '{issuer}' does not say when the next one is due. Ask for one that does.",
    zh="“{issuer}”的吊销列表未注明下次更新时间。请索取注明的列表。",
)
_FUTURE = Text(
    en="the list of '{issuer}' begins {begins}, which is to come. Check both clocks.",
    zh="“{issuer}”的吊销列表自 {begins} 起生效，尚未到时。请核对双方时钟。",
)
_TWICE = Text(
    en="'{issuer}' has two lists in it. Leave the newest alone.",
    zh="“{issuer}”在其中有两份列表。请只保留最新一份。",
)
_OLDER = Text(
    en="its list has the number {number}, the one in force {held}. Fetch the newest list.",
    zh="其列表编号为 {number}，而生效中的为 {held}。请获取最新列表。",
)
_GONE = Text(
    en="the root's list number {number} that is in force has no successor in it. Put the root's newest "
    "list in as well.",
    zh="生效中的根机构第 {number} 号列表在其中没有后续。请同时放入其最新列表。",
)
