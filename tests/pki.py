"""
The certificates every test with real TLS uses: three authorities, three desks, and the bad ones.

Take it in a ``conftest.py``: ``from tests.pki import pki``, then ask for the fixture ``pki``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.defects import build_defects
from certs.development import GOVERNMENT, POLICE, Credential, Desk, DevelopmentSet, build
from exchange.trust import TrustStore

# Invented codes of the right form; the credit codes' check characters hold.
CITY_12345 = Desk(network=GOVERNMENT, region="140400", organisation="11140400MB1X00010Y")
COUNTY_12345 = Desk(network=GOVERNMENT, region="140421", organisation="11140421MB1X000374")
CITY_110 = Desk(network=POLICE, region="140400", organisation="140400000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """A development set with the three desks, and the city hotline's bad certificates by name."""

    development: DevelopmentSet
    defects: Mapping[str, Credential]
    made_at: datetime

    def trust(self) -> TrustStore:
        """Return a new trust store of the desks' networks, with nothing remembered."""
        return TrustStore.load(self.development.trust)

    def gateway(self, desk: Desk) -> Credential:
        """Return what *desk* dials with."""
        return self.development.desks[desk.organisation].gateway

    def signer(self, desk: Desk) -> Credential:
        """Return what *desk* signs with."""
        return self.development.desks[desk.organisation].signer


def make_pki(folder: Path) -> Pki:
    """Make everything in *folder*, as of now: real TLS reads the real clock."""
    now = datetime.now(UTC)
    development = build(folder / "set", desks=[CITY_12345, COUNTY_12345, CITY_110], now=now)
    defects = build_defects(folder / "defects", development, CITY_12345, POLICE, now)
    return Pki(development=development, defects=defects, made_at=now)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates for the whole test session."""
    return make_pki(tmp_path_factory.mktemp("pki"))
