"""How things are shown to people: lines that fit a terminal and Chinese characters, local times."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta, timezone
from unicodedata import category, east_asian_width

#: China has had one zone and no summer time since 1991, so that no table of zones is needed.
CHINA = timezone(timedelta(hours=8))

#: What is not shown on a terminal (a file, a pipe) is not cut to any width.
ANY_WIDTH = 100_000

_OPENING = "（《“‘『【〔["
_CLOSING = "，。；：、！？）》”’』】〕]"


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


def screen_width() -> int:
    """Return the terminal's columns (``COLUMNS`` rules), `ANY_WIDTH` where there is no terminal."""
    return shutil.get_terminal_size((0, 0)).columns or ANY_WIDTH


def pieces(text: str) -> list[str]:
    """
    Return *text* cut wherever a line may end: after spaces, and around Chinese characters.

    No line begins with a closing mark or ends with an opening one.
    """
    found: list[str] = []
    last = " "
    for letter in text:
        wide = east_asian_width(letter) in "WF" or east_asian_width(last) in "WF"
        glued = letter == " " or letter in _CLOSING or last in _OPENING
        if found and (glued or not (wide or last == " ")):
            found[-1] += letter
        else:
            found.append(letter)
        last = letter
    return found


def wrapped(text: str, room: int) -> list[str]:
    """Return *text* as lines of at most *room* columns; only what is too long for one is cut."""
    lines = [""]
    for piece in pieces(text):
        rest = piece
        if width(lines[-1] + rest.rstrip()) > room and lines[-1]:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        while width(rest.rstrip()) > room:
            head = _head(rest, room)
            lines[-1], rest = head, rest[len(head) :]
            lines.append("")
        lines[-1] += rest
    return [*lines[:-1], lines[-1].rstrip()]


def _head(text: str, room: int) -> str:
    """Return as much of *text* as fits, one letter at least."""
    end = 1
    while end < len(text) and width(text[: end + 1]) <= room:
        end += 1
    return text[:end]


def local(moment: datetime) -> datetime:
    """Return *moment* (aware) in the reader's zone: that of ``TZ`` where it is set, else China's."""
    return moment.astimezone(None if os.environ.get("TZ") else CHINA)


def from_local(moment: datetime) -> datetime:
    """Return a time that was written without a zone in the reader's zone, as `local` has it."""
    return moment.astimezone() if os.environ.get("TZ") else moment.replace(tzinfo=CHINA)


def shown_time(moment: datetime, *, seconds: bool = False) -> str:
    """Return *moment* as people read it, such as ``2026-03-01 16:00 +08:00``; data stay in UTC."""
    here = local(moment)
    offset = here.strftime("%z")
    clock = here.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    return f"{clock} {offset[:3]}:{offset[3:5]}"
