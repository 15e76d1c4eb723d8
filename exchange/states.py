"""
The states of a hand-off and what moves them: the literal tables, and their pictures.

Who decides and who answers are columns; the diagrams of the documents are drawn from here, and the
tests enumerate from here everything that is refused.  `exchange.lifecycle` applies the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from exchange.acts import MOVING_KINDS, Kind
from exchange.ticket import TERMINAL_STATES, Side, State

SENDER, RECEIVER = Side.SENDER, Side.RECEIVER
EITHER = frozenset({SENDER, RECEIVER})


class Case(Enum):
    """What a ruling comes to on one hand-off; it tells apart the rows of `rule`."""

    HANDLER_KEEPS = "the handler keeps it"
    JOINT = "both do their part"
    FIRST_IS_SENDER = "first receiver, which is the sender"
    FIRST_IS_OTHER = "first receiver, which is not the sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one state: who takes the next step and who answers; None is nobody."""

    decides: Side | None
    answers: Side | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One move: who may say it, where it leads, and whether it opens the sender's own duty."""

    by: Side
    to: State
    opens: bool = False
    after_take_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One kind of note: who may say it, and whether a closed hand-off or an own duty knows it."""

    by: frozenset[Side] = EITHER
    on_closed: bool = False
    on_own_duty: bool = True


STATES: dict[State, Standing] = {
    State.OFFERED: Standing(decides=RECEIVER, answers=SENDER),  # 首接负责: not yet taken
    State.TAKEN: Standing(decides=RECEIVER, answers=RECEIVER),
    State.RETURNING: Standing(decides=SENDER, answers=RECEIVER),  # its measures stand (R21)
    State.DISPUTED: Standing(decides=SENDER, answers=RECEIVER),
    State.RESOLVED: Standing(decides=SENDER, answers=RECEIVER),
    State.RETURNED: Standing(decides=None, answers=None),  # the sender, by its own duty
    State.CLOSED: Standing(decides=None, answers=None),
}

TABLE: dict[tuple[State, Kind, Case | None], Row] = {
    (State.OFFERED, Kind.TAKE, None): Row(by=RECEIVER, to=State.TAKEN),
    (State.OFFERED, Kind.RELEASE, None): Row(by=RECEIVER, to=State.RETURNED, after_take_over=True),
    # A return needs TAKEN on purpose: who looks at a matter holds it meanwhile.
    (State.TAKEN, Kind.RESULT, None): Row(by=RECEIVER, to=State.RESOLVED),
    (State.TAKEN, Kind.RETURN, None): Row(by=RECEIVER, to=State.RETURNING),
    (State.TAKEN, Kind.RELEASE, None): Row(by=RECEIVER, to=State.RETURNED, after_take_over=True),
    (State.RETURNING, Kind.AGREE, None): Row(by=SENDER, to=State.RETURNED, opens=True),
    (State.RETURNING, Kind.REFUSE, None): Row(by=SENDER, to=State.DISPUTED),
    (State.DISPUTED, Kind.RULE, Case.HANDLER_KEEPS): Row(by=SENDER, to=State.TAKEN),
    (State.DISPUTED, Kind.RULE, Case.JOINT): Row(by=SENDER, to=State.TAKEN, opens=True),
    (State.DISPUTED, Kind.RULE, Case.FIRST_IS_SENDER): Row(
        by=SENDER, to=State.RETURNED, opens=True
    ),
    (State.DISPUTED, Kind.RULE, Case.FIRST_IS_OTHER): Row(by=SENDER, to=State.TAKEN),
    (State.RESOLVED, Kind.REOPEN, None): Row(by=SENDER, to=State.TAKEN),
    (State.RESOLVED, Kind.CLOSE, None): Row(by=SENDER, to=State.CLOSED),
}

NOTES: dict[Kind, Note] = {
    Kind.PROGRESS: Note(),
    Kind.POSITION: Note(on_own_duty=False),
    Kind.SUPPLEMENT: Note(),  # each side only its own part; both are shown
    Kind.SUPERVISE: Note(on_own_duty=False),
    Kind.VISIT: Note(on_closed=True),  # S3 visits after closing
    Kind.EVALUATE: Note(on_closed=True),
    Kind.CALL: Note(),
    Kind.TAKE_OVER: Note(by=frozenset({SENDER}), on_own_duty=False),
    Kind.REQUEST_EXTENSION: Note(by=frozenset({RECEIVER}), on_own_duty=False),
    Kind.GRANT_EXTENSION: Note(by=frozenset({SENDER}), on_own_duty=False),
    Kind.MARK_DANGER: Note(),
    Kind.CLEAR_DANGER: Note(),
    Kind.EMERGENCY: Note(),
}

#: The moves an own duty knows; it cannot be returned: it is where a return ends.
OWN_DUTY_MOVES = frozenset({Kind.RESULT, Kind.REOPEN, Kind.CLOSE})

#: Which sides may ever say a kind; to anybody else it is not theirs to say in any state.
SAYERS: dict[Kind, frozenset[Side]] = {kind: note.by for kind, note in NOTES.items()} | {
    kind: frozenset(row.by for key, row in TABLE.items() if key[1] is kind)
    for kind in MOVING_KINDS
    if kind is not Kind.OFFER
}


def as_rows() -> list[tuple[str, str, str, str]]:
    """Return the table for the documents: state, who decides, who answers, the moves."""
    rows = []
    for state, standing in STATES.items():
        moves = [f"{_label(key)} → {row.to.name}" for key, row in TABLE.items() if key[0] is state]
        rows.append(
            (
                state.name,
                standing.decides.value if standing.decides else "–",
                standing.answers.value if standing.answers else "–",
                " · ".join(moves) or "terminal",
            )
        )
    return rows


def mermaid() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> OFFERED: offer", "    [*] --> TAKEN: own duty"]
    lines += [f"    {key[0].name} --> {row.to.name}: {_label(key)}" for key, row in TABLE.items()]
    lines += [f"    {s.name} --> [*]" for s in STATES if s in TERMINAL_STATES]
    return "\n".join(lines) + "\n"


def _label(key: tuple[State, Kind, Case | None]) -> str:
    row, case = TABLE[key], key[2]
    facts = [case.value] if case else []
    facts += ["own duty opens"] if row.opens else []
    facts += ["after a take-over"] if row.after_take_over else []
    return key[1].value + (f" ({', '.join(facts)})" if facts else "")
