"""How answers are shown: tables that fit Chinese characters, and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import category, east_asian_width

import click


def width(text: str) -> int:
    """Return how many columns of a terminal *text* takes (UAX #11; combining marks take none)."""
    return sum(
        2
        if east_asian_width(letter) in "WF"
        else 0
        if category(letter) in ("Mn", "Me", "Cf")
        else 1
        for letter in text
    )


def columns(text: str, room: int) -> str:
    """Return *text* padded to *room* columns."""
    return text + " " * (room - width(text))


def clean(text: str) -> str:
    """Return *text* on one line without control characters: what others wrote moves no cursor."""
    return "".join(
        letter if category(letter) not in ("Cc", "Cf", "Zl", "Zp") else " " for letter in text
    )


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print *rows* under *heads*, aligned."""
    lines = [list(heads), *([clean(cell) for cell in row] for row in rows)]
    rooms = [max(width(line[number]) for line in lines) for number in range(len(heads))]
    for line in lines:
        cells = (columns(cell, room) for cell, room in zip(line, rooms, strict=True))
        click.echo("  ".join(cells).rstrip())


def show_json(value: Any) -> None:
    """Print *value* as one JSON document."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_json_line(value: Any) -> None:
    """Print *value* as one line of JSON."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
