"""Receipt files (回执文件): the contract's `ReceiptFile` in its JSON form, in and out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from json import JSONDecodeError
from typing import Literal, TypedDict

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError

from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1 import receipt_file_pb2 as pb
from exchange._proto.v1 import receipt_pb2 as receipt_pb
from exchange.causes import cause
from exchange.envelope import Signature
from exchange.errors import InvalidRequest, Refusal
from exchange.log import LeafKind, StoredProof, leaf_bytes
from exchange.submission import Statement
from exchange.text import Text
from exchange.wire.headers import signature_from_proto, signature_to_proto, time_from_proto
from exchange.wire.receipts import (
    read_refused,
    read_written,
    refused_receipt,
    stored_receipt,
    written_receipt,
)

#: A file with a hundred receipts has about 300 kB.
MAX_FILE = 4 * 1024 * 1024

_TOO_LARGE = Text(
    en="This is no receipt file: it has {size} bytes, more than {most}.",
    zh="这不是回执文件：共 {size} 字节，超过 {most} 字节。",
)
_EMPTY = Text(en="This file holds no receipt.", zh="文件中没有回执。")
_UNREADABLE = Text(
    en="This is no receipt file: {why}. Take the file that `exchange ticket trail --receipts` wrote.",
    zh="这不是回执文件：{why}。请使用 exchange ticket trail --receipts 写出的文件。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedStatement:
    """A written statement and the proof of its own leaf, if the file has one."""

    statement: Statement
    proof: StoredProof | None = None
    #: The same leaf under co-signed checkpoints.
    cosigned: tuple[StoredProof, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFile:
    """
    What a receipt file holds; nothing of it is verified yet.

    *message_id* is the header's, else the first receipt's; *author* and *recipient* are the
    header's, else empty.
    """

    message_id: str
    author: str = ""
    recipient: str = ""
    header: bytes = b""
    signature: Signature | None = None
    stored: StoredProof | None = None
    written: tuple[LoggedStatement, ...] = ()
    refused: tuple[Statement, ...] = ()
    #: That further bridges stored it, to which relays carried it.
    onward: tuple[StoredProof, ...] = ()
    #: DER certificates, leaf first.
    chains: tuple[tuple[bytes, ...], ...] = ()
    #: The stored message's leaf under co-signed checkpoints.
    cosigned: tuple[StoredProof, ...] = ()

    def chain(self, key_id: bytes) -> tuple[bytes, ...] | None:
        """Return the chain whose leaf *key_id* names."""
        return next((c for c in self.chains if c and sha256(c[0]).digest() == key_id), None)


def read_receipt_file(content: bytes) -> ReceiptFile:
    """Return what a file's bytes say; raises `InvalidRequest` where they are no receipt file."""
    if len(content) > MAX_FILE:
        raise InvalidRequest(_TOO_LARGE.fill(size=len(content), most=MAX_FILE))
    try:
        file = Parse(content.decode(), pb.ReceiptFile())
        header = message_pb.Header.FromString(file.header)
        stored = _proof(file.stored, LeafKind.MESSAGE) if file.HasField("stored") else None
        written = tuple(_logged(logged) for logged in file.written)
        cosigned = cosigned_proofs(stored, file.cosigned)
        onward = tuple(_proof(one, LeafKind.MESSAGE) for one in file.onward)
    except (ParseError, DecodeError, ValueError, OverflowError) as error:
        raise _unreadable(error) from error
    refused = tuple(_stated(read_refused(receipt)) for receipt in file.refused)
    if not (stored or written or refused):
        raise InvalidRequest(_EMPTY)
    ids = (
        header.message_id,
        file.stored.message_id,
        *(one.statement.message_id for one in written),
        *(one.message_id for one in refused),
    )
    return ReceiptFile(
        message_id=next(filter(None, ids), ""),
        author=header.author,
        recipient=header.recipient,
        header=file.header,
        signature=signature_from_proto(file.signature) if file.HasField("signature") else None,
        stored=stored,
        written=written,
        refused=refused,
        onward=onward,
        chains=tuple(tuple(chain.certificates) for chain in file.certificates),
        cosigned=cosigned,
    )


def write_receipt_file(file: ReceiptFile) -> bytes:
    """Return the bytes of *file*; the inverse of `read_receipt_file`."""
    made = pb.ReceiptFile(header=file.header)
    if file.signature is not None:
        made.signature.CopyFrom(signature_to_proto(file.signature))
    if file.stored is not None:
        made.stored.CopyFrom(stored_receipt(file.message_id, file.stored))
    for one in file.written:
        logged = made.written.add(
            receipt=written_receipt(one.statement.statement, one.statement.signature)
        )
        if one.proof is not None:
            logged.proof.CopyFrom(stored_receipt(one.statement.message_id, one.proof))
        logged.cosigned.extend(map(_cosigned, one.cosigned))
    made.refused.extend(refused_receipt(one.statement, one.signature) for one in file.refused)
    made.onward.extend(stored_receipt(file.message_id, one) for one in file.onward)
    made.certificates.extend(
        message_pb.CertificateChain(certificates=chain) for chain in file.chains
    )
    made.cosigned.extend(map(_cosigned, file.cosigned))
    return (MessageToJson(made, preserving_proto_field_name=True, indent=1) + "\n").encode()


class EnvelopeParts(TypedDict):
    """What a receipt file takes of an envelope; the keys are `ReceiptFile`'s."""

    message_id: str
    author: str
    recipient: str
    header: bytes
    signature: Signature | None


def envelope_parts(raw: bytes) -> EnvelopeParts:
    """Return what a receipt file takes of an envelope; raises `InvalidRequest`."""
    try:
        envelope = message_pb.Envelope.FromString(raw)
        header = message_pb.Header.FromString(envelope.header)
    except DecodeError as error:
        raise _unreadable(error) from error
    signed = envelope.HasField("signature")
    return EnvelopeParts(
        message_id=header.message_id,
        author=header.author,
        recipient=header.recipient,
        header=envelope.header,
        signature=signature_from_proto(envelope.signature) if signed else None,
    )


def signed_statement(
    kind: Literal["written", "refused"], statement: bytes, signature: bytes
) -> Statement:
    """Return a statement stored with its packed signature; raises `InvalidRequest`."""
    try:
        packed = message_pb.Signature.FromString(signature)
    except DecodeError as error:
        raise _unreadable(error) from error
    if kind == "written":
        return _stated(
            read_written(receipt_pb.WrittenReceipt(statement=statement, signature=packed))
        )
    return _stated(read_refused(receipt_pb.RefusedReceipt(statement=statement, signature=packed)))


def read_receipt(raw: bytes) -> StoredProof | Statement:
    """Return what one serialised `Receipt` holds; raises `InvalidRequest`."""
    try:
        receipt = receipt_pb.Receipt.FromString(raw)
        if receipt.HasField("stored"):
            return _proof(receipt.stored, LeafKind.MESSAGE)
    except (DecodeError, ValueError, OverflowError) as error:
        raise _unreadable(error) from error
    if receipt.HasField("written"):
        return _stated(read_written(receipt.written))
    return _stated(read_refused(receipt.refused))


def read_onward(raw: bytes) -> StoredProof:
    """Return the proof of a further bridge's stored receipt, serialised; raises `InvalidRequest`."""
    try:
        return _proof(receipt_pb.StoredReceipt.FromString(raw), LeafKind.MESSAGE)
    except (DecodeError, ValueError, OverflowError) as error:
        raise _unreadable(error) from error


def read_logged(raw: bytes) -> StoredProof:
    """Return the proof of a written receipt's own leaf, a serialised `StoredReceipt`."""
    try:
        return _proof(receipt_pb.StoredReceipt.FromString(raw), LeafKind.WRITTEN)
    except (DecodeError, ValueError, OverflowError) as error:
        raise _unreadable(error) from error


def _logged(logged: pb.LoggedReceipt) -> LoggedStatement:
    proof = _proof(logged.proof, LeafKind.WRITTEN) if logged.HasField("proof") else None
    return LoggedStatement(
        statement=_stated(read_written(logged.receipt)),
        proof=proof,
        cosigned=cosigned_proofs(proof, logged.cosigned),
    )


def cosigned_proofs(
    proof: StoredProof | None, found: Iterable[pb.CosignedProof]
) -> tuple[StoredProof, ...]:
    """Return the leaf of *proof* under each co-signed checkpoint; none without a leaf."""
    if proof is None:
        return ()
    return tuple(
        StoredProof(
            leaf=proof.leaf, index=proof.index, path=tuple(one.path), note=one.checkpoint.encode()
        )
        for one in found
    )


def _cosigned(proof: StoredProof) -> pb.CosignedProof:
    return pb.CosignedProof(checkpoint=proof.note.decode(), path=proof.path)


def _proof(receipt: receipt_pb.StoredReceipt, kind: LeafKind) -> StoredProof:
    """Return the proof; the leaf's bytes follow from digest and time."""
    return StoredProof(
        leaf=leaf_bytes(kind, receipt.message_digest, time_from_proto(receipt.accept_time)),
        index=receipt.leaf_index,
        path=tuple(receipt.path),
        note=receipt.checkpoint.encode(),
    )


def _stated(found: Statement | Refusal) -> Statement:
    if isinstance(found, Refusal):
        raise InvalidRequest(found.text)
    return found


def _unreadable(error: Exception) -> InvalidRequest:
    known = error.__cause__ if isinstance(error, ParseError) else error
    if isinstance(known, UnicodeDecodeError | JSONDecodeError):
        why = cause(known)
    else:
        said = str(error)[:200].rstrip(".")
        why = Text(en=said, zh=f"内容不符合格式（{said}）")
    return InvalidRequest(
        Text(en=_UNREADABLE.en.format(why=why.en), zh=_UNREADABLE.zh.format(why=why.zh))
    )
