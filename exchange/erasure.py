"""
That what was said about one ticket was destroyed: what is kept of it, signed by the log's key.

What was said leaves the database and its data key is destroyed; ids, digests, trail and log stay.  So that
nobody can empty a row and call it destroyed, the bridge's log key signs which messages went, when, by
whose decision and why.  The statement is a C2SP signed note of these lines::

    hotline.exchange/erasure/v1
    log <origin>
    ticket <id>
    time <RFC 3339, UTC>
    by <who decided: a role or an account>
    ground <why: a rule, a file number>
    messages <count> <RFC 9162 leaf hash over their digests, in order, base64>
    stands <RFC 9162 leaf hash over the rows that stay of ticket, hand-offs and deadlines, base64>

The last line came with a later version: what nobody can tell from messages any more is bound by it.

The command that destroys works beside a bridge that serves, and the log has one writer: so it is the bridge
that enters, a moment later, an act of its own with the statement's SHA-256 (`erasure_act`).  Both networks
see that something was destroyed, and whoever is shown the statement can prove when; whose ticket it was
stands in the statement alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from exchange.errors import InvalidRequest
from exchange.merkle import leaf_hash
from exchange.note import (
    LogKey,
    NoteVerifier,
    decode_base64,
    encode_base64,
    note_broken,
    open_note,
    sign_note,
)
from exchange.text import Text

_HEADER = "hotline.exchange/erasure/v1"
_NAMES = ("log", "ticket", "time", "by", "ground", "messages", "stands")
#: Characters of who decided, and of why.
WORDS_MOST = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_WORDS = Text(
    en="'{name}' must be 1 to {most} characters in one line.",
    zh="{name} 应为一行，1 至 {most} 个字符。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """
    What was destroyed of *ticket_id*: *count* messages, whose digests have this *hash*.

    *stands* is the hash of the rows that stay; empty in statements of an earlier version.
    """

    origin: str
    ticket_id: str
    time: datetime
    by: str
    ground: str
    count: int
    hash: bytes
    stands: bytes = b""

    def __str__(self) -> str:
        said = (
            self.origin, self.ticket_id, self.time.isoformat(), self.by, self.ground,
            f"{self.count} {encode_base64(self.hash)}", encode_base64(self.stands),
        )  # fmt: skip
        told = zip(_NAMES, said, strict=True)
        lines = [f"{name} {value}\n" for name, value in told if name != "stands" or self.stands]
        return f"{_HEADER}\n{''.join(lines)}"


def require_words(**words: str) -> None:
    """Raise `InvalidRequest` that names what cannot stand in a statement's line."""
    for name, word in words.items():
        if not 0 < len(word.strip()) <= len(word) <= WORDS_MOST or _CONTROL.search(word):
            raise InvalidRequest(_WORDS.fill(name=name, most=WORDS_MOST), field=name)


def hash_of(digests: Sequence[bytes]) -> bytes:
    """Return what stands for messages of these *digests*, in the order of the log."""
    return leaf_hash(b"".join(digests))


def sign_erasure(erasure: Erasure, key: LogKey) -> bytes:
    """Return the note; raises `InvalidRequest` as `require_words` does."""
    require_words(by=erasure.by, ground=erasure.ground)
    return sign_note(str(erasure), key)


#: What a bridge's act about a destruction is called.
DESTROY = "destroy"


def erasure_act(note: bytes) -> dict[str, str]:
    """Return what a bridge's act says of the statement *note*: that it was made, and no more."""
    return {"act": DESTROY, "statement": sha256(note).hexdigest()}


def is_of(note: bytes, origin: str) -> bool:
    """Return whether *note* says that it is about the log *origin*; nothing of it is verified."""
    return note.split(b"\n", 2)[1:2] == [f"log {origin}".encode()]


def open_erasure(note: bytes, verifiers: Iterable[NoteVerifier]) -> Erasure:
    """Return what *note* says; raises `VerificationError` unless its log, one of *verifiers*, signed it."""
    text, signers = open_note(note, verifiers)
    header, *lines = text.split("\n")
    fields = [line.partition(" ") for line in lines[:-1]]
    if header != _HEADER or tuple(name for name, _, _ in fields) not in (_NAMES, _NAMES[:-1]):
        raise note_broken()
    said = [value for _, _, value in fields]
    count, _, digest = said[5].partition(" ")
    try:
        erasure = Erasure(
            origin=said[0],
            ticket_id=said[1],
            time=datetime.fromisoformat(said[2]),
            by=said[3],
            ground=said[4],
            count=int(count),
            hash=decode_base64(digest),
            stands=decode_base64(said[6]) if len(said) > len(_NAMES) - 1 else b"",
        )
    except ValueError as error:
        raise note_broken() from error
    if str(erasure) != text or erasure.origin not in signers:
        raise note_broken()
    return erasure
