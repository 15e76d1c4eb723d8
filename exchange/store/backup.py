"""A copy of an SQLite database as it stood at one moment, while its bridge goes on serving."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from errno import EEXIST
from pathlib import Path
from urllib.parse import quote

from exchange.errors import ConfigurationError, TamperingFound
from exchange.log import Checkpoint
from exchange.note import split_note
from exchange.store.engines import Engines, connect, translated
from exchange.store.schema import check_version
from exchange.store.tree import finding
from exchange.text import Text

_HEAD = "SELECT origin, size, root FROM log"
_NEWEST = "SELECT note FROM drain ORDER BY size_after DESC LIMIT 1"  # SQLite: one log

_NOT_SQLITE = Text(
    en="{place} is backed up by PostgreSQL's own programs: pg_dump --format=custom --file=FILE, or "
    "pg_basebackup with an archive of its write-ahead log (deploy/BACKUP.md). Nothing was written.",
    zh="{place} 须用 PostgreSQL 自带程序备份：pg_dump --format=custom --file=文件，或 pg_basebackup 加预写日志"
    "归档（见 deploy/BACKUP.md）。未写入任何内容。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds: the log's name, its entries, and the file's bytes."""

    file: Path
    origin: str
    size: int
    bytes: int


def backup(url: str, file: Path) -> Backup:
    """
    Copy the database at *url* to *file*, which must not be there; check the copy before it counts.

    The copy is of one moment; writers are not held up.  Raises `ConfigurationError` for PostgreSQL,
    `TamperingFound` where the copy does not hold, `OSError` and the store's failures.
    """
    engines = connect(url)
    try:
        if engines.file is None:
            raise ConfigurationError(_NOT_SQLITE.fill(place=engines.place))
        check_version(engines)
        if file.exists():
            raise FileExistsError(EEXIST, os.strerror(EEXIST), str(file))
        draft = file.with_name(f".{file.name}.part")
        try:
            with translated(engines):
                _copy(engines.file, draft)
                head = _checked(engines, draft)
            _settle(draft, file)
        finally:
            for left in (draft, *(Path(f"{draft}{end}") for end in ("-wal", "-shm", "-journal"))):
                left.unlink(missing_ok=True)
        origin, size = head
        return Backup(file=file, origin=origin, size=size, bytes=file.stat().st_size)
    finally:
        engines.close()


def _copy(source: Path, target: Path) -> None:
    """Copy all pages in one step: in several, each write to the source would begin it anew."""
    uri = f"file:{quote(str(source.absolute()))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there, pages=-1)
        # What is copied is in one file: no write-ahead log belongs to it.
        there.execute("PRAGMA journal_mode = DELETE")


def _checked(engines: Engines, copy: Path) -> tuple[str, int]:
    """Return log name and size of the *copy*; raises `TamperingFound` unless it is whole."""
    uri = f"file:{quote(str(copy.absolute()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as opened:
        said = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
        head = opened.execute(_HEAD).fetchone()
        newest = opened.execute(_NEWEST).fetchone()
    if said != "ok":
        raise TamperingFound.from_findings(
            [
                finding(
                    "log",
                    "origin",
                    engines.place,
                    f"the file is damaged: {said}",
                    f"文件损坏：{said}",
                )
            ]
        )
    if head is None:
        return "", 0
    origin, size, root = head
    signed = Checkpoint.parse(split_note(newest[0])[0]) if newest else None
    if signed is not None and (signed.size, signed.root) != (size, root):
        raise TamperingFound.from_findings(
            [
                finding(
                    "log", "origin", origin, "it does not fit the newest checkpoint",
                    "与最新检查点不符",
                )
            ]
        )  # fmt: skip
    return origin, size


def _settle(draft: Path, file: Path) -> None:
    """Make *draft* durable under the name *file*."""
    with draft.open("rb") as content:
        os.fsync(content.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
