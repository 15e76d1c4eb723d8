"""A queue in which whoever brings much waits for themselves: one thing of each owner in turn."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Turns(Generic[_Thing]):
    """
    What waits, by owner; each owner's own things keep their order.

    An owner with one thing waits for one thing of every other, however much those have brought.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_Thing]] = {}
        #: The owners of what waits, the next one first.
        self._turn: deque[str] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, owner: str, thing: _Thing) -> None:
        """Let *thing* wait behind all else of its *owner*."""
        queue = self._waiting.get(owner)
        if queue is None:
            queue = self._waiting[owner] = deque()
            self._turn.append(owner)
        queue.append(thing)
        self._size += 1

    def popleft(self) -> _Thing:
        """Take the oldest thing of the owner whose turn it is; raises `IndexError` if none waits."""
        owner = self._turn.popleft()
        queue = self._waiting[owner]
        thing = queue.popleft()
        self._size -= 1
        if queue:
            self._turn.append(owner)
        else:
            del self._waiting[owner]
        return thing
