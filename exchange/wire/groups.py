"""
The field groups beside a header: each read, checked and held against the digest that binds it.

A group that the header binds may be absent (withheld); a group that is there must be bound.  A
group of a number that is not known here is held against its digest and carried untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from exchange._proto.v1 import message_pb2 as pb
from exchange.envelope import MIN_SALT, group_digest
from exchange.errors import Refusal, RefusalCode, Violation
from exchange.merkle import HASH_SIZE
from exchange.sealing import NEVER_SEALED
from exchange.text import Text
from exchange.wire.checks import BytesCheck, bytes_check
from exchange.wire.content import GROUP_TYPES, group_name
from exchange.wire.fields import field_violations

#: Bytes of one serialised field group at most, and of its salt; the contract's field rules.
MAX_GROUP = 49_152
MAX_GROUP_SALT = 32

_UNBOUND = Text(
    en="Group {group} is not bound by the header.", zh="字段组 {group} 未在报头中登记摘要。"
)
_UNSTATED = Text(en="{field} does not name a field group.", zh="{field} 未指明有效的字段组。")
_TWICE = Text(en="Group {group} occurs twice.", zh="字段组 {group} 重复出现。")
_NEVER = Text(
    en="Group {group} is never sealed: matters are found, timed and shared by it. Send it in clear.",
    zh="字段组 {group} 不得封装：查找、计时与知悉范围均以其为准。请以明文发送。",
)
_BROKEN_GROUP = Text(
    en="Group {group} is not a message of its type.", zh="字段组 {group} 的内容不是该类型的消息。"
)


@dataclass(slots=True)
class Groups:
    """What the field groups of one envelope come to."""

    #: The digests that the header binds, by group.
    digests: dict[int, bytes] = field(default_factory=dict)
    #: Whether every entry names a group once and keeps the rules for its bytes.
    sound: bool = True
    #: Fields of the groups themselves that break a rule.
    violations: list[Violation] = field(default_factory=list)
    #: The groups that do not fit the header.
    unfit: list[Violation] = field(default_factory=list)


def read_groups(envelope: pb.Envelope, header: pb.Header) -> Groups | Refusal:
    """Return the groups' digests and faults, or the refusal of bytes that are no group."""
    digests: dict[int, bytes] = {}
    sound = True
    for bound in header.groups[:]:
        number, digest = bound.group, bound.digest
        if number <= 0 or number in digests or len(digest) != HASH_SIZE:
            sound = False
        digests[number] = digest
    violations: list[Violation] = []
    unfit: list[Violation] = []
    seen: set[int] = set()
    for salted in envelope.groups[:]:
        number, salt, content = salted.group, salted.salt, salted.content
        if (
            number <= 0
            or number in seen
            or not MIN_SALT <= len(salt) <= MAX_GROUP_SALT
            or len(content) > MAX_GROUP
        ):
            sound = False
            continue
        seen.add(number)
        if number in GROUP_TYPES:
            parse, holds = _READERS.get(number) or _reader(number)
            try:
                group = parse(content)
            except DecodeError:
                return Refusal(code=RefusalCode.MALFORMED, violations=(_broken_group(number),))
            if not holds(group, content):
                violations += field_violations(group, f"{group_name(number)}.")
        if digests.get(number) != group_digest(number, salt, content):
            unfit.append(_unfit_group(number, number in digests))
    for sealed in envelope.sealed_groups[:]:
        number = sealed.group
        if number <= 0 or number in seen or int(number) in NEVER_SEALED:
            sound = False
        elif number not in digests:
            unfit.append(_unfit_group(number, bound=False))
        seen.add(number)
    return Groups(digests=digests, sound=sound, violations=violations, unfit=unfit)


_Reader = tuple[Callable[[bytes], Protobuf], BytesCheck]

#: How each group is parsed and quickly checked, made when one first comes.
_READERS: dict[int, _Reader] = {}


def _reader(number: int) -> _Reader:
    group_type = GROUP_TYPES[number]
    made = _READERS[number] = group_type.FromString, bytes_check(group_type.DESCRIPTOR)
    return made


def entry_violations(envelope: pb.Envelope, header: pb.Header) -> list[Violation]:
    """Return the entries that name no group or one that was named before."""
    found: list[Violation] = []
    in_clear = [salted.group for salted in envelope.groups]
    sealed = [one.group for one in envelope.sealed_groups]
    for part, before, numbers in (
        ("envelope.groups", [], in_clear),
        ("envelope.sealed_groups", in_clear, sealed),
        ("header.groups", [], [bound.group for bound in header.groups]),
    ):
        for place, number in enumerate(numbers):
            path = f"{part}[{place}].group"
            if number <= 0:
                text = _UNSTATED.fill(field=path)
                found.append(Violation(field=path, rule="group.stated", text=text))
            elif number in before or number in numbers[:place]:
                text = _TWICE.fill(group=group_name(number))
                found.append(Violation(field=path, rule="group.unique", text=text))
    for never in sorted(NEVER_SEALED.intersection(sealed)):
        name = group_name(never)
        text = _NEVER.fill(group=name)
        found.append(Violation(field=f"groups.{name}", rule="group.sealed", text=text))
    return found


def _broken_group(group: int) -> Violation:
    name = group_name(group)
    return Violation(field=f"groups.{name}", rule="malformed", text=_BROKEN_GROUP.fill(group=name))


def _unfit_group(group: int, bound: bool) -> Violation:
    name = group_name(group)
    code = RefusalCode.GROUP_DIGEST_MISMATCH
    text = code.text if bound else _UNBOUND.fill(group=name)
    return Violation(
        field=f"groups.{name}", rule="group.digest" if bound else "group.bound", text=text
    )
