"""One thing that is to be said about a mapping, and how much it matters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from exchange.text import Text


class Weight(Enum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found, at a key of the file."""

    weight: Weight
    key: str
    text: Text
