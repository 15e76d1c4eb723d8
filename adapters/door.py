"""The door to a platform: one thing at a time, and the urgent before whatever else stands there."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from exchange.acts import Urgency
from exchange.client import IncomingItem, IncomingMessage


class Door:
    """
    A lock that lets what is urgent in first.

    A plain lock would go to whoever asks again at once: the one with hundreds of things to hand over.
    """

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._inside = False
        #: How many that are urgent stand before it.
        self.urgent = 0

    @contextmanager
    def passing(self, *, urgent: bool = False) -> Iterator[None]:
        """Be the only one inside for the length of the block."""
        with self._moved:
            self.urgent += urgent
            try:
                self._moved.wait_for(lambda: not self._inside and (urgent or not self.urgent))
            finally:
                self.urgent -= urgent
            self._inside = True
        try:
            yield
        finally:
            with self._moved:
                self._inside = False
                self._moved.notify_all()


def urgent_lanes(items: Iterable[IncomingItem]) -> frozenset[str]:
    """Return the lanes in which something urgent came; what stands before it there goes with it."""
    return frozenset(
        item.lane
        for item in items
        if isinstance(item, IncomingMessage) and item.message.urgency >= Urgency.URGENT
    )
