"""What an authority issued and revoked, as its journal has it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs import pem
from certs.errors import Refused
from certs.journal import Act, Journal


class State(StrEnum):
    """How a certificate stands."""

    VALID = "valid"
    DUE = "due"
    RENEWED = "renewed"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One certificate that was issued, by which act."""

    certificate: x509.Certificate
    profile: str
    at: datetime
    by: str
    renews: int | None = None

    @property
    def serial(self) -> str:
        """Return the serial number in hexadecimal, as everything here shows it."""
        return f"{self.certificate.serial_number:x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One certificate that counts no more, since when and why (RFC 5280 5.3.1)."""

    serial: int
    issuer: str
    at: datetime
    reason: str


@dataclass(slots=True, kw_only=True)
class Register:
    """The sum of the acts; `take` adds one."""

    issued: dict[int, Issued] = field(default_factory=dict)
    revoked: dict[int, Revoked] = field(default_factory=dict)
    renewed: dict[int, int] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    crl_number: int = 0
    crl_until: datetime | None = None
    bundle_number: int = 0
    bundle_digest: str | None = None

    @classmethod
    def of(cls, journal: Journal) -> Register:
        """Return the register that *journal*'s acts add up to."""
        made = cls()
        for act in journal.acts:
            made.take(act)
        return made

    def take(self, act: Act) -> None:
        """Add *act*."""
        facts = act.facts
        match act.act:
            case "issue" | "renew":
                self._issue(act, facts)
            case "revoke":
                serial = int(facts["serial"], 16)
                self.revoked[serial] = Revoked(
                    serial=serial,
                    issuer=facts["issuer"],
                    at=datetime.fromisoformat(facts["since"]),
                    reason=facts["reason"],
                )
            case "crl":
                self.crl_number = max(self.crl_number, facts["crl_number"])
                self.crl_until = datetime.fromisoformat(facts["next_update"])
            case "retire-root":
                self.retired.add(facts["root_sha256"])
            case "trust-export":
                self.bundle_number, self.bundle_digest = facts["bundle_number"], facts["bundle"]
            case _:
                pass  # the other acts issue and revoke nothing

    def roots(self, all_roots: Sequence[x509.Certificate]) -> list[x509.Certificate]:
        """Return those of *all_roots* that are not retired."""
        return [one for one in all_roots if _sha256(one) not in self.retired]

    def state(self, one: Issued, now: datetime) -> State:
        """Return how *one* stands at *now*."""
        serial = one.certificate.serial_number
        if serial in self.revoked:
            return State.REVOKED
        if now > one.certificate.not_valid_after_utc:
            return State.EXPIRED
        if serial in self.renewed:
            return State.RENEWED
        return State.DUE if now >= due_at(one.certificate) else State.VALID

    def find(self, serial: str) -> Issued:
        """Return the certificate whose serial number begins with *serial*, or refuse."""
        wanted = serial.replace(":", "").lower()
        found = [one for one in self.issued.values() if wanted and one.serial.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        raise Refused(
            en=f"{len(found)} certificates of this authority have a serial number that begins with "
            f"{serial!r}. Take it from: certs inventory",
            zh=f"本机构有 {len(found)} 份证书的序列号以 {serial!r} 开头。请查看：certs inventory",
        )

    def depends_on(
        self, root: x509.Certificate, issuing: Iterable[x509.Certificate], now: datetime
    ) -> int:
        """Return how many certificates are in force at *now* and end at *root*."""
        issuers = {one.subject for one in issuing if one.issuer == root.subject}
        alive = (State.VALID, State.DUE, State.RENEWED)
        return sum(
            one.certificate.issuer in issuers and self.state(one, now) in alive
            for one in self.issued.values()
        )

    def _issue(self, act: Act, facts: dict[str, Any]) -> None:
        (certificate,) = pem.certificates("certificate", facts["certificate"].encode())
        serial = certificate.serial_number
        renews = facts.get("renews")
        self.issued[serial] = Issued(
            certificate=certificate, profile=facts["profile"], at=act.at, by=act.by,
            renews=None if renews is None else int(renews, 16),
        )  # fmt: skip
        self.keys[key_digest(certificate.public_key())] = serial
        if renews is not None:
            self.renewed[int(renews, 16)] = serial


def due_at(certificate: x509.Certificate, jitter: bool = True) -> datetime:
    """
    Return when *certificate* is to be renewed: at two thirds of its life.

    The jitter, up to a twentieth of the life and drawn from the certificate itself, keeps a whole
    network from renewing in the same minute, and stays the same from run to run.
    """
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    life = ends - begins
    share = int.from_bytes(certificate.fingerprint(hashes.SHA256())[:4]) / 2**32
    late = life / 20 * share if jitter else timedelta(0)
    return begins + life * 2 / 3 + late


def key_digest(key: CertificatePublicKeyTypes) -> str:
    """Return the SHA-256 of *key*'s SubjectPublicKeyInfo: one key under two certificates is one."""
    return hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
