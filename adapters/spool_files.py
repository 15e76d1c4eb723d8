"""
The files of attachments in the spool: what is to be sent, what is to be fetched, and how far each is.

Their bytes lie beside the spool in ``spool.files``, under their digests: copies of what the platform
gave, and what came, which grows as ``DIGEST.part`` until it is whole.  A row says how much of it is
durable, so a process that is killed goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.spool_file import SpoolFile
from exchange.attachments import AttachmentRefusal
from exchange.ticket import AttachedFile, ClearFile, Message

_FILE = "root, sha256, size, chunk_count"
#: What the platform hears is about the file as it is, not as it travelled.
_NEWS = (
    "SELECT f.message_id, {name}, coalesce(e.clear_sha256, f.sha256), coalesce(e.clear_size, f.size),"
    " f.refusal FROM {table} f LEFT JOIN encrypted_file e"
    " ON (e.message_id, e.root, e.sha256) = (f.message_id, f.root, f.sha256)"
    " WHERE f.told = 0 ORDER BY f.rowid LIMIT ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingFile:
    """A file to send, of a message that the bridge has stored; *leaves* are its chunks' leaf hashes."""

    message_id: str
    attachment_id: str
    file: AttachedFile
    leaves: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingFile:
    """A file to fetch, cited by a message that came; its first *have* chunks are durable."""

    message_id: str
    file: AttachedFile
    have: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNews:
    """
    A file that has left or come whole, or that does not for *refusal*; *path* is the spool's copy.

    *attachment_id* is empty for a file that came: the message names it by its digest.
    """

    message_id: str
    attachment_id: str
    sha256: bytes
    size: int
    path: Path
    refusal: AttachmentRefusal | None


class SpooledFiles(SpoolFile):
    """The files of one organisation's adapter; every method is one transaction."""

    @property
    def files(self) -> Path:
        """The folder of the files' bytes."""
        return self.path.with_suffix(".files")

    def copy_of(self, sha256: bytes) -> Path:
        """Return where the whole file of that digest lies."""
        return self.files / sha256.hex()

    # -- leaving

    def file_leaves(
        self, message_id: str, attachment_id: str, file: AttachedFile, leaves: bytes
    ) -> None:
        """Keep that *file*, whose copy is durable, is to be sent with a message about to be sealed."""
        with self._transaction():
            self._db.execute(
                f"INSERT OR REPLACE INTO leaving_file (message_id, attachment_id, {_FILE}, media_type,"  # noqa: S608
                " leaves, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (
                    message_id, attachment_id, file.root, file.sha256, file.size, file.chunk_count,
                    file.media_type, leaves,
                ),
            )  # fmt: skip
            self._note_key(message_id, file)

    def leaving_files(self, limit: int = 64) -> list[LeavingFile]:
        """Return the files to send, of urgent messages first, then oldest."""
        rows = self._all(
            "SELECT f.message_id, f.attachment_id, f.root, f.sha256, f.size, f.chunk_count, f.media_type,"
            " f.leaves FROM leaving_file AS f JOIN outgoing AS o ON o.message_id = f.message_id"
            " WHERE f.state = 'waiting' AND o.state = 'stored' ORDER BY o.urgency DESC, f.rowid LIMIT ?",
            limit,
        )
        return [
            LeavingFile(
                message_id=row[0], attachment_id=row[1], file=_file(row[2:7]), leaves=row[7]
            )
            for row in rows
        ]

    def _send_files_again(self) -> None:
        """Let the files of messages that wait once more be sent once more: the bridge may lack them."""
        self._db.execute(
            "UPDATE leaving_file SET state = 'waiting', told = NULL WHERE message_id IN "
            "(SELECT message_id FROM outgoing WHERE state = 'waiting')"
        )

    def file_left(self, leaving: LeavingFile, refusal: AttachmentRefusal | None = None) -> None:
        """Note that the bridge has the whole file, or refuses it."""
        with self._transaction():
            self._db.execute(
                "UPDATE leaving_file SET state = ?, refusal = ?, told = 0"
                " WHERE message_id = ? AND attachment_id = ?",
                (
                    "refused" if refusal else "done",
                    refusal and int(refusal),
                    leaving.message_id,
                    leaving.attachment_id,
                ),
            )

    # -- coming

    def _expect_files(self, message: Message, now: datetime) -> None:
        self._db.executemany(
            f"INSERT OR IGNORE INTO coming_file (message_id, {_FILE}, media_type, have, state, time)"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, 0, 'waiting', ?)",
            [
                (message.id, f.root, f.sha256, f.size, f.chunk_count, f.media_type, now.isoformat())
                for f in message.files
            ],
        )
        for file in message.files:
            self._note_key(message.id, file)

    def _note_key(self, message_id: str, file: AttachedFile) -> None:
        clear = file.clear
        if clear is not None:
            self._db.execute(
                "INSERT OR IGNORE INTO encrypted_file VALUES (?, ?, ?, ?, ?, ?)",
                (message_id, file.root, file.sha256, clear.key, clear.sha256, clear.size),
            )

    def _tell_files_again(self, message_id: str) -> None:
        self._db.execute(
            "UPDATE coming_file SET told = 0 WHERE message_id = ? AND told = 1", (message_id,)
        )

    def keys_to(self, file: AttachedFile) -> list[ClearFile]:
        """Return the keys, each once, that messages which wait for *file* give to it."""
        rows = self._all(
            "SELECT DISTINCT e.key, e.clear_sha256, e.clear_size FROM coming_file c JOIN encrypted_file e"
            " ON (e.message_id, e.root, e.sha256) = (c.message_id, c.root, c.sha256)"
            " WHERE c.root = ? AND c.sha256 = ? AND c.state = 'waiting'",
            file.root,
            file.sha256,
        )
        return [ClearFile(key=row[0], sha256=row[1], size=row[2]) for row in rows]

    def file_opened(
        self, file: AttachedFile, clear: ClearFile, refusal: AttachmentRefusal | None
    ) -> None:
        """Note for the messages that gave that key that *file* is here as *clear*, or cannot be opened."""
        with self._transaction():
            self._db.execute(
                "UPDATE coming_file SET state = ?, refusal = ?, told = 0"
                " WHERE root = ? AND sha256 = ? AND state = 'waiting' AND message_id IN"
                " (SELECT message_id FROM encrypted_file WHERE root = ? AND sha256 = ?"
                " AND key = ? AND clear_sha256 = ? AND clear_size = ?)",
                (
                    "refused" if refusal else "done", refusal and int(refusal),
                    file.root, file.sha256, file.root, file.sha256,
                    clear.key, clear.sha256, clear.size,
                ),
            )  # fmt: skip

    def coming_files(self, limit: int = 64) -> list[ComingFile]:
        """Return the files to fetch, oldest first; each once, however many messages cite it."""
        rows = self._all(
            f"SELECT message_id, {_FILE}, media_type, max(have) FROM coming_file"  # noqa: S608
            " WHERE state = 'waiting' GROUP BY root, sha256 ORDER BY min(rowid) LIMIT ?",
            limit,
        )
        return [ComingFile(message_id=row[0], file=_file(row[1:6]), have=row[6]) for row in rows]

    def file_comes(self, file: AttachedFile, have: int) -> None:
        """Note that the first *have* chunks of *file* are durable."""
        with self._transaction():
            self._db.execute(
                "UPDATE coming_file SET have = ? WHERE root = ? AND sha256 = ? AND state = 'waiting'",
                (have, file.root, file.sha256),
            )

    def file_came(self, file: AttachedFile, refusal: AttachmentRefusal | None = None) -> None:
        """Note that *file* is here whole and durable, or will not come."""
        with self._transaction():
            self._db.execute(
                "UPDATE coming_file SET state = ?, refusal = ?, told = 0"
                " WHERE root = ? AND sha256 = ? AND state = 'waiting'",
                (
                    "refused" if refusal else "done",
                    refusal and int(refusal),
                    file.root,
                    file.sha256,
                ),
            )

    # -- what the platform hears

    def file_news(self, limit: int = 64) -> tuple[list[FileNews], list[FileNews]]:
        """Return what the platform has not heard yet: of files that left, and of files that came."""
        left = self._all(_NEWS.format(name="f.attachment_id", table="leaving_file"), limit)
        came = self._all(_NEWS.format(name="''", table="coming_file"), limit)
        return self._news(left), self._news(came)

    def _news(self, rows: Sequence[tuple[str, str, bytes, int, int | None]]) -> list[FileNews]:
        return [
            FileNews(
                message_id=message_id,
                attachment_id=attachment_id,
                sha256=sha256,
                size=size,
                path=self.copy_of(sha256),
                refusal=AttachmentRefusal(refusal) if refusal else None,
            )
            for message_id, attachment_id, sha256, size, refusal in rows
        ]

    def file_told(self, news: FileNews) -> None:
        """Note that the platform has heard it."""
        with self._transaction():
            if news.attachment_id:
                self._db.execute(
                    "UPDATE leaving_file SET told = 1 WHERE message_id = ? AND attachment_id = ?",
                    (news.message_id, news.attachment_id),
                )
            else:
                self._db.execute(
                    "UPDATE coming_file SET told = 1 WHERE message_id = ? AND told = 0 AND"
                    " coalesce((SELECT e.clear_sha256 FROM encrypted_file e WHERE (e.message_id, e.root,"
                    " e.sha256) = (coming_file.message_id, coming_file.root, coming_file.sha256)), sha256) = ?",
                    (news.message_id, news.sha256),
                )

    def prune_files(self, before: datetime) -> int:
        """Forget files of messages that are forgotten or came before *before*, with their bytes; how many."""
        with self._transaction():
            gone = self._db.execute(
                "DELETE FROM leaving_file WHERE message_id NOT IN (SELECT message_id FROM outgoing)"
            ).rowcount
            gone += self._db.execute(
                "DELETE FROM coming_file WHERE time < ?", (before.isoformat(),)
            ).rowcount
            if not gone:
                return 0
            self._db.execute(
                "DELETE FROM encrypted_file WHERE message_id NOT IN (SELECT message_id FROM leaving_file"
                " UNION SELECT message_id FROM coming_file)"
            )
            kept = self._all(
                "SELECT sha256 FROM leaving_file UNION SELECT sha256 FROM coming_file"
                " UNION SELECT clear_sha256 FROM encrypted_file"
            )
            names = {bytes(sha256).hex() for (sha256,) in kept}
            for path in self.files.iterdir() if self.files.is_dir() else ():
                if path.name.strip(".").partition(".")[0] not in names:
                    path.unlink()
            return gone

    def waiting_files(self) -> tuple[int, int]:
        """Return how many files wait to be sent, and how many to come."""
        (leaving,) = self._all("SELECT count(*) FROM leaving_file WHERE state = 'waiting'")[0]
        (coming,) = self._all("SELECT count(*) FROM coming_file WHERE state = 'waiting'")[0]
        return leaving, coming


def _file(row: Sequence[Any]) -> AttachedFile:
    root, sha256, size, chunk_count, media_type = row
    return AttachedFile(
        root=root, sha256=sha256, size=size, chunk_count=chunk_count, media_type=media_type
    )
