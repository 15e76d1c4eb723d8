"""
Whether the platform holds what it was given: asked as ``[http.call.held]`` says, and never guessed.

Rule 1: "it is there" and "it is lost" are two answers, each of which the platform must give; whatever else
it answers, or does not, is neither.
Rule 2: a 404 means "lost" only where the interface said it (JSON, or nothing): a page is another server's.
Rule 3: of a list nothing is lost before all of it was read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adapters.holdings import Seen
from adapters.http.calling import Caller, again
from adapters.http.document import Held, Http
from adapters.http.giving import PAGES
from adapters.http.judging import Answer, Busy, Unanswered, Verdict, parsed
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.staging.conditions import met, text
from adapters.staging.doubting import Given
from exchange.text import Text

#: Seconds for which a list that was read is good enough, and records that it may have.
FRESH, MOST = 30.0, 100_000
#: After so many failures one upon the other nothing more is asked; seconds to leave it alone at most.
FAILURES, PATIENCE = 3, 30.0

_GONE = (404, 410)


class Asking:
    """Asks by way of *caller*; used on its event loop."""

    def __init__(self, caller: Caller, clock: Callable[[], float] = time.monotonic) -> None:
        self._caller = caller
        self._clock = clock
        #: Lists that were read: when, and their records.
        self._lists: dict[str, tuple[float, list[Any] | None]] = {}

    async def holds(self, held: Held, given: Given) -> bool:
        """Return whether the platform holds a record; raises `Unanswered` where it does not say."""
        names = {"message_id": given.message_id, "key": given.key}
        path = held.path.path(names)
        if held.items is not None:
            return await self._listed(held, path, names)
        answer = await self._caller.ask("GET", path)
        body = parsed(answer.body)
        facts = {"answer": body, "status": answer.status, **names}
        if self._gone(answer, held, facts):
            return False
        verdict, why, told = self._caller.judged(answer, held.meaning, names)
        if verdict is Verdict.DONE and told is not None:
            return True
        if 200 <= answer.status < 300:
            why = _NEITHER
        elif answer.status in _GONE:
            why = _PAGE.fill(status=answer.status)
        raise again("GET", path, why)

    @staticmethod
    def _gone(answer: Answer, held: Held, facts: Mapping[str, Any]) -> bool:
        """Whether an answer says that the record is lost."""
        if _says_gone(answer):
            return True
        if held.lost is None or facts["answer"] is None or not 200 <= answer.status < 300:
            return False
        try:
            return met(held.lost, facts["answer"], facts)
        except Misfit:
            return False  # an answer that lacks what is asked for does not say it

    async def _listed(self, held: Held, path: str, names: Mapping[str, str]) -> bool:
        items = await self._items(held, path)
        if items is None:
            return False  # of a record that is not there nothing is listed
        strangers: list[Misfit] = []
        for item in items:
            if held.number and text(get(item, held.number)).strip() != names["key"]:
                continue
            try:
                if met(held.when, item, {"row": item, **names}):
                    return True
            except Misfit as misfit:
                strangers.append(misfit)
        if strangers:
            raise again("GET", path, strangers[0].text)
        return False

    async def _items(self, held: Held, path: str) -> list[Any] | None:
        """Return the whole list at *path*; None where the record that it is of is not there."""
        read, known = self._lists.get(path, (0.0, None))
        if path in self._lists and self._clock() - read < FRESH:
            return known
        found: list[Any] = []
        page = path
        for _ in range(PAGES):
            answer = await self._caller.ask("GET", page)
            if page == path and held.path.places and _says_gone(answer):
                return None
            verdict, why, told = self._caller.judged(answer, held.meaning)
            if verdict is not Verdict.DONE:
                raise again("GET", page, why)
            items = get(told, held.items) if held.items else told
            if not isinstance(items, list):
                raise again("GET", page, _NO_LIST.fill(place=held.items or "body"))
            found += items
            if len(found) > MOST:
                raise again("GET", path, _LONG.fill(limit=MOST))
            following = text(get(told, held.next)) if held.next else ""
            if not following:
                self._lists.clear()  # one is enough: records of one list are asked for together
                self._lists[path] = (self._clock(), found)
                return found
            page = self._caller.page(page, following)
        raise again("GET", path, _FAR.fill(pages=PAGES))


def _says_gone(answer: Answer) -> bool:
    return answer.status in _GONE and (parsed(answer.body) is not None or not answer.body.strip())


def ask_platform(http: Http, givens: Iterable[Given]) -> Seen:
    """Ask the platform of *http* for all of *givens*, seldom enough; return what it said."""
    return asyncio.run(_ask(http, list(givens)))


async def _ask(http: Http, givens: list[Given]) -> Seen:
    """Ask for records first: what changed one that is lost is lost with it."""
    lost: set[str] = set()
    follows: set[str] = set()
    gone: set[str] = set()
    asked = untold = unstated = failures = 0
    why: dict[str, Text] = {}
    async with Caller(http) as caller:
        asking = Asking(caller)
        for given in sorted(givens, key=lambda one: not one.inserts):
            call = http.calls.get((given.sheet, given.writing))
            held = call.held if call is not None else None
            if not given.inserts and given.record in gone:
                lost.add(given.message_id)
                follows.add(given.message_id)
            elif held is None:
                unstated += 1
            elif failures >= FAILURES:
                untold += 1
            else:
                try:
                    there = await _patiently(asking, held, given)
                except (Unanswered, Misfit) as failure:
                    untold += 1
                    failures += 1
                    why.setdefault(failure.text.en, failure.text)
                else:
                    failures = 0
                    asked += 1
                    if not there:
                        lost.add(given.message_id)
                        gone |= {given.record} if given.inserts else set()
                await asyncio.sleep(1 / held.rate)
    return Seen(
        asked=asked,
        lost=frozenset(lost),
        follows=frozenset(follows),
        untold=untold,
        unstated=unstated,
        why=tuple(why.values())[:FAILURES],
    )


async def _patiently(asking: Asking, held: Held, given: Given) -> bool:
    """Ask; a platform that wants a pause gets one, once."""
    try:
        return await asking.holds(held, given)
    except Busy as busy:
        await asyncio.sleep(min(busy.seconds, PATIENCE))
    return await asking.holds(held, given)


_NEITHER = Text(
    en="its answer says neither that the record is there ('success') nor that it is not ('lost')",
    zh="其应答既不符合 success（在），也不符合 lost（丢失）",
)
_PAGE = Text(
    en="it answers HTTP {status} with something that is no JSON: that is no word of the interface",
    zh="其应答 HTTP {status} 不是 JSON，不视为接口的答复",
)
_NO_LIST = Text(en="at {place} stands no list ('items')", zh="{place} 处不是列表（items）")
_LONG = Text(
    en="the list has more than {limit} records: ask for one by its number",
    zh="列表超过 {limit} 条记录：请按编号查询",
)
_FAR = Text(
    en="the list goes on after {pages} pages: narrow its path", zh="列表超过 {pages} 页：请缩小范围"
)
