"""What a platform's own records hold of what crossed: one of the three copies that reconciling compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a platform knows by itself, without its spool."""

    #: Which adapter's platform it is: ``jsonl``, ``sqlite_desk``, ``table``.
    adapter: str
    #: The messages that came and are written there, each with its record's number.
    written: Mapping[str, str]
    #: The messages that it said and was not refused; None where it does not remember them.
    said: frozenset[str] | None = None
    #: Those of them that it still offers to its spool by itself, each with its ticket.
    offered: Mapping[str, str] = field(default_factory=dict)
    #: The state of each hand-off (`exchange.ticket.State`) as it sees it; empty where it keeps none.
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a platform itself, asked whether it holds what it was given, answered."""

    #: Of how many records and changes it said whether it holds them.
    asked: int = 0
    #: The messages whose records or changes it does not hold; of them those that it was not asked for.
    lost: frozenset[str] = frozenset()
    follows: frozenset[str] = frozenset()
    #: Of those that are lost: the ones where nothing at all was found, so that the question may be wrong.
    withheld: frozenset[str] = frozenset()
    #: The same, where somebody looked and said that all of it is really gone.
    looked: frozenset[str] = frozenset()
    #: How many it could not be asked for, or did not say; and of how many nothing says how to ask.
    untold: int = 0
    unstated: int = 0
    #: Why it could not be told; and what else is to be said of what can be seen.
    why: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = ()
