"""
Trust bundles: what one network hands to another so that its certificates are believed there.

A bundle is numbered and signed by the network's issuing key: its roots (old and new while they
overlap), its issuing certificates, its revocation lists, and the verifier keys of its logs and
witnesses.  The signature shows that the bundle came whole from whom it says; that this is the
right network, only people can tell, by comparing its fingerprint over another way.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs import crl, pem
from certs.authority import authority_network
from certs.crl import CheckedList
from certs.errors import Refused
from certs.files import read
from certs.journal import certificate_text
from certs.names import check_network
from certs.office import Office
from certs.revocation import make_lists
from certs.screen import shown_time
from certs.statements import Statement, holds, read_statement, state, unreadable

BUNDLE_TYPE = "application/vnd.hotline-exchange.trust-bundle.v1"

#: Eight groups of five digits: 132 bits of the SHA-256, in signs that every language can read out.
GROUPS, DIGITS = 8, 5

_VERIFIER = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that agrees with itself: its signer ends at one of its own roots."""

    network: str
    number: int
    made_at: datetime
    roots: tuple[x509.Certificate, ...]
    issuing: tuple[x509.Certificate, ...]
    lists: tuple[CheckedList, ...]
    verifiers: tuple[str, ...]
    signer: x509.Certificate
    statement: Statement

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what was signed, hexadecimal."""
        return hashlib.sha256(self.statement.payload).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Return what two people compare: eight groups of five digits."""
        value = int(self.digest, 16) % 10 ** (GROUPS * DIGITS)
        text = f"{value:0{GROUPS * DIGITS}d}"
        return " ".join(text[at : at + DIGITS] for at in range(0, len(text), DIGITS))

    def vouched_by(self, roots: Sequence[x509.Certificate]) -> bool:
        """Return whether the bundle's signer ends at one of *roots*, those trusted before."""
        return any(_issued(self.signer, root) for root in roots)


def export_bundle(office: Office, verifiers: Sequence[str], days: int = crl.DAYS) -> Bundle:
    """Return the authority's next bundle, with fresh revocation lists in it, once it is recorded."""
    for line in verifiers:
        if not _VERIFIER.fullmatch(line):
            raise Refused(
                en=f"{line[:60]!r} is no verifier key. Give the .vkey file that `certs log-key` wrote.",
                zh=f"{line[:60]!r} 不是验证公钥。请提供 `certs log-key` 写出的 .vkey 文件。",
            )
    office.check_in_force()
    network = office.authority.network
    lists = pem.crls("lists", read(make_lists(office, days=days)))
    issuing = [
        one.certificate
        for one in office.issuers()
        if one.certificate.serial_number not in office.register.revoked
        and any(_issued(one.certificate, root) for root in office.roots)
    ]
    made = state(
        BUNDLE_TYPE,
        {
            "network": network,
            "number": office.register.bundle_number + 1,
            "made_at": office.now.isoformat(timespec="seconds"),
            "roots": [certificate_text(one) for one in office.roots],
            "issuing": [certificate_text(one) for one in issuing],
            "crls": crl.crl_pem(crl.known(lists, (*issuing, *office.roots)), ()).decode("ascii"),
            "verifiers": sorted(verifiers),
            "succeeds": office.register.bundle_digest,
        },
        office.authority.key,
        office.authority.certificate,
    )
    bundle = parse_bundle("bundle", made.line(), office.now)
    office.record("trust-export", {"bundle_number": bundle.number, "bundle": bundle.digest})
    return bundle


def read_bundle(path: Path, now: datetime) -> Bundle:
    """Return the bundle in *path*, or refuse."""
    return parse_bundle(str(path), read(path), now)


def parse_bundle(what: str, data: bytes, now: datetime, *, past: bool = False) -> Bundle:
    """
    Return the bundle that *data* holds, whole and in agreement with itself, or refuse.

    *past* is for one that was accepted before: its lists may have ended since.
    """
    try:
        statement = read_statement(data.strip(), BUNDLE_TYPE)
        said = statement.says()
        network, number = check_network(str(said["network"])), int(said["number"])
        made_at = datetime.fromisoformat(said["made_at"])
        roots = tuple(
            one for text in said["roots"] for one in pem.certificates(what, text.encode())
        )
        issuing = tuple(
            one for text in said["issuing"] for one in pem.certificates(what, text.encode())
        )
        lists = pem.crls(what, str(said["crls"]).encode())
        verifiers = tuple(str(one) for one in said["verifiers"])
    except (KeyError, TypeError, AttributeError) as error:
        raise unreadable(what, ValueError(f"it lacks {error}"), "trust export") from error
    except ValueError as error:
        raise unreadable(what, error, "trust export") from error
    _check_roots(what, network, roots, now if not past else made_at)
    signer = next((one for one in issuing if holds(statement, one)), None)
    strangers = [one for one in issuing if not any(_issued(one, root) for root in roots)]
    if signer is None or strangers or any(not _VERIFIER.fullmatch(one) for one in verifiers):
        raise Refused(
            en=f"{what} is not signed by an authority under its own roots: it was changed on the way, "
            "or put together from several. Fetch it again from its network.",
            zh=f"{what} 并非由其自身根证书之下的机构签名：它在途中被改动，或由多份拼凑而成。请向该网络重新索取。",
        )
    checked = crl.check(what, lists, (*issuing, *roots), made_at if past else now)
    return Bundle(
        network=network, number=number, made_at=made_at, roots=roots, issuing=issuing,
        lists=tuple(checked), verifiers=verifiers, signer=signer, statement=statement,
    )  # fmt: skip


def typed_groups(typed: str) -> str:
    """Return a *typed* fingerprint in its own form, whatever stood between the digits."""
    digits = "".join(one for one in unicodedata.normalize("NFKC", typed) if one.isdecimal())
    plain = "".join(str(int(one)) for one in digits)
    return " ".join(plain[at : at + DIGITS] for at in range(0, len(plain), DIGITS))


def _check_roots(what: str, network: str, roots: Sequence[x509.Certificate], now: datetime) -> None:
    if not roots:
        raise Refused(
            en=f"{what} holds no root: trusting it would shut the whole network out. Ask for a new "
            "bundle: certs trust export",
            zh=f"{what} 不含根证书：采用它将使整个网络无法接入。请索取新的信任包：certs trust export",
        )
    for root in roots:
        if not _is_root(root) or authority_network(root) != network:
            raise Refused(
                en=f"{what} is {network}'s, but holds a certificate that is no root of {network} "
                f"({root.subject.rfc4514_string()}). One network, one bundle: ask for the right one.",
                zh=f"{what} 属于 {network}，却含有并非 {network} 根证书的证书"
                f"（{root.subject.rfc4514_string()}）。一个网络一个信任包，请索取正确的文件。",
            )
        if not root.not_valid_before_utc <= now < root.not_valid_after_utc:
            raise Refused(
                en=f"{what}: a root is valid from {shown_time(root.not_valid_before_utc)} to "
                f"{shown_time(root.not_valid_after_utc)}, and this machine's clock says "
                f"{shown_time(now)}. Set the clock right, or ask for a newer bundle.",
                zh=f"{what}：有根证书有效期为 {shown_time(root.not_valid_before_utc)} 至 "
                f"{shown_time(root.not_valid_after_utc)}，而本机时钟为 {shown_time(now)}。请校准时钟或索取更新的信任包。",
            )


def _is_root(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return basic.ca and _issued(certificate, certificate)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
