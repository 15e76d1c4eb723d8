"""
An event loop and executors that a seed drives: no thread, no socket, no clock of their own.

One `Loop.step` runs one callback or one executor's job, so a process can be killed at every await.
Which of several executors goes on next is the seed's choice, as it is the system's with threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.simulation.dice import Dice

_T = TypeVar("_T")


class Jobs(Executor):
    """One executor: what was submitted runs in its order, when the loop says so."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self.inside = False

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Queue a call of *fn*."""
        future: Future[_T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - as any executor: it is the caller's
                future.set_exception(error)
            else:
                future.set_result(result)

        self._waiting.append(run)
        return future

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._waiting)

    def run_one(self) -> None:
        """Run the oldest job; what kills the process passes through."""
        job = self._waiting.popleft()
        self.inside = True
        try:
            job()
        finally:
            self.inside = False


class Loop(asyncio.AbstractEventLoop):
    """One process's event loop; its time is *time* in seconds, which only goes forward."""

    def __init__(self, dice: Dice, time: Callable[[], float]) -> None:
        self._dice = dice
        self._time = time
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._executors: list[Jobs] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._default: Jobs | None = None
        self._closed = False

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """Return the monotonic time."""
        return self._time()

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Queue a callback."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Queue a callback for later."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Queue a callback for a time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[_T]:
        """Return a task of this loop."""
        task: asyncio.Task[_T] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Queue a call on *executor*; None is one of the loop's own."""
        if executor is None:
            self._default = self._default or self.executor()
            executor = self._default
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def get_debug(self) -> bool:
        """Return that nobody debugs."""
        return False

    def is_running(self) -> bool:
        """Return whether it can still run something."""
        return not self._closed

    def is_closed(self) -> bool:
        """Return whether its process is dead."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Let what nobody catches be a failure of the run, unless the process is dead."""
        if not self._closed:
            error = context.get("exception")
            raise error if error is not None else AssertionError(context["message"])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Let asyncio tell it; cancelled handles are passed over when their time comes."""

    # -- what the simulation asks

    def executor(self) -> Jobs:
        """Return a new executor of one thread."""
        jobs = Jobs()
        self._executors.append(jobs)
        return jobs

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be the running loop for the length of the block."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def step(self) -> bool:
        """Run one callback or one job; False if there is none now."""
        if self._closed:
            return False
        while self._timers and self._timers[0][0] <= self.time():
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._ready.append(timer)
        busy = [jobs for jobs in self._executors if jobs]
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            if busy and (not self._ready or self._dice.chance(0.4)):
                self._dice.pick(busy).run_one()
                return True
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
                    return True
            if busy:  # what was ready had been cancelled
                self._dice.pick(busy).run_one()
                return True
        finally:
            asyncio._set_running_loop(before)
        return False

    def run_other_job(self) -> bool:
        """Run a job of another executor than the one inside, as threads do; False where none waits."""
        busy = [jobs for jobs in self._executors if jobs and not jobs.inside]
        if not busy:
            return False
        self._dice.pick(busy).run_one()
        return True

    def next_timer(self) -> float | None:
        """Return when the next timer is due; None where there is none."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def kill(self) -> None:
        """End everything at once, as SIGKILL does; nothing of it runs any more."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(Exception):
                    task.get_coro().close()
        self._tasks.clear()
        self._executors.clear()
