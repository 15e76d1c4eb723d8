"""
Whether the platform holds what it was given: asked as ``[http.call.held]`` says, and never guessed.

Rule 1: "it is there" and "it is lost" are two answers, each of which the platform must give; whatever else
it answers, or does not, is neither.
Rule 2: a 404 is no word: a wrong path, a gateway without a route and lost rights answer it, too. It means
"lost" where the mapping's ``lost`` says so, or where the same question finds another record (`Word.ABSENT`).
Rule 3: of a list nothing is lost before all of it was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from adapters.http.calling import Caller, again
from adapters.http.document import Held
from adapters.http.giving import PAGES
from adapters.http.judging import Answer, Verdict, absent, parsed
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.staging.conditions import met, text
from adapters.staging.doubting import Given
from exchange.text import Text

#: Seconds for which a list that was read is good enough, and records that it may have.
FRESH, MOST = 30.0, 100_000


class Word(Enum):
    """What the platform says of a record that it was given."""

    THERE = "it is there"
    LOST = "it is not, as the mapping's 'lost' says"
    #: These count only where the same question finds another record.
    ABSENT = "nothing is at that address"
    UNLISTED = "it is not in the list"


class Asking:
    """
    Asks by way of *caller*; used on its event loop.

    A list that was read is good for *fresh* seconds.
    """

    def __init__(
        self,
        caller: Caller,
        clock: Callable[[], float] = time.monotonic,
        *,
        fresh: float = FRESH,
    ) -> None:
        self._caller = caller
        self._fresh = fresh
        #: How often the platform was called.
        self.calls = 0
        self._clock = clock
        #: Lists that were read: when, and their records.
        self._lists: dict[str, tuple[float, list[Any] | None]] = {}
        self._single = ""

    async def asked(self, held: Held, given: Given) -> Word:
        """Return what the platform says of a record; raises `Unanswered` where it does not say."""
        names = {"message_id": given.message_id, "key": given.key}
        path = held.path.path(names)
        if held.items is not None:
            return await self._listed(held, path, names)
        answer = await self._get(path)
        body = parsed(answer.body)
        facts = {"answer": body, "status": answer.status, **names}
        if self._lost(answer, held, facts):
            return Word.LOST
        if absent(answer):
            return Word.ABSENT
        verdict, why, told = self._caller.judged(answer, held.meaning, names)
        if verdict is Verdict.DONE and told is not None:
            return Word.THERE
        if 200 <= answer.status < 300:
            why = _NEITHER
        elif answer.status in (404, 410):
            why = _PAGE.fill(status=answer.status)
        raise again("GET", path, why)

    def forget(self) -> None:
        """Read lists anew."""
        self._lists.clear()

    async def _get(self, path: str) -> Answer:
        self.calls += 1
        return await self._caller.ask("GET", path)

    @staticmethod
    def _lost(answer: Answer, held: Held, facts: Mapping[str, Any]) -> bool:
        """Return whether an answer says, in the mapping's words, that the record is lost."""
        if held.lost is None:
            return False
        if not absent(answer) and (facts["answer"] is None or not 200 <= answer.status < 300):
            return False
        try:
            return met(held.lost, facts["answer"], facts)
        except Misfit:
            return False  # an answer that lacks what is asked for does not say it

    async def _listed(self, held: Held, path: str, names: Mapping[str, str]) -> Word:
        items = await self._items(held, path)
        if items is None:
            return Word.ABSENT  # of a record that is not there nothing is listed
        strangers: list[Misfit] = []
        for item in items:
            if held.number and text(get(item, held.number)).strip() != names["key"]:
                continue
            try:
                if met(held.when, item, {"row": item, **names}):
                    return Word.THERE
            except Misfit as misfit:
                strangers.append(misfit)
        if strangers:
            raise again("GET", path, strangers[0].text)
        return Word.UNLISTED

    async def _items(self, held: Held, path: str) -> list[Any] | None:
        """Return the whole list at *path*; None where the record that it is of is not there."""
        read, known = self._lists.get(path, (0.0, None))
        if path in self._lists and self._clock() - read < self._fresh:
            return known
        found: list[Any] = []
        page = path
        for _ in range(PAGES):
            answer = await self._get(page)
            if page == path and held.path.places and absent(answer):
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
                if held.path.places:  # the list of one record: of those one is kept
                    self._lists.pop(self._single, None)
                    self._single = path
                self._lists[path] = (self._clock(), found)
                return found
            page = self._caller.page(page, following)
        raise again("GET", path, _FAR.fill(pages=PAGES))


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
