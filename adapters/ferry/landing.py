"""
The gap's folders: bundles are put there whole, taken from there once, and damaged ones set aside.

A file is written under another name, made durable, and renamed: neither a virus scanner nor the gap
ever sees half of one.  What the gap's own device delivers may grow under its final name, so a file
that cannot be read is left alone until nobody has written to it for a while.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.ferry.settings import MOST_BYTES
from exchange.causes import cause
from exchange.errors import StoreUnavailable
from exchange.text import Text

#: A damaged file that was written to within this time may still be growing.
GROWING = timedelta(minutes=1)
#: Bytes of a file at most: base64 and words make three or four times of a bundle.
MOST_FILE = 6 * MOST_BYTES

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{12})\.(bundle|json|xml)")
_CHUNK = re.compile(r"chunk-[0-9a-f]{64}-[0-9]{7}\.(bundle|json|xml)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """One file that has arrived; *stream* and *sequence* are its name's claim, empty for a chunk's."""

    path: Path
    stream: str
    sequence: int
    form: str


def name_of(stream: str, sequence: int, form: str) -> str:
    """Return the file name of a bundle."""
    return f"{stream}-{sequence:012d}.{form}"


def chunk_name(root: bytes, number: int, form: str) -> str:
    """Return the file name of a notice with chunk *number* of an attachment."""
    return f"chunk-{root.hex()}-{number:07d}.{form}"


def put(folder: Path, name: str, content: bytes) -> None:
    """Write a file that is whole, durable and under its name when this returns, or not there."""
    draft = folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / name)
        _sync(folder)
    except OSError as error:
        why = cause(error)
        raise StoreUnavailable(
            Text(
                en=_UNWRITTEN.en.format(folder=folder, why=why.en),
                zh=_UNWRITTEN.zh.format(folder=folder, why=why.zh),
            )
        ) from error


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of ours that the gap has not taken away itself."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def landed(folder: Path, foreign: Callable[[str], None]) -> list[Landed]:
    """Return the bundles in *folder* by name; *foreign* is told of every other file's name."""
    found = []
    # Chunks last: no bundle waits for one.
    for path in sorted(folder.iterdir(), key=_order) if folder.is_dir() else ():
        name, chunk = _NAME.fullmatch(path.name), _CHUNK.fullmatch(path.name)
        if (name or chunk) is not None and not path.is_symlink() and path.is_file():
            stream, number, form = name.groups() if name else ("", "0", path.suffix[1:])
            found.append(Landed(path=path, stream=stream, sequence=int(number), form=form))
        elif not path.name.startswith("."):
            foreign(path.name)
    return found


def _order(path: Path) -> tuple[bool, str]:
    return path.name.startswith("chunk-"), path.name


def content_of(path: Path) -> bytes | None:
    """Return the bytes of a regular file; None where it is none any more, or too large to be ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_FILE:
            return None
        return file.read(MOST_FILE)


def is_growing(path: Path, now: datetime) -> bool:
    """Return whether *path* was written to so lately that its other half may be under way."""
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return timedelta(0) <= now - changed < GROWING


def set_aside(
    path: Path, content: bytes | None, quarantine: Path, why: Text, now: datetime
) -> Path:
    """
    Move a damaged file into *quarantine*, with the reason beside it; return where it is.

    *content* is what was read of it: the folders may lie on different disks.  What was not read at
    all stays where it is, and the reason says so.
    """
    quarantine.mkdir(parents=True, exist_ok=True)
    free, number = quarantine / path.name, 1
    while free.exists():
        number += 1
        free = quarantine / f"{path.stem}-{number}{path.suffix}"
    reason = {"file": path.name, "time": now.isoformat(), "en": why.en, "zh": why.zh}
    put(
        quarantine,
        f"{free.name}.reason.json",
        (json.dumps(reason, ensure_ascii=False) + "\n").encode(),
    )
    if content is None:
        return path
    put(quarantine, free.name, content)
    path.unlink(missing_ok=True)
    return free


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_UNWRITTEN = Text(
    en="Nothing can be written into {folder}: {why}. Nothing is lost; it is tried again.",
    zh="无法写入 {folder}：{why}。内容未丢失，将自动重试。",
)
