"""
What a message does to the hand-offs a desk knows.

A platform keeps no rules of the exchange: the bridge refuses what may not be said.  It only has to
follow what was accepted, which is this much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.sqlite_desk.tables import DeskDatabase
from exchange.acts import MOVING_KINDS, Kind
from exchange.ticket import State, own_duty_id

_LEADS_TO = {
    Kind.OFFER: State.OFFERED,
    Kind.TAKE: State.TAKEN,
    Kind.RETURN: State.RETURNING,
    Kind.AGREE: State.RETURNED,
    Kind.REFUSE: State.DISPUTED,
    Kind.RESULT: State.RESOLVED,
    Kind.REOPEN: State.TAKEN,
    Kind.CLOSE: State.CLOSED,
    Kind.RELEASE: State.RETURNED,
}

#: The column that remembers a note's digest until another message names it.
_REMEMBERED = {
    Kind.TAKE_OVER: "taken_over",
    Kind.REQUEST_EXTENSION: "extension",
}

_FIRST_RECEIVER = {"RULING_OUTCOME_FIRST_RECEIVER", 3}
_JOINT = {"RULING_OUTCOME_JOINT", 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A message as far as it moves something; *parallel* says that an offer opens an own duty."""

    kind: Kind
    ticket_id: str
    handoff_id: str
    author: str
    recipient: str
    digest: bytes
    act: Mapping[str, Any]
    parallel: bool = False


def follow(db: DeskDatabase, us: str, step: Step) -> str:
    """Write what *step* does, inside a transaction; return the own duty that it opened for *us*."""
    if step.kind is Kind.CLOSE_TICKET:
        db.run("UPDATE ticket SET closed = 1 WHERE ticket_id = ?", step.ticket_id)
    if step.kind is Kind.OFFER:
        _offer(db, step)
    handoff = db.row("SELECT * FROM handoff WHERE handoff_id = ?", step.handoff_id)
    if handoff is None:
        return ""
    if step.kind in MOVING_KINDS:
        state = _state(step, handoff)
        where = step.handoff_id
        db.run(
            "UPDATE handoff SET state = ?, head = ? WHERE handoff_id = ?", state, step.digest, where
        )
    column = _REMEMBERED.get(step.kind)
    if step.kind is Kind.POSITION and step.author == handoff["receiver"]:
        column = "position"
    if column is not None:
        query = f"UPDATE handoff SET {column} = ? WHERE handoff_id = ?"  # noqa: S608 - our names
        db.run(query, step.digest, step.handoff_id)
    if handoff["sender"] == us and _opens_duty(step, handoff):
        return _open_duty(db, us, step, handoff)
    return ""


def _offer(db: DeskDatabase, step: Step) -> None:
    ticket = db.row("SELECT first_receiver FROM ticket WHERE ticket_id = ?", step.ticket_id)
    first = ticket["first_receiver"] if ticket else step.author
    if step.act.get("onward_of") and first != step.recipient:
        first = step.author  # it stands in the line of the first receiver
    db.run(
        "INSERT INTO handoff (handoff_id, ticket_id, sender, receiver, state, head, "
        "first_receiver) VALUES (?, ?, ?, ?, ?, ?, ?)",
        step.handoff_id,
        step.ticket_id,
        step.author,
        step.recipient,
        int(State.OFFERED),
        step.digest,
        first,
    )


def _state(step: Step, handoff: Mapping[str, Any]) -> int:
    if step.kind is not Kind.RULE:
        return int(_LEADS_TO[step.kind])
    to_sender = handoff["first_receiver"] == handoff["sender"]
    gives_back = step.act.get("outcome") in _FIRST_RECEIVER and to_sender
    return int(State.RETURNED if gives_back else State.TAKEN)


def _opens_duty(step: Step, handoff: Mapping[str, Any]) -> bool:
    if step.kind is Kind.RULE:
        back = _state(step, handoff) == State.RETURNED
        return back or step.act.get("outcome") in _JOINT
    return step.kind in {Kind.AGREE, Kind.TAKE_OVER} or (step.kind is Kind.OFFER and step.parallel)


def _open_duty(db: DeskDatabase, us: str, step: Step, handoff: Mapping[str, Any]) -> str:
    duty = own_duty_id(step.handoff_id, step.digest)
    db.run(
        "INSERT OR IGNORE INTO handoff (handoff_id, ticket_id, sender, receiver, state, head, "
        "own_duty, first_receiver) VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
        duty,
        step.ticket_id,
        us,
        us,
        int(State.TAKEN),
        step.digest,
        handoff["first_receiver"],
    )
    return duty


def undo(db: DeskDatabase, message: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """
    Take back what a refused *message* (a row of ``event``) did, inside a transaction.

    *before* is the hand-off's row as it was; None where the message opened it.  Where the other
    side has moved it meanwhile, what it said stands.
    """
    kind, handoff_id = Kind(message["kind"]), message["handoff_id"]
    if kind is Kind.OPEN_TICKET:
        db.run("DELETE FROM ticket WHERE ticket_id = ?", message["ticket_id"])
    if kind is Kind.CLOSE_TICKET:
        db.run("UPDATE ticket SET closed = 0 WHERE ticket_id = ?", message["ticket_id"])
    duty = own_duty_id(handoff_id, message["digest"])
    db.run("DELETE FROM handoff WHERE handoff_id = ? AND own_duty = 1", duty)
    if before is None:
        db.run("DELETE FROM handoff WHERE handoff_id = ?", handoff_id)
    elif kind not in MOVING_KINDS:
        column = _REMEMBERED.get(kind, "position" if kind is Kind.POSITION else "")
        if column:
            query = f"UPDATE handoff SET {column} = ? WHERE handoff_id = ? AND {column} = ?"  # noqa: S608
            db.run(query, before[column], handoff_id, message["digest"])
    elif _ours_since(db, handoff_id, message["digest"]):
        query = "UPDATE handoff SET state = ?, head = ? WHERE handoff_id = ?"
        db.run(query, before["state"], before["head"], handoff_id)


def _ours_since(db: DeskDatabase, handoff_id: str, digest: bytes) -> bool:
    """Whether the head is *digest*, or only what was said here built on it."""
    handoff = db.row("SELECT head FROM handoff WHERE handoff_id = ?", handoff_id)
    head = handoff["head"] if handoff else b""
    while head and head != digest:
        event = db.row("SELECT previous, answer FROM event WHERE digest = ?", head)
        if event is None or event["answer"] not in {"waiting", "refused", "dropped"}:
            return False
        head = event["previous"]
    return bool(head)
