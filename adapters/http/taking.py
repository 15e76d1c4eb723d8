"""Bodies become records: which of them the mapping wants, and which are none."""

from __future__ import annotations

import json
from typing import Any

from adapters.http.document import Source
from adapters.mapping.document import Document
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.staging.conditions import holds_of, text
from adapters.staging.records import Said, Unread
from adapters.table.records import reference
from exchange.text import Text

#: Records in one body.
MOST = 1000


class Shapeless(Exception):
    """A body is not as the mapping says; *text* says how."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def items_of(place: str, body: Any) -> list[Any]:
    """Return the records at *place* of a body (empty: the body itself); raises `Shapeless`."""
    found = get(body, place) if place else body
    if found is None and place and isinstance(body, dict):
        return []  # "nothing" is often left out
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise Shapeless(_NO_LIST.fill(place=place or "body"))
    if len(found) > MOST:
        raise Shapeless(_MANY.fill(limit=MOST))
    return found


def taken(document: Document, source: Source, item: Any, place: str) -> Said | Unread | None:
    """Return *item* as a record of *source*; None where the mapping does not want it."""
    if not isinstance(item, dict):
        return unread(item, _NO_RECORD, place)
    try:
        if not holds_of(source.when, item):
            return None
        reference(document.sheets[source.sheet], item)
    except Misfit as misfit:
        return unread(item, misfit.text, place)
    echo = text(get(item, source.echo)) if source.echo else ""
    return Said(sheet=source.sheet, record=item, place=place, echo=echo)


def unread(item: Any, reason: Text, place: str) -> Unread:
    """Return what stands for something that is no record, for *reason*."""
    return Unread(place=place, reason=reason, original=json.dumps(item, ensure_ascii=True))


_NO_LIST = Text(
    en="at {place} stands no list of records, and no record ('items').",
    zh="{place} 处不是记录列表或记录（items）。",
)
_MANY = Text(en="more than {limit} records at once.", zh="一次超过 {limit} 条记录。")
_NO_RECORD = Text(en="is no record: an object in { } is needed.", zh="不是记录：须为 { } 对象。")
