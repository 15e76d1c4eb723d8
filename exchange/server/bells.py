"""
Whom something new waits for: a waiting pull costs one future, and is woken by name.

A bell is listened to *before* the mailbox is looked into, so nothing can come in between unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Bells:
    """The waiting pulls by organisation; all on the event loop's thread."""

    def __init__(self) -> None:
        self._listening: dict[str, set[asyncio.Future[None]]] = {}
        self.closed = False

    def __len__(self) -> int:
        return sum(map(len, self._listening.values()))

    @contextmanager
    def listening(self, organisation: str) -> Iterator[asyncio.Future[None]]:
        """Yield a future that is done once something came for *organisation*, or at the close."""
        bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bells = self._listening.setdefault(organisation, set())
        bells.add(bell)
        if self.closed:
            bell.set_result(None)
        try:
            yield bell
        finally:
            bells.discard(bell)
            if not bells and self._listening.get(organisation) is bells:
                del self._listening[organisation]

    def ring(self, organisations: Iterable[str]) -> None:
        """Wake every pull that waits for one of *organisations*."""
        for organisation in organisations:
            for bell in self._listening.get(organisation, ()):
                if not bell.done():
                    bell.set_result(None)

    def close(self) -> None:
        """Wake everybody, and whoever listens from now on at once."""
        self.closed = True
        self.ring(list(self._listening))
