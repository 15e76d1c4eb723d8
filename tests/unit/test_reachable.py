"""Promise 1 over two copies of one hand-off that learn late: every reachable state is looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import pytest

from exchange.acts import MOVING_KINDS, Kind, RulingOutcome
from exchange.errors import PredecessorUnknown
from exchange.lifecycle import answers, may_close
from exchange.ticket import TERMINAL_STATES, Message
from tests.unit.stories import (
    HOTLINE,
    OFFER,
    POLICE,
    Copy,
    handoff_id,
    reply,
    say,
    ticket,
)

SENDER, RECEIVER = POLICE, HOTLINE
MOVES = sorted(MOVING_KINDS - {Kind.OFFER}, key=lambda k: k.value)
RULINGS = list(RulingOutcome)

#: How many states two copies of one hand-off reach, by whether the sender is the first receiver;
#: a change of the table that changes these is to be looked at.
REACHABLE = {True: 78, False: 80}


@dataclass
class World:
    """Two copies of one hand-off, the sender's and the receiver's, and what is under way."""

    sender: Copy
    receiver: Copy
    to_receiver: list[Message] = field(default_factory=list)
    to_sender: list[Message] = field(default_factory=list)

    def copy(self) -> World:
        """Return a world that can go on by itself."""
        return World(
            Copy(self.sender.ticket, dict(self.sender.handoffs), set(self.sender.digests)),
            Copy(self.receiver.ticket, dict(self.receiver.handoffs), set(self.receiver.digests)),
            list(self.to_receiver),
            list(self.to_sender),
        )

    def key(self, *, duties: bool) -> Hashable:
        """Return what the future depends on: states and what is under way, not digests."""

        def of(copy: Copy) -> Hashable:
            main = copy.handoffs.get(handoff_id(1))
            owned = frozenset(h.state for h in copy.handoffs.values() if h.own_duty)
            return main and main.state, main and main.taken_over, owned if duties else None

        def way(queue: list[Message]) -> Hashable:
            return tuple((m.kind, getattr(m.act, "outcome", None)) for m in queue)

        return of(self.sender), of(self.receiver), way(self.to_receiver), way(self.to_sender)

    def quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self.to_receiver and not self.to_sender


def begin(first_receiver: str) -> World:
    """Return the world in which the sender's bridge has accepted its offer."""
    about = ticket(origin=SENDER, first_receiver=first_receiver)
    world = World(Copy(about), Copy(about))
    offer = say(Kind.OFFER, SENDER, RECEIVER, act=OFFER)
    assert world.sender.apply(offer, first=True) is None
    world.to_receiver.append(offer)
    return world


def steps(world: World, *, duties: bool) -> Iterator[tuple[str, World]]:
    """Yield every world that one act or one arrival leads to; an arrival must apply."""
    for name in ("to_receiver", "to_sender"):
        if getattr(world, name):
            after = world.copy()
            message = getattr(after, name).pop(0)
            copy = after.receiver if name == "to_receiver" else after.sender
            refusal = copy.apply(message, first=False)
            assert refusal is None, f"{message.kind} arrives where it cannot apply: {refusal}"
            yield f"{message.kind.value} arrives", after
    for author in (SENDER, RECEIVER):
        own = world.sender if author == SENDER else world.receiver
        for handoff in list(own.handoffs.values()):
            if handoff.own_duty and (not duties or author != SENDER):
                continue
            for kind in (*MOVES, Kind.TAKE_OVER):
                for outcome in RULINGS if kind is Kind.RULE else [None]:
                    after = world.copy()
                    copy = after.sender if author == SENDER else after.receiver
                    message = reply(
                        kind, handoff, author, outcome=outcome, number=len(copy.digests)
                    )
                    try:
                        refusal = copy.apply(message, first=True)
                    except PredecessorUnknown:  # a release without a take-over
                        continue
                    if refusal is not None:
                        continue
                    if not handoff.own_duty:
                        way = after.to_receiver if author == SENDER else after.to_sender
                        way.append(message)
                    yield kind.value, after


def explore(first_receiver: str, *, duties: bool) -> dict[Hashable, list[Hashable]]:
    """Check every reachable world and return who leads to whom."""
    start = begin(first_receiver)
    leads: dict[Hashable, list[Hashable]] = {}
    todo = [start]
    seen = {start.key(duties=duties)}
    while todo:
        world = todo.pop()
        somebody_answers(world)
        key = world.key(duties=duties)
        leads[key] = []
        for _, after in steps(world, duties=duties):
            next_key = after.key(duties=duties)
            leads[key].append(next_key)
            if next_key not in seen:
                seen.add(next_key)
                todo.append(after)
    return leads


def responsible(copy: Copy) -> set[str]:
    """Return who answers by a hand-off or own duty on this copy, without the origin's backstop."""
    return {code for h in copy.handoffs.values() if (code := answers(h))}


def somebody_answers(world: World) -> None:
    """Hold promise 1 against *world*, and convergence where nothing is under way."""
    about = world.sender.ticket
    done = may_close(about, list(world.sender.handoffs.values()), SENDER) is None
    for copy in (world.sender, world.receiver):
        if copy.handoffs:
            over = may_close(about, list(copy.handoffs.values()), SENDER) is None
            assert over or responsible(copy), "a copy on which an open matter has no answerer"
    # Stronger: somebody knows on its *own* copy that it is the one.
    knows = SENDER in responsible(world.sender) or RECEIVER in responsible(world.receiver)
    assert done or knows, "each side believes that the other answers"
    if world.quiet():
        ours, theirs = (c.handoffs[handoff_id(1)] for c in (world.sender, world.receiver))
        assert ours == theirs, "nothing is under way and the copies differ"


@pytest.mark.parametrize("first_receiver", [SENDER, RECEIVER])
@pytest.mark.parametrize("duties", [False, True])
def test_in_every_reachable_state_of_two_copies_somebody_answers(
    first_receiver: str, duties: bool
) -> None:
    """Every state is reached and checked, and from each the hand-off can still end on both copies."""
    leads = explore(first_receiver, duties=duties)
    if not duties:
        assert len(leads) == REACHABLE[first_receiver == SENDER]
    comes_from = defaultdict(list)
    for key, after in leads.items():
        for next_key in after:
            comes_from[next_key].append(key)
    todo = [key for key in leads if ended(key)]
    assert todo
    can_end = set(todo)
    while todo:
        for before in comes_from[todo.pop()]:
            if before not in can_end:
                can_end.add(before)
                todo.append(before)
    assert set(leads) == can_end, "a state from which the hand-off cannot end"


def ended(key: Hashable) -> bool:
    """Whether a key is of a world where both copies are terminal and nothing is under way."""
    assert isinstance(key, tuple)
    (ours, *_), (theirs, *_), *ways = key
    return ours in TERMINAL_STATES and theirs in TERMINAL_STATES and not any(ways)
