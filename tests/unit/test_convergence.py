"""Promise 1 and "any order of learning converges": histories of several hand-offs over three copies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.acts import MOVING_KINDS, Act, ClearDanger, Kind, Progress, RulingOutcome
from exchange.errors import PredecessorUnknown
from exchange.lifecycle import answers, may_close, ticket_answers
from exchange.states import NOTES, TABLE
from exchange.ticket import Handoff, Message, State, Ticket, own_duty_id
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

MOVES = sorted(MOVING_KINDS - {Kind.OFFER}, key=lambda k: k.value)
RULINGS = list(RulingOutcome)


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
