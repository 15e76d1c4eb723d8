"""
Evidence of a log that contradicts itself: two heads that it signed, kept as anybody can check them.

Nobody needs to believe the witness: both heads carry the log's own signature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchange.errors import InvalidRequest, VerificationError
from exchange.log import Checkpoint, TrustedLogs
from exchange.note import NoteVerifier, decode_base64, encode_base64
from exchange.text import Text
from exchange.witness.judging import ALARMS, Judgement, judge

FORMAT = "hotline-exchange/witness-evidence@1"
#: Two notes of 128 KiB and a proof, in base64 where that is needed.
MAX_FILE = 1024 * 1024

_UNREADABLE = Text(en="This is no evidence file: {why}.", zh="这不是证据文件：{why}。")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """That one log gave *seen* and later *shown*, with *proof*, and why that is an alarm."""

    why: Judgement
    origin: str
    #: The signed notes; *seen* is empty where only the size and root 0 were known.
    seen: bytes
    shown: bytes
    proof: tuple[bytes, ...]
    #: Who gave *shown*: an address, or a file.
    source: str
    witness: str
    time: datetime

    @property
    def text(self) -> Text:
        """Return the sentence of the alarm."""
        return ALARMS[self.why]

    def encode(self) -> bytes:
        """Return the evidence as a file."""
        data = {
            "format": FORMAT,
            "why": self.why.value,
            "said": self.text.en,
            "said_zh": self.text.zh,
            "origin": self.origin,
            "source": self.source,
            "witness": self.witness,
            "time": self.time.isoformat(),
            "seen": self.seen.decode(),
            "shown": self.shown.decode(),
            "proof": [encode_base64(step) for step in self.proof],
        }
        return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def decode(cls, content: bytes) -> Evidence:
        """Return the evidence that *content* is; raises `InvalidRequest`."""
        data = read_json(content, FORMAT, MAX_FILE, _UNREADABLE)
        try:
            return cls(
                why=Judgement(data["why"]),
                origin=str(data["origin"]),
                seen=str(data["seen"]).encode(),
                shown=str(data["shown"]).encode(),
                proof=tuple(decode_base64(step) for step in data["proof"]),
                source=str(data["source"]),
                witness=str(data["witness"]),
                time=datetime.fromisoformat(data["time"]),
            )
        except (KeyError, TypeError, ValueError, VerificationError) as error:
            raise InvalidRequest(_UNREADABLE.fill(why=type(error).__name__)) from error

    def check(self, logs: Sequence[NoteVerifier]) -> tuple[Checkpoint, Checkpoint, Judgement]:
        """
        Return both heads, each signed by its log, and what the second is to the first.

        Raises `VerificationError` where one of them is not signed by one of *logs*, or they are of two
        logs, or agree.
        """
        trusted = TrustedLogs(logs)
        seen, shown = trusted.checkpoint(self.seen), trusted.checkpoint(self.shown)
        if seen.origin != shown.origin:
            raise VerificationError(_TWO_LOGS.fill(one=seen.origin, other=shown.origin))
        judged = judge(seen.size, seen.root, shown, self.proof)
        if judged in (Judgement.SAME, Judgement.GREW):
            raise VerificationError(_AGREE)
        return seen, shown, judged


def read_json(content: bytes, form: str, most: int, text: Text) -> dict[str, Any]:
    """Return the JSON object in *content* of the format *form*; raises `InvalidRequest` with *text*."""
    if len(content) > most:
        raise InvalidRequest(text.fill(why=f"{len(content)} > {most} bytes"))
    try:
        data = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(text.fill(why=str(error)[:100])) from error
    if not isinstance(data, dict) or data.get("format") != form:
        raise InvalidRequest(text.fill(why=f"format ≠ {form}"))
    return data


_TWO_LOGS = Text(
    en="The two checkpoints are of two logs, {one} and {other}; they contradict nothing.",
    zh="两个检查点分属日志 {one} 与 {other}，并无矛盾。",
)
_AGREE = Text(
    en="The two checkpoints agree: the second begins with the first.",
    zh="两个检查点一致：后者以前者为开头。",
)
