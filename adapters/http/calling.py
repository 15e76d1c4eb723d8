"""Calls to the platform: who we are, how long and how large, and never to another address."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from standardwebhooks import Webhook

from adapters.http.document import Http, Meaning
from adapters.http.judging import Answer, Busy, Unanswered, Verdict, judge
from adapters.table.gathering import Never, NotYet
from exchange.text import Text

#: A whole file may take so many times as long as an answer.
_LONGER = 30


class Caller:
    """Everything that is asked of the platform; used on one event loop."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._session: aiohttp.ClientSession
        #: By the monotonic clock: before this the platform wants no call.
        self._not_before = 0.0

    async def __aenter__(self) -> Self:
        tls = self._http.tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls if tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=self._http.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def told(self, path: str, meaning: Meaning) -> Any:
        """Return the body of what stands at *path*; raises `Unanswered`."""
        answer = await self.ask("GET", path)
        verdict, why, told = self.judged(answer, meaning)
        if verdict is not Verdict.DONE:
            raise again("GET", path, why)
        return told

    def page(self, path: str, named: str) -> str:
        """
        Return the address of another page of the list at *path*, as an answer *named* it.

        Raises `Unanswered` for one that is on another server: what we show of us is not for it.
        """
        found = urljoin(self._http.base + path, named)
        at, home = urlsplit(found), urlsplit(self._http.base)
        if (at.scheme, at.netloc) != (home.scheme, home.netloc):
            raise Unanswered(_ELSEWHERE.fill(path=path, host=at.netloc[:100]))
        return found

    def judged(
        self, answer: Answer, meaning: Meaning, names: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[Verdict, Text, Any]:
        """Return what *answer* means; one that asks for a pause gets it."""
        try:
            return judge(answer, meaning, names)
        except Busy as busy:
            self._not_before = max(self._not_before, time.monotonic() + busy.seconds)
            raise

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        key: str = "",
        etag: str = "",
    ) -> Answer:
        """
        Make one call; raises `Unanswered` where no whole answer came in time, `Busy` before its time.

        *path* stands behind the section's ``base``, or is what `page` returned; *key* is the
        Idempotency-Key, *etag* the state of the record that is changed (If-Match).
        """
        left = self._not_before - time.monotonic()
        if left > 0:
            raise Busy(left)
        raw = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = self._headers(raw, key)
        if etag:
            headers["If-Match"] = etag
        url = self._http.base + path if path.startswith("/") else path
        try:
            async with self._session.request(
                method, url, data=raw, headers=headers, allow_redirects=False
            ) as response:
                return Answer(
                    status=response.status,
                    body=await self._bounded(response),
                    headers={name.lower(): value for name, value in response.headers.items()},
                )
        except TimeoutError as error:
            raise Unanswered(_SLOW.fill(seconds=self._http.timeout)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__  # its words may hold what was sent
            raise Unanswered(_NO_LINK.fill(why=why)) from error

    async def fetch(self, address: str, file: BinaryIO, limit: int) -> None:
        """
        Write what stands at *address*, on the server of ``base``, into *file*: at most *limit* bytes.

        Raises `Never` for another server or a larger file, `NotYet` where no whole file came.
        """
        url = urljoin(self._http.base, address)
        at, home = urlsplit(url), urlsplit(self._http.base)
        if (at.scheme, at.netloc) != (home.scheme, home.netloc):
            raise Never(_FOREIGN.fill(host=at.netloc[:100]))
        seconds = self._http.timeout
        patience = aiohttp.ClientTimeout(
            total=seconds * _LONGER, sock_connect=seconds, sock_read=seconds
        )
        try:
            async with self._session.get(
                url,
                headers={**self._headers(None, ""), "Accept": "*/*"},
                allow_redirects=False,
                timeout=patience,
            ) as response:
                if response.status != 200:
                    raise NotYet(_NO_FILE.fill(status=response.status))
                async for chunk in response.content.iter_chunked(65_536):
                    file.write(chunk)
                    if file.tell() > limit:
                        response.close()
                        raise Never(_LARGE_FILE.fill(limit=limit))
        except TimeoutError as error:
            raise NotYet(_SLOW.fill(seconds=seconds)) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise NotYet(_NO_LINK.fill(why=type(error).__name__)) from error

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        found = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            found += chunk
            if len(found) > self._http.body:
                response.close()
                raise Unanswered(_LARGE.fill(limit=self._http.body))
        return bytes(found)

    def _headers(self, raw: bytes | None, key: str) -> dict[str, str]:
        proof = self._http.proof
        headers = {**self._http.headers, "Accept": "application/json"}
        if raw is not None:
            headers["Content-Type"] = "application/json"  # it has no charset (RFC 8259 §11)
        if key:
            headers["Idempotency-Key"] = key
        if proof.token:
            headers["Authorization"] = f"{proof.scheme} {proof.token}"
        elif proof.user:
            headers["Authorization"] = aiohttp.encode_basic_auth(proof.user, proof.password)
        if proof.signature and raw is not None:
            headers |= signed(proof.signature, key, raw)
        return headers


def signed(secret: str, message_id: str, raw: bytes) -> dict[str, str]:
    """Return the headers of a Standard Webhooks signature over *raw*."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, raw.decode()),
    }


def again(method: str, path: str, why: Text) -> Unanswered:
    """Return the failure of a call that is made again."""
    return Unanswered(_AGAIN.fill(method=method, path=path, why=why.en, zh=why.zh))


_FOREIGN = Text(
    en="the file is said to be on {host}, which is not asked; only the server of 'base' is.",
    zh="文件位于 {host}，不予访问；仅访问 base 所在服务器。",
)
_NO_FILE = Text(
    en="the platform answered {status} where the file should be. It is asked for again.",
    zh="平台对文件地址应答 {status}。将再次请求。",
)
_LARGE_FILE = Text(
    en="the file is larger than {limit} bytes: raise 'max_bytes', or hand it over by other means.",
    zh="文件超过 {limit} 字节：请提高 max_bytes，或以其他方式移交。",
)
_AGAIN = Text(
    en="The platform was called ({method} {path}): {why}.",
    zh="调用平台（{method} {path}）：{zh}。",
)
_SLOW = Text(
    en="The platform did not answer within {seconds} s. What is repeated has the same id.",
    zh="平台在 {seconds} 秒内未应答。重发时编号不变。",
)
_NO_LINK = Text(
    en="The platform cannot be reached, or broke off in the middle ({why}). What is repeated has the "
    "same id.",
    zh="无法连接平台或连接中断（{why}）。重发时编号不变。",
)
_LARGE = Text(
    en="The platform's answer is longer than {limit} bytes ('body'): it is not read.",
    zh="平台应答超过 {limit} 字节（body），不予读取。",
)
_ELSEWHERE = Text(
    en="GET {path}: the next page is said to be on {host}, which is not asked; see base.",
    zh="GET {path}：下一页位于 {host}，不予访问；请检查 base。",
)
