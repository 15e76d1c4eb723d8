"""
Files that the platform drops: which are whole, and their rows, taken once.

A file is taken when it is whole: its size and time stood still for as long as the mapping says, or its
``.done`` is there.  It moves to ``in/taken`` when every row of it is kept, or put aside with its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.folder.csv_file import read_csv
from adapters.folder.document import Export, Folder
from adapters.folder.giving import sync_folder
from adapters.folder.rows import MOST_BYTES, BadRow, Row, Rows, Unreadable
from adapters.folder.xlsx_file import read_xlsx
from adapters.mapping.misfit import Misfit
from adapters.staging.conditions import holds_of
from adapters.staging.records import Records, Said, Unread
from adapters.table.records import reference
from exchange.causes import cause
from exchange.errors import LimitExceeded
from exchange.text import Text

#: Rows that are kept in one transaction.
BATCH = 100

#: Written by programs beside the files they are at: no file of anybody's.
_PASSING = (".tmp", ".part", ".crdownload", ".filepart")


class Taking:
    """Reads the folder ``in``."""

    def __init__(
        self,
        folder: Folder,
        place: Path,
        records: Records,
        say: Callable[[Text], None] | None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._in = place
        self._taken, self._rejected = place / "taken", place / "rejected"
        for path in (self._taken, self._rejected):
            path.mkdir(parents=True, exist_ok=True)
        self._records = records
        self._say = say
        self._ticks = ticks
        #: Of files that may still be being written: what they were, and since when.
        self._seen: dict[Path, tuple[tuple[int, ...], float]] = {}
        self._named: set[Path] = set()

    def take(self) -> int:
        """Take every whole file; return how many rows were new."""
        new = 0
        for path in sorted(self._in.iterdir()):
            if path in (self._taken, self._rejected) or _passing(path):
                continue
            export = self._export(path)
            if export is None:
                self._leave(path)
            elif self._whole(path):
                try:
                    new += self._file(path, export)
                except LimitExceeded:
                    break  # the rest of it, and of the others, when there is room
        return new

    def _export(self, path: Path) -> Export | None:
        if path.is_symlink() or not path.is_file():
            return None
        if path.suffix.lower() not in (".csv", ".txt", ".xlsx"):
            return None
        return next((one for one in self._folder.exports if one.matches(path.name)), None)

    def _leave(self, path: Path) -> None:
        """Leave what is not meant for us where it is; say so once."""
        done = self._folder.done
        if done and path.name.endswith(done):
            whole = path.name.removesuffix(done)
            if any(one.matches(whole) for one in self._folder.exports):
                return
        if path not in self._named:
            self._named.add(path)
            if path.is_symlink() or not path.is_file():
                self._tell(_NO_FILE.fill(name=shown(path)))
                return
            meant = ", ".join(one.name for one in self._folder.exports)
            self._tell(_FOREIGN.fill(name=shown(path), meant=meant))

    def _whole(self, path: Path) -> bool:
        done = self._folder.done
        if done and not path.with_name(path.name + done).exists():
            return False
        stamp, now = _stamp(path), self._ticks()
        known, since = self._seen.get(path, ((), now))
        if known != stamp:
            self._seen[path] = (stamp, now)
            since = now
        return now - since >= self._folder.still

    # -- one file

    def _file(self, path: Path, export: Export) -> int:
        stamp, new = _stamp(path), 0
        try:
            if stamp[0] > MOST_BYTES:
                raise Unreadable(_LARGE.fill(limit=MOST_BYTES))
            raw = path.read_bytes()
            xlsx = path.suffix.lower() == ".xlsx"
            rows = read_xlsx(raw, export) if xlsx else read_csv(raw, self._folder, export)
            mark = f"file {shown(path)} {sha256(raw).hexdigest()}"
            new = self._rows(shown(path), export, rows, mark)
        except OSError as error:
            why = cause(error)
            self._tell(_UNREAD.fill(name=shown(path), why=why.en, zh=why.zh))
            return 0
        except Unreadable as unreadable:
            self._records.accept(
                [],
                unread=[Unread(place=shown(path), reason=unreadable.text, original=shown(path))],
            )
            why = unreadable.text
            self._tell(_REJECTED.fill(name=shown(path), why=why.en, zh=why.zh))
            self._away(path, self._rejected)
            return 0
        if _stamp(path) != stamp:
            return new  # it was written on while it was read: the rest comes next
        self._away(path, self._taken)
        self._records.accept([], mark=(mark, "0"))
        return new

    def _rows(self, name: str, export: Export, rows: Rows, mark: str) -> int:
        """Keep the rows behind those that are kept; where it was broken off stands beside them."""
        new, at = 0, int(self._records.marked(mark) or 0)
        rest = islice(rows, at, None)
        while batch := list(islice(rest, BATCH)):
            found = [self._row(name, export, row) for row in batch]
            at += len(batch)
            new += self._records.accept(
                [one for one in found if isinstance(one, Said)],
                unread=[one for one in found if isinstance(one, Unread)],
                mark=(mark, str(at)),
            )
            for one in found:
                if isinstance(one, Unread):
                    why = one.reason
                    self._tell(_ASIDE.fill(place=one.place, why=why.en, zh=why.zh))
        return new

    def _row(self, name: str, export: Export, row: Row | BadRow) -> Said | Unread | None:
        place = f"{name}:{row.line}"
        if isinstance(row, BadRow):
            return Unread(place=place, reason=row.reason, original=row.original)
        try:
            if not holds_of(export.when, row.values):
                return None
            reference(self._records.document.sheets[export.sheet], row.values)
        except Misfit as misfit:
            original: Any = dict(row.values)
            return Unread(place=place, reason=misfit.text, original=repr(original))
        return Said(sheet=export.sheet, record=row.values, place=place)

    def _away(self, path: Path, to: Path) -> None:
        self._seen.pop(path, None)
        path.rename(_unused(to / path.name))
        if self._folder.done:
            path.with_name(path.name + self._folder.done).unlink(missing_ok=True)
        sync_folder(to)
        sync_folder(self._in)

    def _tell(self, text: Text) -> None:
        if self._say is not None:
            self._say(text)


def shown(path: Path) -> str:
    """Return a file's name as text: one that is in another encoding than the system's names its bytes."""
    return path.name.encode("utf-8", "backslashreplace").decode()


def _passing(path: Path) -> bool:
    """Whether a name says that somebody is at it: Excel's ``~$``, a browser's ``.part``, a hidden file."""
    return path.name.startswith((".", "~$")) or path.suffix.lower() in _PASSING


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _unused(path: Path) -> Path:
    """Return *path*, or the first of ``name-2.csv``, ``name-3.csv``, … that is not there."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def all_names(exports: Iterable[Export]) -> str:
    """Return the names that are looked for, for who starts the adapter."""
    return ", ".join(one.name for one in exports)


_FOREIGN = Text(
    en="in/{name} is left alone: only files called {meant} are read",
    zh="in/{name} 不作处理：只读取名为 {meant} 的文件",
)
_NO_FILE = Text(
    en="in/{name} is left alone: it is a folder, a link or no regular file",
    zh="in/{name} 不作处理：它是文件夹、链接或非普通文件",
)
_LARGE = Text(en="it is larger than {limit} bytes: divide it.", zh="超过 {limit} 字节：请拆分。")
_UNREAD = Text(
    en="in/{name} cannot be read: {why}. It stays and is tried again.",
    zh="in/{name} 无法读取：{zh}。文件保留，将再次尝试。",
)
_REJECTED = Text(
    en="in/{name} is no file as the mapping needs it: {why} It is in in/rejected.",
    zh="in/{name} 不符合映射要求：{zh}文件已移至 in/rejected。",
)
_ASIDE = Text(
    en="SET ASIDE, not sent: {place}: {why} See: python -m adapters.folder quarantine …",
    zh="已搁置，未发送：{place}：{zh}查看：python -m adapters.folder quarantine …",
)
