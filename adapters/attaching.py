"""
Attachments of one platform: the spool's copies are sent after their messages, and what is cited is fetched.

Rule 1: a file's copy is durable before the message that cites it is sealed (`adapters.copies`); nothing is
sent of it before the bridge has stored that message.
Rule 2: a message that waits goes first: between two calls with chunks the spool is looked at.
Rule 3: what crossed once is not sent again: the bridge says what it lacks, the spool what it has.
Rule 4: a file that came is the one its author signed, by root and by digest, before the platform hears of it;
one that travelled encrypted is opened first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

from adapters.copies import FileAdapter, open_copy, private, unkept
from adapters.durable import sync_folder
from adapters.notes import told
from adapters.spool import Spool
from adapters.spool_files import ComingFile, LeavingFile
from exchange.attachments import (
    MOST_NAMED,
    AttachmentRefusal,
    AttachmentStanding,
    Chunk,
    ChunkTree,
    chunk_bytes,
    leaf_of,
    proves,
    span,
)
from exchange.client import CALL_BYTES, ExchangeClient
from exchange.errors import StoreUnavailable, VerificationError
from exchange.text import Text
from exchange.ticket import AttachedFile


class FileCalls(Protocol):
    """What is asked of a bridge, as `ExchangeClient.attachments` does."""

    def check(self, roots: Sequence[bytes]) -> list[AttachmentStanding]:
        """Return how these files stand."""

    def put(self, chunks: Sequence[Chunk]) -> list[AttachmentRefusal | None]:
        """Put chunks; return why each is not kept."""

    def get(self, root: bytes, numbers: Sequence[int]) -> list[Chunk] | AttachmentRefusal:
        """Return those of the chunks that are there."""


class FilePost:
    """Sends and fetches the files of one spool over one client; `turn` is the whole of it."""

    def __init__(
        self,
        adapter: FileAdapter,
        spool: Spool,
        client: ExchangeClient,
        clock: Callable[[], datetime],
    ) -> None:
        self._adapter = adapter
        self._spool = spool
        #: The calls that it makes.
        self.calls: FileCalls = client.attachments
        self._clock = clock
        self._stopping = threading.Event()
        #: Why a file must wait; None where none must.
        self.trouble: Text | None = None

    def stop(self) -> None:
        """Let a turn end after the call that is under way."""
        self._stopping.set()

    def turn(self) -> int:
        """Send, fetch and tell what there is now; return how many chunks and files moved."""
        self.trouble = None
        return self.send() + self.fetch() + self.tell()

    def send(self) -> int:
        """Put what the bridge lacks of files whose messages it has stored; return how many chunks."""
        files = self._spool.leaving_files()
        sent = 0
        if not files or self._must_wait():
            return 0
        standings = self.calls.check([leaving.file.root for leaving in files])
        for leaving, standing in zip(files, standings, strict=True):
            refusal, lacking = standing.refusal, standing.missing_count
            if refusal is None and lacking:
                kept, refusal = self._put(leaving, standing.missing)
                sent += kept
                lacking -= kept
            if refusal is not None and refusal.passes:
                self.trouble = refusal.text
            elif refusal is not None or not lacking:
                self._spool.file_left(leaving, refusal)
        return sent

    def _put(
        self, leaving: LeavingFile, numbers: Sequence[int]
    ) -> tuple[int, AttachmentRefusal | None]:
        """Put these chunks until a message waits; return how many are kept, and why one is not."""
        file, kept = leaving.file, 0
        tree = ChunkTree(leaving.leaves)
        copy = self._spool.copy_of(file.sha256)
        try:
            source = copy.open("rb")
        except OSError as error:
            raise unkept(copy, error) from error
        with source:
            for batch in batches(file, numbers):
                if self._must_wait():
                    break
                outcomes = self.calls.put(read_chunks(source, file, tree, batch))
                kept += outcomes.count(None)
                refusal = next((one for one in outcomes if one is not None), None)
                if refusal is not None:
                    return kept, refusal
        return kept, None

    def _must_wait(self) -> bool:
        """Return whether a message may be pushed now: it goes first."""
        return self._stopping.is_set() or bool(self._spool.batch(self._clock(), 1))

    def fetch(self) -> int:
        """Get what the bridge has of files that are to come; return how many chunks."""
        files = self._spool.coming_files()
        if not files or self._stopping.is_set():
            return 0
        got = 0
        standings = self.calls.check([coming.file.root for coming in files])
        for coming, standing in zip(files, standings, strict=True):
            if standing.refusal is not None:
                self._spool.file_came(coming.file, standing.refusal)
                continue
            if self._spool.copy_of(coming.file.sha256).exists():  # another message cited it before
                self._came(coming.file)
                continue
            here = standing.missing[0] if standing.missing else coming.file.chunk_count
            got += self._get(coming, min(here, coming.have + MOST_NAMED))
        return got

    def _get(self, coming: ComingFile, upto: int) -> int:
        """Get the chunks behind those that are here up to number *upto*; return how many came."""
        file, have = coming.file, coming.have
        part = self._spool.files / f"{file.sha256.hex()}.part"
        try:
            self._spool.files.mkdir(mode=0o700, parents=True, exist_ok=True)
            with private(part, keep=True) as written:
                for batch in batches(file, range(have, upto)):
                    chunks = self.calls.get(file.root, batch)
                    if isinstance(chunks, AttachmentRefusal):
                        self._spool.file_came(file, chunks)
                        return have - coming.have
                    for chunk in chunks:
                        if (
                            chunk.number != have
                            or chunk.root != file.root
                            or not proves(file, chunk)
                        ):
                            raise VerificationError(_UNPROVED)
                        written.seek(span(file, have)[0])
                        written.write(chunk.content)
                        have += 1
                    written.flush()
                    os.fsync(written.fileno())
                    self._spool.file_comes(file, have)
                    if self._stopping.is_set() or len(chunks) < len(batch):
                        break
            if have == file.chunk_count:
                self._finish(file, part)
        except OSError as error:
            raise unkept(part, error) from error
        return have - coming.have

    def _finish(self, file: AttachedFile, part: Path) -> None:
        """Hold the whole file against what its author signed, and give it its name."""
        digest, leaves, size = sha256(), b"", 0
        with part.open("rb") as source:
            while content := source.read(chunk_bytes(file.size, file.chunk_count)):
                digest.update(content)
                leaves += leaf_of(content)
                size += len(content)
        if (digest.digest(), size) == (file.sha256, file.size):
            part.replace(self._spool.copy_of(file.sha256))
            sync_folder(self._spool.files)
            self._came(file)
            return
        part.unlink()
        if ChunkTree(leaves).root() == file.root:
            self._spool.file_came(file, AttachmentRefusal.DIGEST_MISMATCH)
            return
        self._spool.file_comes(file, 0)  # this disk changed it: from the beginning
        raise StoreUnavailable(_DAMAGED.fill(path=part))

    def _came(self, file: AttachedFile) -> None:
        """Open *file*, which is here whole, for each message that gives a key to it; note that it came."""
        for clear in self._spool.keys_to(file):
            refusal = open_copy(self._spool, file, clear)
            self._spool.file_opened(file, clear, refusal)
        self._spool.file_came(file)

    def tell(self) -> int:
        """Tell the platform what became of files; return of how many. What it does not take waits alone."""
        count = 0
        for news, heard in zip(
            self._spool.file_news(), (self._adapter.file_left, self._adapter.file_came), strict=True
        ):
            for one in news:
                try:
                    heard(one)
                except Exception as failure:  # noqa: BLE001 - it is told, and heard again
                    self.trouble = self.trouble or told(failure)
                    continue
                self._spool.file_told(one)
                count += 1
        return count


def read_chunks(
    source: BinaryIO, file: AttachedFile, tree: ChunkTree, numbers: Sequence[int]
) -> list[Chunk]:
    """Return these chunks of *file*, whose bytes *source* has and whose leaf hashes are in *tree*."""
    chunks = []
    for number in numbers:
        begin, size = span(file, number)
        source.seek(begin)
        content = source.read(size)
        chunks.append(Chunk(root=file.root, number=number, content=content, path=tree.path(number)))
    return chunks


def batches(file: AttachedFile, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield *numbers* in order, as many at a time as one call takes."""
    many = max(1, CALL_BYTES // chunk_bytes(file.size, file.chunk_count))
    for start in range(0, len(numbers), min(many, MOST_NAMED)):
        yield numbers[start : start + min(many, MOST_NAMED)]


_UNPROVED = Text(
    en="The bridge gave a chunk that is not the one its author signed; it is asked for again.",
    zh="网桥给出的分片与作者签署的不符，将重新请求。",
)
_DAMAGED = Text(
    en="{path} is not what was written into it: look at this disk. The file is fetched once more.",
    zh="{path} 的内容与写入的不符，请检查磁盘。将重新取该文件。",
)
