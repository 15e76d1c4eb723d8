"""Templates in paths and bodies: ``/issues/{key}``, ``/notes/{messages[-1].id}``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import NotAPath, get, parts
from adapters.staging.conditions import text
from exchange.text import Text

_PLACE = re.compile(r"\{([^{}]*)\}")
#: The last of a list.
_LAST = "[-1]"


class NotATemplate(ValueError):
    """The text is no template; the place at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with places in braces, each a name or a place of a record."""

    source: str
    places: tuple[str, ...]

    @classmethod
    def read(cls, source: str, known: Collection[str], *, record: bool = False) -> Template:
        """
        Return *source* as a template whose places are *known*, or with *record* any of a record.

        Raises `NotATemplate`.
        """
        places = tuple(_PLACE.findall(source))
        if set("{}") & set(_PLACE.sub("", source)):
            raise NotATemplate(source)
        for place in places:
            if place in known:
                continue
            if not record:
                raise NotATemplate(place)
            try:
                parts(place.replace(_LAST, "[0]"))
            except NotAPath as error:
                raise NotATemplate(place) from error
        return cls(source=source, places=places)

    def lacks(self, names: Mapping[str, Any]) -> bool:
        """Return whether one of its places is empty or missing."""
        return not all(_at(names, place) for place in self.places)

    def filled(self, names: Mapping[str, Any]) -> str:
        """Return the text with its places filled."""
        return _PLACE.sub(lambda match: _at(names, match[1]), self.source)

    def path(self, names: Mapping[str, Any]) -> str:
        """
        Return a path: whatever stands in its places stays inside its place.

        Raises `Misfit` for what would be another path even so: ``.`` and ``..`` (RFC 3986 §5.2.4).
        """
        found = {place: _at(names, place) for place in self.places}
        for place, value in found.items():
            if value in (".", ".."):
                raise Misfit(place, _UPWARDS.fill(value=value))
        return _PLACE.sub(lambda match: quote(found[match[1]], safe=""), self.source)


def _at(tree: Any, place: str) -> str:
    for number, part in enumerate(place.split(_LAST)):
        if number:
            tree = tree[-1] if isinstance(tree, list) and tree else None
        if part.strip("."):
            tree = get(tree, part.strip("."))
    return "" if isinstance(tree, dict | list) else text(tree)


_UPWARDS = Text(
    en="is '{value}', which in a path means another place.",
    zh="值为“{value}”，在路径中会指向其他位置。",
)
