"""When what could not be done is tried again: ever more seldom, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from adapters.notes import told
from exchange.text import Text

_FIRST, _SLOWEST = timedelta(seconds=1), timedelta(minutes=1)


class Later:
    """What waits, by its id: until when, after which pause, and what failed."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._until: dict[str, tuple[datetime, timedelta]] = {}
        self._troubles: dict[str, Text] = {}

    def due(self, name: str) -> bool:
        """Return whether *name* is to be tried now."""
        now = self._clock()
        at, pause = self._until.get(name, (now, _FIRST))
        return at <= now or at - now > pause  # a clock that was set back does not make it longer

    def wait(self, name: str) -> None:
        """Let *name* wait, twice as long as before."""
        self._troubles.pop(name, None)
        _, pause = self._until.get(name, (None, _FIRST / 2))
        pause = min(pause * 2, _SLOWEST)
        self._until[name] = (self._clock() + pause, pause)

    def fail(self, name: str, failure: Exception) -> None:
        """Let *name* wait because of *failure*, which is told as `trouble` until *name* is done."""
        self.wait(name)
        why = told(failure)
        self._troubles[name] = Text(
            en=_FAILS.en.format(name=name, why=why.en), zh=_FAILS.zh.format(name=name, why=why.zh)
        )

    def done(self, name: str) -> None:
        """Forget *name*, which waits no more."""
        self._until.pop(name, None)
        self._troubles.pop(name, None)

    def forget(self) -> None:
        """Let everything be tried at once."""
        self._until.clear()

    @property
    def failed(self) -> list[str]:
        """What fails, by its ids."""
        return [*self._troubles]

    @property
    def trouble(self) -> Text | None:
        """What fails, if anything does; the first of several."""
        return next(iter(self._troubles.values()), None)


_FAILS = Text(
    en="The files of {name} must wait, others go on: {why}",
    zh="{name} 的附件须等待，其余照常：{why}",
)
