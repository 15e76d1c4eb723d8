"""Receipts, refusals and outcomes, in and out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import exchange_service_pb2 as service_pb
from exchange._proto.v1 import receipt_pb2 as pb
from exchange.envelope import Signature
from exchange.errors import ExchangeError, InvalidRequest, Refusal, RefusalCode, Violation, refuse
from exchange.log import LeafKind, StoredProof, digest_and_time, leaf_bytes
from exchange.making import maker
from exchange.submission import Passed, Statement
from exchange.text import Text
from exchange.wire.checks import surely_valid
from exchange.wire.fields import field_violations
from exchange.wire.headers import (
    signature_from_proto,
    signature_to_proto,
    time_from_proto,
    time_to_proto,
)

#: Bytes of a serialised `RefusedStatement`, and violations in it, at most; the contract's rules.
MAX_STATEMENT = 16_384
MAX_LISTED = 64

_new_statement = maker(Statement)

_UNKNOWN_CODE = Text(
    en="Field {field} holds the refusal code {code}, which is not known here; update this program.",
    zh="字段 {field} 的拒收代码 {code} 在此无法识别，请升级本程序。",
)

_SET_ASIDE = Text(
    en="Its receiver set it aside and does not write it: {reason} Whoever answers goes on answering.",
    zh="接收方已将其搁置，不予写入：{reason}责任方不变。",
)


def text_to_proto(text: Text) -> common_pb.LocalizedText:
    """Return the contract's form of *text*."""
    return common_pb.LocalizedText(en=text.en[:2048], zh=text.zh[:2048])


def _violations_to_proto(violations: Iterable[Violation]) -> list[common_pb.FieldViolation]:
    return [
        common_pb.FieldViolation(
            field=violation.field[:256],
            rule=violation.rule[:128],
            text=text_to_proto(violation.text),
        )
        for violation in violations
    ]


def violations_from_proto(
    violations: Iterable[common_pb.FieldViolation],
) -> tuple[Violation, ...]:
    """Return the violations of a refusal."""
    return tuple(
        Violation(
            field=violation.field,
            rule=violation.rule,
            text=Text(en=violation.text.en, zh=violation.text.zh),
        )
        for violation in violations
    )


def refused_statement(
    message_id: str,
    digest: bytes,
    refused_by: str,
    refusal: Refusal,
    time: datetime,
    *,
    set_aside: str = "",
) -> bytes:
    """
    Return the serialised `RefusedStatement`, ready to be signed.

    As many violations are listed, first ones first, as a `RefusedReceipt` may carry.  With a reason
    in *set_aside*, it lets the message's lane go on without it.
    """
    statement = pb.RefusedStatement(
        message_id=message_id,
        message_digest=digest,
        refused_by=refused_by,
        code=int(refusal.code),  # type: ignore[arg-type]
        violations=_violations_to_proto(refusal.violations[:MAX_LISTED]),
        refuse_time=time_to_proto(time),
        set_aside=pb.SetAside(reason=set_aside) if set_aside else None,
    )
    while statement.ByteSize() > MAX_STATEMENT:
        del statement.violations[-1]
    return statement.SerializeToString(deterministic=True)


def written_statement(
    message_id: str, digest: bytes, organisation: str, time: datetime, local_number: str
) -> bytes:
    """Return the serialised `WrittenStatement`, ready to be signed."""
    return pb.WrittenStatement(
        message_id=message_id,
        message_digest=digest,
        organisation=organisation,
        write_time=time_to_proto(time),
        local_number=local_number,
    ).SerializeToString(deterministic=True)


def written_receipt(statement: bytes, signature: Signature) -> pb.WrittenReceipt:
    """Return a written receipt."""
    return pb.WrittenReceipt(statement=statement, signature=signature_to_proto(signature))


def refused_receipt(statement: bytes, signature: Signature) -> pb.RefusedReceipt:
    """Return a refused receipt."""
    return pb.RefusedReceipt(statement=statement, signature=signature_to_proto(signature))


def stored_receipt(message_id: str, proof: StoredProof) -> pb.StoredReceipt:
    """Return the bridge's stored receipt of a message."""
    receipt = pb.StoredReceipt()
    fill_stored(receipt, message_id, proof)
    return receipt


def fill_stored(receipt: pb.StoredReceipt, message_id: str, proof: StoredProof) -> None:
    """Make an empty *receipt* the bridge's stored receipt of a message, where it stands."""
    digest, microseconds = digest_and_time(proof.leaf)
    receipt.message_id = message_id
    receipt.message_digest = digest
    accepted = receipt.accept_time
    accepted.seconds = microseconds // 1_000_000
    accepted.nanos = microseconds % 1_000_000 * 1000
    receipt.leaf_index = proof.index
    receipt.path.extend(proof.path)
    receipt.checkpoint = proof.note.decode()


def retry_outcome(error: ExchangeError, delay: float) -> service_pb.Retry:
    """Return the outcome of a message that failed; *delay* in seconds."""
    wait = Duration()
    wait.FromMilliseconds(int(delay * 1000))
    return service_pb.Retry(reason=error.reason, text=text_to_proto(error.text), delay=wait)


def read_written(receipt: pb.WrittenReceipt) -> Statement | Refusal:
    """Take a written receipt apart; a `Refusal` naming every field at fault where it is unfit."""
    try:
        statement = pb.WrittenStatement.FromString(receipt.statement)
    except DecodeError:
        return Refusal(code=RefusalCode.MALFORMED)
    refusal = _unfit_receipt(receipt, statement)
    if refusal is not None:
        return refusal
    return _new_statement(
        message_id=statement.message_id,
        message_digest=statement.message_digest,
        organisation=statement.organisation,
        time=time_from_proto(statement.write_time),
        local_number=statement.local_number,
        statement=receipt.statement,
        signature=signature_from_proto(receipt.signature),
    )


def read_passed(receipt: pb.StoredReceipt) -> Passed | Refusal:
    """Take another bridge's stored receipt apart; a `Refusal` where it is none."""
    try:
        time = time_from_proto(receipt.accept_time)
        leaf = leaf_bytes(LeafKind.MESSAGE, receipt.message_digest, time)
        note = receipt.checkpoint.encode()
    except (ValueError, OverflowError):
        return refuse(RefusalCode.MALFORMED, "passed")
    path = tuple(receipt.path)
    return Passed(
        message_id=receipt.message_id[:36].replace("\0", ""),
        proof=StoredProof(leaf=leaf, index=receipt.leaf_index, path=path, note=note),
        receipt=receipt.SerializeToString(deterministic=True),
    )


def read_refused(receipt: pb.RefusedReceipt) -> Statement | Refusal:
    """Take a refused receipt apart; a `Refusal` naming every field at fault where it is unfit."""
    try:
        statement = pb.RefusedStatement.FromString(receipt.statement)
    except DecodeError:
        return Refusal(code=RefusalCode.MALFORMED)
    refusal = _unfit_receipt(receipt, statement)
    if refusal is not None:
        return refusal
    return Statement(
        message_id=statement.message_id,
        message_digest=statement.message_digest,
        organisation=statement.refused_by,
        time=time_from_proto(statement.refuse_time),
        code=_CODES[statement.code],
        set_aside=statement.set_aside.reason,
        statement=receipt.statement,
        signature=signature_from_proto(receipt.signature),
    )


_CODES = {int(code): code for code in RefusalCode}


def _unfit_receipt(
    receipt: pb.WrittenReceipt | pb.RefusedReceipt,
    statement: pb.WrittenStatement | pb.RefusedStatement,
) -> Refusal | None:
    violations: list[Violation] = []
    if not (surely_valid(receipt) and surely_valid(statement)):
        violations += field_violations(receipt)
        violations += field_violations(statement, "statement.")
    if isinstance(statement, pb.RefusedStatement) and statement.code not in (0, *_CODES):
        path = "statement.code"
        text = _UNKNOWN_CODE.fill(field=path, code=statement.code)
        violations.append(Violation(field=path, rule="enum.defined_only", text=text))
    if violations:
        return Refusal(code=RefusalCode.FIELD_INVALID, violations=tuple(violations))
    if not receipt.HasField("signature"):
        return refuse(RefusalCode.UNSIGNED, "signature")
    return None


def refusal_of(receipt: pb.RefusedReceipt) -> Refusal:
    """
    Return the refusal that a refused receipt states; the signature is not looked at.

    Raises `InvalidRequest` where the bytes state none, or one with a code not known here.
    """
    try:
        statement = pb.RefusedStatement.FromString(receipt.statement)
    except DecodeError as error:
        raise InvalidRequest(RefusalCode.MALFORMED.text) from error
    code = _CODES.get(statement.code)
    if code is None:
        text = _UNKNOWN_CODE.fill(field="statement.code", code=statement.code)
        raise InvalidRequest(text)
    return Refusal(code=code, violations=_said_of(statement))


def _said_of(statement: pb.RefusedStatement) -> tuple[Violation, ...]:
    """Return every field at fault, and that the message was set aside: whoever reads one learns it."""
    found = violations_from_proto(statement.violations)
    if not statement.HasField("set_aside"):
        return found
    text = _SET_ASIDE.fill(reason=statement.set_aside.reason)
    return (*found, Violation(field="set_aside", rule="set_aside", text=text))


def stated_refusal(statement: bytes) -> Refusal | None:
    """Return what a refused statement says as it is stored; None where it has no code known here."""
    try:
        stated = pb.RefusedStatement.FromString(statement)
    except DecodeError:
        return None
    code = _CODES.get(stated.code)
    if code is None:
        return None
    return Refusal(code=code, violations=_said_of(stated))


def refused_code(statement: bytes) -> RefusalCode | None:
    """Return the code of a refused statement as it is stored; None where it has none known here."""
    try:
        return _CODES.get(pb.RefusedStatement.FromString(statement).code)
    except DecodeError:
        return None
