"""One platform over HTTP: a thread with the event loop on which it is called, asked and listened to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from aiohttp import web

from adapters.http.asking import Asking, Word
from adapters.http.calling import Caller
from adapters.http.document import Held, Http, Poll
from adapters.http.giving import Giving
from adapters.http.judging import Busy, Unanswered
from adapters.http.offering import Offering
from adapters.http.polling import poll_once
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.values import text_of
from adapters.staging.doubting import Doubt, Given, witnesses
from adapters.staging.platform import StagedPlatform
from adapters.staging.records import Handing, Records, Said, Unread
from exchange.client import IncomingMessage
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text

_T = TypeVar("_T")

#: A failing poll is tried again after its own pause times this, up to a minute.
_SLOWER, _SLOWEST = 2.0, 60.0
#: So many other records are asked for before a platform that finds none is not believed.
_WITNESSES = 10


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HttpPlatform(StagedPlatform):
    """
    The platform of *http*, with its *records*.

    Used as a context: inside it the platform's lists are asked and its calls are answered.
    """

    def __init__(
        self,
        http: Http,
        records: Records,
        organisation: str,
        *,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(
            records, organisation, self._give, holds=self._holds, remind=remind, clock=clock
        )
        self._http = http
        self._caller = Caller(http)
        self._asking = Asking(self._caller)
        self._giving = Giving(self._caller)
        #: By question (a sheet and what is done to it): a record that it found.
        self._witness: dict[str, Given] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        #: By sheet: set when the platform has rung, so that its polls are made at once.
        self._rung: dict[str, list[asyncio.Event]] = {}
        self._server: web.AppRunner | None = None
        #: Where the interface is listened at, once it is.
        self.port = 0
        self.where = http.base
        if records.document.attachments is not None:
            self.filing.leaving.fetch = self._fetch
            listen = http.listen
            if listen is not None and listen.files:
                self.filing.address = lambda digest: f"{listen.files}/{digest}"

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wait(self._shut())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        await self._caller.__aenter__()
        if self._http.listen is not None:
            await self._serve()
        self._tasks = [asyncio.create_task(self._polling(one)) for one in self._http.polls]

    async def _serve(self) -> None:
        listen = self._http.listen
        if listen is None:
            return
        self.records.limit = listen.waiting
        offering = Offering(self._http, listen, self.records, self._keep_offered, self._ring)
        if listen.files and self.records.document.attachments is not None:
            offering.offered = self.filing.offered
        self._server = web.AppRunner(offering.application(), access_log=None)
        await self._server.setup()
        site = web.TCPSite(self._server, listen.host, listen.port, ssl_context=listen.tls)
        try:
            await site.start()
        except OSError as error:
            await self._shut()
            address = f"{listen.host}:{listen.port}"
            why = type(error).__name__
            raise ConfigurationError(_NO_PORT.fill(address=address, why=why)) from error
        self.port = int(self._server.addresses[0][1])
        self.where = f"{self._http.base} ← {listen.host}:{self.port}"

    async def _shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.cleanup()
        await self._caller.__aexit__(None, None, None)

    # -- what the platform has

    async def _polling(self, poll: Poll) -> None:
        pause = poll.every
        rung = asyncio.Event()
        self._rung.setdefault(poll.source.sheet, []).append(rung)
        name = f"poll {poll.source.path}"
        while True:
            rung.clear()
            try:
                await self.poll(poll)
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is said, and asked again
                self._tell_notice(name, _why(failure))
                pause = max(min(pause * _SLOWER, _SLOWEST), poll.every)
                if isinstance(failure, Busy):
                    pause = max(pause, failure.seconds)
            else:
                self._tell_notice(name, None)
                pause = poll.every
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), pause)

    def _ring(self, sheet: str) -> None:
        for one in self._rung.get(sheet, ()):
            one.set()

    async def poll(self, poll: Poll) -> int:
        """Ask for one list once; return how many of its records are new."""
        return await poll_once(
            self.records.document, poll, self._caller, self._marked, self._keep_polled
        )

    def poll_now(self) -> int:
        """Ask for every list once; return how many records are new."""
        return sum(self._wait(self.poll(one)) for one in self._http.polls)

    def _tell_notice(self, what: str, failure: Text | None) -> None:
        if self.notice is not None:
            self.notice(what, failure)

    async def _marked(self, name: str) -> str | None:
        return await asyncio.to_thread(self.records.marked, name)

    async def _keep_offered(self, said: Sequence[Said]) -> int:
        return await self._kept(said, (), None)

    async def _keep_polled(
        self, said: Sequence[Said], unread: Sequence[Unread], mark: tuple[str, str] | None
    ) -> int:
        return await self._kept(said, unread, mark)

    async def _kept(
        self, said: Sequence[Said], unread: Sequence[Unread], mark: tuple[str, str] | None
    ) -> int:
        new = await asyncio.to_thread(self.records.accept, said, unread=unread, mark=mark)
        if new and self.wake is not None:
            self.wake()
        return new

    # -- what comes

    def _fetch(self, address: str, file: BinaryIO, limit: int) -> None:
        self._wait(self._caller.fetch(address, file, limit))

    def _give(self, handing: Handing) -> str:
        call = self._http.calls[handing.sheet, handing.writing]
        sheet = self.records.document.sheets[handing.sheet]
        key = text_of(get(handing.content, sheet.key[0]), sheet.key[0])
        return self._wait(self._giving.give(handing, call, key))

    def _holds(self, doubt: Doubt) -> bool | None:
        call = self._http.calls.get((doubt.given.sheet, doubt.given.writing))
        if call is None or call.held is None:
            return None
        return self._wait(self._held(call.held, doubt))

    async def _held(self, held: Held, doubt: Doubt) -> bool:
        """Return whether the platform holds it; raises `Unanswered` where what it does not find proves nothing."""
        given = doubt.given
        word = await self._asking.asked(held, given)
        if word in (Word.THERE, Word.LOST) or doubt.looked:
            return word is Word.THERE
        name = f"{given.sheet} {given.writing.value}"
        known = self._witness.get(name)
        if known is not None and await self._asking.asked(held, known) is Word.THERE:
            return False
        self._asking.forget()
        document, path = self.records.document, self.records.path
        others = await asyncio.to_thread(witnesses, path, document, given, _WITNESSES)
        for other in others:
            if await self._asking.asked(held, other) is Word.THERE:
                self._witness[name] = other
                return False
        raise Unanswered(_NOTHING.fill(count=len(others)))


def _why(failure: Exception) -> Text:
    if isinstance(failure, ExchangeError | Misfit):
        return failure.text
    return Text(en=f"{type(failure).__name__}.", zh=f"{type(failure).__name__}。")


_NOTHING = Text(
    en="What the platform may have lost waits: [http.call.held] finds none of {count} other records either, so its "
    "path may be wrong, or our rights are gone. Look one up in the platform by hand; if all are really gone: exchange "
    "adapter reconcile --send --all-gone.",
    zh="平台可能丢失的内容暂不重新写入：[http.call.held] 对另外 {count} 项记录也未找到，可能路径有误或权限失效。请在平台中人工"
    "核对一项；若确已全部丢失：执行 exchange adapter reconcile --send --all-gone。",
)
_NO_PORT = Text(
    en="The address {address} cannot be listened at ({why}): is another program there? Change 'address'.",
    zh="无法监听 {address}（{why}）：是否已被占用？请修改 address。",
)
