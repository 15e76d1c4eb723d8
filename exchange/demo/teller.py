"""What the demo tells while it runs: a line for what happened, a live line for what is under way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TextIO

from certs.screen import ANY_WIDTH, screen_width, width, wrapped
from exchange.cli.screen import table_lines
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
            for each in said.split("\n"):
                self._stream.write("\n".join(self._broken(each)) + "\n")
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
        """
        Tell a table, its heads first, in aligned columns that fit the terminal.

        One that is too wide and has more columns than rows is turned round.
        """
        room = self._room - 2
        wide = sum(max(width(row[number]) for row in rows) + 2 for number in range(len(rows[0])))
        if wide > room and len(rows[0]) > len(rows):
            rows = list(zip(*rows, strict=True))
        for line in table_lines(rows[0], rows[1:], room):
            self.line(Text(en=f"  {line}", zh=f"  {line}"))

    def rang(self, warning: str) -> None:
        """Pass a platform's bell on to the terminal, where it rang for something urgent."""
        if not (self._terminal and warning.startswith(_URGENT)):
            return
        with self._lock:
            self._stream.write("\a")
            self._stream.flush()

    @property
    def _room(self) -> int:
        return screen_width() if self._terminal else ANY_WIDTH

    def _broken(self, said: str) -> list[str]:
        """Return a line as the terminal's lines, the further ones under its first word."""
        bare = said.lstrip()
        left = len(said) - len(bare)
        further = left + 2 * bare.startswith(("✓ ", "✗ "))
        first, *rest = wrapped(bare, max(self._room - further, 20))
        return [" " * left + first, *(" " * further + line for line in rest)]

    def _wipe(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._live = ""


def standard(language: Language, *, as_data: bool) -> Teller:
    """Return the teller of the command: on standard output, or beside data on standard error."""
    return Teller(sys.stderr if as_data else sys.stdout, language)
