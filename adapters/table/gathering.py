"""
The bytes of one file that a row names: copied beside the adapter, whole, within limits, by digest.

Rule 1: nothing is read outside the folder that the mapping names, whatever a row says.
Rule 2: a copy is durable under its SHA-256 before any message cites it.
Rule 3: what may pass (a file not there yet, a server that is away) is told from what never will.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from adapters.durable import sync_folder
from adapters.mapping.document import Attachments
from exchange.causes import cause
from exchange.errors import StoreUnavailable
from exchange.text import Text

_PIECE = 1_048_576

_DIGEST = re.compile(r"[0-9a-f]{64}")

#: Seconds within which some file systems, and shares, give two changes the same time.
TICK = 3

#: Writes what stands at an address into a file, at most so many bytes; raises `NotYet`, `Never`.
Fetch = Callable[[str, BinaryIO, int], None]


class NotYet(Exception):
    """The file cannot be had now; *text* says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class Never(NotYet):
    """The file will not cross; *text* says why, and what to do."""


class Copies:
    """The copies in *place* of files that *attachments* lets cross."""

    def __init__(
        self, attachments: Attachments, place: Path, clock: Callable[[], datetime]
    ) -> None:
        self._attachments = attachments
        self._place = place
        self._clock = clock
        #: Of paths whose files must stay the same for a while: size and time, and since when.
        self._still: dict[str, tuple[tuple[int, int], datetime]] = {}

    def require_type(self, media_type: str) -> None:
        """Raise `Never` for a media type that the mapping does not let cross."""
        types = self._attachments.types
        group = media_type.partition("/")[0]
        if types and media_type not in types and f"{group}/*" not in types:
            raise Never(_TYPE.fill(type=media_type, types=", ".join(types)))

    def require_size(self, size: int) -> None:
        """Raise `Never` for a file that is too large."""
        if size > self._attachments.max_bytes:
            raise Never(_LARGE.fill(limit=self._attachments.max_bytes))

    # -- from where a platform keeps it

    def of_path(self, text: str) -> Path:
        """Copy the file at a path below the folder."""
        path, home = self._below(text)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            why = cause(error)
            raise NotYet(_NOT_THERE.fill(folder=home, en=why.en, zh=why.zh)) from error
        with os.fdopen(descriptor, "rb") as source:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise Never(_NO_FILE)
            self.require_size(about.st_size)
            self._require_still(text, about)
            copy = self._kept(lambda file: _copy(source, file, self._attachments.max_bytes))
            after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
            raise NotYet(_WRITTEN)
        return copy

    def standing(self, text: str) -> str:
        """
        Return what tells the file at a path from a changed one: its place on disk, size and times.

        Empty where it cannot be told: it is not there, or it changed so lately that it may change once
        more within the same tick of its clock.
        """
        try:
            about = self._below(text)[0].stat(follow_symlinks=False)
        except (NotYet, OSError, ValueError):
            return ""
        if abs(self._clock().timestamp() - about.st_mtime) < TICK:
            return ""
        return (
            f"{about.st_dev}.{about.st_ino}.{about.st_size}.{about.st_mtime_ns}.{about.st_ctime_ns}"
        )

    def copy_of(self, digest: str) -> Path | None:
        """Return the copy with that digest, None where it is not there."""
        copy = self._place / digest
        return copy if _DIGEST.fullmatch(digest) and copy.is_file() else None

    def _below(self, text: str) -> tuple[Path, Path]:
        """Return the file at a path, and the folder that it must be in."""
        if self._attachments.folder is None:  # it was said by an earlier mapping
            raise Never(_NO_FOLDER)
        home = self._attachments.folder.resolve()
        try:
            path = (home / text.replace("\\", "/")).resolve()
        except (OSError, ValueError) as error:
            raise Never(_NO_PATH) from error
        if not path.is_relative_to(home):
            raise Never(_OUTSIDE.fill(folder=home))
        if any(part.startswith(".") for part in path.relative_to(home).parts):
            raise Never(_HIDDEN)
        return path, home

    def _require_still(self, text: str, about: os.stat_result) -> None:
        seconds = self._attachments.still
        if not seconds:
            return
        now, standing = self._clock(), (about.st_size, about.st_mtime_ns)
        known, since = self._still.get(text, ((-1, -1), now))
        if known != standing or now < since:  # a clock that was set back begins anew
            self._still[text] = (standing, now)
            raise NotYet(_WRITTEN)
        if now - since < timedelta(seconds=seconds):
            raise NotYet(_WRITTEN)

    def forget_standing(self, text: str) -> None:
        """Forget since when the file at a path stays the same: its message goes."""
        self._still.pop(text, None)

    def of_bytes(self, content: bytes | memoryview | None) -> Path:
        """Copy the content of a column."""
        raw = bytes(content or b"")
        self.require_size(len(raw))
        return self._kept(lambda file: _copy(io.BytesIO(raw), file, len(raw)))

    def of_base64(self, text: str) -> Path:
        """Copy what a text says in base64, with or without a data URL's head or line breaks."""
        body = text.partition(",")[2] if text.startswith("data:") else text
        try:
            raw = base64.b64decode("".join(body.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Never(_NO_BASE64) from error
        return self.of_bytes(raw)

    def of_url(self, address: str, fetch: Fetch | None) -> Path:
        """Copy what stands at an address."""
        if fetch is None:
            raise Never(_NO_SERVER)
        limit = self._attachments.max_bytes
        return self._kept(lambda file: fetch(address, file, limit))

    # -- the copies

    def _kept(self, write: Callable[[BinaryIO], None]) -> Path:
        """Write a copy and give it the name of its digest; raises `NotYet` for an empty one."""
        part = self._place / ".part"
        try:
            self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w+b") as file:
                write(file)
                size = file.tell()
                file.seek(0)
                digest = sha256()
                while piece := file.read(_PIECE):
                    digest.update(piece)
                os.fsync(file.fileno())
            if not size:
                raise NotYet(_EMPTY)
            copy = self._place / digest.hexdigest()
            part.replace(copy)
            sync_folder(self._place)
        except OSError as error:
            why = cause(error)
            raise StoreUnavailable(_NO_COPY.fill(en=why.en, zh=why.zh)) from error
        return copy

    def there(self) -> list[Path]:
        """Return the copies that there are."""
        found = self._place.iterdir() if self._place.is_dir() else ()
        return [path for path in found if not path.name.startswith(".")]

    def forget_all_but(self, needed: set[str]) -> None:
        """Remove the copies whose digests nobody needs."""
        for path in self.there():
            if path.name not in needed:
                path.unlink()


def _copy(source: BinaryIO, file: BinaryIO, limit: int) -> None:
    read = 0
    while read <= limit and (piece := _read(source)):
        read += len(piece)
        file.write(piece)


def _read(source: BinaryIO) -> bytes:
    try:
        return source.read(_PIECE)
    except OSError as error:  # of the platform's disk or share, not of ours
        why = cause(error)
        raise NotYet(_UNREAD.fill(en=why.en, zh=why.zh)) from error


_TYPE = Text(
    en="the media type {type} is not among those that may cross ({types}): add it to 'types', or hand the "
    "file over by other means.",
    zh="媒体类型 {type} 不在允许范围（{types}）：请在 types 中增加，或以其他方式移交。",
)
_LARGE = Text(
    en="the file is larger than {limit} bytes: raise 'max_bytes', or hand it over by other means.",
    zh="文件超过 {limit} 字节：请提高 max_bytes，或以其他方式移交。",
)
_NO_PATH = Text(en="the column holds no path.", zh="该列内容不是路径。")
_OUTSIDE = Text(
    en="the path leads out of {folder}, and nothing is read there.",
    zh="路径指向 {folder} 之外，不予读取。",
)
_NO_FOLDER = Text(
    en="the mapping names no folder for paths: say 'folder' in [attachments].",
    zh="映射文件未指定路径所在文件夹：请在 [attachments] 中写明 folder。",
)
_HIDDEN = Text(
    en="a name on the path begins with a dot, and such files are not read: rename it.",
    zh="路径中有以点开头的名称，此类文件不予读取：请改名。",
)
_NOT_THERE = Text(
    en="the file cannot be opened below {folder}: {en}. It is looked for again.",
    zh="在 {folder} 下无法打开文件：{zh}。将再次查找。",
)
_UNREAD = Text(
    en="the file cannot be read: {en}. It is tried again.", zh="无法读取文件：{zh}。将自动重试。"
)
_NO_FILE = Text(en="the path is no regular file.", zh="该路径不是普通文件。")
_WRITTEN = Text(
    en="the file is still being written; it is read once it stays the same.",
    zh="文件仍在写入，停止变化后读取。",
)
_EMPTY = Text(en="there is nothing in it yet; it is read again.", zh="内容为空，将再次读取。")
_NO_BASE64 = Text(
    en="the column holds no base64: is it the right one?", zh="该列内容不是 base64：请检查列名。"
)
_NO_SERVER = Text(
    en="only a platform of [http] has addresses of files; use a path or a column of bytes.",
    zh="仅 [http] 平台可用地址取文件；请改用路径或二进制列。",
)
_NO_COPY = Text(
    en="The copy of an attachment cannot be kept: {en}. Nothing is lost; it is tried again.",
    zh="无法保存附件副本：{zh}。内容未丢失，将自动重试。",
)
