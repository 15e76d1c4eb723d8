"""What becomes of each thing that a receipt file must prove."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exchange.text import Text


class Verdict(StrEnum):
    """What became of one obligation."""

    HOLDS = "holds"
    BROKEN = "broken"
    #: The file does not hold what would be needed; nothing contradicts it either.
    NOT_SHOWN = "not-shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One thing that must hold, numbered from 1; *found* says what was found or why not."""

    number: int
    what: Text
    verdict: Verdict
    found: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The answer about one file."""

    message_id: str
    digest: bytes
    obligations: tuple[Obligation, ...]
    #: The names of those who co-signed over everything that is in the log here.
    witnesses: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is broken; see `not_shown` for what is not proved either."""
        return all(one.verdict is not Verdict.BROKEN for one in self.obligations)

    @property
    def not_shown(self) -> int:
        """How many obligations the file does not show."""
        return sum(one.verdict is Verdict.NOT_SHOWN for one in self.obligations)
