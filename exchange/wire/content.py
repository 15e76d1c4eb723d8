"""
Field groups as plain Python: the names and shapes of the contract's JSON form, in proto names.

Times are RFC 3339 strings, enums their names, bytes base64: what a platform's own JSON would hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from exchange._proto.v1 import groups_ticket_pb2 as ticket_pb
from exchange._proto.v1 import groups_work_pb2 as work_pb
from exchange.acts import Group, group_word
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.wire.checks import AnyDescriptor

#: The message that each field group holds.
GROUP_TYPES: dict[int, type[Protobuf]] = {
    Group.IDENTITY: ticket_pb.IdentityGroup,
    Group.INTAKE: ticket_pb.IntakeGroup,
    Group.PERSON: ticket_pb.PersonGroup,
    Group.RESPONDENT: ticket_pb.RespondentGroup,
    Group.MATTER: ticket_pb.MatterGroup,
    Group.CONTENT: ticket_pb.ContentGroup,
    Group.PLACE: ticket_pb.PlaceGroup,
    Group.DISPATCH: ticket_pb.DispatchGroup,
    Group.DEADLINE: ticket_pb.DeadlineGroup,
    Group.HAZARD: ticket_pb.HazardGroup,
    Group.PRIOR_DISPOSAL: ticket_pb.PriorDisposalGroup,
    Group.REVIEW: ticket_pb.ReviewGroup,
    Group.SHARE_SCOPE: ticket_pb.ShareScopeGroup,
    Group.CALL: ticket_pb.CallGroup,
    Group.ATTACHMENT: ticket_pb.AttachmentGroup,
    Group.POLICE: ticket_pb.PoliceGroup,
    Group.GROUNDS: work_pb.GroundsGroup,
    Group.MEASURES: work_pb.MeasuresGroup,
    Group.DISPOSAL: work_pb.DisposalGroup,
    Group.REPLY: work_pb.ReplyGroup,
    Group.SUPERVISION: work_pb.SupervisionGroup,
    Group.VISIT: work_pb.VisitGroup,
    Group.EVALUATION: work_pb.EvaluationGroup,
    Group.EMERGENCY: work_pb.EmergencyGroup,
    Group.EXTENSION: work_pb.ExtensionGroup,
}

_UNFIT = Text(
    en="Field group {group} cannot be encoded: {why}.", zh="字段组 {group} 无法编码：{why}。"
)
_UNREAD = Text(
    en="Field group {group} cannot be read: {why}.", zh="字段组 {group} 无法读取：{why}。"
)
_NOT_BASE64 = Text(
    en="Field {field} must be bytes in base64 (RFC 4648).",
    zh="字段 {field} 应为 base64 编码（RFC 4648）的字节。",
)
_NO_GROUP = Text(
    en="There is no field group {group}; use one of: {known}.",
    zh="没有字段组 {group}，可用的有：{known}。",
)


#: The group's word, for whoever knows groups from here.
group_name = group_word


def group_number(name: str) -> Group:
    """Return the group called *name*; raises `InvalidRequest` where there is none."""
    try:
        return Group[name.upper()]
    except KeyError:
        known = ", ".join(group.name.lower() for group in Group)
        raise InvalidRequest(_NO_GROUP.fill(group=name, known=known)) from None


def encode_group(name: str, values: Mapping[str, Any]) -> tuple[Group, bytes]:
    """
    Return the group's number and its serialised bytes.

    Raises `InvalidRequest` naming the group, the field and what is wrong with it.
    """
    number = group_number(name)
    require_base64(values, GROUP_TYPES[number].DESCRIPTOR, f"{group_name(number)}.")
    try:
        content = ParseDict(dict(values), GROUP_TYPES[number]())
    except ParseError as error:
        raise InvalidRequest(_UNFIT.fill(group=name, why=error)) from error
    return number, content.SerializeToString(deterministic=True)


def require_base64(values: Mapping[str, Any], descriptor: AnyDescriptor, prefix: str) -> None:
    """
    Raise `InvalidRequest` naming the first bytes field of *values* that does not hold base64.

    Protobuf's JSON parser drops every character that is none of base64's, so it would read ``!!``
    as no bytes at all.  Both alphabets of RFC 4648 are read, with their padding or without.
    """
    for name, field in _bytes_and_messages(descriptor).items():
        value = values.get(name)
        items = value if field.is_repeated and isinstance(value, list) else [value]
        for place, item in enumerate(items):
            path = f"{prefix}{field.name}" + (f"[{place}]" if field.is_repeated else "")
            if isinstance(item, Mapping) and field.message_type is not None:
                require_base64(item, field.message_type, f"{path}.")
            elif field.type == FieldDescriptor.TYPE_BYTES and not _is_base64(item):
                raise InvalidRequest(_NOT_BASE64.fill(field=path), field=path, rule="base64")


@cache
def _bytes_and_messages(descriptor: AnyDescriptor) -> dict[str, FieldDescriptor]:
    """Return the fields that may hold bytes, by each name that the JSON form gives them."""
    return {
        name: field
        for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_BYTES or field.message_type is not None
        for name in (field.name, field.json_name)
    }


def _is_base64(value: object) -> bool:
    """Whether *value* is base64, or nothing at all."""
    return value is None or (isinstance(value, str) and _BASE64.fullmatch(value) is not None)


_BASE64 = re.compile(r"([A-Za-z0-9+/_-]{4})*([A-Za-z0-9+/_-]{2}(==)?|[A-Za-z0-9+/_-]{3}=?)?")


def decode_group(number: int, content: bytes) -> dict[str, Any]:
    """
    Return the group's fields; empty for a group this version does not know.

    Raises `InvalidRequest` where the bytes are not that group, or have no JSON form.
    """
    if number not in GROUP_TYPES:
        return {}
    try:
        message = GROUP_TYPES[number].FromString(content)
        return MessageToDict(message, preserving_proto_field_name=True)
    except (DecodeError, JsonError, ValueError) as error:
        raise InvalidRequest(_UNREAD.fill(group=group_name(number), why=error)) from error
