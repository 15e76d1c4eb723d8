"""What may be asked of GeoReport v2, read from a query: the spec's limits, and complaints in its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.open311.projection import Report
from adapters.open311.snapshot import Snapshot
from exchange.text import Text

#: The spec's limits: "a span of 90 days or first 1000 requests returned, whichever is smallest".
SPAN = timedelta(days=90)
MOST = 1000
#: Numbers or codes that one query may list.
LISTED = 100
_STATES = {"open": False, "closed": True}


class Wrong(Exception):
    """A question that is not answered: an HTTP *status*, and why."""

    def __init__(self, status: int, why: Text) -> None:
        super().__init__(why.en)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which requests are wanted; *ids* alone decide where there are any, as the spec says."""

    ids: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    states: frozenset[bool] = frozenset({False, True})
    since: datetime
    until: datetime
    page: int = 1
    size: int = MOST


def require_jurisdiction(query: Mapping[str, str], jurisdiction: str) -> None:
    """Raise 404 for another jurisdiction than the only one here; it may be left out."""
    given = query.get("jurisdiction_id", "")
    if given not in {"", jurisdiction}:
        raise Wrong(404, _NO_JURISDICTION)


def read_question(query: Mapping[str, str], now: datetime) -> Question:
    """Return what *query* asks for; raises `Wrong` naming the parameter."""
    since, until = _range(query, now)
    states = _listed(query, "status")
    for state in states:
        if state not in _STATES:
            raise Wrong(400, _NO_STATUS)
    return Question(
        ids=_listed(query, "service_request_id"),
        codes=frozenset(_listed(query, "service_code")),
        states=frozenset(_STATES[state] for state in states or _STATES),
        since=since,
        until=until,
        page=_whole(query, "page", 1, 1_000_000),
        size=_whole(query, "page_size", MOST, MOST),
    )


def answer(question: Question, snapshot: Snapshot) -> list[Report]:
    """Return what is asked for, newest first, one page of it."""
    if question.ids:
        found = [snapshot.by_id[one] for one in question.ids if one in snapshot.by_id]
    else:
        found = [
            one
            for one in snapshot.reports
            if question.since <= one.requested <= question.until
            and one.closed in question.states
            and (not question.codes or one.service.code in question.codes)
        ]
    first = (question.page - 1) * question.size
    return found[first : first + question.size]


def _listed(query: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in query.get(name, "").split(",")))
    found = tuple(part for part in found if part)
    if len(found) > LISTED:
        raise Wrong(400, _MANY.fill(name=name, most=LISTED))
    return found


def _range(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Return the span: what is given, else the 90 days before the end or after the beginning."""
    since, until = _time(query, "start_date"), _time(query, "end_date")
    try:
        if since is None:
            until = until or now
            return until - SPAN, until
        if until is None:
            return since, since + SPAN
    except OverflowError as error:
        raise Wrong(400, _NO_TIME.fill(name="start_date")) from error
    if until < since:
        raise Wrong(400, _BACKWARDS)
    if until - since > SPAN:
        raise Wrong(400, _WIDE.fill(days=SPAN.days))
    return since, until


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        # A plus sign that was not written as %2B comes as a space.
        found = datetime.fromisoformat(text.replace(" ", "+"))
        if found.tzinfo is None:
            raise Wrong(400, _NO_TIME.fill(name=name))
        found.timestamp()  # the year 1 in an eastern zone is before all years
    except (ValueError, OverflowError) as error:
        raise Wrong(400, _NO_TIME.fill(name=name)) from error
    return found


def _whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= most:
        raise Wrong(400, _NO_NUMBER.fill(name=name, most=most))
    return int(text)


_NO_JURISDICTION = Text(
    en="jurisdiction_id was not found; this endpoint has one, named in its discovery file.",
    zh="未找到 jurisdiction_id；本接口仅有一个，见 discovery。",
)
_NO_STATUS = Text(
    en="status must be open, closed, or both.", zh="status 只能为 open、closed 或两者。"
)
_NO_TIME = Text(
    en="{name} must be a time with its zone, such as 2026-11-22T00:00:00Z.",
    zh="{name} 须为带时区的时间，例如 2026-11-22T00:00:00Z。",
)
_BACKWARDS = Text(en="end_date lies before start_date.", zh="end_date 早于 start_date。")
_WIDE = Text(
    en="start_date and end_date may lie {days} days apart at most; ask for one span after the other.",
    zh="start_date 与 end_date 至多相隔 {days} 天，请分段查询。",
)
_NO_NUMBER = Text(en="{name} must be 1 to {most}.", zh="{name} 须为 1 至 {most}。")
_MANY = Text(en="{name} may list {most} at most.", zh="{name} 至多列出 {most} 项。")
