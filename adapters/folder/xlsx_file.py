"""
XLSX, read only: what Excel last computed and showed; nothing is computed here.

openpyxl is an extra; a folder that only gets CSV needs none.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time
from itertools import zip_longest
from typing import Any

from adapters.folder.document import Export
from adapters.folder.rows import BadRow, Row, Rows, Unreadable, count_fault, header_of
from exchange.text import Text

#: Bytes of all the parts of a file when unpacked: a small file can hold very much nothing.
MOST_UNPACKED = 512 * 1024 * 1024


def read_xlsx(raw: bytes, export: Export) -> Rows:
    """Yield the rows of a worksheet; raises `Unreadable` for what is no workbook as the mapping needs it."""
    try:
        import openpyxl  # noqa: PLC0415 - an extra, loaded by those who use it
    except ImportError as error:
        raise Unreadable(_ABSENT) from error
    _require_bounded(raw)
    try:
        shown = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        written = openpyxl.load_workbook(io.BytesIO(raw), read_only=True)
        tab = export.tab or shown.sheetnames[0]
        if tab not in shown.sheetnames:
            raise Unreadable(_NO_TAB.fill(tab=tab, found=", ".join(shown.sheetnames)))
        pairs = zip_longest(shown[tab].iter_rows(), written[tab].iter_rows(), fillvalue=())
        yield from _rows(pairs, export)
    except Unreadable:
        raise
    except Exception as error:  # openpyxl raises whatever the broken part made it stumble over
        raise Unreadable(_BROKEN.fill(why=type(error).__name__)) from error


def _rows(pairs: Any, export: Export) -> Rows:
    names = header_of(export.columns, export.needed) if export.columns else None
    for number, (shown, written) in enumerate(pairs, 1):
        cells = [_text(cell.value) for cell in shown]
        if not any(cells) and not any(cell.value for cell in written):
            continue
        if names is None:
            names = header_of(cells, export.needed)
            continue
        while len(cells) < len(names):
            cells.append("")  # cells that were never filled are not in the file
        wrong = _fault(shown, written) or count_fault(cells, names)
        if wrong is not None:
            yield BadRow(line=number, reason=wrong, original=repr(cells))
        else:
            yield Row(line=number, values=dict(zip(names, cells, strict=False)))


def _fault(shown: Sequence[Any], written: Sequence[Any]) -> Text | None:
    for seen, formula in zip_longest(shown, written):
        if (
            formula is not None
            and formula.data_type == "f"
            and (seen is None or seen.value is None)
        ):
            return _NOT_COMPUTED.fill(cell=formula.coordinate)
        if seen is not None and seen.value is not None and seen.data_type == "e":
            return _WRONG.fill(cell=seen.coordinate, value=seen.value)
    return None


def _text(value: Any) -> str:
    """Return a cell as the text that a person would type: a whole number without its ``.0``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _require_bounded(raw: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except zipfile.BadZipFile as error:
        raise Unreadable(_BROKEN.fill(why="BadZipFile")) from error
    if size > MOST_UNPACKED:
        raise Unreadable(_BOMB.fill(limit=MOST_UNPACKED))


_ABSENT = Text(
    en="XLSX needs openpyxl: pip install 'hotline-exchange[xlsx]', or export as CSV.",
    zh="读取 XLSX 需要 openpyxl：pip install 'hotline-exchange[xlsx]'，或导出为 CSV。",
)
_BROKEN = Text(en="it is no whole XLSX workbook ({why}).", zh="不是完整的 XLSX 工作簿（{why}）。")
_BOMB = Text(en="unpacked it is larger than {limit} bytes.", zh="解压后超过 {limit} 字节。")
_NO_TAB = Text(
    en="it has no worksheet '{tab}'; it has: {found}.", zh="没有工作表“{tab}”；现有：{found}。"
)
_NOT_COMPUTED = Text(
    en="the formula in {cell} has no value: nothing computes it here. Save the file in Excel, or export values.",
    zh="{cell} 的公式没有计算结果，本程序不会计算公式。请在 Excel 中保存，或导出为数值。",
)
_WRONG = Text(en="{cell} shows {value}.", zh="{cell} 显示 {value}。")
