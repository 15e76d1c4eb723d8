"""
Code tables in both directions: a platform's codes and the contract's words.

What a code that stands in no row of the table means is said by the file, never guessed: it is refused,
passed as a code of the platform's own table, or replaced by a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from exchange.reading import nearest
from exchange.text import Text

Word = str | int | bool

#: What a draft writes where a person must decide.
OPEN = "?"


class Unmapped(Enum):
    """What a code that is not in the table does."""

    REFUSE = "refuse"
    LOCAL = "local"
    DEFAULT = "default"


class CodeUnknown(Exception):
    """A code stands in no row, and the table says to refuse it; or there is no way back."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """
    One table: *forward* from the platform's codes, *back* from the contract's words.

    *system* names the platform's own table, *common* the one that coded values are given in.
    """

    name: str
    forward: Mapping[str, Word]
    back: Mapping[Word, str]
    unmapped: Unmapped
    unmapped_back: Unmapped
    default: Word | None = None
    default_back: str | None = None
    system: str = ""
    common: str = ""

    def said(self, code: str) -> Word | None:
        """Return the contract's word for *code*, None where it passes as a local code."""
        if code in self.forward:
            return self.forward[code]
        if self.unmapped is Unmapped.DEFAULT:
            return self.default
        if self.unmapped is Unmapped.LOCAL:
            return None
        hint = nearest(code, self.forward)
        raise CodeUnknown(
            Text(
                en=f"the code '{code[:64]}' is not in the code table '{self.name}'; {hint.en}. Add "
                f"it to [codes.{self.name}.values], or choose what 'unmapped' does.",
                zh=f"代码“{code[:64]}”不在代码表“{self.name}”中；{hint.zh}。请补入 "
                f"[codes.{self.name}.values]，或设定 unmapped 的处理方式。",
            )
        )

    def heard(self, word: Word) -> str:
        """Return the platform's code for *word*; raises `CodeUnknown` where there is none."""
        if word in self.back:
            return self.back[word]
        if self.unmapped_back is Unmapped.DEFAULT and self.default_back is not None:
            return self.default_back
        if self.unmapped_back is Unmapped.LOCAL:
            return str(word)
        raise CodeUnknown(
            Text(
                en=f"the code table '{self.name}' has no code for '{str(word)[:64]}'. Add one to "
                f"[codes.{self.name}.values], or choose what 'unmapped_back' does.",
                zh=f"代码表“{self.name}”中没有对应“{str(word)[:64]}”的代码。请补入 "
                f"[codes.{self.name}.values]，或设定 unmapped_back 的处理方式。",
            )
        )
