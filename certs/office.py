"""
An authority at work: alone in its folder, its journal verified, its clock plausible.

Every command that changes something does it in an `Office`, and every change is an act in the
journal: what is not recorded has not happened.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs.authority import CERTIFICATE, Authority, generations, open_generation
from certs.errors import Refused
from certs.files import read_certificates, sync_folder
from certs.journal import Act, Journal, certificate_text, check_clock, read_journal
from certs.lock import locked
from certs.passphrase import NOBODY, Passphrase
from certs.register import Register


@dataclass(slots=True, kw_only=True)
class Office:
    """Who acts, when, and for which authority."""

    folder: Path
    authority: Authority
    journal: Journal
    register: Register
    now: datetime
    by: str
    passphrase: Passphrase

    @property
    def roots(self) -> list[x509.Certificate]:
        """Return the roots in use, oldest first."""
        return self.register.roots(self.journal.roots)

    def check_in_force(self) -> None:
        """Refuse to vouch for anything with an issuing key that was itself revoked."""
        revoked = self.register.revoked.get(self.authority.certificate.serial_number)
        if revoked is not None:
            raise Refused(
                en=f"The issuing key in office was revoked ({revoked.reason}): nobody would believe what it "
                "signs. Put a new one in office: certs roll issuing",
                zh=f"在用签发密钥已被吊销（{revoked.reason}），其签发的一切都不会被采信。请启用新的签发密钥：certs roll issuing",
            )

    def record(self, act: str, facts: dict[str, Any]) -> Act:
        """Do *act*: it is done when this returns.  Raises `Refused` when it was not."""
        self.journal = self.journal.append(
            act, facts, network=self.authority.network, by=self.by, now=self.now,
            key=self.authority.key, certificate=self.authority.certificate,
        )  # fmt: skip
        done = self.journal.acts[-1]
        self.register.take(done)
        return done

    def hand_over(
        self, issuing: x509.Certificate, key: ec.EllipticCurvePrivateKey, part: Path, home: Path
    ) -> None:
        """Put a new issuing key in office; the folder *part* with its files becomes *home*."""
        before, network = self.authority, self.authority.network
        self.authority = Authority(network=network, certificate=issuing, key=key)
        try:
            self.record("roll-issuing", {"issuing": certificate_text(issuing)})
        except Refused:
            self.authority = before
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(home)
        sync_folder(self.folder)

    def issuers(self) -> Iterator[Authority]:
        """
        Yield every issuing authority whose certificates may still be valid, oldest first.

        Raises `Refused` when the key of one of them is not here.
        """
        for home in generations(self.folder):
            certificate = read_certificates(home / CERTIFICATE)[0]
            if certificate == self.authority.certificate:
                yield self.authority
            elif self.now < certificate.not_valid_after_utc:
                yield open_generation(home, self.passphrase)


@contextmanager
def office(
    folder: Path, *, now: datetime, by: str, passphrase: Passphrase = NOBODY, clock: bool = True
) -> Iterator[Office]:
    """Open the authority in *folder* to act at *now* in the name of *by*; or refuse."""
    with locked(folder):
        journal = read_journal(folder)
        if not journal.acts:
            raise Refused(
                en=f"{journal.path} is empty. Restore it from the backup.",
                zh=f"{journal.path} 为空。请从备份恢复。",
            )
        if clock:
            check_clock(journal, now)
        _finish_hand_over(folder, journal)
        homes = generations(folder)
        authority = open_generation(homes[-1] if homes else folder / "issuing", passphrase)
        if authority.certificate != journal.issuing[-1]:
            raise Refused(
                en=f"The issuing certificate in {folder} is not the one that the journal has in "
                "office. Restore the folder whole from its backup.",
                zh=f"{folder} 中的签发证书与记录中在用的不一致。请从备份整体恢复该文件夹。",
            )
        yield Office(
            folder=folder, authority=authority, journal=journal, register=Register.of(journal),
            now=now, by=by, passphrase=passphrase,
        )  # fmt: skip


def same_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Return whether *key* is the private key of *certificate*."""
    return certificate.public_key() == key.public_key()


def _finish_hand_over(folder: Path, journal: Journal) -> None:
    """Give the new issuing key its folder when the process that recorded it was killed then."""
    number = len(journal.issuing)
    part, home = folder / f".issuing-{number}.part", folder / f"issuing-{number}"
    if number == 1 or home.exists() or not part.exists():
        return
    if read_certificates(part / CERTIFICATE)[0] == journal.issuing[-1]:
        part.rename(home)
        sync_folder(folder)
