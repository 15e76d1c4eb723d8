"""
The HTTP side: every answer, the complaints too, in the spec's shape, from the newest snapshot alone.

TLS and slow callers are the reverse proxy's, which any public service has in front.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import urlsplit

from aiohttp import web

from adapters.open311.answers import (
    FORMATS,
    Tree,
    definition_tree,
    discovery_tree,
    errors_tree,
    requests_tree,
    services_tree,
    written,
)
from adapters.open311.asking import Wrong, answer, read_question, require_jurisdiction
from adapters.open311.limits import Limits, caller_of
from adapters.open311.settings import Settings
from adapters.open311.snapshot import Gallery, Snapshot
from exchange.errors import ConfigurationError
from exchange.text import Text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Seconds after which who found no snapshot may come again.
WAIT = 30
#: Characters of a query; the spec's longest is a list of numbers.
QUERY = 4096
_FORM = "{form:" + "|".join(FORMATS) + "}"


class Serving:
    """Answers the public from *gallery*."""

    def __init__(
        self,
        settings: Settings,
        gallery: Gallery,
        *,
        clock: Callable[[], datetime],
        troubled: Callable[[Text], None],
    ) -> None:
        self._settings = settings
        self._gallery = gallery
        self._clock = clock
        self._troubled = troubled
        self._limits = Limits(settings.per_minute)

    def application(self) -> web.Application:
        """Return what a server runs: the paths of GeoReport v2 below the public address's own path."""
        base = urlsplit(self._settings.address).path
        found = web.Application(middlewares=[self._guarded])
        for path, handler in (
            ("/discovery", self._discovery),
            ("/services", self._services),
            ("/services/{code:[^/]+}", self._definition),
            ("/requests", self._requests),
            ("/requests/{id:[^/]+}", self._request),
        ):
            found.router.add_get(f"{base}{path}.{_FORM}", handler)
        found.router.add_post(f"{base}/requests.{_FORM}", self._refused)
        found.on_response_prepare.append(_common_headers)
        return found

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the caller's calls, and give every complaint the spec's shape."""
        forwarded = request.headers.get("X-Forwarded-For", "")
        caller = caller_of(request.remote or "", forwarded, self._settings.proxy)
        wait = self._limits.wait(caller, asyncio.get_running_loop().time())
        if wait:
            return _complaint(request, 429, _OFTEN, wait=int(wait) + 1)
        if len(request.rel_url.raw_query_string) > QUERY:
            return _complaint(request, 414, _LONG)
        try:
            return await handler(request)
        except Wrong as wrong:
            wait = WAIT if wrong.status == 503 else 0
            return _complaint(request, wrong.status, wrong.why, wait=int(wait))
        except web.HTTPMethodNotAllowed:
            response = _complaint(request, 405, _READ_ONLY)
            response.headers["Allow"] = "GET, HEAD"
            return response
        except web.HTTPNotFound:
            return _complaint(request, 404, _NO_PATH)
        except Exception as failure:  # noqa: BLE001 - the public learns nothing of it, the operator does
            name = type(failure).__name__
            self._troubled(_FAILED.fill(name=name))
            return _complaint(request, 500, _INSIDE)

    # -- the resources

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        settings = self._settings
        return self._answered(request, discovery_tree(settings.address, settings.contact), None)

    async def _services(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot(request)
        return self._answered(request, services_tree(snapshot.services.values()), snapshot)

    async def _definition(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot(request)
        service = snapshot.services.get(request.match_info["code"])
        if service is None:
            raise Wrong(404, _NO_SERVICE)
        return self._answered(request, definition_tree(service), snapshot)

    async def _requests(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot(request)
        question = read_question(request.query, self._clock())
        return self._answered(request, requests_tree(answer(question, snapshot)), snapshot)

    async def _request(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot(request)
        found = snapshot.by_id.get(request.match_info["id"])
        if found is None:
            raise Wrong(404, _NO_REQUEST)
        return self._answered(request, requests_tree([found]), snapshot)

    async def _refused(self, request: web.Request) -> web.StreamResponse:
        """POST a request: the spec asks for an api_key, and none is given out here."""
        require_jurisdiction(request.query, self._settings.choices.jurisdiction)
        raise Wrong(403, _NO_KEY)

    # -- answering

    def _snapshot(self, request: web.Request) -> Snapshot:
        require_jurisdiction(request.query, self._settings.choices.jurisdiction)
        found = self._gallery.current()
        if found is None:
            raise Wrong(503, _NOTHING_YET)
        return found

    def _answered(
        self, request: web.Request, tree: Tree, snapshot: Snapshot | None
    ) -> web.StreamResponse:
        form = request.match_info["form"]
        body = written(tree, form)
        etag = sha256(body).hexdigest()[:32]
        headers = {
            "Cache-Control": f"public, max-age={self._settings.refresh}",
            "ETag": f'"{etag}"',
        }
        if snapshot is not None:
            headers["Last-Modified"] = format_datetime(snapshot.taken, usegmt=True)
        if any(one.value in {etag, "*"} for one in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers | {"Content-Type": FORMATS[form]})


async def serve(settings: Settings, serving: Serving, ready: Callable[[int], None]) -> None:
    """
    Listen until cancelled; *ready* is told the port.  Raises `ConfigurationError` where it is taken.

    No line is written for a call: who asked for what is nobody's affair.
    """
    # Nor for what is no HTTP: anybody could fill a disk with it.
    silent = logging.getLogger("open311")
    silent.disabled = True
    runner = web.AppRunner(serving.application(), access_log=None, logger=silent)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            address = f"{settings.host}:{settings.port}"
            text = _NO_PORT.fill(address=address, why=type(error).__name__)
            raise ConfigurationError(text) from error
        ready(int(runner.addresses[0][1]))
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "open311"
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _complaint(request: web.Request, status: int, why: Text, *, wait: int = 0) -> web.Response:
    form = "json" if request.path.endswith(".json") else "xml"
    headers = {"Cache-Control": "no-store", "Content-Type": FORMATS[form]}
    if wait:
        headers["Retry-After"] = str(wait)
    return web.Response(
        body=written(errors_tree(status, why), form), status=status, headers=headers
    )


_OFTEN = Text(en="Too many calls; come again later.", zh="请求过于频繁，请稍后再试。")
_LONG = Text(en="The query is too long.", zh="查询过长。")
_READ_ONLY = Text(en="This endpoint can only be read.", zh="本接口只读。")
_NO_PATH = Text(
    en="There is nothing here. GeoReport v2 has discovery, services and requests, each with .xml or .json.",
    zh="此处没有内容。GeoReport v2 提供 discovery、services、requests，均以 .xml 或 .json 结尾。",
)
_NO_SERVICE = Text(en="service_code was not found.", zh="未找到 service_code。")
_NO_REQUEST = Text(en="service_request_id was not found.", zh="未找到 service_request_id。")
_NO_KEY = Text(
    en="Missing or invalid api_key: this endpoint is read-only and gives out none. Call 12345.",
    zh="缺少或无效的 api_key：本接口只读，不发放密钥。请拨打 12345。",
)
_NOTHING_YET = Text(
    en="There is nothing to show at the moment; come again later.",
    zh="暂无可展示的内容，请稍后再试。",
)
_INSIDE = Text(en="Something went wrong here.", zh="服务内部出错。")
_FAILED = Text(
    en="A call failed inside ({name}); its caller was told nothing more than that.",
    zh="一次请求内部出错（{name}），未向访问者透露细节。",
)
_NO_PORT = Text(
    en="The address {address} cannot be listened at ({why}): is another program there? Change 'listen'.",
    zh="无法监听 {address}（{why}）：是否已被占用？请修改 listen。",
)
