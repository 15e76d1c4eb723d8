"""A row of a file, or what stands there instead; and what is wrong with a whole file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exchange.text import Text

#: Bytes of a file that are read; larger exports are divided by who exports.
MOST_BYTES = 64 * 1024 * 1024
#: Columns that a file may have.
MOST_COLUMNS = 1000


class Unreadable(Exception):
    """A whole file cannot be read; *text* says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row by its columns, and the *line* that it begins on (of XLSX the row's number)."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be read: *original* as it stands there."""

    line: int
    reason: Text
    original: str


Rows = Iterator[Row | BadRow]


def header_of(cells: Sequence[str], needed: frozenset[str]) -> list[str]:
    """Return the columns that a header line names; raises `Unreadable`."""
    names = [cell.strip() for cell in cells]
    if any(map(halves, names)):
        raise Unreadable(_NO_TEXT)
    while names and not names[-1]:
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise Unreadable(_MANY.fill(limit=MOST_COLUMNS))
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise Unreadable(_DOUBLE.fill(name=double[0] or '""'))
    missing = sorted(needed - {*names})
    if missing:
        found = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise Unreadable(_MISSING.fill(name=missing[0], found=found))
    return names


def halves(text: str) -> bool:
    """Return whether *text* holds what is no character: a byte that its encoding does not know."""
    return any("\ud800" <= char <= "\udfff" for char in text)


def count_fault(cells: Sequence[Any], names: Sequence[str]) -> Text | None:
    """Return what is wrong with the number of *cells*; empty ones at the end do not count."""
    count = len(cells)
    while count > len(names) and cells[count - 1] in ("", None):
        count -= 1
    if count == len(names):
        return None
    return _COUNT.fill(count=count, wanted=len(names))


_NO_TEXT = Text(
    en="its first line holds bytes that are no text in the file's encoding ('encoding'): is it a table at all?",
    zh="首行含有不符合文件编码（encoding）的字节：是否为表格文件？",
)
_MANY = Text(en="it has more than {limit} columns.", zh="列数超过 {limit}。")
_DOUBLE = Text(en="two of its columns are called {name}.", zh="有两列同名：{name}。")
_MISSING = Text(
    en="it has no column {name}, which the mapping reads. Its columns: {found}.",
    zh="缺少映射所需的列 {name}。现有列：{found}。",
)
_COUNT = Text(en="it has {count} cells, not {wanted}.", zh="该行有 {count} 格，应为 {wanted}。")
