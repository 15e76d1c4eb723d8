"""What the runner notes for whoever looks: when it last did what, and what fails at the moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from adapters.spool import Spool
from exchange.errors import ExchangeError, StoreUnavailable
from exchange.text import Text

#: Told the kind of work (``push``, ``pull``, ``urgent``, ``acknowledge``, ``platform``, ``reminder``,
#: ``deadlines``, ``renewal``, ``attachments``, ``poll /orders``, ``sheet gd``) and why it
#: fails; None where it succeeds again, or for the first time.
Notice = Callable[[str, Text | None], None]

_OFTEN = timedelta(seconds=1)


class Notes:
    """The newest facts about one runner's work, kept in its spool for `Spool.status`."""

    def __init__(
        self, spool: Spool, clock: Callable[[], datetime], notice: Notice | None = None
    ) -> None:
        """Note in *spool*; *notice* is told of work that begins to fail or to succeed."""
        self._spool = spool
        self._clock = clock
        self._notice = notice
        self._noted: dict[str, tuple[datetime, str]] = {}

    def begin(self) -> None:
        """Forget what failed before this start: what still does is noted again, the rest may have no name now."""
        with suppress(StoreUnavailable):  # a full disk is what there is to note: it passes
            notes = self._spool.status().notes
            stale = [name for name, why in notes.items() if name.endswith("_error") and why]
            self._spool.note(**dict.fromkeys(stale, ""))

    def note(self, **facts: str) -> None:
        """Note facts; what changes all the time, once a second at most."""
        now = self._clock()
        changed = {}
        for name, fact in facts.items():
            at, held = self._noted.get(name, (None, ""))
            # A clock set back must not make it longer.
            if fact != held and (at is None or not timedelta(0) <= now - at < _OFTEN):
                changed[name] = fact
                self._noted[name] = (now, fact)
        if changed:
            self._spool.note(**changed)

    def note_error(self, what: str, failure: BaseException | Text | None) -> None:
        """Note the newest failure of one kind of work; None forgets it."""
        name = f"{what}_error"
        text: Text | None
        if failure is None:
            fact, text = "", None
        elif isinstance(failure, Text):
            fact, text = f"{failure.en} {failure.zh}", failure
        elif isinstance(failure, ExchangeError):
            text = failure.text
            fact = f"{failure.reason}: {text.en} {text.zh}"
        else:
            fact = f"{type(failure).__name__}: {failure}"
            text = Text(en=f"{fact}.", zh=f"{fact}。")
        known = self._noted.get(name)
        if known is None or fact != known[1]:
            with suppress(StoreUnavailable):  # a full disk is what there is to note: it passes
                self._spool.note(**{name: fact})
                self._noted[name] = (self._clock(), fact)
            if self._notice is not None:
                self._notice(what, text)

    def works(self, what: str) -> bool:
        """Return whether one kind of work has begun, and succeeded when it was last done."""
        return self._noted.get(f"{what}_error", (None, "?"))[1] == ""


def told(failure: Exception) -> Text:
    """Return what is the matter, for people: of a failure that is not ours only its class, for it may hold names."""
    if isinstance(failure, ExchangeError):
        return failure.text
    return _STRANGE.fill(name=type(failure).__name__)


_STRANGE = Text(
    en="{name}, which nobody expected: report it with the version of this program.",
    zh="{name}（未预料的错误）：请连同程序版本一并报告。",
)
