"""What the tool says: sentences in both languages, and the one exception that carries them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence for people, in English and Chinese."""

    en: str
    zh: str

    def __str__(self) -> str:
        return self.en

    def say(self, language: str) -> str:
        """Return the sentence in *language*, ``"zh"`` or anything else for English."""
        return self.zh if language == "zh" else self.en


class Refused(Exception):
    """The tool did nothing; the sentence says what was asked, why not, and what to do next."""

    def __init__(self, *, en: str, zh: str) -> None:
        super().__init__(en)
        self.sentence = Sentence(en=en, zh=zh)
