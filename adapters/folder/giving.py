"""Files for the platform: one CSV file a message, whole and durable under its name, or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.folder.document import Folder
from adapters.holdings import Seen
from adapters.mapping.document import Document
from adapters.mapping.paths import get
from adapters.staging.doubting import Doubt, Given
from adapters.staging.records import Handing
from exchange.text import Text

#: Before the platform's own columns: whose record it is, and what to do with it.
OWN = ("exchange_id", "exchange_write")

#: A number or a telephone number may begin with a sign; another cell that does is a formula to Excel.
_NUMBER = re.compile(r"[+-][\d\s().-]+")

#: A file's name ends with its message's id, a UUID.
_MESSAGE = re.compile(r"\d+-.*-([0-9a-f-]{36})\.csv")


class Giving:
    """Writes into the folder ``out``."""

    def __init__(self, folder: Folder, document: Document, place: Path) -> None:
        self._folder = folder
        self._out, self._answers = place, place / "answers"
        self._answers.mkdir(parents=True, exist_ok=True)
        self._columns = {name: _columns(document, name) for name in document.sheets}

    def give(self, handing: Handing) -> str:
        """
        Write a record's file; the mapping gives the record its number, so none is returned.

        What was written before is found by its name, here or where the platform moved it (``out/done``),
        and not written again.
        """
        name = (
            f"{handing.seq:010d}-{handing.sheet}-{handing.writing.value}-{handing.message_id}.csv"
        )
        if handing.begun_before and any(
            (place / name).exists() for place in (self._out, self._out / "done")
        ):
            return ""
        columns = self._columns[handing.sheet]
        values = [_text(get(handing.content, column)) for column in columns]
        own = [handing.message_id, handing.writing.value]
        self._write(self._out / name, [*OWN, *columns], [*own, *values])
        return ""

    def holds(self, doubt: Doubt) -> bool | None:
        """Return whether a message's file is there; None where the mapping does not say that it stays."""
        if not self._folder.out_kept:
            return None
        end = f"-{doubt.given.message_id}.csv"
        places = (self._out, self._out / "done")
        return any(name.endswith(end) for place in places for name in _names(place))

    def answer(self, message_id: str, word: str, facts: Mapping[str, str]) -> None:
        """Write what became of something that the platform said."""
        path = self._answers / f"{message_id}.{word}.csv"
        self._write(path, list(facts), list(facts.values()))

    def _write(self, path: Path, names: Sequence[str], values: Sequence[str]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._folder.out_delimiter)
        writer.writerow(names)
        writer.writerow([_safe(value) for value in values])
        raw = text.getvalue().encode(self._folder.out_encoding, "replace")
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync_folder(path.parent)


def look(folder: Folder, out: Path, givens: Sequence[Given], *, all_gone: bool = False) -> Seen:
    """Return what can be said of what was given: a file is there or not, what was made of it nobody says."""
    there = files_in(out)
    files = {one.message_id: there.get(one.message_id) for one in givens}
    gone = frozenset(name for name, path in files.items() if path is None)
    waiting = sum(path is not None and path.parent == out for path in files.values())
    # Where not one is there, the folder may be another, or not be mounted.
    nothing = gone if folder.out_kept and len(gone) == len(files) else frozenset[str]()
    return Seen(
        withheld=frozenset() if all_gone else nothing,
        looked=nothing if all_gone else frozenset(),
        asked=len(files) if folder.out_kept else 0,
        lost=gone if folder.out_kept else frozenset(),
        unstated=0 if folder.out_kept else len(gone),
        notes=(_FILES.fill(count=len(files), waiting=waiting, gone=len(gone)), _RESTORED),
    )


def files_in(out: Path) -> dict[str, Path]:
    """Return the files in *out*, and where the platform moved them (``out/done``), by their message."""
    return {
        match[1]: place / name
        for place in (out, out / "done")
        for name in _names(place)
        if (match := _MESSAGE.fullmatch(name))
    }


def _names(place: Path) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208 - there may be very many: only names are wanted
    except FileNotFoundError:
        return []


def sync_folder(folder: Path) -> None:
    """Make renames in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _columns(document: Document, sheet: str) -> list[str]:
    """Return the columns that anything heard fills, the key first, in the order of the mapping."""
    found = dict.fromkeys(document.sheets[sheet].key)
    for rule in document.writes:
        if rule.sheet == sheet:
            found |= dict.fromkeys(column.column for column in rule.columns)
            for field in rule.fields:
                found |= dict.fromkeys(field.columns)
                found |= dict.fromkeys([field.display] if field.display else [])
    about = document.sheets[sheet].about
    return list(found | dict.fromkeys(about.columns if about else ()))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _safe(text: str) -> str:
    """Return *text* so that Excel shows it and computes nothing: an apostrophe before what looks so."""
    if text[:1] in ("=", "@", "\t", "\r") or (
        text[:1] in ("+", "-") and _NUMBER.fullmatch(text) is None and len(text) > 1
    ):
        return f"'{text}"
    return text


_FILES = Text(
    en="{count} files were given to the platform: {waiting} stand in out and are not imported yet, {gone} are "
    "neither there nor in out/done. What the platform made of a file cannot be seen from here.",
    zh="已交付平台 {count} 个文件：{waiting} 个仍在 out 中尚未导入，{gone} 个既不在 out 也不在 out/done。平台如何处理文件，此处无法得知。",
)
_RESTORED = Text(
    en="Where the platform was put back from a backup: move the files that were written since from out/done "
    "back to out; by exchange_id it knows those that it has.",
    zh="若平台曾从备份恢复：请将此后写出的文件由 out/done 移回 out；平台可凭 exchange_id 识别已有内容。",
)
