"""Receipt files of what a bridge answered: what a party keeps, to be proved offline years later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from exchange._proto.v1 import receipt_file_pb2 as pb
from exchange.envelope import message_digest
from exchange.log import Checkpoint, StoredProof, parse_leaf
from exchange.note import split_note
from exchange.wire.receipt_files import (
    LoggedStatement,
    ReceiptFile,
    cosigned_proofs,
    envelope_parts,
    read_logged,
    read_onward,
    read_receipt,
    write_receipt_file,
)


def from_answers(
    message_id: str,
    receipts: Sequence[bytes],
    *,
    logged: Sequence[bytes] = (),
    envelope: bytes = b"",
    onward: Sequence[bytes] = (),
    chains: Sequence[tuple[bytes, ...]] = (),
) -> ReceiptFile:
    """
    Return the receipt file of what a bridge answered: serialised ``Receipt``s of one message.

    *logged* are the proofs of the written ones' own leaves (serialised ``StoredReceipt``s, in any
    order), *envelope* the message where it is held, *onward* the serialised ``StoredReceipt``s of
    further bridges, *chains* the certificates of who signed.
    """
    file = ReceiptFile(
        message_id=message_id,
        onward=tuple(map(read_onward, onward)),
        chains=tuple(filter(None, chains)),
    )
    proofs = {parse_leaf(proof.leaf).digest: proof for proof in map(read_logged, logged)}
    if envelope:
        file = replace(file, **envelope_parts(envelope))
    for raw in receipts:
        found = read_receipt(raw)
        if isinstance(found, StoredProof):
            file = replace(file, stored=found)
        elif found.code is None:
            proof = proofs.get(message_digest(found.statement))
            one = LoggedStatement(statement=found, proof=proof)
            file = replace(file, written=(*file.written, one))
        else:
            file = replace(file, refused=(*file.refused, found))
    return file


def with_cosigned(
    file: ReceiptFile, cosigned: Callable[[str, int], Sequence[pb.CosignedProof]]
) -> ReceiptFile:
    """Return *file* with what witnesses signed over its entries: *cosigned* says it, by log and index."""

    def over(proof: StoredProof | None) -> tuple[StoredProof, ...]:
        if proof is None:
            return ()
        origin = Checkpoint.parse(split_note(proof.note)[0]).origin
        return cosigned_proofs(proof, cosigned(origin, proof.index))

    return replace(
        file,
        cosigned=over(file.stored),
        written=tuple(replace(one, cosigned=over(one.proof)) for one in file.written),
    )


def receipt_file(message_id: str, receipt: bytes, chain: tuple[bytes, ...]) -> bytes:
    """
    Return the bytes of the file that proves one receiver's answer by itself.

    *receipt* and *chain* are an `IncomingReceipt`'s.  The message is not in it; `exchange receipt
    verify --message` takes it from elsewhere, and the trail has the proof of the receipt's own leaf.
    """
    return write_receipt_file(from_answers(message_id, [receipt], chains=[chain]))
