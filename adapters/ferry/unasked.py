"""
Attachments over a link that runs one way: nobody there can wish, so every chunk goes out unasked.

As often as a bundle does (``one_way_copies``), ``repeat_minutes`` apart, and behind every bundle that waits.
What is lost each time stays lost: the receiver's desk then knows the file by name and digest alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from adapters.ferry.journal import Journal
from exchange.attachments import MOST_NAMED, AttachmentRefusal, Chunk
from exchange.client import Load

#: For so long a file is waited for whose bytes have not come to this bridge.
_WAITED_FOR = timedelta(days=30)
_FACT = "chunks_going"


class Calls(Protocol):
    """What is asked of the bridge here."""

    def get(self, root: bytes, numbers: Sequence[int]) -> list[Chunk] | AttachmentRefusal:
        """Return those of the chunks that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """One file: its next chunk, how often all of it is still to go, when next, and since when it is waited for."""

    root: bytes
    count: int
    copies: int
    since: datetime
    due: datetime
    next: int = 0


class Unasked:
    """The files that go out from one ferry, as its *journal* remembers them."""

    def __init__(
        self,
        journal: Journal,
        calls: Calls,
        copies: int,
        repeat: timedelta,
        put: Callable[[Chunk], int],
    ) -> None:
        """Let every chunk go out *copies* times, *repeat* apart; *put* writes one file and returns 1."""
        self._journal = journal
        self._calls = calls
        self._copies = copies
        self._repeat = repeat
        self._put = put

    def cited(self, loads: Iterable[Load], now: datetime) -> None:
        """Remember the files that *loads* cite; to be called before their bundle is kept."""
        going = {one.root: one for one in self._going()}
        for file in (file for load in loads for file in load.files):
            begun = Going(
                root=file.root, count=file.chunk_count, copies=self._copies, since=now, due=now
            )
            going.setdefault(file.root, begun)
        self._note(going.values())

    def put_out(self, now: datetime) -> int:
        """Put out what is due and here, `MOST_NAMED` chunks at most; return how many files were written."""
        going = self._going()
        count, left = 0, []
        for one in going:
            wrote, rest = self._advance(one, MOST_NAMED - count, now)
            count += wrote
            if rest is not None:
                left.append(rest)
        if left != going:
            self._note(left)
        return count

    def _advance(self, one: Going, most: int, now: datetime) -> tuple[int, Going | None]:
        """Put out up to *most* chunks of one file; return how many, and the file unless it is through."""
        count = 0
        # A clock that was set back by more than the interval must not hold a file up for good.
        while count < most and not timedelta(0) < one.due - now <= self._repeat:
            numbers = range(one.next, min(one.next + most - count, one.count))
            chunks = self._calls.get(one.root, numbers)
            if isinstance(chunks, AttachmentRefusal):
                return count, None  # it is not to be had here, and later neither
            begun = one.next
            for chunk in chunks:
                if chunk.number != one.next:
                    break
                count += self._put(chunk)
                one = replace(one, next=one.next + 1)
            if one.next == begun:  # the rest has not come to this bridge yet
                return count, None if now - one.since > _WAITED_FOR else one
            if one.next == one.count:
                if one.copies == 1:
                    return count, None
                one = replace(one, next=0, copies=one.copies - 1, due=now + self._repeat)
        return count, one

    def _going(self) -> list[Going]:
        return [
            Going(
                root=bytes.fromhex(one["root"]),
                count=one["count"],
                copies=one["copies"],
                since=datetime.fromisoformat(one["since"]),
                due=datetime.fromisoformat(one["due"]),
                next=one["next"],
            )
            for one in json.loads(self._journal.fact(_FACT) or "[]")
        ]

    def _note(self, going: Iterable[Going]) -> None:
        lines = [
            {
                "root": one.root.hex(),
                "count": one.count,
                "copies": one.copies,
                "since": one.since.isoformat(),
                "due": one.due.isoformat(),
                "next": one.next,
            }
            for one in going
        ]
        self._journal.note(**{_FACT: json.dumps(lines) if lines else ""})
