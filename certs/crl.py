"""
Certificate revocation lists (RFC 5280 section 5): made by an issuer, checked by who relies on it.

A list is whole (never a delta), numbered, and ends: whoever holds one past its ``nextUpdate`` knows
that it may have missed a revocation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import authority_key_id
from certs.errors import Refused
from certs.profiles import BACKDATED
from certs.register import Revoked
from certs.screen import shown_time

#: For how long a list is good, in days: the issuing key makes one a week, the root's is offline.
DAYS, MOST_DAYS, ROOT_DAYS = 7, 30, 365

#: The reasons (RFC 5280 5.3.1) by their names on the command line.  There is no certificateHold:
#: what may come back was never withdrawn.
REASONS: dict[str, x509.ReasonFlags] = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "ca-compromise": x509.ReasonFlags.ca_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
    "privilege-withdrawn": x509.ReasonFlags.privilege_withdrawn,
}

_KNOWN_EXTENSIONS = (x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedList:
    """A list whose signature was checked with the certificate of its issuer."""

    crl: x509.CertificateRevocationList
    issuer: x509.Certificate
    number: int
    until: datetime


def make(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Iterable[Revoked],
    *,
    number: int,
    now: datetime,
    days: int,
) -> x509.CertificateRevocationList:
    """Return the signed list numbered *number* of what *issuer* *revoked*, good for *days*."""
    until = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    if now >= until:
        raise Refused(
            en=f"The authority's certificate ended on {shown_time(issuer.not_valid_after_utc)}: it "
            "can sign no list any more. Roll it over: certs roll issuing",
            zh=f"认证机构证书已于 {shown_time(issuer.not_valid_after_utc)} 到期，不能再签发吊销列表。"
            "请更换：certs roll issuing",
        )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - BACKDATED)
        .next_update(until)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority_key_id(key.public_key()), critical=False)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.at)
        if one.reason != "unspecified":  # RFC 5280 5.3.1: then the extension should be absent
            entry = entry.add_extension(x509.CRLReason(REASONS[one.reason]), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    strong = isinstance(key.curve, ec.SECP384R1)
    return builder.sign(key, hashes.SHA384() if strong else hashes.SHA256())


def check(
    what: str,
    lists: Sequence[x509.CertificateRevocationList],
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> list[CheckedList]:
    """
    Return *lists*, each signed by one of *issuers* and good at *now*.

    Raises `Refused`, and takes none, when one is not.
    """
    return [_check(what, position, one, issuers, now) for position, one in enumerate(lists, 1)]


def known(
    lists: Sequence[x509.CertificateRevocationList], issuers: Sequence[x509.Certificate]
) -> list[x509.CertificateRevocationList]:
    """
    Return those of *lists* that one of *issuers* signed, or all when none did.

    An authority goes on signing the list of an issuing key whose root is retired, for those who have
    not heard of that yet; whoever has, does not know the key any more.
    """
    return [one for one in lists if any(_signed(one, issuer) for issuer in issuers)] or list(lists)


def succeed(what: str, new: Sequence[CheckedList], old: Sequence[CheckedList]) -> None:
    """Refuse *new* unless it is at least as new as *old*, issuer by issuer, and misses none."""
    for before in old:
        after = next((one for one in new if one.issuer == before.issuer), None)
        name = _name(before.issuer)
        if after is None:
            raise Refused(
                en=f"{what} has no list of {name}, although the one in force has. Fetch the whole "
                "file from its authority.",
                zh=f"{what} 中缺少 {name} 的吊销列表，而现行文件中有。请向该机构索取完整文件。",
            )
        same = after.number == before.number and after.crl == before.crl
        if after.number < before.number or (after.number == before.number and not same):
            raise Refused(
                en=f"{what} is list {after.number} of {name}, but list {before.number} is in force: "
                "numbers never go back. It is old, or somebody wants a revocation forgotten. Ask the "
                "authority for its newest list.",
                zh=f"{what} 为 {name} 的第 {after.number} 号列表，而现行为第 {before.number} 号，编号不得倒退。"
                "该文件已旧，或有人企图隐去吊销。请向该机构索取最新列表。",
            )


def crl_pem(
    lists: Iterable[x509.CertificateRevocationList], issuers: Iterable[x509.Certificate]
) -> bytes:
    """
    Return *lists* as one PEM file, beside the certificates of their *issuers*.

    With these a reader who holds only the roots can check the lists at once.
    """
    return b"".join(
        [one.public_bytes(Encoding.PEM) for one in issuers]
        + [one.public_bytes(Encoding.PEM) for one in lists]
    )


def number_of(crl: x509.CertificateRevocationList) -> int:
    """Return the list's number; raises `ValueError` when it has none."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        raise ValueError("no number") from error


def _check(
    what: str,
    position: int,
    crl: x509.CertificateRevocationList,
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> CheckedList:
    issuer = next((one for one in issuers if _signed(crl, one)), None)
    if issuer is None:
        raise Refused(
            en=f"{what}: no authority of this network signed list {position}. It is another "
            "network's, or forged; or the authority has a new issuing key: import its new bundle "
            "first (certs trust import).",
            zh=f"{what}：第 {position} 个列表并非由该网络的机构签名。它属于其他网络、系伪造，或该机构启用了新的签发密钥："
            "请先导入其新的信任包（certs trust import）。",
        )
    strange = [
        one.oid.dotted_string
        for one in crl.extensions
        if one.critical or one.oid not in _KNOWN_EXTENSIONS
    ]
    try:
        number, until = number_of(crl), crl.next_update_utc
    except ValueError:
        number, until = -1, None
    if strange or number < 0 or until is None:
        raise Refused(
            en=f"{what}: list {position} is of a kind that is not used here (a partial list, or one "
            "without number or next update). Ask for one that `certs crl make` wrote.",
            zh=f"{what}：第 {position} 个列表不是本系统所用类型（不完整，或缺编号、下次更新时间）。"
            "请索取 `certs crl make` 写出的列表。",
        )
    if now >= until:
        raise Refused(
            en=f"{what}: list {number} ended at {shown_time(until)}: what was revoked since is not in "
            "it. Ask the authority for its newest list.",
            zh=f"{what}：第 {number} 号列表已于 {shown_time(until)} 失效，此后的吊销不在其中。请索取最新列表。",
        )
    if crl.last_update_utc > now + BACKDATED:
        raise Refused(
            en=f"{what}: list {number} is from the future ({shown_time(crl.last_update_utc)}). Compare "
            "both clocks.",
            zh=f"{what}：第 {number} 号列表的时间在未来（{shown_time(crl.last_update_utc)}）。请核对双方时钟。",
        )
    return CheckedList(crl=crl, issuer=issuer, number=number, until=until)


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if crl.issuer != issuer.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
