"""
Attachments over a ferry: what the bridge there lacks is wished for, and put out in files of their own.

1. In: what this bridge lacks is wished for in a notice, `MOST_NAMED` chunks at a time, and once more where
   they have not come after a while.
2. Out: what the other side wishes for is fetched from this bridge and put out, a chunk a file, after
   every bundle that waits.
   Over a link that runs one way they go out unasked (`adapters.ferry.unasked`).
3. Chunks have no order and no number among the bundles: each proves itself, and what is lost is wished
   for again.  So a bundle never waits for them, and nothing of them need be remembered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from adapters.ferry import landing, sayings
from adapters.ferry.forms import write_form
from adapters.ferry.journal import Journal
from adapters.ferry.settings import FerryFiles
from adapters.ferry.unasked import Unasked
from exchange.attachments import MOST_NAMED, AttachmentRefusal, Chunk
from exchange.client import Bundle, Bundler, Carrier, Load
from exchange.text import Text

#: Bytes of a bundle with one chunk beside the chunk: certificates, signature, path.
_AROUND = 16 * 1024

#: The roots of files, each with numbers of chunks.
Wishes = list[tuple[bytes, tuple[int, ...]]]


class Chunks:
    """The attachments of one ferry."""

    def __init__(
        self,
        files: FerryFiles,
        journal: Journal,
        carrier: Carrier,
        bundler: Bundler,
        *,
        say: Callable[[Text], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._journal = journal
        self._calls = carrier.attachments
        self._bundler = bundler
        self._say = say
        self._clock = clock
        self._unasked = Unasked(
            journal, carrier.attachments, files.one_way_copies, files.repeat, self._put
        )

    # -- in

    def wish(self) -> bool:
        """Put out a notice of what this bridge lacks, where something is to be asked for; whether it was."""
        progress = self._journal.progress()
        if progress is None or self._files.one_way_copies:
            return False  # nothing has come yet, or nobody would hear it
        asked, now = _read(self._journal.fact("chunks_asked")), self._clock()
        wishes = self._lacking()
        lacking = {(root, number) for root, numbers in wishes for number in numbers}
        under_way = any((root, number) in lacking for root, numbers in asked for number in numbers)
        if not wishes or (under_way and not self._overdue(now)):
            return False
        sealed = self._bundler.seal(
            (),
            stream=self._journal.fact("stream"),
            sequence=0,
            previous=b"",
            created=now,
            progress=replace(progress, wanted=tuple(wishes)),
        )
        name = landing.name_of(self._journal.fact("stream"), 0, self._files.form)
        landing.put(self._files.outgoing, name, write_form(sealed.signed, self._files.form))
        self._journal.note(chunks_asked=_written(wishes), chunks_asked_at=now.isoformat())
        return True

    def _overdue(self, now: datetime) -> bool:
        at = datetime.fromisoformat(self._journal.fact("chunks_asked_at"))
        return not timedelta(0) <= now - at < self._files.repeat

    def _lacking(self) -> Wishes:
        """Return the first chunks that this bridge lacks of what came over the gap, oldest files first."""
        wishes: Wishes = []
        left, token = MOST_NAMED, ""
        while left:
            found, token = self._calls.lacking(token)
            for standing in found:
                numbers = standing.missing[:left]
                if numbers:
                    wishes.append((standing.root, numbers))
                    left -= len(numbers)
            if not token:
                break
        return wishes

    def land(self, bundle: Bundle) -> None:
        """Bring chunks that have come to this bridge; what it does not keep is wished for again, or not."""
        refusals = self._calls.put(bundle.chunks) if bundle.chunks else []
        for refusal in {one for one in refusals if one is not None}:
            self._say(
                Text(
                    en=sayings.CHUNK_REFUSED.en.format(code=refusal.name, why=refusal.text.en),
                    zh=sayings.CHUNK_REFUSED.zh.format(code=refusal.name, why=refusal.text.zh),
                )
            )

    # -- out

    def heard(self, bundle: Bundle) -> None:
        """Remember what the other side wishes for; the newest counts."""
        if bundle.progress is not None and bundle.progress.wanted:
            self._journal.note(chunks_wished=_written(bundle.progress.wanted))

    def cited(self, loads: Sequence[Load]) -> None:
        """Learn what goes out in the next bundle: over a link that runs one way its files follow unasked."""
        if self._files.one_way_copies:
            self._unasked.cited(loads, self._clock())

    def put_out(self) -> int:
        """Put out what is wished for and here, once; return how many files."""
        if self._files.one_way_copies:
            return self._unasked.put_out(self._clock())
        count = 0
        left: Wishes = []
        for root, numbers in _read(self._journal.fact("chunks_wished")):
            lacking = list(numbers)
            while lacking and count < MOST_NAMED:
                chunks = self._calls.get(root, lacking[:MOST_NAMED])
                if isinstance(chunks, AttachmentRefusal):
                    lacking = []  # not to be had here, and the other side will not wish for ever
                if isinstance(chunks, AttachmentRefusal) or not chunks:
                    break
                for chunk in chunks:
                    lacking.remove(chunk.number)
                    count += self._put(chunk)
            if lacking:
                left.append((root, tuple(lacking)))
        if count or not left:
            self._journal.note(chunks_wished=_written(left) if left else "")
        return count

    def _put(self, chunk: Chunk) -> int:
        most = self._files.bundle_bytes
        if len(chunk.content) + _AROUND > most:
            self._say(sayings.CHUNK_TOO_LARGE.fill(size=len(chunk.content), limit=most))
            return 0
        sealed = self._bundler.seal(
            (),
            stream=self._journal.fact("stream"),
            sequence=0,
            previous=b"",
            created=self._clock(),
            progress=None,
            chunks=[chunk],
        )
        name = landing.chunk_name(chunk.root, chunk.number, self._files.form)
        landing.put(self._files.outgoing, name, write_form(sealed.signed, self._files.form))
        return 1


def _written(wishes: Sequence[tuple[bytes, Sequence[int]]]) -> str:
    return json.dumps([[root.hex(), list(numbers)] for root, numbers in wishes])


def _read(text: str) -> Wishes:
    return [(bytes.fromhex(root), tuple(numbers)) for root, numbers in json.loads(text or "[]")]
