"""The door to a platform: one at a time, and what is urgent before whatever else stands there."""

from __future__ import annotations

import threading

import pytest

from adapters.door import Door


def test_the_urgent_goes_before_who_came_first() -> None:
    """Three stand before it while somebody is inside: the urgent one passes first."""
    door, order, threads = Door(), list[str](), list[threading.Thread]()

    def pass_through(name: str, *, urgent: bool) -> None:
        with door.passing(urgent=urgent):
            order.append(name)

    with door.passing():
        for name in ("first", "second", "urgent"):
            urgent = name == "urgent"
            threads.append(
                threading.Thread(target=pass_through, args=(name,), kwargs={"urgent": urgent})
            )
            threads[-1].start()
        pause = threading.Event()
        while not door.urgent:
            pause.wait(0.005)
        assert [] == order
    for thread in threads:
        thread.join(60)

    assert "urgent" == order[0]
    assert {"first", "second", "urgent"} == set(order)
    assert 0 == door.urgent


def test_who_fails_inside_leaves_it_open() -> None:
    """The next one passes."""
    door = Door()
    with pytest.raises(RuntimeError), door.passing(urgent=True):
        raise RuntimeError
    with door.passing():
        assert 0 == door.urgent
