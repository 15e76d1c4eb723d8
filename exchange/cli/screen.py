"""
How answers are shown: tables that fit Chinese characters and the terminal, local times, and JSON.

Columns and times are `certs.screen`'s, because `certs` works alone.  A time is shown in the zone of
``TZ`` where that is set, else in China's (+08:00), always with its offset; in JSON and CSV it is RFC
3339 in UTC.  On a terminal a table is made as narrow as it has to be by breaking its cells; where
even that is too wide, each row becomes a block of lines.  Into a file or a pipe it goes unbroken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from unicodedata import category

import click

from certs.screen import (
    columns,
    from_local,
    local,
    pieces,
    screen_width,
    shown_time,
    width,
    wrapped,
)

__all__ = [
    "clean", "columns", "cut", "from_local", "local", "screen_width", "show_json", "show_json_line", "show_paragraph",
    "show_table", "shown_time", "table_lines", "time_of", "width", "wrapped",
]  # fmt: skip

_GAP = 2
#: No column of words becomes narrower than this while another could give way.
_LEAST = 8


def clean(text: str) -> str:
    """Return *text* on one line without control characters: what others wrote moves no cursor."""
    return "".join(
        letter if category(letter) not in ("Cc", "Cf", "Zl", "Zp") else " " for letter in text
    )


def cut(text: str, room: int) -> str:
    """Return *text*, ended by ``…`` where it takes more than *room* columns."""
    if width(text) <= room:
        return text
    kept = ""
    for letter in text:
        if width(kept + letter) > room - 1:
            break
        kept += letter
    return kept.rstrip() + "…"


def time_of(stamp: str, *, seconds: bool = False) -> str:
    """Return an RFC 3339 time of a row as people read it; empty where there is none."""
    return shown_time(datetime.fromisoformat(stamp), seconds=seconds) if stamp else ""


def table_lines(
    heads: Sequence[str], rows: Iterable[Sequence[str]], room: int | None = None
) -> Iterator[str]:
    """
    Yield *rows* under *heads* as aligned lines of at most *room* columns (the terminal's if None).

    A row that cannot be so narrow becomes a block, one line a cell under its head.
    """
    room = screen_width() if room is None else room
    lines = [list(heads), *([clean(cell) for cell in row] for row in rows)]
    rooms = _rooms(lines, room)
    if rooms is None:
        yield from _blocks(lines, room)
        return
    for line in lines:
        cells = [wrapped(cell, space) for cell, space in zip(line, rooms, strict=True)]
        for depth in range(max(map(len, cells))):
            parts = [
                columns(cell[depth] if depth < len(cell) else "", space)
                for cell, space in zip(cells, rooms, strict=True)
            ]
            yield (" " * _GAP).join(parts).rstrip()


def _rooms(lines: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return each column's width, None where the table does not fit in *room* however broken."""
    count = len(lines[0])
    rooms = [max(width(line[number]) for line in lines) for number in range(count)]
    left = room - _GAP * (count - 1)
    if sum(rooms) <= left:
        return rooms
    least = [
        min(
            rooms[number],
            max(
                _LEAST, *(width(piece.rstrip()) for line in lines for piece in pieces(line[number]))
            ),
        )
        for number in range(count)
    ]
    if sum(least) > left:
        return None
    while sum(rooms) > left:
        widest = max(
            (number for number in range(count) if rooms[number] > least[number]),
            key=lambda number: rooms[number],
        )
        rooms[widest] -= 1
    return rooms


def _blocks(lines: Sequence[Sequence[str]], room: int) -> Iterator[str]:
    heads, *rows = lines
    left = max(map(width, heads)) + _GAP
    for position, row in enumerate(rows):
        if position:
            yield ""
        for head, cell in zip(heads, row, strict=True):
            if cell:
                first, *rest = wrapped(cell, max(room - left, _LEAST))
                yield columns(head, left) + first
                yield from (" " * left + line for line in rest)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print *rows* under *heads*, as `table_lines` lays them out."""
    for line in table_lines(heads, rows):
        click.echo(line)


def show_paragraph(text: str, indent: int = 0) -> None:
    """Print *text*, broken for the terminal; its further lines are indented too."""
    for line in wrapped(text, screen_width() - indent):
        click.echo(" " * indent + line)


def show_json(value: Any) -> None:
    """Print *value* as one JSON document."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_json_line(value: Any) -> None:
    """Print *value* as one line of JSON."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
