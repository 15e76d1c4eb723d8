"""A bridge whose files of trust are its own, to be changed while it serves, and lists to revoke with."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import open_authority
from certs.development import GOVERNMENT, LOOPBACK, POLICE, Credential, _enrol
from exchange.config import load_settings
from exchange.server.serving import utc_now
from tests.pki import Pki
from tests.server.running import Running, write_settings

#: Seconds after which a test gives up; nothing here takes one of them.
_PATIENCE = 20.0


class Heard(io.StringIO):
    """A journal's stream that tells who waits for a line."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Condition()

    def write(self, text: str) -> int:
        with self.written:
            self.written.notify_all()
            return super().write(text)


@dataclass
class Living:
    """The bridge, and its files: tls.pem, tls.key, one NETWORK.pem each, NETWORK.crl.pem, deny.toml."""

    pki: Pki
    folder: Path
    bridge: Running
    heard: Heard = field(default_factory=Heard)

    def put(self, name: str, content: bytes) -> Path:
        """Put a file in place as a whole, as everybody should."""
        beside = self.folder / f"{name}.new"
        beside.write_bytes(content)
        if name.endswith(".key"):
            beside.chmod(0o600)
        return beside.replace(self.folder / name)

    def until(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until the journal has *count* lines of *event*; return the newest."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.bridge.events(event)
            return len(found) >= count

        with self.heard.written:
            assert self.heard.written.wait_for(is_there, _PATIENCE), (
                event,
                self.bridge.journal.getvalue(),
            )
        return found[-1]

    def change(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a file in place; return what the journal says once it is in force."""
        count = len(self.bridge.events("trust-in-force"))
        self.put(name, content)
        return self.until("trust-in-force", count + 1)

    def refuse(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a file in place that is wrong; return what the journal says of it."""
        count = len(self.bridge.events("trust-refused"))
        self.put(name, content)
        return self.until("trust-refused", count + 1)

    def renew(self, number: int) -> Credential:
        """Issue the bridge another certificate, and put it in place as a stranger's script would."""
        authority = open_authority(self.pki.development.authorities["bridge.example"])
        made = _enrol(
            authority, "bridge-tls", LOOPBACK, self.folder / f"renewed{number}", utc_now()
        )
        count = len(self.bridge.events("trust-in-force"))
        self.put("tls.key", made.key.read_bytes())
        self.put("tls.pem", made.certificate.read_bytes())
        self.until("trust-in-force", count + 1)
        return made

    def metric_of(self, name: str, **labels: str) -> float | None:
        """Return a figure of the bridge's own, of those with these labels."""
        assert self.bridge.server is not None
        registry = self.bridge.server._observing.measures.registry
        return registry.get_sample_value(name, labels)

    def metric(self, name: str) -> float | None:
        """Return a figure of the bridge's own."""
        assert self.bridge.server is not None
        return self.bridge.server._observing.measures.registry.get_sample_value(name)


@contextmanager
def living(
    pki: Pki,
    folder: Path,
    *,
    lists: bool = False,
    acts: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[Living]:
    """
    Serve with copies of *pki*'s files; *lists* configures an empty list for the hotlines' network, *acts* the
    journals of both networks' authorities.
    """
    path = write_settings(pki, folder)
    made, text = pki.development, path.read_text("utf-8")
    files: dict[str, Path] = {"tls.pem": made.bridge.certificate, "tls.key": made.bridge.key}
    files |= {f"{network}.pem": root for network, root in made.trust.items()}
    text += '\n[revocation]\ndeny = "deny.toml"\ngrace_hours = 2\n'
    if lists:
        text += f'crls = {{ "{GOVERNMENT}" = "{GOVERNMENT}.crl.pem" }}\n'
        (folder / f"{GOVERNMENT}.crl.pem").write_bytes(lists_of(pki, number=1))
    if acts:
        text += "\n[acts]\n"
        for network in (GOVERNMENT, POLICE):
            text += f'"{network}" = "{network}.acts.jsonl"\n'
            files[f"{network}.acts.jsonl"] = made.authorities[network] / "acts.jsonl"
    for name, source in files.items():
        text = text.replace(f'"{source}"', f'"{name}"')
        (folder / name).write_bytes(source.read_bytes())
        (folder / name).chmod(0o600)
    path.write_text(text, "utf-8")
    heard = Heard()
    found = Living(pki, folder, Running(load_settings(path), journal=heard), heard)
    found.bridge.start(clock=clock)
    try:
        yield found
    finally:
        found.bridge.stop()


def lists_of(
    pki: Pki,
    *,
    number: int,
    revoked: Sequence[int] = (),
    authorities: Sequence[int] = (),
    network: str = GOVERNMENT,
    life: timedelta = timedelta(days=7),
    begins: datetime | None = None,
) -> bytes:
    """Return the root's list, which has *authorities*, and the issuing authority's, which has *revoked*."""
    folder = pki.development.authorities[network]
    both = b""
    for stem, serials in (("root/root", authorities), ("issuing/issuing", revoked)):
        both += signed_list(folder / f"{stem}.pem", folder / f"{stem}.key", serials,
                            number=number, life=life, begins=begins or pki.made_at)  # fmt: skip
    return both


def signed_list(
    certificate: Path,
    key: Path,
    serials: Sequence[int],
    *,
    number: int | None,
    life: timedelta,
    begins: datetime,
    critical: x509.ExtensionType | None = None,
) -> bytes:
    """Return one list in PEM, signed with *key* in the name of *certificate*."""
    issuer = x509.load_pem_x509_certificate(certificate.read_bytes())
    signer = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(begins - timedelta(minutes=5))
        .next_update(begins + life)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if critical is not None:
        builder = builder.add_extension(critical, critical=True)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def leaf_of(credential: Credential) -> x509.Certificate:
    """Return the certificate itself, without its issuers."""
    return x509.load_pem_x509_certificates(credential.certificate.read_bytes())[0]


def issuing_of(pki: Pki, network: str = GOVERNMENT) -> x509.Certificate:
    """Return the certificate of a network's issuing authority."""
    path = pki.development.authorities[network] / "issuing/issuing.pem"
    return x509.load_pem_x509_certificate(path.read_bytes())


def ended(future: Any) -> grpc.RpcError:
    """Wait for a call's end; return how it failed."""
    error = future.exception(timeout=_PATIENCE)
    assert isinstance(error, grpc.RpcError), error
    return error


__all__ = ["GOVERNMENT", "POLICE", "Living", "ended", "issuing_of", "leaf_of", "lists_of", "living"]
