"""Which of a header's addresses each kind of message has: its hand-off, recipient and predecessor."""

from __future__ import annotations

from exchange import acts
from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Kind
from exchange.errors import Violation
from exchange.text import Text

_REQUIRED = Text(en="{field} is required for {kind}.", zh="{kind} 消息必须填写 {field}。")
_FORBIDDEN = Text(en="{field} must be empty for {kind}.", zh="{kind} 消息的 {field} 必须为空。")
_LENGTH = Text(en="{field} must have 32 bytes.", zh="{field} 必须为 32 字节。")

#: For each kind, whether ``handoff_id`` and ``recipient`` are given, and the bytes of ``previous``.
SHAPES: dict[Kind, tuple[bool, bool, int]] = {
    kind: (
        kind not in acts.TICKET_KINDS,
        kind not in acts.TICKET_KINDS,
        32 if kind in acts.MOVING_KINDS and kind is not Kind.OFFER else 0,
    )
    for kind in Kind
}


def shape_violations(header: pb.Header, kind: Kind) -> list[Violation]:
    """Return what the kind asks of ``handoff_id``, ``recipient`` and ``previous`` in vain."""
    found: list[Violation] = []
    given = (header.handoff_id, header.recipient, header.previous)
    for name, value, wanted in zip(
        ("handoff_id", "recipient", "previous"), given, SHAPES[kind], strict=True
    ):
        path = f"header.{name}"
        if bool(value) != bool(wanted):
            text = (_REQUIRED if wanted else _FORBIDDEN).fill(field=path, kind=kind.value)
            found.append(Violation(field=path, rule="header.shape", text=text))
        elif name == "previous" and len(value) != wanted:
            text = _LENGTH.fill(field=path)
            found.append(Violation(field=path, rule="bytes.len", text=text))
    return found
