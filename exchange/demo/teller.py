"""What the demo tells while it runs: a line for what happened, a live line for what is under way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TextIO
from unicodedata import east_asian_width

from exchange.text import Language, Text

#: `adapters.reminder` rings once for routine matters and more often for urgent ones.
_URGENT = "\a\a\a"


class Teller:
    """Tells people on *stream* in *language*; on a terminal the live line is written over."""

    def __init__(self, stream: TextIO, language: Language) -> None:
        self.language = language
        self._stream = stream
        self._terminal = stream.isatty()
        self._live = ""
        self._lock = threading.Lock()

    def line(self, text: Text | None = None) -> None:
        """Tell one line, or leave an empty one."""
        said = text.say(self.language) if text is not None else ""
        with self._lock:
            self._wipe()
            self._stream.write(said + "\n")
            self._stream.flush()

    def live(self, text: Text) -> None:
        """Show what is under way, until the next line; nothing where nobody sees it live."""
        if not self._terminal:
            return
        with self._lock:
            self._wipe()
            self._live = text.say(self.language)
            self._stream.write(self._live)
            self._stream.flush()

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Tell a table, its heads first, in aligned columns."""
        rooms = [max(_width(row[number]) for row in rows) for number in range(len(rows[0]))]
        for row in rows:
            cells = [
                cell + " " * (room - _width(cell)) for cell, room in zip(row, rooms, strict=True)
            ]
            said = "  " + "  ".join(cells).rstrip()
            self.line(Text(en=said, zh=said))

    def rang(self, warning: str) -> None:
        """Pass a platform's bell on to the terminal, where it rang for something urgent."""
        if not (self._terminal and warning.startswith(_URGENT)):
            return
        with self._lock:
            self._stream.write("\a")
            self._stream.flush()

    def _wipe(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._live = ""


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes (UAX #11)."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def standard(language: Language, *, as_data: bool) -> Teller:
    """Return the teller of the command: on standard output, or beside data on standard error."""
    return Teller(sys.stderr if as_data else sys.stdout, language)
