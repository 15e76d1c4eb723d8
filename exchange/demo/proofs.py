"""
All receipts and the log verify: asked afterwards, of files alone, with the program's own tools.

The log by ``exchange log verify``; every receipt by `exchange.proof`, from what the platforms hold
in their spools, with the networks' roots and the log's verifier key and without a bridge.  That a
written receipt is in the log, too, is proved with the leaf's proof, which the trail gives.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache

from exchange.client import read_certificates
from exchange.demo.city import Platform
from exchange.demo.ground import Ground
from exchange.envelope import message_digest, read_file
from exchange.log import StoredProof
from exchange.note import NoteVerifier
from exchange.proof import Proof, Trust, Verdict, prove
from exchange.query.evidence import EvidenceRoom
from exchange.text import Text
from exchange.trust import TrustStore
from exchange.wire.receipt_files import LoggedStatement, ReceiptFile, envelope_parts, read_receipt

_KEPT = (
    "SELECT ticket_id, message_id, envelope, receipt FROM outgoing"
    " WHERE receipt IS NOT NULL AND receipt <> ''"
)
_ANSWERS = "SELECT receipt FROM answer WHERE message_id = ? ORDER BY organisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of verifying: counts, and what was found wrong (nothing, if all is well)."""

    #: Entries of the log.
    entries: int
    stored: int
    written: int
    refused: int
    findings: tuple[Text, ...]

    @property
    def holds(self) -> bool:
        """Whether everything verifies."""
        return not self.findings


def verify(ground: Ground) -> Verified:
    """Verify the log and every receipt that a platform of *ground* holds."""
    entries, findings = _log(ground)
    counts = {"stored": 0, "written": 0, "refused": 0}
    trust = _trust(ground)
    room = EvidenceRoom.open(f"sqlite:///{ground.bridge_database}")

    @cache
    def leaves(ticket_id: str) -> dict[bytes, StoredProof]:
        """Return the proofs of a ticket's written receipts, by their statements' digests."""
        return {
            message_digest(one.statement): proof
            for evidence in room.of_ticket(ticket_id)
            for one, proof in evidence.written
        }

    for file in _receipts(ground, leaves):
        proof = prove(file, trust)
        counts["stored"] += file.stored is not None
        counts["written"] += len(file.written)
        counts["refused"] += len(file.refused)
        findings += _unproved(proof)
    room.close()
    return Verified(entries=entries, findings=tuple(findings), **counts)


def _log(ground: Ground) -> tuple[int, list[Text]]:
    command = [sys.executable, "-m", "exchange", "log", "verify", "--json", "--config"]
    done = subprocess.run(
        [*command, str(ground.bridge_config)], capture_output=True, text=True, check=False,
        encoding="utf-8",
    )  # fmt: skip
    try:
        said = json.loads(done.stdout)
    except ValueError:
        why = done.stderr.strip() or done.stdout.strip()
        return 0, [Text(en=f"exchange log verify: {why}", zh=f"exchange log verify：{why}")]
    return said["size"], [Text(en=one["en"], zh=one["zh"]) for one in said["findings"]]


def _trust(ground: Ground) -> Trust:
    made = ground.certificates
    verifier = NoteVerifier.parse(read_file(made.log_verifier).decode().strip())
    networks = {p.code: p.network for p in ground.city.platforms.values()}
    return Trust(networks=TrustStore.load(made.trust), logs=(verifier,), registered=networks)


def _receipts(
    ground: Ground, leaves: Callable[[str], Mapping[bytes, StoredProof]]
) -> Iterator[ReceiptFile]:
    signers = [desk.signer.certificate for desk in ground.certificates.desks.values()]
    chains = tuple(tuple(read_certificates(path)) for path in signers)
    for platform in ground.city.platforms.values():
        for ticket_id, envelope, receipts in _kept(ground, platform):
            file = ReceiptFile(**envelope_parts(envelope), chains=chains)
            for raw in receipts:
                file = _with(file, raw, leaves(ticket_id))
            yield file


def _with(file: ReceiptFile, raw: bytes, leaves: Mapping[bytes, StoredProof]) -> ReceiptFile:
    found = read_receipt(raw)
    if isinstance(found, StoredProof):
        return replace(file, stored=found)
    if found.code is None:
        proof = leaves.get(message_digest(found.statement))
        logged = LoggedStatement(statement=found, proof=proof)
        return replace(file, written=(*file.written, logged))
    return replace(file, refused=(*file.refused, found))


def _kept(ground: Ground, platform: Platform) -> Iterator[tuple[str, bytes, list[bytes]]]:
    """Yield each message's ticket, envelope and receipts."""
    spool = ground.home(platform) / "spool.db"
    with closing(sqlite3.connect(spool.resolve().as_uri() + "?mode=ro", uri=True)) as database:
        for ticket_id, message_id, envelope, receipt in database.execute(_KEPT):
            answers = [raw for (raw,) in database.execute(_ANSWERS, (message_id,))]
            yield ticket_id, envelope, [receipt, *answers]


def _unproved(proof: Proof) -> Iterator[Text]:
    """Yield what does not hold; what is not shown is not proved either."""
    for one in proof.obligations:
        if one.verdict is not Verdict.HOLDS:
            yield Text(
                en=f"{proof.message_id}: {one.what.en}: {one.found.en}",
                zh=f"{proof.message_id}：{one.what.zh}：{one.found.zh}",
            )
