"""
CSV as the field's programs write it: with or without a byte order mark, UTF-8 or GBK, quoted line breaks.

A cell is text, whatever it begins with: what Excel would take for a formula is not one here.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice

from adapters.folder.document import DELIMITERS, Export, Folder
from adapters.folder.rows import BadRow, Row, Rows, count_fault, halves, header_of
from exchange.text import Text

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_csv(raw: bytes, folder: Folder, export: Export) -> Rows:
    """Yield the rows of a file; raises `Unreadable` where its header is not as the mapping needs it."""
    lines = list(io.StringIO(decoded(raw, folder.encoding), newline=""))
    names = header_of(export.columns, export.needed) if export.columns else None
    delimiter = folder.delimiter or _delimiter(lines)
    at = 0
    while at < len(lines):
        for line, cells in _cells(lines, at, delimiter):
            if cells is not None and not any(cell.strip() for cell in cells):
                continue
            if cells is not None and names is None:
                names = header_of(cells, export.needed)
                continue
            wrong = _fault(cells, names or [])
            if wrong is None and cells is not None and names is not None:
                yield Row(line=line, values=dict(zip(names, cells, strict=False)))
                continue
            original = lines[line - 1].rstrip("\r\n").encode("utf-8", "backslashreplace").decode()
            yield BadRow(line=line, reason=wrong or _NO_CSV, original=original)
            # Were it a lost quotation mark, the lines behind it are rows of their own.
            at = line
            break
        else:
            return


def _fault(cells: Sequence[str] | None, names: Sequence[str]) -> Text | None:
    if cells is None:
        return _NO_CSV
    if any(map(halves, cells)):
        return _NO_TEXT
    return count_fault(cells, names)


def _cells(lines: list[str], at: int, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the cells of each row behind line *at*, and the line it begins on; None ends it badly."""
    reader = csv.reader(islice(lines, at, None), delimiter=delimiter, strict=True)
    while True:
        line = at + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
            return
        yield line, cells


def decoded(raw: bytes, encoding: str) -> str:
    """
    Return the text of *raw*: by its mark, as declared, else UTF-8 where it is that, else GB18030.

    Bytes that are no text in it stay, as lone surrogates, in their rows.
    """
    for mark, marked in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(
                marked, "surrogateescape" if marked == "utf-8" else "replace"
            )
    if encoding:
        return raw.decode(encoding, "surrogateescape")
    for guess in ("utf-8", "gb18030"):
        try:
            return raw.decode(guess)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "surrogateescape")


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that the first line holds most of; a comma where it holds none."""
    first = next((line for line in lines if line.strip()), "")
    return max(DELIMITERS, key=first.count)


_NO_CSV = Text(
    en="its quotation marks do not fit together, or a cell is longer than 131072 characters.",
    zh="引号不成对，或单元格超过 131072 字。",
)
_NO_TEXT = Text(
    en="it holds bytes that are no text in the file's encoding ('encoding').",
    zh="含有不符合文件编码（encoding）的字节。",
)
