"""Receipts and drafts, in and out."""

from __future__ import annotations

from typing import Any

import pytest

from exchange._proto.v1 import groups_ticket_pb2 as ticket_pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.acts import Group, Kind
from exchange.errors import (
    InvalidRequest,
    PredecessorUnknown,
    Refusal,
    RefusalCode,
    Violation,
)
from exchange.log import LeafKind, advance, leaf_bytes
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.submission import Statement
from exchange.text import Text
from exchange.wire import receipts
from exchange.wire.content import decode_group, encode_group
from exchange.wire.fields import field_violations
from exchange.wire.headers import (
    draft_message,
    time_from_proto,
)
from tests.unit.envelopes import (
    NOW,
    SIGNATURE,
    sample,
)


class TestReceipts:
    DIGEST = bytes(range(32))

    def written(self, **changes: Any) -> receipt_pb2.WrittenReceipt:
        """Return a written receipt, with *changes* to its statement."""
        statement = receipt_pb2.WrittenStatement.FromString(
            receipts.written_statement("0" * 36, self.DIGEST, "140400000000", NOW, "J1")
        )
        for name, value in changes.items():
            setattr(statement, name, value)
        return receipts.written_receipt(statement.SerializeToString(), SIGNATURE)

    def refused(self, *violations: Violation, code: int = 4) -> receipt_pb2.RefusedReceipt:
        """Return a refused receipt with *violations*."""
        answer = Refusal(code=RefusalCode.FIELD_INVALID, violations=violations)
        raw = receipts.refused_statement("0" * 36, self.DIGEST, "140400000000", answer, NOW)
        statement = receipt_pb2.RefusedStatement.FromString(raw)
        statement.code = code  # type: ignore[assignment]
        return receipts.refused_receipt(statement.SerializeToString(), SIGNATURE)

    def test_written_survives(self) -> None:
        """Everything said comes back, with the exact bytes that were signed."""
        receipt = self.written()

        assert receipts.read_written(receipt) == Statement(
            message_id="0" * 36,
            message_digest=self.DIGEST,
            organisation="140400000000",
            time=NOW,
            local_number="J1",
            statement=receipt.statement,
            signature=SIGNATURE,
        )

    def test_refused_survives(self) -> None:
        """Code and violations come back in both languages."""
        violation = Violation(field="a.b", rule="r", text=Text(en="x", zh="甲"))
        receipt = self.refused(violation)
        statement = receipts.read_refused(receipt)

        assert isinstance(statement, Statement)
        assert RefusalCode.FIELD_INVALID is statement.code
        assert Refusal(
            code=RefusalCode.FIELD_INVALID, violations=(violation,)
        ) == receipts.refusal_of(receipt)

    def test_a_full_refusal_still_fits_its_receipt(self) -> None:
        """Eight hundred long violations are cut to what the contract allows, first ones first."""
        many = [
            Violation(field=f"f{n}" * 60, rule="r" * 200, text=Text(en="e" * 3000, zh="中" * 3000))
            for n in range(800)
        ]
        receipt = self.refused(*many)

        assert len(receipt.statement) <= receipts.MAX_STATEMENT
        assert () == field_violations(receipt)
        statement = receipt_pb2.RefusedStatement.FromString(receipt.statement)
        assert () == field_violations(statement)
        assert 1 <= len(statement.violations) <= receipts.MAX_LISTED

    def test_what_is_wrong_with_a_written_receipt_is_named(self) -> None:
        """Each fault by its path; field rules go before the missing signature."""
        broken = receipt_pb2.WrittenReceipt(statement=b"\xff")
        short = self.written(message_digest=b"short")
        short.ClearField("signature")
        unsigned = self.written()
        unsigned.ClearField("signature")
        nul = self.written(local_number="a\0b")
        late = receipt_pb2.WrittenStatement.FromString(self.written().statement)
        late.write_time.seconds = 10**15
        timeless = receipts.written_receipt(late.SerializeToString(), SIGNATURE)

        for receipt, code, field in (
            (broken, RefusalCode.MALFORMED, None),
            (short, RefusalCode.FIELD_INVALID, "statement.message_digest"),
            (unsigned, RefusalCode.UNSIGNED, "signature"),
            (nul, RefusalCode.FIELD_INVALID, "statement.local_number"),
            (timeless, RefusalCode.FIELD_INVALID, "statement.write_time"),
        ):
            answer = receipts.read_written(receipt)
            assert isinstance(answer, Refusal)
            assert code is answer.code
            assert ([field] if field else []) == [one.field for one in answer.violations]

    def test_a_code_of_a_later_contract_is_named(self) -> None:
        """It cannot be acted on here; the caller hears so, and a client gets no traceback."""
        receipt = self.refused(code=99)
        receipt.ClearField("signature")
        answer = receipts.read_refused(receipt)

        assert isinstance(answer, Refusal)
        assert RefusalCode.FIELD_INVALID is answer.code
        assert "statement.code" == answer.violations[0].field
        with pytest.raises(InvalidRequest, match="99"):
            receipts.refusal_of(receipt)
        with pytest.raises(InvalidRequest):
            receipts.refusal_of(receipt_pb2.RefusedReceipt(statement=b"\xff"))

    def test_stored_tells_the_leaf_and_its_proof(self) -> None:
        """Digest, time, index, path and checkpoint are those of the proof."""
        key = LogKey.from_seed("bridge.example/log", bytes(32))
        leaves = [leaf_bytes(LeafKind.MESSAGE, self.DIGEST, NOW), b"x" * 42]
        proof = advance(Frontier(), leaves, key).proofs[0]
        receipt = receipts.stored_receipt("m", proof)

        assert (self.DIGEST, NOW) == (receipt.message_digest, time_from_proto(receipt.accept_time))
        assert (0, proof.path) == (receipt.leaf_index, tuple(receipt.path))
        assert proof.note == receipt.checkpoint.encode()

    def test_retry_says_why_and_how_long(self) -> None:
        """The reason is the failure's, the wait a duration."""
        error = PredecessorUnknown(Text(en="e", zh="中"))
        outcome = receipts.retry_outcome(error, 1.5)

        assert ("PREDECESSOR_UNKNOWN", 1500) == (outcome.reason, outcome.delay.ToMilliseconds())
        assert ("e", "中") == (outcome.text.en, outcome.text.zh)


class TestDrafts:
    @pytest.mark.parametrize(
        ("header", "named"),
        [
            ({"no_such_field": 1}, "no_such_field"),
            ({"create_time": "yesterday"}, "create_time"),
            ({"marker": "MARKER_NOPE"}, "marker"),
            ({"offer": {}, "take": {}}, "act"),
            ({"message_id": 7}, "message_id"),
        ],
    )
    def test_an_unfit_header_is_named(self, header: dict[str, Any], named: str) -> None:
        """The vendor hears which field could not be encoded."""
        with pytest.raises(InvalidRequest, match=named):
            draft_message(header, {})

    @pytest.mark.parametrize(
        "broken", ["!!", "AAA=A", "A", "AA=", "AAAA\n", "甲甲", b"AAAA", 7, [""]]
    )
    def test_broken_base64_is_named(self, broken: object) -> None:
        """Protobuf's own parser would read ``!!`` as no bytes, and sign that."""
        for header, named in (
            ({"previous": broken}, "header.previous"),
            ({"rule": {"positionDigest": broken}}, "header.rule.position_digest"),
        ):
            with pytest.raises(InvalidRequest) as raised:
                draft_message(header, {})
            assert {"field": named, "rule": "base64"} == raised.value.facts
        attached = {"attachments": [{"file": {"sha256": item}} for item in ("AAAA", broken)]}
        with pytest.raises(InvalidRequest, match=r"attachment\.attachments\[1\]\.file\.sha256"):
            encode_group("attachment", attached)

    @pytest.mark.parametrize(
        ("text", "content"),
        [("", b""), ("-_8", b"\xfb\xff"), ("+/8=", b"\xfb\xff"), ("+w==", b"\xfb"), (None, b"")],
    )
    def test_either_alphabet_of_base64_is_read(self, text: str | None, content: bytes) -> None:
        """With padding or without, as protobuf's JSON form allows."""
        draft = draft_message({"previous": text}, {})

        assert content == message_pb2.Header.FromString(draft.header).previous

    def test_an_unfit_group_is_named(self) -> None:
        """So are the group, its field, and a group that does not exist."""
        with pytest.raises(InvalidRequest, match=r"hazard.*injured"):
            encode_group("hazard", {"injured": "many"})
        with pytest.raises(InvalidRequest, match=r"weather.*identity"):
            encode_group("weather", {})

    def test_a_group_that_cannot_be_read_is_named(self) -> None:
        """Other bytes, and a time without a JSON form, are failures with a name."""
        with pytest.raises(InvalidRequest, match="content"):
            decode_group(Group.CONTENT, b"\xff")
        late = ticket_pb.IntakeGroup()
        late.receive_time.seconds = 10**15
        with pytest.raises(InvalidRequest, match="intake"):
            decode_group(Group.INTAKE, late.SerializeToString())
        assert {} == decode_group(99, b"\xff")

    def test_salts_are_fresh_unless_given(self) -> None:
        """Two drafts of the same words give nothing away by equal digests."""
        header, groups = sample(Kind.OPEN_TICKET)

        assert draft_message(header, groups).header != draft_message(header, groups).header
