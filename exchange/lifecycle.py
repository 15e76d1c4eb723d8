"""
The life cycle of a hand-off: one table, one decider per state, responsibility by the taker's act.

Rule 1: everything that decides what may follow what stands in this file and in the literal tables
of `exchange.states`.  Rule 2: this file knows no region, no catalogue and no clock; what
a region adds are guards, and guards can only refuse (`exchange.rules`).  Rule 3: it gives the same
answer on every copy of the truth, whatever the order in which a copy learns.

**Who decides.**  In every state exactly one side may move the hand-off, so two sides that act at
once cannot disagree.  Everything else is a *note*: it changes no state, its effect is a union of
sets, so notes commute and may come late or twice.

**Who answers.**  The sender answers until the receiver takes it; the receiver answers until the
sender closes it or takes it back.  Where the sender takes it back (`agree`, a ruling, `take_over`)
its *own duty* opens in the same act: a hand-off to oneself, born TAKEN.

**Two judges.**  The *first* bridge judges whether a message may be said now (``first=True``): a
note needs an open hand-off, a result needs the receiver's onward hand-offs done.  Every later copy
(``first=False``) checks the sides, the order and the table only: what the first bridge accepted
has happened, and a copy that knows more by now must not answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from exchange.acts import ClearDanger, Kind, Offer, Position, Progress, Release, Return, Rule
from exchange.acts import RulingOutcome as Outcome
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode, refuse
from exchange.making import maker
from exchange.states import NOTES, OWN_DUTY_MOVES, SAYERS, SENDER, STATES, TABLE, Case, Note
from exchange.text import Text
from exchange.ticket import TERMINAL_STATES, Handoff, Message, Side, State, Ticket, own_duty_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one message does: the hand-off after it, and the own duty it opened, if any."""

    handoff: Handoff
    opened: Handoff | None = None


_new_handoff, _new_change = maker(Handoff), maker(Change)


def nothing_known(digest: bytes) -> bool:  # noqa: ARG001 - the shape of advance's `known`
    """Answer that no earlier message is known: every predecessor but the head is then awaited."""
    return False


def open_handoff(
    message: Message,
    ticket: Ticket,
    *,
    first: bool = True,
    parent: Handoff | None = None,
) -> Change | Refusal:
    """
    Return the hand-off that the offer *message* begins, or why it may not begin.

    An offer with ``parallel_duty`` (R24) opens the sender's own duty in the same act.  *parent* is the
    hand-off that ``onward_of`` names.

    :raises PredecessorUnknown: on the first bridge, if *parent* is named but not given.
    """
    offer = message.act
    if not isinstance(offer, Offer):
        raise TypeError(f"not an offer: {message.kind}")
    if message.author == message.recipient:
        return refuse(RefusalCode.NOT_A_PARTY, "header.recipient", "not_author", NOT_TO_ONESELF)
    if not offer.onward_of and message.author != ticket.origin:
        return refuse(RefusalCode.NOT_A_PARTY, "header.author")
    if first and offer.onward_of:
        if parent is None:
            raise PredecessorUnknown(AWAITED, handoff=offer.onward_of)
        if parent.receiver != message.author or parent.ticket_id != message.ticket_id:
            return refuse(RefusalCode.NOT_A_PARTY, "header.offer.onward_of")
        if parent.state is not State.TAKEN:  # who passes a matter on answers for it
            return refuse(RefusalCode.WRONG_STATE, "header.offer.onward_of")
    # Who hands on what was handed to it stands in the line of the first receiver: a ruling to the
    # first receiver must lead back along that line, on every copy, also where the line's earlier
    # hand-offs were never learned.
    in_line = bool(offer.onward_of) and ticket.first_receiver != message.recipient
    handoff = _new_handoff(
        id=message.handoff_id,
        ticket_id=message.ticket_id,
        sender=message.author,
        receiver=message.recipient,
        state=State.OFFERED,
        head=message.digest,
        offer=offer,
        offered=message.created,
        danger_marks=frozenset({message.digest}) if offer.danger else frozenset(),
        first_receiver=message.author if in_line else ticket.first_receiver,
    )
    opened = _own_duty(handoff, message) if offer.parallel_duty else None
    return _new_change(handoff=handoff, opened=opened)


def advance(
    handoff: Handoff,
    message: Message,
    *,
    known: Callable[[bytes], bool] = nothing_known,
    first: bool = True,
    children: Sequence[Handoff] = (),
) -> Change | Refusal:
    """
    Return what *message*, any kind about a hand-off but the offer, does to *handoff*.

    *known* tells whether a digest is of a message of this ticket that was accepted here; it is
    asked only when a message names something other than the head.  *children* are the hand-offs
    and own duties whose ``onward_of`` is this one; only the first bridge needs them.  An own duty
    in the answer may be known here already; then what is known stands.

    :raises PredecessorUnknown: a message is named that has not arrived here; try again later.
    """
    if message.ticket_id != handoff.ticket_id:
        return refuse(RefusalCode.NOT_A_PARTY, "header.ticket_id", "same_ticket", OTHER_TICKET)
    if message.author == handoff.sender:
        other = handoff.receiver
    elif message.author == handoff.receiver:
        other = handoff.sender
    else:
        return refuse(RefusalCode.NOT_A_PARTY, "header.author")
    if message.recipient != other:
        return refuse(RefusalCode.NOT_A_PARTY, "header.recipient")
    if not any(_stands(handoff, message.author, side) for side in SAYERS[message.kind]):
        return refuse(RefusalCode.NOT_A_PARTY, f"header.{message.kind.value}")
    note = NOTES.get(message.kind)
    if note is not None:
        return _note(handoff, message, note, first=first)
    return _move(handoff, message, known, children if first else ())


def _move(
    handoff: Handoff,
    message: Message,
    known: Callable[[bytes], bool],
    children: Sequence[Handoff],
) -> Change | Refusal:
    """Move the state by the table."""
    at_head = message.previous == handoff.head
    if not at_head and not known(message.previous):
        # Which state it was said in is not known here, so nothing can be decided yet.
        raise PredecessorUnknown(AWAITED, handoff=handoff.id)
    row = TABLE.get((handoff.state, message.kind, _case(handoff, message)))
    if row is None or not _stands(handoff, message.author, row.by):
        return refuse(RefusalCode.WRONG_STATE, f"header.{message.kind.value}")
    if handoff.own_duty and message.kind not in OWN_DUTY_MOVES:
        return refuse(RefusalCode.WRONG_STATE, f"header.{message.kind.value}")
    act = message.act
    taken_over = act.take_over_digest if isinstance(act, Release) else b""
    awaited = row.after_take_over and taken_over not in handoff.take_overs
    if awaited and known(taken_over):
        return refuse(RefusalCode.WRONG_STATE, "header.release.take_over_digest")
    if not at_head:
        return refuse(RefusalCode.SUPERSEDED, "header.previous")
    if awaited:
        raise PredecessorUnknown(AWAITED, handoff=handoff.id)
    if _onward_open(handoff, message.kind, children):
        return refuse(RefusalCode.ONWARD_OPEN, f"header.{message.kind.value}")
    moved = replace(handoff, state=row.to, head=message.digest)
    if isinstance(act, Return):
        moved = replace(moved, return_grounds=handoff.return_grounds | {act.ground})
    return Change(handoff=moved, opened=_own_duty(handoff, message) if row.opens else None)


def _note(handoff: Handoff, message: Message, note: Note, *, first: bool) -> Change | Refusal:
    """Add a note: a union of sets, whatever the state, once the first bridge let it in."""
    if handoff.own_duty and not note.on_own_duty:
        return refuse(RefusalCode.WRONG_STATE, f"header.{message.kind.value}")
    if first and (refusal := _untimely(handoff, message, note)) is not None:
        return refusal
    act, digest = message.act, message.digest
    opened = None
    if message.kind is Kind.TAKE_OVER:
        handoff = replace(handoff, take_overs=handoff.take_overs | {digest})
        opened = _own_duty(handoff, message)
    elif message.kind is Kind.MARK_DANGER:
        handoff = replace(handoff, danger_marks=handoff.danger_marks | {digest})
    elif isinstance(act, ClearDanger):
        handoff = replace(handoff, danger_cleared=handoff.danger_cleared | {act.mark_digest})
    elif message.author == handoff.receiver:
        if isinstance(act, Position):
            position = (digest, int(act.agrees_to))
            handoff = replace(handoff, positions=handoff.positions | {position})
        elif isinstance(act, Progress) and act.mark_digests:
            disposed = handoff.danger_disposed | set(act.mark_digests)
            handoff = replace(handoff, danger_disposed=disposed)
    return Change(handoff=handoff, opened=opened)


def _untimely(handoff: Handoff, message: Message, note: Note) -> Refusal | None:
    """Return why the note may not be said now; a note already said is never untimely."""
    act = message.act
    if handoff.state in TERMINAL_STATES and not (note.on_closed and handoff.state is State.CLOSED):
        return refuse(RefusalCode.WRONG_STATE, f"header.{message.kind.value}")
    if message.kind is Kind.TAKE_OVER and handoff.taken_over:
        return refuse(RefusalCode.WRONG_STATE, f"header.{message.kind.value}")
    if isinstance(act, ClearDanger) and act.mark_digest not in handoff.danger_marks:
        path = "header.clear_danger.mark_digest"
        return refuse(RefusalCode.WRONG_STATE, path, "known_mark", NO_SUCH_MARK)
    if isinstance(act, Progress):
        for place, digest in enumerate(act.mark_digests):
            if digest not in handoff.danger_marks:
                path = f"header.progress.mark_digests[{place}]"
                return refuse(RefusalCode.WRONG_STATE, path, "known_mark", NO_SUCH_MARK)
    return None


def _case(handoff: Handoff, message: Message) -> Case | None:
    """Return which row of `rule` is meant; None for every other kind."""
    act = message.act
    if not isinstance(act, Rule):
        return None
    if act.outcome is Outcome.HANDLER_KEEPS:
        return Case.HANDLER_KEEPS
    if act.outcome is Outcome.JOINT:
        return Case.JOINT
    own = handoff.first_receiver == handoff.sender
    return Case.FIRST_IS_SENDER if own else Case.FIRST_IS_OTHER


def _stands(handoff: Handoff, organisation: str, side: Side) -> bool:
    """Whether *organisation* stands on *side*; on an own duty it stands on both."""
    return organisation == (handoff.sender if side is SENDER else handoff.receiver)


def _onward_open(handoff: Handoff, kind: Kind, children: Sequence[Handoff]) -> bool:
    """
    Whether the receiver still waits for what it handed on.

    A return, too, waits for another's work in progress (the receiver may take that over first),
    but not for the receiver's own duties: these stay with it.
    """
    if kind is not Kind.RESULT and kind is not Kind.RETURN:
        return False
    return any(
        child.sender == handoff.receiver
        and child.state not in TERMINAL_STATES
        and not child.taken_over
        and (kind is Kind.RESULT or not child.own_duty)
        for child in children
        if child.onward_of == handoff.id
    )


def _own_duty(handoff: Handoff, message: Message) -> Handoff:
    """Return the sender's own duty that *message* opens; the same on every copy."""
    return Handoff(
        id=own_duty_id(handoff.id, message.digest),
        ticket_id=handoff.ticket_id,
        sender=handoff.sender,
        receiver=handoff.sender,
        state=State.TAKEN,
        head=message.digest,
        offer=handoff.offer,
        offered=message.created,
        own_duty=True,
        first_receiver=handoff.first_receiver,
    )


def decides(handoff: Handoff) -> str:
    """Return the code of the organisation that takes the next step; empty in a terminal state."""
    return _organisation(handoff, STATES[handoff.state].decides)


def answers(handoff: Handoff) -> str:
    """
    Return the code of the organisation that answers for *handoff*; empty in a terminal state.

    For a RETURNED one the sender answers by its own duty, which is a hand-off of its own.
    """
    return _organisation(handoff, STATES[handoff.state].answers)


def _organisation(handoff: Handoff, side: Side | None) -> str:
    if side is None:
        return ""
    return handoff.sender if side is SENDER else handoff.receiver


def ticket_answers(ticket: Ticket, handoffs: Sequence[Handoff]) -> tuple[str, ...]:
    """
    Return the organisations that answer for *ticket*, each once, in the order of *handoffs*.

    Never empty while the ticket is open: where no hand-off is open, its origin answers.
    """
    if ticket.closed:
        return ()
    answering = dict.fromkeys(code for h in handoffs if (code := answers(h)))
    return tuple(answering) or (ticket.origin,)


def may_close(ticket: Ticket, handoffs: Sequence[Handoff], author: str) -> Refusal | None:
    """
    Return why *author* may not close *ticket* now; the first bridge alone asks.

    Every hand-off must be closed, returned or taken over, every own duty done.  Whatever was
    handed on below a taken-over hand-off does not count: a silent peer never blocks.
    """
    if ticket.closed:
        return refuse(RefusalCode.TICKET_CLOSED, "header.ticket_id")
    if author != ticket.origin:
        return refuse(RefusalCode.NOT_ORIGIN, "header.author")
    by_id = {h.id: h for h in handoffs}
    for handoff in handoffs:
        if handoff.state not in TERMINAL_STATES and not _excused(handoff, by_id):
            text = STILL_OPEN.fill(id=handoff.id)
            return refuse(RefusalCode.HANDOFF_OPEN, "header.ticket_id", "handoff_open", text)
    return None


def _excused(handoff: Handoff, by_id: dict[str, Handoff]) -> bool:
    """Whether *handoff*, or one above it on its way, was taken over."""
    seen: set[str] = set()
    at: Handoff | None = handoff
    while at is not None and at.id not in seen:
        if at.taken_over:
            return True
        seen.add(at.id)
        at = by_id.get(at.onward_of)
    return False


AWAITED = Text(
    en="An earlier message that this one names has not arrived here yet; try again later.",
    zh="所引用的前一消息尚未到达，请稍后重试。",
)
STILL_OPEN = Text(
    en="Hand-off {id} is still open.",
    zh="移交 {id} 尚未办结。",
)
NOT_TO_ONESELF = Text(
    en="Nothing is offered to oneself; an own duty opens by the act that causes it.",
    zh="不得向本机构移交；自办由引起它的消息自动产生。",
)
OTHER_TICKET = Text(
    en="The hand-off belongs to another ticket.",
    zh="该移交属于另一单。",
)
NO_SUCH_MARK = Text(
    en="No danger mark of this hand-off has this digest.",
    zh="该移交没有此摘要对应的危险标记。",
)
