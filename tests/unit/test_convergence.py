"""
Promises 1 and "any order of learning converges", over copies of the truth that learn late.

First every reachable state of one hand-off and two copies; then random histories of several
hand-offs over three copies, with own duties, take-overs and hand-offs that are handed on.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.acts import MOVING_KINDS, Act, ClearDanger, Kind, Progress, RulingOutcome
from exchange.errors import PredecessorUnknown
from exchange.lifecycle import answers, may_close, ticket_answers
from exchange.states import NOTES, TABLE
from exchange.ticket import TERMINAL_STATES, Handoff, Message, State, Ticket, own_duty_id
from tests.unit.stories import (
    COUNTY,
    HOTLINE,
    OFFER,
    POLICE,
    Copy,
    handoff_id,
    learn,
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


# -- one hand-off, two copies, every state


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


# -- several hand-offs, three copies, any order

ORGANISATIONS = (COUNTY, POLICE, HOTLINE)
NOTE_KINDS = sorted(NOTES, key=lambda kind: kind.value)


@dataclass
class City:
    """A county desk, the city's police desk and the hotline, each with its own copy."""

    about: Ticket = field(default_factory=lambda: ticket(origin=COUNTY))
    copies: dict[str, Copy] = field(default_factory=dict)
    under_way: dict[str, list[Message]] = field(default_factory=dict)
    said: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        for code in ORGANISATIONS:
            self.copies[code] = Copy(self.about)
            self.under_way[code] = []

    def speak(self, message: Message) -> bool:
        """Let the author's own bridge judge *message*; what it accepts is then under way."""
        try:
            refusal = self.copies[message.author].apply(message, first=True)
        except PredecessorUnknown:
            return False
        if refusal is not None:
            return False
        self.said.append(message)
        for code in ORGANISATIONS:
            if code != message.author:
                self.under_way[code].append(message)
        return True

    def offer(self, author: str, choice: int) -> bool:
        """Offer to another, as the origin or onward of what *author* holds."""
        others = [code for code in ORGANISATIONS if code != author]
        held = [
            h.id
            for h in self.copies[author].handoffs.values()
            if h.receiver == author and h.state is State.TAKEN
        ]
        onward = [*held, ""][choice % (len(held) + 1)]
        number = len(self.said) + 1
        return self.speak(
            say(
                Kind.OFFER,
                author,
                others[choice % 2],
                on=handoff_id(number),
                act=replace(
                    OFFER,
                    onward_of=onward,
                    danger=choice % 3 == 0,
                    parallel_duty=choice % 5 == 0,
                ),
                number=number,
            )
        )

    def act(self, author: str, choice: int) -> bool:
        """Say something that moves or notes a hand-off which *author* is a side of."""
        mine = [h for h in self.copies[author].handoffs.values() if h.side_of(author)]
        if not mine:
            return False
        handoff = mine[choice % len(mine)]
        # Mostly a move that the table has here, else a note, so that histories get somewhere.
        moves = [kind for state, kind, _ in TABLE if state is handoff.state]
        kinds = NOTE_KINDS if choice % 11 < 4 or not moves else moves
        kind = kinds[choice // 11 % len(kinds)]
        outcome = RULINGS[choice // 997 % 3] if kind is Kind.RULE else None
        what = self.about_danger(kind, sorted(handoff.danger_marks), choice // 997)
        number = len(self.said)
        return self.speak(reply(kind, handoff, author, outcome=outcome, act=what, number=number))

    @staticmethod
    def about_danger(kind: Kind, marks: list[bytes], choice: int) -> Act | None:
        """Return a statement of the disposal of some *marks*, or the clearing of one of them."""
        if kind is Kind.PROGRESS:
            some = tuple(mark for place, mark in enumerate(marks[:16]) if choice >> place & 1)
            return Progress(mark_digests=some)
        if kind is Kind.CLEAR_DANGER and marks:
            return ClearDanger(mark_digest=marks[choice % len(marks)])
        return None

    def arrive(self, code: str, choice: int) -> None:
        """Let one message that is under way arrive, perhaps too early."""
        if self.under_way[code]:
            message = self.under_way[code].pop(choice % len(self.under_way[code]))
            try:
                refusal = self.copies[code].apply(message, first=False)
            except PredecessorUnknown:
                self.under_way[code].append(message)
            else:
                assert refusal is None, f"{message.kind} cannot apply at {code}: {refusal}"

    def all_answered(self) -> None:
        """Hold promise 1 for every hand-off on every copy, and between a hand-off's two sides."""
        for copy in self.copies.values():
            assert ticket_answers(self.about, list(copy.handoffs.values()))
            for handoff in copy.handoffs.values():
                if handoff.state is State.RETURNED:
                    assert opened_by(copy, handoff), "returned to nobody"
        for number in {number for copy in self.copies.values() for number in copy.handoffs}:
            self.held(number)

    def held(self, handoff: str) -> None:
        """Check that one of the two sides knows on its own copy that it holds *handoff*."""
        known = next(c.handoffs[handoff] for c in self.copies.values() if handoff in c.handoffs)
        ours = self.copies[known.sender].handoffs[handoff]
        theirs = self.copies[known.receiver].handoffs.get(handoff)
        assert (
            ours.state is State.CLOSED
            or answers(ours) == known.sender
            or (theirs is not None and answers(theirs) == known.receiver)
            or opened_by(self.copies[known.sender], ours)
        ), "each side believes that the other answers"


def opened_by(copy: Copy, handoff: Handoff) -> bool:
    """Whether the act that took *handoff* back opened its sender's own duty on this copy."""
    causes = {handoff.head, *handoff.take_overs}
    return any(own_duty_id(handoff.id, cause) in copy.handoffs for cause in causes)


def live(city: City, steps: Iterable[tuple[int, str, int]], seed: int) -> dict[str, Handoff]:
    """Let *city* live through *steps*, checking each; return what every copy knows at the end."""
    city.offer(COUNTY, 1)
    for what, code, choice in steps:
        if what == 0:
            city.offer(code, choice)
        elif what <= 5:
            city.act(code, choice)
        else:
            city.arrive(code, choice)
        city.all_answered()
    while any(city.under_way.values()):
        for code in ORGANISATIONS:
            city.arrive(code, 0)
            city.all_answered()
    first, *others = (copy.handoffs for copy in city.copies.values())
    assert all(other == first for other in others)
    shuffled = list(city.said)
    for _ in range(2):
        random.Random(seed).shuffle(shuffled)
        assert learn(city.about, shuffled) == first
    return first


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(ORGANISATIONS), st.integers(0, 2**24)),
        min_size=10,
        max_size=60,
    ),
    seed=st.integers(0, 2**32),
)
def test_any_history_is_answered_for_and_any_order_of_learning_converges(
    steps: list[tuple[int, str, int]], seed: int
) -> None:
    """Several hand-offs, onward ones, own duties and take-overs over three copies that learn late."""
    live(City(), steps, seed)


def test_long_histories_reach_every_row_and_note_and_converge() -> None:
    """Deeper than shrinking examples go; together they say everything that can be said."""
    said: set[tuple[Kind, object]] = set()
    stated = cleared = waiting = 0
    for seed in range(40):
        dice = random.Random(seed)
        steps = [
            (
                dice.randrange(1, 10) if n % 25 else 0,
                dice.choice(ORGANISATIONS),
                dice.randrange(2**24),
            )
            for n in range(220)
        ]
        city = City()
        for known in live(city, steps, seed).values():
            stated += bool(known.danger_disposed)
            cleared += bool(known.danger_cleared)
            waiting += bool(known.danger_disposed and known.danger_unattended)
        said |= {(m.kind, getattr(m.act, "outcome", None)) for m in city.said}
    assert stated > waiting > 0, "a mark that was stated while another still waits"
    assert cleared
    rulings = {(Kind.RULE, outcome) for outcome in RULINGS}
    assert said == rulings | {(k, None) for k in {*MOVES, *NOTE_KINDS, Kind.OFFER} - {Kind.RULE}}


def tell(city: City, kind: Kind, author: str, handoff: str, **what: object) -> str:
    """Say *kind* on *handoff*, let everybody learn it, and return the own duty it opened, if any."""
    copy = city.copies[author]
    before = set(copy.handoffs)
    message = reply(kind, copy.handoffs[handoff], author, number=len(city.said), **what)  # type: ignore[arg-type]
    assert city.speak(message), (kind, author)
    for code in ORGANISATIONS:
        while city.under_way[code]:
            city.arrive(code, 0)
    return next(iter(set(copy.handoffs) - before), "")


def begun(author: str, recipient: str, city: City, number: int, onward: str = "") -> str:
    """Offer and take a hand-off, and return its id."""
    act = replace(OFFER, onward_of=onward)
    assert city.speak(say(Kind.OFFER, author, recipient, on=handoff_id(number), act=act))
    for code in ORGANISATIONS:
        city.arrive(code, 0)
    tell(city, Kind.TAKE, recipient, handoff_id(number))
    return handoff_id(number)


def joint_then_returned() -> City:
    """A joint ruling, its own duty done early, and then the handler returns its part after all."""
    city = City()
    one = begun(COUNTY, HOTLINE, city, 1)
    tell(city, Kind.RETURN, HOTLINE, one)
    tell(city, Kind.REFUSE, COUNTY, one)
    duty = tell(city, Kind.RULE, COUNTY, one, outcome=RulingOutcome.JOINT)
    tell(city, Kind.RESULT, COUNTY, duty)
    tell(city, Kind.CLOSE, COUNTY, duty)
    tell(city, Kind.RETURN, HOTLINE, one)
    tell(city, Kind.AGREE, COUNTY, one)
    return city


def relayed() -> City:
    """County to city to hotline; the city takes back from a silent hotline and does it itself."""
    city = City()
    one = begun(COUNTY, POLICE, city, 1)
    two = begun(POLICE, HOTLINE, city, 2, onward=one)
    duty = tell(city, Kind.TAKE_OVER, POLICE, two)
    tell(city, Kind.RELEASE, HOTLINE, two)
    tell(city, Kind.RESULT, POLICE, duty)
    tell(city, Kind.CLOSE, POLICE, duty)
    tell(city, Kind.RESULT, POLICE, one)
    return city


def crossing() -> City:
    """Danger marked and cleared, a take-over and a release, while the handler already works."""
    city = City()
    one = begun(COUNTY, POLICE, city, 1)
    tell(city, Kind.MARK_DANGER, COUNTY, one)
    tell(city, Kind.PROGRESS, POLICE, one)
    tell(city, Kind.CLEAR_DANGER, POLICE, one)
    tell(city, Kind.TAKE_OVER, COUNTY, one)
    tell(city, Kind.RELEASE, POLICE, one)
    return city


def dangers() -> City:
    """Danger marked, stated, marked anew; the first is cleared, then the second stated as well."""
    city = City()
    one = begun(COUNTY, POLICE, city, 1)
    for author in (COUNTY, POLICE):
        tell(city, Kind.MARK_DANGER, author, one)
        (mark,) = city.copies[POLICE].handoffs[one].danger_unattended
        tell(city, Kind.PROGRESS, POLICE, one, act=Progress(mark_digests=(mark,)))
    tell(city, Kind.CLEAR_DANGER, COUNTY, one)
    return city


def test_a_late_return_after_an_early_done_joint_duty_is_answered_for() -> None:
    """Were both duties one, the county's would be closed already and nobody would answer."""
    city = joint_then_returned()
    handoffs = list(city.copies[COUNTY].handoffs.values())
    duties = [h.state for h in handoffs if h.own_duty]
    assert sorted(duties) == [State.TAKEN, State.CLOSED]
    assert ticket_answers(city.about, handoffs) == (COUNTY,)
    refusal = may_close(city.about, handoffs, COUNTY)
    assert refusal is not None


def test_a_relay_gives_no_result_before_what_it_handed_on_is_done() -> None:
    """The city desk cannot answer the county while the hotline, or its own duty, still works."""
    city = City()
    one = begun(COUNTY, POLICE, city, 1)
    two = begun(POLICE, HOTLINE, city, 2, onward=one)
    police = city.copies[POLICE]
    assert not city.speak(reply(Kind.RESULT, police.handoffs[one], POLICE))
    duty = tell(city, Kind.TAKE_OVER, POLICE, two)
    assert not city.speak(reply(Kind.RESULT, police.handoffs[one], POLICE))
    tell(city, Kind.RESULT, POLICE, duty)
    tell(city, Kind.CLOSE, POLICE, duty)
    assert city.speak(reply(Kind.RESULT, police.handoffs[one], POLICE))


@pytest.mark.parametrize("story", [joint_then_returned, relayed, crossing, dangers])
def test_every_order_of_learning_a_history_gives_the_same_hand_offs(
    story: Callable[[], City],
) -> None:
    """All orders for short histories; every order of the last seven messages for longer ones."""
    city = story()
    expected = city.copies[COUNTY].handoffs
    head, tail = city.said[:-7], city.said[-7:]
    for order in permutations(tail):
        assert learn(city.about, [*order, *reversed(head)]) == expected


def test_every_note_learned_twice_is_learned_once() -> None:
    """Notes are unions of sets: a repeat changes nothing."""
    city = crossing()
    expected = city.copies[COUNTY].handoffs
    notes = [m for m in city.said if m.kind in NOTES]
    copy = Copy(city.about, dict(expected), {m.digest for m in city.said})
    for message in notes:
        assert copy.apply(message, first=False) is None
    assert copy.handoffs == expected
