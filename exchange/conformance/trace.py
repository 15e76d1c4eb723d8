"""
The trace: what was sent and received, one JSON object a line, for whoever mends a failed case.

Test data is invented, so everything may be written down.  Bytes are base64, as in the contract's JSON.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as Protobuf


class Trace:
    """Writes each call under the case in which it was made; without a file it writes nothing."""

    def __init__(self, file: TextIO | None = None) -> None:
        self.case = ""
        self._file = file
        self._lock = threading.Lock()

    def call(self, who: str, method: str, request: Protobuf, answer: Protobuf | str | None) -> None:
        """Write one call: *answer* is the response, or what it failed with; None where it was cut."""
        if self._file is None:
            return
        found: dict[str, Any] = {"who": who, "call": method, "request": _told(request)}
        if isinstance(answer, Protobuf):
            found["answer"] = _told(answer)
        else:
            found["failed"] = answer or "cut"
        self._write(found)

    def event(self, what: str, **facts: object) -> None:
        """Write something else that the kit did, such as ending a process."""
        if self._file is not None:
            self._write({"event": what, **facts})

    def _write(self, found: dict[str, Any]) -> None:
        line = {"time": datetime.now(UTC).isoformat(), "case": self.case, **found}
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
                self._file.flush()


def _told(message: Protobuf) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found
