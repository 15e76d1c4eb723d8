"""
The interface that the platform calls.

A 2xx is said when the records are on disk; before that the platform is told to send again.  The same
record again is answered as the first time.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.http.document import Bell, Http, Listen, Proof, Source
from adapters.http.judging import parsed
from adapters.http.taking import Shapeless, items_of, taken
from adapters.mapping.misfit import Misfit
from adapters.staging.records import Records, Said, Unread
from exchange.errors import LimitExceeded, StoreUnavailable
from exchange.text import Text

#: Requests that are worked on at once; more are told to come again.
AT_ONCE = 32
#: Seconds after which a platform that was told to wait may come again.
WAIT = 5

Keep = Callable[[Sequence[Said]], Awaitable[int]]


class Offering:
    """Answers the platform's calls."""

    def __init__(
        self,
        http: Http,
        listen: Listen,
        records: Records,
        keep: Keep,
        ring: Callable[[str], None],
    ) -> None:
        self._http = http
        self._listen = listen
        self._records = records
        self._keep = keep
        self._ring = ring
        self._busy = 0
        #: Where files are given: the copy of a file that came, by its SHA-256.
        self.offered: Callable[[str], Path | None] | None = None

    def application(self) -> web.Application:
        """Return what a server runs."""
        found = web.Application(client_max_size=self._http.body)
        for source in self._listen.endpoints:
            found.router.add_route("POST", source.path, self._handler(source))
            found.router.add_route("PUT", source.path, self._handler(source))
        for bell in self._listen.bells:
            found.router.add_route("POST", bell.path, self._handler(bell))
        if self.offered is not None:
            route = urlsplit(self._listen.files).path.rstrip("/")
            found.router.add_route("GET", f"{route}/{{digest:[0-9a-f]{{64}}}}", self._file)
        return found

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Give a file that came to the platform, which shows who it is as always."""
        raw = await self._read(request)
        if isinstance(raw, web.Response):
            return raw
        digest = request.match_info["digest"]
        path = None
        if self.offered is not None:
            path = await asyncio.to_thread(self.offered, digest)
        if path is None:
            return _no(404, _NO_FILE)
        # A stranger wrote it: nothing in it is to be shown or run as the name says.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        return web.FileResponse(path, headers=headers)

    def _handler(self, source: Source | Bell) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if self._busy >= AT_ONCE:
                return _no(429, _FLOOD, wait=WAIT)
            self._busy += 1
            try:
                return await self._handle(request, source)
            finally:
                self._busy -= 1

        return handle

    async def _handle(self, request: web.Request, source: Source | Bell) -> web.Response:
        raw = await self._read(request)
        if isinstance(raw, web.Response):
            return raw
        if isinstance(source, Bell):
            self._ring(source.sheet)
            return web.json_response(self._answer({}))
        body = parsed(raw)
        if body is None:
            return _no(400, _NO_JSON)
        return await self._take(request, source, body)

    async def _read(self, request: web.Request) -> bytes | web.Response:
        """Return the body of a caller who has shown who it is, or what it is told instead."""
        if not _known(request, self._listen.proof):
            return _no(401, _UNKNOWN)
        try:
            async with asyncio.timeout(self._http.timeout):
                raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _no(413, _LARGE.fill(limit=self._http.body))
        except TimeoutError:
            return _no(408, _SLOW.fill(seconds=self._http.timeout))
        return raw if _signed(request, self._listen.proof, raw) else _no(401, _UNSIGNED)

    async def _take(self, request: web.Request, source: Source, body: Any) -> web.Response:
        said: list[Said] = []
        try:
            for number, item in enumerate(items_of(source.items, body)):
                one = taken(self._records.document, source, item, f"{request.method} {source.path}")
                if isinstance(one, Unread):
                    return _no(422, one.reason, record=number)
                if one is not None:
                    said.append(one)
            await self._keep(said)
        except (Shapeless, Misfit) as wrong:
            return _no(422, wrong.text)
        except LimitExceeded as full:
            return _no(429, full.text, wait=WAIT)
        except StoreUnavailable as down:
            return _no(503, down.text, wait=WAIT)
        return web.json_response(self._answer({"taken": len(said)}))

    def _answer(self, usual: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._listen.answer if self._listen.answer is not None else usual


def _known(request: web.Request, proof: Proof) -> bool:
    """Whether the caller shows the token or password that is asked for."""
    given = request.headers.get("Authorization", "")
    wanted = []
    if proof.token:
        wanted.append(f"{proof.scheme} {proof.token}")
    if proof.user:
        wanted.append(aiohttp.encode_basic_auth(proof.user, proof.password))
    if not wanted:
        return True
    return any(hmac.compare_digest(given.encode(), one.encode()) for one in wanted)


def _signed(request: web.Request, proof: Proof, raw: bytes) -> bool:
    """Whether the body has the signature that is asked for (Standard Webhooks, five minutes)."""
    if not proof.signature:
        return True
    try:
        Webhook(proof.signature).verify(raw, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # the latter for what is no signature at all
        return False
    return True


def _no(status: int, why: Text, *, wait: int = 0, **facts: Any) -> web.Response:
    body = {"error": why.en, "error_zh": why.zh, **facts}
    headers = {"Retry-After": str(wait)} if wait else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(
        text=json.dumps(body, ensure_ascii=False), status=status, headers=headers
    )


_FLOOD = Text(en="Too many calls at once; send this again.", zh="并发请求过多，请稍后重发。")
_UNKNOWN = Text(
    en="Show the token, or the user and password, that was agreed.",
    zh="请提供约定的令牌或用户名与口令。",
)
_UNSIGNED = Text(
    en="The Standard Webhooks signature is missing, wrong, or older than five minutes: are the clocks right?",
    zh="Standard Webhooks 签名缺失、有误或已超过五分钟：请检查时钟。",
)
_SLOW = Text(
    en="The body did not come within {seconds} s; nothing was taken.",
    zh="请求体未在 {seconds} 秒内送达，未接收。",
)
_LARGE = Text(
    en="The body is longer than {limit} bytes; nothing was taken.",
    zh="请求体超过 {limit} 字节，未接收。",
)
_NO_FILE = Text(en="There is no such file here, or no more.", zh="此处没有该文件，或已清除。")
_NO_JSON = Text(en="The body is no JSON; nothing was taken.", zh="请求体不是 JSON，未接收。")
