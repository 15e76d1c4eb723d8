"""Bundles in and out: the two layers of a file, and the form a content filter can read."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from exchange._proto.v1 import bundle_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.wire.content import decode_group, group_name
from exchange.wire.fields import field_violations
from exchange.wire.headers import envelope_groups, header_fields


def read_bundle(signed: bytes) -> tuple[pb.SignedBundle, pb.Bundle]:
    """Return the file and the bundle in it; raises `InvalidRequest` naming the fields at fault."""
    try:
        file = pb.SignedBundle.FromString(signed)
        found = pb.Bundle.FromString(file.bundle)
    except DecodeError as error:
        raise InvalidRequest(_NO_BUNDLE) from error
    violations = (*field_violations(file), *field_violations(found, "bundle."))
    if violations or not file.HasField("signature"):
        fields = ", ".join(dict.fromkeys(v.field for v in violations)) or "signature"
        raise InvalidRequest(_UNFIT.fill(fields=fields))
    return file, found


def named_key_id(envelope: bytes) -> bytes:
    """Return the key id that an envelope's signature names; empty where it is no envelope."""
    try:
        return pb_envelope(envelope).signature.key_id
    except DecodeError:
        return b""


def pb_envelope(envelope: bytes) -> message_pb.Envelope:
    """Return the envelope that the bytes are; raises ``DecodeError``."""
    return message_pb.Envelope.FromString(envelope)


def readable(signed: bytes) -> dict[str, Any]:
    """
    Return what the bundle in *signed* says, as plain JSON values for a content filter.

    Nothing is verified; raises `InvalidRequest` where it is no bundle, or holds what is no message.
    """
    try:
        found = pb.Bundle.FromString(pb.SignedBundle.FromString(signed).bundle)
        told = {
            "sender": found.sender,
            "receiver": found.receiver,
            "stream": found.stream,
            "sequence": str(found.sequence),
            "create_time": MessageToDict(found.create_time),
            "messages": [_message(envelope) for envelope in found.envelopes],
            "acknowledgements": [
                MessageToDict(one, preserving_proto_field_name=True)
                for one in found.acknowledgements
            ],
        }
        if found.chunks:
            told["chunks"] = [
                {
                    "chunk_root": one.chunk_root.hex(),
                    "number": one.number,
                    "size": len(one.content),
                    "sha256": sha256(one.content).hexdigest(),
                }
                for one in found.chunks
            ]
    except (DecodeError, ValueError) as error:
        raise InvalidRequest(_NO_BUNDLE) from error
    return told


def _message(envelope: bytes) -> dict[str, Any]:
    groups = {
        group_name(number): decode_group(number, content)
        for number, content in envelope_groups(envelope)
    }
    header = pb_envelope(envelope).header
    return {"header": header_fields(header), "groups": groups}


_NO_BUNDLE = Text(
    en="These bytes are no bundle of this contract.", zh="内容不是本接口规范的摆渡包。"
)
_UNFIT = Text(
    en="The bundle breaks the contract's field rules: {fields}.",
    zh="摆渡包不符合字段规则：{fields}。",
)
