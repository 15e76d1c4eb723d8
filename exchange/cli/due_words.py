"""What is due, by whom and until when, in words: from the rows of `exchange.cli.tickets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from exchange.cli.grammar import language
from exchange.cli.screen import time_of
from exchange.text import Text

_LEFT = Text(en="in {span}", zh="还有 {span}")
_OVERDUE = Text(en="overdue by {span}", zh="已逾期 {span}")
_OWED = Text(en="{what}: {who}, {due}", zh="{what}：{who}，{due}")
_MAY = Text(en="{what}: {who} may until {due}", zh="{what}：{who} 可在此前提出，{due}")


def span(length: timedelta) -> str:
    """Return a length of time in its two greatest units."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    parts = (minutes // 1440, minutes % 1440 // 60, minutes % 60)
    words = (" d", " h", " min") if language() == "en" else (" 天", " 小时", " 分钟")
    said = [f"{count}{unit}" for count, unit in zip(parts, words, strict=True) if count]
    return " ".join(said[:2]) or f"0{words[2]}"


def due_word(stamp: str, now: datetime) -> str:
    """Return when a step is due, and how long that is from *now*."""
    left = datetime.fromisoformat(stamp) - now
    how = _LEFT if left >= timedelta() else _OVERDUE
    said = how.fill(span=span(abs(left))).say(language())
    return f"{time_of(stamp)} ({said})" if language() == "en" else f"{time_of(stamp)}（{said}）"


def overdue(deadline: Mapping[str, str], now: datetime) -> bool:
    """Return whether what a deadline's row tells should be done by *now*; a return never must."""
    return deadline["kind"] != "return" and datetime.fromisoformat(deadline["due"]) < now


def soon(deadline: Mapping[str, str], now: datetime) -> bool:
    """Return whether the time to remind of a deadline's row has come, and its own has not passed."""
    remind, due = deadline["remind"], datetime.fromisoformat(deadline["due"])
    return bool(remind) and datetime.fromisoformat(remind) <= now <= due


def besides(handoff: Mapping[str, Any], now: datetime) -> Iterator[Mapping[str, str]]:
    """Yield what is due beside the next step; the time to return while it runs."""
    for one in handoff["deadlines"]:
        step = one["owes"] == handoff["decides"] and one["due"] == handoff["due"]
        over = one["kind"] == "return" and (
            handoff["state"] != "taken" or datetime.fromisoformat(one["due"]) < now
        )
        if not step and not over:
            yield one


def owed_word(one: Mapping[str, str], names: Mapping[str, str], now: datetime) -> str:
    """Return a deadline of a row in words: what, who owes it, until when."""
    from exchange.provisions import DEADLINE_TEXTS

    lang = language()
    what = next(
        (said.say(lang) for kind, said in DEADLINE_TEXTS.items() if kind == one["kind"]), ""
    )
    form = _MAY if one["kind"] == "return" else _OWED
    who = names.get(one["owes"], one["owes"])
    return form.fill(what=what or one["kind"], who=who, due=due_word(one["due"], now)).say(lang)


def asked_late(handoff: Mapping[str, Any], due: Mapping[str, str]) -> bool:
    """Return whether the return of a hand-off was asked for after the time for it, *due*."""
    return bool(handoff["state"] == "returning" and due["due"] < handoff["updated"])


def first_due(handoff: Mapping[str, Any]) -> str:
    """Return when the first of what somebody owes is due; empty without a limit."""
    owed = [one["due"] for one in handoff["deadlines"] if one["kind"] != "return"]
    return str(min(owed, default=handoff["due"]))
