"""
Places in nested records: ``caller.phone``, ``respondent.respondents[0].name``.

A key that itself holds dots is found as it stands, before the path is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

Part = str | int

_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d{1,3})\]")


class NotAPath(ValueError):
    """The text is no path."""


@cache
def parts(path: str) -> tuple[Part, ...]:
    """Return the keys and indexes of *path*; raises `NotAPath`."""
    found: list[Part] = []
    at = 0
    while (match := _PART.match(path, at)) is not None:
        found.append(int(match[2]) if match[2] else match[1])
        at = match.end()
    if at != len(path) or not found or isinstance(found[0], int):
        raise NotAPath(path)
    return tuple(found)


def get(tree: Any, path: str) -> Any:
    """Return what stands at *path*, None where nothing does."""
    if isinstance(tree, Mapping) and path in tree:
        return tree[path]
    found = tree
    for part in parts(path):
        if isinstance(part, int):
            found = found[part] if isinstance(found, list) and part < len(found) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Put *value* at *path*; what stands around it is made, list places before it are None."""
    whole = parts(path)
    last = whole[-1]
    place: Any = tree
    for part, following in pairwise(whole):
        place = _into(place, part, list if isinstance(following, int) else dict)
    if isinstance(last, int):
        _pad(place, last)
    place[last] = value


def _into(place: Any, part: Part, kind: type) -> Any:
    if isinstance(part, int):
        _pad(place, part)
        if place[part] is None:
            place[part] = kind()
        return place[part]
    return place.setdefault(part, kind())


def _pad(place: list[Any], index: int) -> None:
    place.extend([None] * (index + 1 - len(place)))
