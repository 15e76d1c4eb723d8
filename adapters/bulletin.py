"""
What a relay or ferry says about itself: a small file that `status` reads, whole or not there.

It is no memory: whoever loses it loses nothing but the last words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from exchange.errors import ConfigurationError
from exchange.text import Text

#: A bulletin older than this was written by something that runs no more.
STALE = timedelta(seconds=90)

_NONE = Text(
    en="There is no {path}: nothing has run with this configuration yet.",
    zh="没有 {path}：尚未以此配置运行过。",
)


def post(path: Path, facts: Mapping[str, Any]) -> None:
    """Put *facts* in the place of what stood in *path*."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Return what was posted last; raises `ConfigurationError` where nothing was."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(_NONE.fill(path=path), file=str(path)) from error
    return facts


def is_stale(facts: Mapping[str, Any], now: datetime) -> bool:
    """Return whether *facts* are too old to be of a program that runs."""
    return now - datetime.fromisoformat(str(facts["time"])) > STALE
