"""
One trace from a platform's push to the other side's written receipt, and nothing carried for it.

A message's id is a UUID, which has 128 bits, as a trace id has (W3C Trace Context, section 3.2.2.3): so
a message's trace id is its id without the hyphens.  Both sides' programs, the bridge's journal and
the trail have it without being told, across any wall, and no signed byte knows of it.

A call that carries messages names the trace of the first in its metadata (``traceparent``), unless
the platform is in a trace of its own; the journal has that trace beside the ids of all.
"""

from __future__ import annotations

import re

#: The metadata's name for it.
TRACEPARENT = "traceparent"

_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
#: Of version 00; later ones may add.
_LENGTH = 55
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def trace_of(message_id: str) -> str:
    """Return the trace id of a message, 32 hexadecimal digits; empty where the id is no UUID."""
    if not _MESSAGE_ID.fullmatch(message_id):
        return ""
    trace = message_id.replace("-", "")
    return "" if trace == _NO_TRACE else trace


def traceparent(trace: str, span: bytes, *, sampled: bool = False) -> str:
    """Return the header for *trace*; *span* are 8 bytes that name the caller's own part of it."""
    return f"00-{trace}-{span.hex()}-{'01' if sampled else '00'}"


def read_traceparent(header: str) -> str:
    """Return the trace id in a ``traceparent``; empty where it is none (section 3.2.2)."""
    found = _TRACEPARENT.fullmatch(header)
    longer = header.startswith("00-") and len(header) > _LENGTH
    if found is None or longer or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return ""
    return found[1]
