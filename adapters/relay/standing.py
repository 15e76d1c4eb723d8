"""How a relay stands, by the bulletin that it posts: for programs, and in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters import bulletin
from exchange.text import Language, Text

#: What a relay posts, in the folder of its configuration.
BULLETIN = "relay.json"

#: What the ways are called.
WAYS = {"up": Text(en="up", zh="上行"), "down": Text(en="down", zh="下行")}


def standing(folder: Path, now: datetime) -> dict[str, Any]:
    """
    Return what the relay of *folder* posted last, and whether it still ``running`` is.

    ``up`` and ``down`` have ``from``, ``to``, ``passed``, ``receipts``, ``refused``, ``waiting``,
    ``lag_seconds``, ``last`` and ``error`` (``en`` and ``zh``, or None).  Raises `ConfigurationError` where
    nothing was posted.
    """
    facts = bulletin.read(folder / BULLETIN)
    return facts | {"running": not bulletin.is_stale(facts, now)}


def errors(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the last error of each way that fails."""
    return {name: error for name in WAYS if (error := facts[name]["error"]) is not None}


def lines(facts: Mapping[str, Any], language: Language) -> list[str]:
    """Return what `standing` found, for people."""
    found = []
    for name, title in WAYS.items():
        way = facts[name]
        figures = {k: way[k] for k in ("to", "passed", "receipts", "refused", "waiting")}
        found.append(
            _STANDS.say(language).format(
                way=title.say(language), from_=way["from"], lag=way["lag_seconds"], **figures
            )
        )
        if way["error"]:
            found.append(_FAILS.say(language).format(why=way["error"][language]))
    if not facts["running"]:
        found.append(_IS_STALE.fill(time=facts["time"]).say(language))
    return found


_STANDS = Text(
    en="{way}: {from_} → {to}: {passed} passed on, {receipts} receipts, {refused} refused; {waiting} wait, "
    "lag {lag:.0f} s",
    zh="{way}：{from_} → {to}：转递 {passed} 条，回执 {receipts} 份，被拒 {refused} 条；待转 {waiting} 件，"
    "滞后 {lag:.0f} 秒",
)
_FAILS = Text(en="   it fails: {why}", zh="   故障：{why}")
_IS_STALE = Text(
    en="The relay does not run: its last word is of {time}. Start it: python -m adapters.relay run",
    zh="中继未在运行：最后状态时间 {time}。请启动：python -m adapters.relay run",
)
