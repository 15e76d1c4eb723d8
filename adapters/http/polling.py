"""Asking the platform what it has: page by page, from where it was read to, which is kept with the records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from adapters.http.calling import Caller, again
from adapters.http.document import More, Poll
from adapters.http.judging import Unanswered, Verdict
from adapters.http.taking import Shapeless, items_of, taken, unread
from adapters.mapping.document import Document
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.staging.conditions import holds_of, text
from adapters.staging.records import Said, Unread
from exchange.text import Text

#: Pages in one turn; the next turn goes on.
PAGES = 100

#: Keeps records, what is none, and the new mark, all or nothing; returns how many records are new.
Keep = Callable[[Sequence[Said], Sequence[Unread], tuple[str, str] | None], Awaitable[int]]
Marked = Callable[[str], Awaitable[str | None]]


async def poll_once(
    document: Document, poll: Poll, caller: Caller, marked: Marked, keep: Keep
) -> int:
    """
    Take what is new on the platform; return how many records are.

    The cursor moves in the transaction that keeps its page: whoever is killed, no page is lost.
    Raises `Unanswered`, or what *keep* raises where too many records wait.
    """
    asking = _Asking(document, poll, caller, keep)
    cursor = await marked(asking.mark)
    cursor = poll.start if cursor is None else cursor
    return await (asking.back(cursor) if poll.back else asking.on(cursor))


class _Asking:
    """One turn of a poll."""

    def __init__(self, document: Document, poll: Poll, caller: Caller, keep: Keep) -> None:
        self._document = document
        self._poll = poll
        self._caller = caller
        self._keep = keep
        self._name = f"GET {poll.source.path}"
        #: Two lists may be read from one address.
        self.mark = f"{self._name} {poll.source.sheet}"

    async def on(self, cursor: str) -> int:
        """Read pages from *cursor* on."""
        poll, new = self._poll, 0
        path = poll.path.path({"cursor": cursor})
        for _ in range(PAGES):
            body, items = await self._page(path)
            following = text(get(body, poll.cursor)) if poll.cursor else ""
            if poll.last and items and isinstance(items[-1], dict):
                following = text(get(items[-1], poll.last))
            following = following or cursor
            new += await self._take(items, following if following != cursor else None)
            named = text(get(body, poll.next)) if poll.next else ""
            if named:
                path = self._caller.page(path, named)
            elif poll.next or following == cursor or not items:
                break
            else:
                path = poll.path.path({"cursor": following})
            cursor = following
            await asyncio.sleep(0)
        return new

    async def back(self, cursor: str) -> int:
        """Read pages from the last one back to *cursor*, then take what is after it, oldest first."""
        poll, known = self._poll, int(cursor or 0)
        path = poll.path.path({})
        pages: list[list[Any]] = []
        for _ in range(PAGES):
            body, items = await self._page(path)
            numbers = [self._number(item) for item in items]
            pages.append([i for i, n in zip(items, numbers, strict=True) if n > known])
            named = text(get(body, poll.back))
            if not named or (numbers and min(numbers) <= known):
                break
            path = self._caller.page(path, named)
        else:
            raise again("GET", path, _FAR.fill(pages=PAGES))
        new = 0
        for page in reversed(pages):
            if page:
                new += await self._take(page, str(max(self._number(item) for item in page)))
        return new

    def _number(self, item: Any) -> int:
        found = text(get(item, self._poll.last))
        if not found.isdecimal():
            raise again("GET", self._poll.source.path, _NO_NUMBER.fill(place=self._poll.last))
        return int(found)

    async def _page(self, path: str) -> tuple[Any, list[Any]]:
        body = await self._caller.told(path, self._poll.meaning)
        try:
            return body, items_of(self._poll.source.items, body)
        except Shapeless as shapeless:
            why = shapeless.text
            raise Unanswered(_SHAPE.fill(path=path, en=why.en, zh=why.zh)) from shapeless

    async def _take(self, items: Sequence[Any], mark: str | None) -> int:
        found = []
        for item in items:
            one = taken(self._document, self._poll.source, item, self._name)
            found.append(await self._whole(one) if isinstance(one, Said) else one)
        return await self._keep(
            [one for one in found if isinstance(one, Said)],
            [one for one in found if isinstance(one, Unread)],
            None if mark is None else (self.mark, mark),
        )

    async def _whole(self, said: Said) -> Said | Unread | None:
        """Return a record with what its list leaves out; None where the mapping does not want it then."""
        record = dict(said.record)
        for more in self._poll.more:
            try:
                if not more.path.lacks(record):
                    value = await self._more(more, more.path.path(record))
                    if value is not None:
                        put(record, more.at, value)
                if not holds_of(more.when, record):
                    return None
            except Misfit as misfit:
                return unread(record, misfit.text, self._name)
        return replace(said, record=record)

    async def _more(self, more: More, path: str) -> Any:
        """Return what stands at *path*, None where nothing does (any more)."""
        answer = await self._caller.ask("GET", path)
        if answer.status in (404, 410):
            return None
        verdict, why, told = self._caller.judged(answer, more.meaning)
        if verdict is not Verdict.DONE:
            raise again("GET", path, why)
        return get(told, more.take) if more.take else told


_SHAPE = Text(
    en="GET {path}: {en} Nothing of the answer was taken; it is asked again.",
    zh="GET {path}：{zh}应答未被采用，将再次查询。",
)
_NO_NUMBER = Text(
    en="a record has no number at {place} ('last')", zh="记录的 {place}（last）处没有编号"
)
_FAR = Text(
    en="more than {pages} pages are new: ask for longer pages, or say in 'start' after which number to begin",
    zh="新记录超过 {pages} 页：请增大每页条数，或以 start 指明起始编号",
)
