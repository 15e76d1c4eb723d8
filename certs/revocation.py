"""How an authority withdraws a certificate, and tells everybody."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs import crl, pem
from certs.errors import Refused
from certs.files import read, read_authority_key, read_certificates, replace
from certs.office import Office, same_key
from certs.passphrase import NOBODY, Passphrase
from certs.screen import shown_time


def revoke(office: Office, which: str, reason: str, since: datetime | None) -> x509.Certificate:
    """
    Withdraw the certificate *which* (a file, or the beginning of a serial number); return it.

    It counts no more from *since*, else from now.  Raises `Refused`.
    """
    certificate = _which(office, which)
    serial = certificate.serial_number
    issuer = _issuer(office, certificate)
    known = office.register.revoked.get(serial)
    if known is not None:
        raise Refused(
            en=f"It was revoked already, as of {shown_time(known.at)} ({known.reason}). Nothing is "
            "left to do but to hand out the list: certs crl make",
            zh=f"该证书已于 {shown_time(known.at)} 吊销（{known.reason}）。只需分发吊销列表：certs crl make",
        )
    if since is not None and since > office.now:
        raise Refused(
            en="A revocation cannot begin in the future. Correct --since.",
            zh="吊销不能自将来开始。请更正 --since。",
        )
    office.record(
        "revoke",
        {
            "serial": f"{serial:x}",
            "issuer": key_name(issuer),
            "reason": reason,
            "since": (since or office.now).isoformat(timespec="seconds"),
        },
    )
    return certificate


def make_lists(
    office: Office,
    *,
    days: int = crl.DAYS,
    after: int = 0,
    root_key: Path | None = None,
    root_passphrase: Passphrase = NOBODY,
) -> Path:
    """
    Sign the revocation lists of every issuing key, and with *root_key* the root's; return the file.

    The number is one more than the last, and more than *after*.  Raises `Refused`.
    """
    issuers = list(office.issuers())
    register, number = office.register, max(office.register.crl_number, after) + 1
    lists = [
        crl.make(
            issuer.certificate,
            issuer.key,
            [
                one
                for one in register.revoked.values()
                if one.issuer == key_name(issuer.certificate)
            ],
            number=number,
            now=office.now,
            days=days,
        )
        for issuer in issuers
    ]
    path = lists_path(office.folder, office.authority.network)
    lists += _root_lists(office, path, number, root_key, root_passphrase)
    text = crl.crl_pem(lists, [one.certificate for one in issuers])
    until = min(one.next_update_utc for one in lists if one.next_update_utc is not None)
    office.record(
        "crl",
        {
            "crl_number": number,
            "next_update": until.isoformat(),
            "entries": sum(len(one) for one in lists),
            "sha256": hashlib.sha256(text).hexdigest(),
        },
    )
    return replace(path, text)


def lists_path(folder: Path, network: str) -> Path:
    """Return where an authority keeps its newest lists."""
    return folder / "crl" / f"{network}.crl.pem"


def key_name(certificate: x509.Certificate) -> str:
    """Return the key identifier (RFC 5280 4.2.1.2) of an authority's certificate, hexadecimal."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()


def _which(office: Office, which: str) -> x509.Certificate:
    path = Path(which)
    if path.suffix or path.is_file():
        return read_certificates(path)[0]
    return office.register.find(which).certificate


def _issuer(office: Office, certificate: x509.Certificate) -> x509.Certificate:
    """Return which of the authority's own certificates signed *certificate*, or refuse."""
    for one in (*office.journal.issuing, *office.journal.roots):
        try:
            certificate.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature):
            continue
        if one != certificate:
            return one
    raise Refused(
        en="This authority did not issue that certificate, so it cannot revoke it. To stop a "
        "certificate of another network at once, put it on the deny list.",
        zh="该证书不是本机构签发的，无法吊销。如需立即阻止其他网络的证书，请将其列入拒绝名单。",
    )


def _root_lists(
    office: Office, path: Path, number: int, root_key: Path | None, passphrase: Passphrase
) -> list[x509.CertificateRevocationList]:
    """Return the roots' lists: a new one under *root_key*, those of before for the other roots."""
    roots = {one.subject: one for one in office.journal.roots}
    kept = {}
    if path.exists():
        found = pem.crls(str(path), read(path))
        kept = {one.issuer: one for one in found if one.issuer in roots}
    if root_key is not None:
        key = read_authority_key(root_key, passphrase)
        root = next((one for one in roots.values() if same_key(one, key)), None)
        if root is None:
            raise Refused(
                en=f"{root_key} is the key of no root of this authority. Give the right --root-key.",
                zh=f"{root_key} 不是本机构任何根的密钥。请更正 --root-key。",
            )
        kept[root.subject] = crl.make(
            root, key,
            [one for one in office.register.revoked.values() if one.issuer == key_name(root)],
            number=number, now=office.now, days=crl.ROOT_DAYS,
        )  # fmt: skip
    missing = [
        one for one in roots.values()
        if any(entry.issuer == key_name(one) and not _lists(kept.get(one.subject), entry.serial)
               for entry in office.register.revoked.values())
    ]  # fmt: skip
    if missing:
        raise Refused(
            en="An issuing certificate is revoked, and only the root can say so: its key is needed "
            "once. Fetch it from its offline medium and give --root-key.",
            zh="有签发证书被吊销，只有根能够宣告：此次需要根密钥。请从离线介质取来并给出 --root-key。",
        )
    return list(kept.values())


def _lists(crl_: x509.CertificateRevocationList | None, serial: int) -> bool:
    return crl_ is not None and crl_.get_revoked_certificate_by_serial_number(serial) is not None
