"""How a ferry stands, by its journal: for programs, and in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.ferry.journal import Journal
from exchange.text import Language, Text


def standing(journal: Path, now: datetime) -> dict[str, Any]:
    """
    Return the figures of the ferry's *journal*, and ``lag_seconds``: how long its oldest bundle is under way.

    Raises `ConfigurationError` where there is no journal.
    """
    with Journal(journal, create=False, alone=False) as found:
        facts = found.standing()
    oldest = facts["oldest"]
    lag = (now - datetime.fromisoformat(oldest)).total_seconds() if oldest else 0.0
    return facts | {"lag_seconds": lag}


def errors(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the last errors: of a turn, and why something could not be decided."""
    return {name: facts[name] for name in ("error", "why") if facts[name]}


def ails(facts: Mapping[str, Any]) -> bool:
    """Return whether somebody has to look at it."""
    return any(facts[name] for name in ("error", "missing", "undecided", "lost"))


def lines(facts: Mapping[str, Any], language: Language) -> list[str]:
    """Return what `standing` found, for people."""
    sent = ("lag_seconds", "sent", "confirmed", "unconfirmed")
    came = ("applied", "arrived", "undecided", "quarantined", "lost")
    found = [
        _OUT.say(language).format(**{name: facts[name] for name in sent}),
        _IN.say(language).format(**{name: facts[name] for name in came}),
    ]
    if facts["missing"]:
        found.append(_MISSING.fill(numbers=", ".join(map(str, facts["missing"]))).say(language))
    found += [_FAILS.say(language).format(why=why[language]) for why in errors(facts).values()]
    if not facts["time"]:
        found.append(_NEVER.say(language))
    return found


_OUT = Text(
    en="out: {sent} bundles, {confirmed} confirmed, {unconfirmed} under way, lag {lag_seconds:.0f} s",
    zh="发出：{sent} 包，已确认 {confirmed}，在途 {unconfirmed}，滞后 {lag_seconds:.0f} 秒",
)
_IN = Text(
    en="in: {applied} applied, {arrived} wait for one before them, {undecided} things undecided, "
    "{quarantined} files set aside, {lost} lost",
    zh="收取：已处理 {applied} 包，等待前序 {arrived} 包，未决 {undecided} 件，隔离文件 {quarantined} 个，丢失 {lost} 包",
)
_MISSING = Text(en="   missing, and asked for: {numbers}", zh="   缺失并已请求重发：{numbers}")
_FAILS = Text(en="   it fails: {why}", zh="   故障：{why}")
_NEVER = Text(en="   it has not taken a turn yet", zh="   尚未运行过")
