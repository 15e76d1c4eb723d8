"""The contract's words and the program's are the same: kinds, groups, states, codes, callers."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from exchange import acts, rules, ticket
from exchange._proto.v1 import acts_pb2, common_pb2, message_pb2, receipt_pb2, ticket_service_pb2
from exchange._proto.v1 import attachment_service_pb2 as attachment_pb
from exchange.acts import MOVING_KINDS, NOTE_KINDS, TICKET_KINDS, Group, Kind
from exchange.attachments import AttachmentRefusal
from exchange.errors import RefusalCode
from exchange.facts import Form
from exchange.identity import METHODS
from exchange.wire.content import GROUP_TYPES

CONTRACT = Path(__file__).resolve().parent.parent / "proto" / "hotline" / "exchange" / "v1"
ACT = message_pb2.Header.DESCRIPTOR.oneofs_by_name["act"]
TYPES = {field.name: field.message_type.name for field in ACT.fields if field.message_type}


def test_kinds_are_the_acts_of_the_header() -> None:
    """Every kind is a field of ``Header.act`` and the other way round, in the same order."""
    assert [kind.value for kind in Kind] == [field.name for field in ACT.fields]


def test_each_act_has_the_type_of_its_name() -> None:
    """``mark_danger`` holds a MarkDanger: a vendor finds the type without looking it up."""
    assert {name: name.title().replace("_", "") for name in TYPES} == TYPES
    assert len(TYPES) == len(ACT.fields)


def test_every_kind_moves_notes_or_concerns_the_ticket() -> None:
    """The three sets share out the kinds, and notes are numbered from 40 on the wire."""
    numbers = {field.name: field.number for field in ACT.fields}

    assert set(Kind) == TICKET_KINDS | MOVING_KINDS | NOTE_KINDS
    assert not (TICKET_KINDS & MOVING_KINDS)
    assert {kind for kind in Kind if numbers[kind.value] >= 40} == NOTE_KINDS


@pytest.mark.parametrize(
    ("ours", "contract", "prefix"),
    [
        (Group, common_pb2.FieldGroup, "FIELD_GROUP_"),
        (acts.Marker, common_pb2.Marker, "MARKER_"),
        (acts.Classification, common_pb2.Classification, "CLASSIFICATION_"),
        (acts.Urgency, common_pb2.Urgency, "URGENCY_"),
        (acts.TicketKind, acts_pb2.TicketKind, "TICKET_KIND_"),
        (acts.RulingOutcome, acts_pb2.RulingOutcome, "RULING_OUTCOME_"),
        (Form, acts_pb2.HandoffForm, "HANDOFF_FORM_"),
        (ticket.State, ticket_service_pb2.HandoffState, "HANDOFF_STATE_"),
        (RefusalCode, receipt_pb2.RefusalCode, "REFUSAL_CODE_"),
        (AttachmentRefusal, attachment_pb.AttachmentRefusal, "ATTACHMENT_REFUSAL_"),
    ],
)
def test_numbers_and_names_are_the_contracts(
    ours: type[IntEnum], contract: Any, prefix: str
) -> None:
    """The enum has the contract's names and numbers, all but UNSPECIFIED."""
    theirs = {name.removeprefix(prefix): number for name, number in contract.items() if number}

    assert {member.name: member.value for member in ours} == theirs


def test_refusal_codes_stand_in_order_of_precedence() -> None:
    """The contract promises the order of the numbers; the sentences are those of the comments."""
    source = (CONTRACT / "receipt.proto").read_text("utf-8")

    assert sorted(RefusalCode) == list(RefusalCode)
    for code in RefusalCode:
        comment = f"  // {code.text.en} {code.text.zh}\n  REFUSAL_CODE_{code.name} = {code.value};"
        assert comment in source


def test_every_group_has_the_type_of_its_name() -> None:
    """``SHARE_SCOPE`` is a ShareScopeGroup, and no group is left without a type."""
    named = {number: kind.DESCRIPTOR.name for number, kind in GROUP_TYPES.items()}

    assert {int(g): g.name.title().replace("_", "") + "Group" for g in Group} == named


class TestServices:
    """What the contract says of its methods."""

    @staticmethod
    def methods() -> dict[str, str]:
        """Return the comment above each RPC, by its full method name."""
        found = {}
        for path in CONTRACT.glob("*_service.proto"):
            source = path.read_text("utf-8")
            for service, body in re.findall(
                r"^service (\w+) \{(.*?)^\}", source, re.MULTILINE | re.DOTALL
            ):
                for comment, name in re.findall(r"((?:  //[^\n]*\n)*)  rpc (\w+)\(", body):
                    found[f"/hotline.exchange.v1.{service}/{name}"] = comment
        return found

    def test_every_method_names_its_caller_as_the_table_does(self) -> None:
        """The ``Caller:`` line and `METHODS` agree, and neither has a method more."""
        stated = {
            name: re.findall(r"// Caller: (\w+)$", comment, re.MULTILINE)
            for name, comment in self.methods().items()
        }
        ours = {
            name: [kind.value] for name, kind in METHODS.items() if name.startswith("/hotline.")
        }

        assert ours == stated

    def test_every_method_says_what_it_does_and_what_it_moves(self) -> None:
        """The comment is a sentence, then the two lines, the ``State:`` line last."""
        for name, comment in self.methods().items():
            lines = [line.strip().removeprefix("//").strip() for line in comment.splitlines()]
            assert re.match(r"[A-Z].+", lines[0]), name
            assert "" == lines[-3], name
            assert lines[-2].startswith("Caller: "), name
            assert re.match(r"State: (unchanged|any -> any .*)$", lines[-1]), name

    def test_only_pushing_moves_a_state(self) -> None:
        """Reading, pulling and acknowledging leave every hand-off as it is."""
        moving = [
            name.rpartition("/")[2]
            for name, comment in self.methods().items()
            if "State: unchanged" not in comment
        ]

        assert ["PushMessages"] == moving


class TestGroups:
    """What the comments of the acts say about field groups."""

    #: Required by a guard of its own, which the profile may lift (R21, R32).
    BY_PROFILE = frozenset({(Kind.RETURN, Group.MEASURES)})

    @staticmethod
    def comments() -> dict[Kind, str]:
        """Return the comment above the type of each act, as one line."""
        source = (CONTRACT / "acts.proto").read_text("utf-8")
        blocks = re.findall(r"((?:^//[^\n]*\n)+)message (\w+) \{", source, re.MULTILINE)
        words = {name: re.sub(r"\s*//\s*", " ", text).strip() for text, name in blocks}
        return {Kind(name): words[type_name] for name, type_name in TYPES.items()}

    def test_required_groups_are_those_the_rules_ask_for(self) -> None:
        """``Groups: X and Y are required`` and `rules.GROUPS` say the same."""
        stated = set()
        for kind, comment in self.comments().items():
            for names in re.findall(
                r"([A-Z_]+(?:(?:, | and )[A-Z_]+)*) (?:is|are) required", comment
            ):
                stated |= {(kind, Group[name]) for name in re.split(", | and ", names)}
        asked = {(kind, group) for kind, groups in rules.GROUPS.items() for group in groups}

        assert asked | self.BY_PROFILE == stated

    def test_every_group_named_exists(self) -> None:
        """A group in a comment is one of the field groups."""
        for comment in self.comments().values():
            if "Groups:" in comment:
                words = re.findall(r"\b[A-Z_]{4,}\b", comment.partition("Groups:")[2])
                assert set(words) <= {group.name for group in Group}
