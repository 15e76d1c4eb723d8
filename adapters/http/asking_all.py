"""
Everything that the platform was given, asked for once (`exchange adapter reconcile`).

What a question finds of it proves the question: its path, its route, our rights.  Where it finds nothing at
all, a 404 is no word, and what is said to be lost is *withheld*: only a person can know whether the platform
is empty or was asked wrongly.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from adapters.holdings import Seen
from adapters.http.asking import Asking, Word
from adapters.http.calling import Caller
from adapters.http.document import Held, Http
from adapters.http.judging import Busy, Unanswered
from adapters.mapping.document import Writing
from adapters.mapping.misfit import Misfit
from adapters.staging.doubting import Given
from exchange.text import Text

#: After so many failures one upon the other nothing more is asked; seconds to leave it alone at most.
FAILURES, PATIENCE = 3, 30.0


def ask_platform(http: Http, givens: Iterable[Given], *, all_gone: bool = False) -> Seen:
    """
    Ask the platform of *http* for all of *givens*, seldom enough; return what it said.

    *all_gone*: somebody looked, and knows that what the platform does not find is really gone.
    """
    return asyncio.run(_ask(http, list(givens), all_gone=all_gone))


async def _ask(http: Http, givens: Sequence[Given], *, all_gone: bool) -> Seen:
    """Ask for records first: what changed one that is lost is lost with it."""
    async with Caller(http) as caller:
        # Lists are read once: what is asked for was all given before.
        run = _Run(http, Asking(caller, fresh=math.inf), all_gone=all_gone)
        for inserts in (True, False):
            for given in givens:
                if given.inserts is inserts:
                    await run.ask(given)
            await run.prove()
    return run.seen()


@dataclass(slots=True)
class _Answers:
    """What one question brought: a record that it found, those lost, and those of which a 404 came."""

    held: Held
    found: Given | None = None
    lost: list[Given] = field(default_factory=list)
    absent: list[Given] = field(default_factory=list)


class _Run:
    """One comparison."""

    def __init__(self, http: Http, asking: Asking, *, all_gone: bool) -> None:
        self._http = http
        self._asking = asking
        self._all_gone = all_gone
        self._answers: dict[tuple[str, Writing], _Answers] = {}
        #: The records that are lost, and whether the question found nothing at all.
        self._gone: dict[str, bool] = {}
        self._lost: set[str] = set()
        self._follows: set[str] = set()
        #: Lost, by a question that found nothing.
        self._unproved: set[str] = set()
        self._why: dict[str, Text] = {}
        self._asked = self._untold = self._unstated = self._failures = 0

    async def ask(self, given: Given) -> None:
        """Ask for one, unless the answer is known."""
        key = given.sheet, given.writing
        call = self._http.calls.get(key)
        held = call.held if call is not None else None
        if not given.inserts and given.record in self._gone:
            self._lost.add(given.message_id)
            self._follows.add(given.message_id)
            if self._gone[given.record]:
                self._unproved.add(given.message_id)
        elif held is None:
            self._unstated += 1
        elif self._failures >= FAILURES:
            self._untold += 1
        else:
            word = await self._word(held, given)
            answers = self._answers.setdefault(key, _Answers(held))
            if word is Word.THERE:
                answers.found = given
            elif word is Word.ABSENT:
                answers.absent.append(given)
            elif word is not None:
                answers.lost.append(given)

    async def prove(self) -> None:
        """Say of what was not found what that means, by what else each question finds."""
        for answers in self._answers.values():
            nothing = answers.found is None
            believed = self._all_gone if nothing else await self._still(answers)
            if answers.absent and not believed:
                self._asked -= len(answers.absent)
                self._untold += len(answers.absent)
                self._why.setdefault(_ABSENT.en, _ABSENT)
                answers.absent.clear()
            for given in (*answers.lost, *answers.absent):
                self._lost.add(given.message_id)
                self._unproved |= {given.message_id} if nothing else set()
                if given.inserts:
                    self._gone[given.record] = nothing
        self._answers.clear()

    async def _still(self, answers: _Answers) -> bool:
        """Return whether what was found is found even now, so that a 404 was no route that went meanwhile."""
        if answers.found is None or not answers.absent:
            return True
        self._asked -= 1  # it is counted already
        return await self._word(answers.held, answers.found) is Word.THERE

    async def _word(self, held: Held, given: Given) -> Word | None:
        """Ask; None where the platform does not say."""
        before = self._asking.calls
        try:
            word = await self._patiently(held, given)
        except (Unanswered, Misfit) as failure:
            self._untold += 1
            self._failures += 1
            self._why.setdefault(failure.text.en, failure.text)
            word = None
        else:
            self._failures = 0
            self._asked += 1
        await _pause((self._asking.calls - before) / held.rate)
        return word

    async def _patiently(self, held: Held, given: Given) -> Word:
        """Ask; a platform that wants a pause gets one, once."""
        try:
            return await self._asking.asked(held, given)
        except Busy as busy:
            await _pause(min(busy.seconds, PATIENCE))
        return await self._asking.asked(held, given)

    def seen(self) -> Seen:
        """Return all of it."""
        unproved = frozenset(self._unproved)
        return Seen(
            asked=self._asked,
            lost=frozenset(self._lost),
            follows=frozenset(self._follows),
            withheld=frozenset() if self._all_gone else unproved,
            looked=unproved if self._all_gone else frozenset(),
            untold=self._untold,
            unstated=self._unstated,
            why=tuple(self._why.values())[:FAILURES],
        )


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


_ABSENT = Text(
    en="it answers HTTP 404, and the same question finds nothing else that it was given: a wrong path, a missing "
    "route and missing rights look so. Look one up in the platform by hand. If it is there: mend 'path' in "
    "[http.call.held]. If all are really gone: add --all-gone",
    zh="其应答 HTTP 404，且同一查询未找到任何已交付的记录：路径有误、网关无路由、权限不足均会如此。请在平台中人工核对一项："
    "若存在，请更正 [http.call.held] 的 path；若确已全部丢失，请加 --all-gone",
)
