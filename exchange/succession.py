"""
One log that goes on from another: what is said, signed by both, when a restored bridge begins anew.

The new log's first leaves are the old one's, up to the last that the restored database holds; the
next leaf is this statement.  The tree does not depend on the log's name, so whoever holds a
checkpoint of the old log up to there can check that the new one goes on from it.  What the old log
had beyond stays provable under the old log's key.

The statement is a C2SP signed note of these lines::

    hotline.exchange/log-succession/v1
    predecessor <verifier key of the old log>
    successor <verifier key of the new log>
    time <RFC 3339, UTC>
    last <size> <root>                      the old log's checkpoint in the database
    seen <size> <root>                      one a checkpoint that callers hold beyond it
    salt <32 hexadecimal digits>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.errors import ConfigurationError
from exchange.log import Checkpoint
from exchange.merkle import HASH_SIZE
from exchange.note import (
    LogKey,
    NoteVerifier,
    decode_base64,
    encode_base64,
    note_broken,
    open_note,
    sign_note,
)

_HEADER = "hotline.exchange/log-succession/v1"
#: Checkpoints of callers that one statement cites at most, the greatest.
_SEEN_MOST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """That *successor* goes on from *predecessor* after its *last* checkpoint (size and root)."""

    predecessor: NoteVerifier
    successor: NoteVerifier
    time: datetime
    last: tuple[int, bytes]
    seen: tuple[tuple[int, bytes], ...]
    salt: str

    def __str__(self) -> str:
        lines = [
            _HEADER,
            f"predecessor {self.predecessor}",
            f"successor {self.successor}",
            f"time {self.time.isoformat()}",
            f"last {_place(self.last)}",
            *(f"seen {_place(one)}" for one in self.seen),
            f"salt {self.salt}",
        ]
        return "".join(f"{line}\n" for line in lines)


def sign_succession(
    old: LogKey,
    new: LogKey,
    *,
    now: datetime,
    last: tuple[int, bytes],
    seen: Sequence[Checkpoint],
    salt: str,
) -> bytes:
    """Return the statement that *new* goes on from *old*, signed by both; *salt* is 32 hex digits."""
    beyond = sorted({(one.size, one.root) for one in seen}, reverse=True)[:_SEEN_MOST]
    said = Succession(
        predecessor=old.verifier,
        successor=new.verifier,
        time=now,
        last=last,
        seen=tuple(beyond),
        salt=salt,
    )
    text = str(said)
    first, second = sign_note(text, old), sign_note(text, new)
    return first + second.removeprefix(f"{text}\n".encode())


def open_succession(note: bytes, successor: NoteVerifier) -> Succession:
    """Return what *note* says; raises `VerificationError` unless *successor* and its predecessor signed."""
    text, names = open_note(note, [successor])
    lines = text.split("\n")
    if lines.pop() or len(lines) < 6 or lines[0] != _HEADER:
        raise note_broken()
    try:
        fields = [line.split(" ", 1) for line in lines[1:]]
        said = Succession(
            predecessor=NoteVerifier.parse(_only(fields, "predecessor")),
            successor=NoteVerifier.parse(_only(fields, "successor")),
            time=datetime.fromisoformat(_only(fields, "time")),
            last=_read_place(_only(fields, "last")),
            seen=tuple(_read_place(value) for name, value in fields if name == "seen"),
            salt=_only(fields, "salt"),
        )
    except (ConfigurationError, ValueError) as error:
        raise note_broken() from error
    _, predecessors = open_note(note, [said.predecessor])
    if str(said) != text or said.successor != successor or not (names and predecessors):
        raise note_broken()
    return said


def _place(place: tuple[int, bytes]) -> str:
    return f"{place[0]} {encode_base64(place[1])}"


def _read_place(text: str) -> tuple[int, bytes]:
    size, _, root = text.partition(" ")
    found = decode_base64(root)
    if len(found) != HASH_SIZE:
        raise note_broken()
    return int(size), found


def _only(fields: Sequence[Sequence[str]], name: str) -> str:
    found = [value for key, value in fields if key == name]
    if len(found) != 1:
        raise note_broken()
    return found[0]
