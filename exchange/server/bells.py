"""
Whom something new waits for: a waiting pull costs one listener, and is woken by name.

A listener is ready *before* the mailbox is looked into, so nothing can come in between unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager


class Listener:
    """One pull from its beginning to its answer; *urgent* if it wants urgent lanes alone."""

    def __init__(self, *, urgent: bool = False) -> None:
        self.urgent = urgent
        self._rung = asyncio.get_running_loop().create_future()
        #: Done once what the newest ring announced is on its way to the caller, or was not for it.
        self.served: asyncio.Future[None] | None = None

    def ready(self) -> None:
        """Listen from now on: what rings later is heard."""
        if self._rung.done():
            self._rung = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> None:
        """Wait for the ring, at most so long; what rang since `ready` counts."""
        self.serve()
        await asyncio.wait([self._rung], timeout=seconds)

    def ring(self) -> None:
        """Wake it."""
        if not self._rung.done():
            self._rung.set_result(None)
            self.served = self.served or asyncio.get_running_loop().create_future()

    def serve(self) -> None:
        """Tell those who wait for it that it was answered, or goes on waiting."""
        if self.served is not None:
            self.served.set_result(None)
            self.served = None


class Bells:
    """The waiting pulls by organisation; all on the event loop's thread."""

    def __init__(self) -> None:
        self._listening: dict[str, set[Listener]] = {}
        self.closed = False
        #: Told of every ring where other bridges have listeners, too.
        self.abroad: Callable[[Iterable[str]], None] | None = None

    def __len__(self) -> int:
        """Return how many listen."""
        every = list(self._listening.values())  # asked for by other threads, too
        return len(set[Listener]().union(*every))

    @contextmanager
    def listening(self, *organisations: str, urgent: bool = False) -> Iterator[Listener]:
        """Yield a listener that hears when something came for *organisations*, and the close."""
        listener = Listener(urgent=urgent)
        for organisation in organisations:
            self._listening.setdefault(organisation, set()).add(listener)
        try:
            yield listener
        finally:
            listener.serve()
            for organisation in organisations:
                listeners = self._listening[organisation]
                listeners.discard(listener)
                if not listeners:
                    del self._listening[organisation]

    def ring(self, organisations: Iterable[str], urgent: Container[str] | None = None) -> None:
        """
        Wake every pull that waits for one of *organisations*, wherever it waits.

        With *urgent* those that want urgent lanes alone only for these.
        """
        self.hear(organisations, urgent)
        if self.abroad is not None:
            self.abroad(organisations)

    def organisations(self) -> frozenset[str]:
        """Return for whom pulls wait here."""
        return frozenset(self._listening)

    def hear(self, organisations: Iterable[str], urgent: Container[str] | None = None) -> None:
        """Wake every pull that waits here for one of *organisations*, as `ring`."""
        for organisation in organisations:
            for listener in self._listening.get(organisation, ()):
                if not listener.urgent or urgent is None or organisation in urgent:
                    listener.ring()

    async def served(self, seconds: float) -> None:
        """Wait until every pull that was woken is answered, or waits again; at most so long."""
        under_way = {
            listener.served
            for listeners in self._listening.values()
            for listener in listeners
            if listener.served is not None
        }
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)

    def close(self) -> None:
        """Wake everybody; nobody waits from now on."""
        self.closed = True
        self.hear(list(self._listening))
