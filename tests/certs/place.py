"""Two authorities on one desk: what the tests of the certificate tool work with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from certs import trust as held
from certs.bundle import Bundle, export_bundle
from certs.cli import run
from certs.csr import create_request
from certs.development import GOVERNMENT, POLICE
from certs.enrolment import enrol
from certs.files import read
from certs.founding import create_authority
from certs.names import Name
from certs.office import Office, office
from certs.passphrase import NOBODY, Passphrase
from certs.profiles import PROFILES, ProfileName
from tests.certs.issuing import NOW, ORGANISATION

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command line ended, and all it said."""

    exit_code: int
    output: str


def certs(
    *arguments: object, lang: str = "en", environment: Mapping[str, str] | None = None
) -> Result:
    """Run one command line of the tool in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run([*map(str, arguments), "--lang", lang], environment or {})
    return Result(code, said.getvalue())


@dataclass(slots=True, kw_only=True)
class Place:
    """A government and a police authority, what each trusts, and a clock that tests set."""

    folder: Path
    now: datetime = NOW
    made: int = 0

    @property
    def government(self) -> Path:
        """Return the government authority's folder."""
        return self.folder / "government"

    @property
    def police(self) -> Path:
        """Return the police authority's folder."""
        return self.folder / "police"

    @property
    def trust(self) -> Path:
        """Return the folder of whom the police network trusts."""
        return self.folder / "trust"

    @contextmanager
    def office(
        self, folder: Path | None = None, passphrase: Passphrase = NOBODY
    ) -> Iterator[Office]:
        """Open an authority, the government's unless another is named."""
        with office(
            folder or self.government, now=self.now, by="tester", passphrase=passphrase
        ) as found:
            yield found

    def name(self, number: int = 1, *, profile: ProfileName = "gateway-tls") -> Name:
        """Return the hotline's name as gateway or signer."""
        return Name(
            network=GOVERNMENT, region="140400", organisation=ORGANISATION,
            role="signer" if profile == "signer" else "gw", number=number,
        )  # fmt: skip

    def issue(self, *, profile: ProfileName = "gateway-tls", days: int | None = None) -> Path:
        """Issue a certificate to a new key; return its file, the key beside it."""
        self.made += 1
        stem = self.folder / "held" / f"{profile}-{self.made}"
        _, request = create_request(stem, stem.name, PROFILES[profile])
        out = stem.with_name(stem.name + ".pem")
        with self.office() as at_work:
            enrol(
                at_work, PROFILES[profile], read(request),
                self.name(self.made, profile=profile), out, days=days,
            )  # fmt: skip
        return out

    def export(self, *verifiers: str) -> tuple[Path, Bundle]:
        """Export the government's next bundle; return its file and what is in it."""
        with self.office() as at_work:
            bundle = export_bundle(at_work, verifiers)
        path = self.folder / f"{bundle.number}.bundle"
        path.write_bytes(bundle.statement.line() + b"\n")
        return path, bundle

    def take(self, path: Path) -> list[str]:
        """Import a bundle at the police's; return what is said to change."""
        with self.office(self.police) as at_work:
            _, changes = held.import_bundle(at_work, self.trust, path)
        return [one.en for one in changes]

    def confirm(self, person: str, typed: str) -> held.Pending:
        """Confirm the government's bundle at the police's."""
        with self.office(self.police) as at_work:
            return held.confirm(at_work, self.trust, GOVERNMENT, person, typed)

    def trusted(self) -> Bundle:
        """Export, import and confirm twice; return the bundle that is in force then."""
        path, bundle = self.export()
        self.take(path)
        self.confirm("Zhang San", bundle.fingerprint)
        self.confirm("Li Si", bundle.fingerprint)
        return bundle


def make_place(folder: Path) -> Place:
    """Found both authorities in *folder*."""
    place = Place(folder=folder)
    create_authority(place.government, GOVERNMENT, NOW)
    create_authority(place.police, POLICE, NOW)
    return place


def leaf_of(path: Path) -> x509.Certificate:
    """Return the first certificate in *path*."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0]
