"""What a database holds, for those who ask whether an attack left anything behind."""

from __future__ import annotations

from sqlalchemy import func, select

from exchange import tables
from exchange.cli.signatures import Signatures, Vouching
from exchange.note import NoteVerifier
from exchange.query.evidence import EvidenceRoom
from exchange.store.audit import audit
from exchange.store.engines import connect, reading
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki

_BESIDE = {"certificate", "contact"}


def counts(url: str) -> dict[str, int]:
    """Return the number of rows of every table at *url*."""
    engines = connect(url)
    try:
        with reading(engines) as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.metadata.tables.items()
            }
    finally:
        engines.close()


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """
    Return by how many rows each table grew.

    Signers' certificates, kept once, are left out; so is when somebody honest last called, which is
    written whenever a quarter of a minute is over.
    """
    return {
        name: after[name] - before[name]
        for name in after
        if after[name] != before[name] and name not in _BESIDE
    }


def column(url: str, table: str, name: str) -> list[object]:
    """Return one column of a table."""
    engines = connect(url)
    try:
        with reading(engines) as connection:
            return list(connection.execute(select(tables.metadata.tables[table].c[name])).scalars())
    finally:
        engines.close()


def findings(url: str, pki: Pki) -> list[str]:
    """Return what the audit finds wrong at *url*, everyone's signatures included."""
    verifier = NoteVerifier.parse(pki.development.log_verifier.read_text().strip())
    registered = {desk.organisation: desk.network for desk in (CITY_110, CITY_12345, COUNTY_12345)}
    vouching = Vouching(networks=pki.trust(), registered=registered)
    engines, room = connect(url), EvidenceRoom.open(url)
    try:
        return [text.en for text in audit(engines, verifier, Signatures(room, verifier, vouching))]
    finally:
        room.close()
        engines.close()
