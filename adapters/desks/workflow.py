"""
A desk's work as one literal table: in which state whose act comes next, after how long, and where it leads.

A state that has no step waits for the other side; `Workflow.heard` says what its messages lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from exchange.text import Text

#: Words of a step that are the script's: how this matter was settled.
SCRIPTED = ("{result}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One act: in *state*, *who* does it after *minutes* (least, most), and it *leads* to another state.

    Steps of one state are alternatives, whose *chance* in a hundred add up to 100.  *says* is the kind
    of the row that tells the other side, *code* its second column; *writes* are statements of the
    desk's own (`Workflow.statements`).  One of *words* is written.
    """

    state: str
    act: Text
    who: Text
    minutes: tuple[int, int]
    leads: str
    chance: int = 100
    says: str = ""
    code: str = ""
    words: tuple[str, ...] = ("",)
    writes: tuple[str, ...] = ()


class Rows(Enum):
    """The statements that every desk has, whatever its tables are called."""

    #: own matters so far
    COUNT = "count"
    #: a matter that somebody called about
    BEGIN = "begin"
    #: every matter at a time that is due: number, the other side's, state, matter
    DUE = "due"
    #: a matter's new state, and from when its next act is due
    MOVE = "move"
    #: a row that tells the other side
    SAY = "say"
    #: rows said so far of one matter
    SAID = "said"
    #: the oldest thing that came and was not looked at: its number, the matter's, state, kind, code,
    #: number over there
    CAME = "came"
    #: it was looked at
    SEEN = "seen"
    #: the other side's number
    LINK = "link"
    #: what the adapter could not send: where, which, why
    STOPPED = "stopped"
    #: how many rows the link has not taken yet
    UNSENT = "unsent"
    #: matters by state
    STANDING = "standing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A whole desk: its tables' statements, its steps, what it hears, and where everything ends."""

    name: str
    title: Text
    #: What the numbers of its own matters begin with.
    prefix: str
    #: How its tables write times.
    time: str
    #: The lists of the catalogue whose matters it takes calls about and hands over.
    lists: tuple[str, ...]
    first: str
    ends: frozenset[str]
    steps: tuple[Step, ...]
    #: (state, kind, code) to the state it leads to; an empty code is any.
    heard: Mapping[tuple[str, str, str], str]
    rows: Mapping[Rows, str]
    statements: Mapping[str, str]
    #: Who does the work outside: dispatched units.
    units: tuple[str, ...]

    def of(self, state: str) -> tuple[Step, ...]:
        """Return the steps that may be taken in *state*; none where the desk waits."""
        return tuple(step for step in self.steps if step.state == state)

    def after(self, state: str, kind: str, code: str) -> str | None:
        """Return where a message of *kind* leads from *state*; None where it changes nothing."""
        return self.heard.get((state, kind, code), self.heard.get((state, kind, "")))
