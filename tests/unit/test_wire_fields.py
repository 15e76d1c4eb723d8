"""Field rules at the edge: every rule quickly checked, and said in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

from exchange._proto.buf.validate import validate_pb2
from exchange._proto.v1 import exchange_service_pb2 as service_pb
from exchange._proto.v1 import groups_ticket_pb2 as ticket_pb
from exchange._proto.v1 import groups_work_pb2 as work_pb
from exchange._proto.v1 import message_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange._proto.v1 import ticket_service_pb2 as tickets_pb
from exchange.acts import Kind
from exchange.text import Text
from exchange.wire import fields
from exchange.wire.checks import quick_check
from exchange.wire.fields import field_violations
from tests.unit.envelopes import (
    rules_of,
    sealed,
)


def every_rule() -> Iterator[tuple[FieldDescriptor, str]]:
    """Yield each rule of the contract: the field and the rule, such as ``string.max_len``."""
    files = {module.DESCRIPTOR for module in (pb, ticket_pb, work_pb, service_pb, tickets_pb)}
    files |= {dependency for file in files for dependency in file.dependencies}
    for file in files:
        if not file.package.startswith("hotline."):
            continue
        for message in file.message_types_by_name.values():
            for field in message.fields:
                yield from ((field, rule) for rule in rules_in(rules_of(field)))


def rules_in(rules: validate_pb2.FieldRules) -> Iterator[str]:
    """Yield the rules of one field and of its items."""
    if rules.required:
        yield "required"
    kind = rules.WhichOneof("type")
    for rule, _ in getattr(rules, kind).ListFields() if kind else ():
        if rule.name == "items":
            yield from rules_in(rules.repeated.items)
        else:
            yield f"{kind}.{rule.name}"


class TestSentences:
    """Every rule of the contract has a sentence of its own in both languages."""

    def test_every_rule_has_words(self) -> None:
        """No annotation falls back to the sentence that only names the rule."""
        worded = set(fields.RULE_TEXTS)
        for rule in {rule for _, rule in every_rule()} - worded:
            bound = rule.partition(".")[2]
            assert bound in fields.BOUND_TEXTS, rule

    def test_every_pattern_has_words(self) -> None:
        """Nobody is asked to read a regular expression, and no words are left over."""
        patterns = {
            rules_of(field).string.pattern
            for field, rule in every_rule()
            if rule == "string.pattern"
        }

        assert patterns == set(fields.PATTERN_TEXTS)

    def test_not_in_bars_only_the_unspecified(self) -> None:
        """The words "must be stated" is what ``not_in: [0]`` means; another list needs other words."""
        for field, rule in every_rule():
            if rule == "enum.not_in":
                rules = rules_of(field)
                rules = rules.repeated.items if field.is_repeated else rules
                assert [0] == list(rules.enum.not_in)

    @pytest.mark.parametrize(
        ("message", "field", "en", "zh"),
        [
            (
                ticket_pb.IdentityGroup(record_number="x" * 65),
                "record_number",
                "Field {} must have at most 64 characters.",
                "字段 {} 最多 64 个字符。",
            ),
            (
                ticket_pb.IdentityGroup(),
                "record_number",
                "Field {} must not be empty.",
                "字段 {} 不能为空。",
            ),
            (
                pb.Hop(by="x" * 129),
                "by",
                "Field {} must have at most 128 characters.",
                "字段 {} 最多 128 个字符。",
            ),
            (
                ticket_pb.PriorDisposalGroup(),
                "disposed",
                "Field {} is required.",
                "字段 {} 为必填项。",
            ),
            (
                ticket_pb.PlaceGroup(located_accuracy_metres=-1),
                "located_accuracy_metres",
                "Field {} must be between 0 and 1000000.",
                "字段 {} 必须在 0 至 1000000 之间。",
            ),
            (
                service_pb.PullMessagesRequest(max_deliveries=513),
                "max_deliveries",
                "Field {} must be at most 512.",
                "字段 {} 不得大于 512。",
            ),
            (
                service_pb.PullMessagesRequest(wait=Duration(seconds=61)),
                "wait",
                "Field {} must be between 0 seconds and 60 seconds.",
                "字段 {} 必须在 0 秒 至 60 秒 之间。",
            ),
            (
                ticket_pb.IntakeGroup(ring_duration=Duration(seconds=-1)),
                "ring_duration",
                "Field {} must be at least 0 seconds.",
                "字段 {} 不得小于 0 秒。",
            ),
            (
                pb.GroupDigest(digest=b"x"),
                "digest",
                "Field {} must have 32 bytes.",
                "字段 {} 必须为 32 字节。",
            ),
            (
                ticket_pb.RespondentGroup(),
                "respondents",
                "Field {} must not be empty.",
                "字段 {} 不能为空。",
            ),
            (
                ticket_pb.PersonGroup(birth_date="May"),
                "birth_date",
                "Field {} must be a date such as 1990, 1990-05 or 1990-05-17, or empty.",
                "字段 {} 应为：日期，例如 1990、1990-05 或 1990-05-17，或留空。",
            ),
        ],
    )
    def test_sentences_read_well(self, message: Any, field: str, en: str, zh: str) -> None:
        """The sentence names the field and what it must be."""
        found = {one.field: one.text for one in field_violations(message, "x.")}

        path = f"x.{field}"
        assert Text(en=en.format(path), zh=zh.format(path)) == found[path]

    def test_no_chinese_sentence_quotes_english(self) -> None:
        """Beside paths, UUID and media types, a Chinese sentence has no Latin word."""
        for text in (*fields.RULE_TEXTS.values(), *fields.PATTERN_TEXTS.values()):
            words = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", text.zh)))
            assert words <= {"UUID", "image", "jpeg"}, text.zh

    def test_no_sentence_repeats_a_value(self) -> None:
        """A value may be a person's; the sentence does without."""
        found = field_violations(ticket_pb.PersonGroup(name="张某某" * 60, birth_date="张某某"))

        assert 2 == len(found)
        assert not any("张某某" in one.text.zh + one.text.en for one in found)

    def test_a_one_of_is_named_by_its_path(self) -> None:
        """An attachment without a body says which choice is open."""
        attachment = ticket_pb.Attachment(
            attachment_id="1",
            name="x",
            media_type="image/png",
            classification=1,  # type: ignore[arg-type]
        )
        (found,) = field_violations(ticket_pb.AttachmentGroup(attachments=[attachment]))

        assert ("attachments[0].body", "required") == (found.field, found.rule)
        assert "必须且只能填写其中一项" in found.text.zh

    def test_paths_go_deep(self) -> None:
        """List places and fields of fields are in the path."""
        group = ticket_pb.DispatchGroup()
        group.assignments.add(unit_name="所").organisation.code = "140400000000"
        group.assignments.add(unit_name="所").organisation.code = "x"

        (found,) = field_violations(group, "dispatch.")

        assert "dispatch.assignments[1].organisation.code" == found.field

    def test_violations_are_limited(self) -> None:
        """A message full of faults is answered with the first 32."""
        group = ticket_pb.RespondentGroup()
        for _ in range(32):
            group.respondents.add(name="x" * 200, telephone="1" * 100)

        assert fields.MAX_VIOLATIONS == len(field_violations(group))


class TestQuickChecks:
    def test_every_type_of_the_contract_has_one(self) -> None:
        """No annotation is unknown to the quick checks; none is left to protovalidate by habit."""
        for module in (pb, ticket_pb, work_pb, service_pb, tickets_pb, receipt_pb2):
            for message in module.DESCRIPTOR.message_types_by_name.values():
                quick_check(message)

    def test_every_sample_passes_quickly(self) -> None:
        """What is in order never needs protovalidate."""
        for kind in Kind:
            envelope = sealed(kind)
            assert quick_check(pb.Envelope.DESCRIPTOR)(envelope)
            assert quick_check(pb.Header.DESCRIPTOR)(pb.Header.FromString(envelope.header))
