"""
Sentences for people, in English and Chinese.

Operators of both desks read Chinese; integrators and vendors often read English.  Every sentence
this program shows a person is a `Text`, so that neither language can be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One sentence in both languages; `str()` gives the English one."""

    en: str
    zh: str

    def __str__(self) -> str:
        return self.en

    def say(self, language: Language) -> str:
        """Return the sentence in *language*."""
        return self.zh if language == "zh" else self.en

    def fill(self, **facts: object) -> Text:
        """Return the sentence with its ``{named}`` places filled in, in both languages."""
        return Text(en=self.en.format(**facts), zh=self.zh.format(**facts))
