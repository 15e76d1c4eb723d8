"""What joins bridges, for ``exchange adapter status``: relays and ferries, which have no spool."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from exchange.cli.grammar import language
from exchange.errors import ConfigurationError
from exchange.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A relay or ferry, named by its configuration or, a relay, by its folder; *kind* says which."""

    kind: str
    #: A relay's folder, a ferry's journal.
    path: Path


def joined(place: Path) -> Joined | None:
    """
    Return the relay or ferry that *place* names, or None: then it is an adapter's folder.

    Raises `ConfigurationError` where *place* is a file and neither's configuration.
    """
    from adapters.relay.standing import BULLETIN

    if not place.is_file():
        return Joined(kind="relay", path=place) if (place / BULLETIN).exists() else None
    try:
        values = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = {}
    for kind, key in (("relay", "folder"), ("ferry", "journal")):
        if isinstance(named := values.get(key), str) and named:
            return Joined(kind=kind, path=place.resolve().parent / named)
    raise ConfigurationError(_NEITHER.fill(file=place), file=str(place))


def joined_row(place: Path, found: Joined, now: datetime) -> tuple[dict[str, Any], list[str], bool]:
    """Return figures, lines for people, and whether somebody has to look; raises `ExchangeError`."""
    figures: Callable[[Path, datetime], tuple[dict[str, Any], list[str], bool]]
    figures = _relay if found.kind == "relay" else _ferry
    facts, lines, ails = figures(found.path, now)
    return {"folder": str(place), "adapter": found.kind, **facts}, lines, ails


def _relay(folder: Path, now: datetime) -> tuple[dict[str, Any], list[str], bool]:
    from adapters.relay import standing

    facts = standing.standing(folder, now)
    errors, ways = standing.errors(facts), {name: facts[name] for name in standing.WAYS}
    row = {
        "running": facts["running"],
        "waiting": sum(way["waiting"] for way in ways.values()),
        "lag_seconds": max(way["lag_seconds"] for way in ways.values()),
        "refused": sum(way["refused"] for way in ways.values()),
        "errors": {name: why[language()] for name, why in errors.items()},
        "ways": ways,
    }
    return row, standing.lines(facts, language()), bool(errors) or not facts["running"]


def _ferry(journal: Path, now: datetime) -> tuple[dict[str, Any], list[str], bool]:
    from adapters.ferry import standing

    facts = standing.standing(journal, now)
    row = {
        "waiting": facts["unconfirmed"],
        "lag_seconds": facts["lag_seconds"],
        "errors": {name: why[language()] for name, why in standing.errors(facts).items()},
        "ferry": facts,
    }
    return row, standing.lines(facts, language()), standing.ails(facts)


_NEITHER = Text(
    en="{file} configures no relay (with 'folder') and no ferry (with 'journal'). Name the folder of an "
    "adapter, or the configuration of a relay or ferry.",
    zh="{file} 不是中继配置（含 folder）或摆渡配置（含 journal）。请给出适配器文件夹，或中继、摆渡的配置文件。",
)
