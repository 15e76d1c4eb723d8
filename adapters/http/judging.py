"""What an answer of the platform's means: by its status, then by what it says of itself."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from adapters.http.document import Meaning
from adapters.mapping.document import Condition
from adapters.mapping.misfit import Misfit
from adapters.staging.conditions import met
from exchange.errors import StoreUnavailable
from exchange.text import Text

#: Without a Retry-After, and at most, a platform that is busy is left alone for so many seconds.
BUSY, LONGEST_BUSY = 5.0, 3600.0


class Verdict(Enum):
    """What becomes of what was sent."""

    DONE = "the platform has it"
    NEVER = "the platform will never take it"
    AGAIN = "it is sent again"
    ASK = "the platform says that something like it is there: it is asked"


class Unanswered(StoreUnavailable):
    """The platform was not told for certain; it is told again, under the same id."""


class Busy(Unanswered):
    """The platform asks to be left alone for *seconds*."""

    def __init__(self, seconds: float) -> None:
        super().__init__(_BUSY.fill(seconds=round(seconds)))
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: its status, its headers in lower case, its body (at most as many bytes as allowed)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


#: Statuses that are decided without looking at what the body says.
_STATUS: Mapping[int, tuple[Verdict, Text]] = {
    400: (Verdict.NEVER, Text(en="it calls the record malformed", zh="平台认为记录格式有误")),
    401: (Verdict.AGAIN, Text(en="it does not know us: see token, user, certificate", zh="身份未被认可：请检查 token、user 或证书")),
    403: (Verdict.AGAIN, Text(en="we may not do this there", zh="平台不允许该操作")),
    404: (Verdict.AGAIN, Text(en="it has no such address: see base and path; or it lost the record: exchange adapter reconcile", zh="地址不存在：请检查 base 与 path；若平台丢失了该记录，请执行 exchange adapter reconcile")),
    405: (Verdict.AGAIN, Text(en="it does not know this method there: see method", zh="不支持该方法：请检查 method")),
    409: (Verdict.ASK, Text(en="it says that the record conflicts with one it has", zh="平台称与已有记录冲突")),
    412: (Verdict.AGAIN, Text(en="the record has changed meanwhile", zh="该记录已被他人修改")),
    413: (Verdict.NEVER, Text(en="the record is too large for it", zh="记录超过平台上限")),
    415: (Verdict.AGAIN, Text(en="it takes no JSON there: see path", zh="该地址不接受 JSON：请检查 path")),
    422: (Verdict.NEVER, Text(en="it does not accept what the record says", zh="平台不接受记录内容")),
    428: (Verdict.AGAIN, Text(en="it wants to be told which state we change: see etag", zh="平台要求 If-Match：请设置 etag")),
}  # fmt: skip
_REDIRECT = Text(
    en="it sends us to another address, which is not followed (a record could go astray): see base",
    zh="平台要求转向其他地址，出于安全不予跟随：请检查 base",
)
_BROKEN = Text(en="it has failed itself", zh="平台内部错误")


def judge(
    answer: Answer, meaning: Meaning, names: Mapping[str, str] = MappingProxyType({})
) -> tuple[Verdict, Text, Any]:
    """
    Return what *answer* means, why, and its body as JSON; conditions see *names*, too.

    Success is never guessed: a 200 whose body is no JSON, or does not say what the mapping asks for,
    is none.  Raises `Busy` for 429 and 503.
    """
    if answer.status in (429, 503):
        raise Busy(retry_after(answer.headers.get("retry-after", "")))
    body = parsed(answer.body)
    if meaning.refused is not None and _true(meaning.refused, body, answer.status, names):
        return Verdict.NEVER, _SAYS_NO.fill(status=answer.status), body
    if answer.status in _STATUS:
        verdict, why = _STATUS[answer.status]
        return verdict, why, body
    if 300 <= answer.status < 400:
        return Verdict.AGAIN, _REDIRECT, body
    if not 200 <= answer.status < 300:
        return Verdict.AGAIN, _BROKEN, body
    if body is None and (answer.body.strip() or not meaning.success.always):
        return Verdict.AGAIN, _NO_JSON.fill(status=answer.status), body
    if not _true(meaning.success, body, answer.status, names):
        return Verdict.AGAIN, _NOT_SUCCESS.fill(status=answer.status), body
    return Verdict.DONE, _BROKEN, body


def parsed(raw: bytes) -> Any:
    """Return *raw* as JSON, None where it is none."""
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def absent(answer: Answer) -> bool:
    """
    Return whether the interface answers that nothing is at an address (404 or 410, with JSON or nothing).

    Gateways without a route, and interfaces that hide what we may not see, answer the same.
    """
    return answer.status in (404, 410) and (
        parsed(answer.body) is not None or not answer.body.strip()
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _true(condition: Condition, body: Any, status: int, names: Mapping[str, str]) -> bool:
    try:
        return met(condition, body, {"answer": body, "status": status, **names})
    except Misfit:
        return False  # an answer that lacks what is asked for does not say it


def retry_after(given: str) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110 §10.2.3), within bounds."""
    if given.strip().isdecimal():
        seconds = float(given)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(given)
        except (ValueError, TypeError):
            return BUSY
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_BUSY)


_BUSY = Text(
    en="The platform asks us to wait {seconds} s. Nothing is lost.",
    zh="平台要求等待 {seconds} 秒。不会丢失内容。",
)
_SAYS_NO = Text(
    en="its answer (HTTP {status}) says so, as the mapping's 'refused' understands it",
    zh="其应答（HTTP {status}）符合映射中的 refused 条件",
)
_NO_JSON = Text(
    en="it answers HTTP {status} with something that is no JSON",
    zh="其应答 HTTP {status} 不是 JSON",
)
_NOT_SUCCESS = Text(
    en="it answers HTTP {status}, and what it says does not mean success (the mapping's 'success')",
    zh="其应答 HTTP {status}，但内容不符合映射中的 success 条件",
)
