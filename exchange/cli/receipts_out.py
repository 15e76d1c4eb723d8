"""Writing receipt files: what is kept of what was answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exchange.query.evidence import Evidence, EvidenceRoom
    from exchange.wire.receipt_files import ReceiptFile


def write_durably(path: Path, content: bytes) -> None:
    """Write *content* so that after a crash *path* holds all of it or is not there."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_receipts(folder: Path, files: Sequence[ReceiptFile]) -> list[Path]:
    """Write each as ``<message id>.receipt.json`` into *folder*; return the paths."""
    from exchange.wire.receipt_files import write_receipt_file

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file in files:
        path = folder / f"{safe_name(file.message_id)}.receipt.json"
        write_durably(path, write_receipt_file(file))
        written.append(path)
    return written


def from_evidence(evidence: Evidence, room: EvidenceRoom) -> ReceiptFile:
    """Return the receipt file of a stored message, complete with every signer's certificates."""
    from exchange.wire.receipt_files import (
        LoggedStatement,
        ReceiptFile,
        envelope_parts,
        read_onward,
        signed_statement,
    )

    parts = envelope_parts(evidence.envelope)
    if not evidence.envelope:  # archived
        parts["message_id"] = evidence.message_id
    written = tuple(
        LoggedStatement(
            statement=signed_statement("written", one.statement, one.signature),
            proof=proof,
            cosigned=evidence.cosigned[one.leaf_index],
        )
        for one, proof in evidence.written
    )
    refused = tuple(signed_statement("refused", *one) for one in evidence.refused)
    signatures = [one.statement.signature for one in written] + [one.signature for one in refused]
    if parts["signature"] is not None:
        signatures.insert(0, parts["signature"])
    chains = [room.certificate(key_id) for key_id in dict.fromkeys(s.key_id for s in signatures)]
    return ReceiptFile(
        **parts,
        stored=evidence.proof,
        written=written,
        refused=refused,
        onward=tuple(map(read_onward, evidence.onward)),
        chains=tuple(filter(None, chains)),
        cosigned=evidence.cosigned[evidence.place],
    )


def from_answers(message_id: str, receipts: Sequence[bytes], **parts: Any) -> ReceiptFile:
    """Return `exchange.client.from_answers`, which is imported late: ``--help`` needs no gRPC."""
    from exchange.client import from_answers as made

    return made(message_id, receipts, **parts)


def safe_name(message_id: str) -> str:
    """Return *message_id* as a file name; what a bridge says must not choose the folder."""
    return "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in message_id)
