"""Who brings much waits for themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.server.turns import Turns


def test_one_thing_waits_for_one_of_every_other() -> None:
    """Whoever has brought a thousand things has one taken before the other's one."""
    turns: Turns[int] = Turns()
    for number in range(1000):
        turns.append("noisy", number)
    turns.append("quiet", -1)

    assert [turns.popleft() for _ in range(3)] == [0, -1, 1]
    assert len(turns) == 998


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc"))))
def test_nothing_is_lost_and_each_owners_order_is_kept(steps: list[str | None]) -> None:
    """Whatever comes and is taken in between: an owner's things leave once, in their order."""
    turns: Turns[tuple[str, int]] = Turns()
    came: dict[str, list[int]] = {}
    left: dict[str, list[int]] = {}
    for number, owner in enumerate(steps):
        if owner is not None:
            turns.append(owner, (owner, number))
            came.setdefault(owner, []).append(number)
        elif len(turns):
            whose, which = turns.popleft()
            left.setdefault(whose, []).append(which)
    while len(turns):
        whose, which = turns.popleft()
        left.setdefault(whose, []).append(which)

    assert left == came


def test_an_empty_queue_has_nobodys_turn() -> None:
    """Taking from nothing is an error, and changes nothing."""
    turns: Turns[int] = Turns()
    with pytest.raises(IndexError):
        turns.popleft()
    turns.append("a", 1)
    assert turns.popleft() == 1
