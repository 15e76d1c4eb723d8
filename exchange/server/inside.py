"""
The calls that are inside, so that one whose caller counts no more can be cut at once.

A long poll is a call like any other: who was let in before is judged again whenever the trust changes,
and when its certificate ends.  What such a call had already put into the queue is stored, as it was
said by somebody who counted then; its answer is the failure alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from exchange.errors import ExchangeError
from exchange.identity import AuthContext, Caller

_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False, kw_only=True)
class _Call:
    """One call: who makes it (None where that is no matter), and why it was cut, if it was."""

    task: asyncio.Task[Any]
    context: AuthContext
    caller: Caller | None
    cut: ExchangeError | None = None


#: Returns why somebody with this connection may not be inside, or None.
Judge = Callable[[AuthContext], ExchangeError | None]


class Inside:
    """All calls of a server that are being answered; on the event loop's thread alone."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    async def answer(
        self, answer: Awaitable[_Answer], context: AuthContext, caller: Caller | None
    ) -> _Answer:
        """Return the answer; raises why the call was cut, where it was cut before."""
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is answered in a task")
        call = _Call(task=task, context=context, caller=caller)
        self._calls.add(call)
        try:
            return await answer
        except asyncio.CancelledError:
            if call.cut is None:
                raise  # the caller hung up
            task.uncancel()
            raise call.cut from None
        finally:
            self._calls.discard(call)

    def cut_whom(self, judge: Judge) -> list[ExchangeError]:
        """Cut every call whose caller *judge* does not let in any more; return why, one for each."""
        return self._cut(judge, list(self._calls))

    def cut_ended(self, now: datetime, judge: Judge) -> list[ExchangeError]:
        """Likewise, but look only at those whose certificate or whose list has ended at *now*."""
        return self._cut(judge, [call for call in self._calls if _ended(call.caller, now)])

    def _cut(self, judge: Judge, calls: list[_Call]) -> list[ExchangeError]:
        found: list[ExchangeError] = []
        for call in calls:
            why = judge(call.context) if call.cut is None else None
            if why is not None:
                call.cut = why
                call.task.cancel()
                found.append(why)
        return found


def _ended(caller: Caller | None, now: datetime) -> bool:
    if caller is None:
        return False
    return now > caller.not_after or (caller.closes is not None and now > caller.closes)
