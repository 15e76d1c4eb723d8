"""``[http.call.held]``, read: how the platform is asked whether it holds what it was given."""

from __future__ import annotations

from adapters.http.document import ALWAYS, RATE, Held, Meaning
from adapters.http.places import address, number_at, path_at
from adapters.mapping.parsing_fields import read_condition
from exchange.reading import Table
from exchange.text import Text

_ANSWER = frozenset({"answer", "status", "message_id", "key"})
_ITEM = frozenset({"row", "message_id", "key"})


def read_held(given: Table, outer: Meaning) -> Held:
    """Return the section; of a list *outer* says what a whole answer is, where it does not itself."""
    listed = "items" in given
    if not listed and "success" not in given:
        given.text("success")
    found = Held(
        path=address(given, ("message_id", "key")),
        meaning=Meaning(
            success=read_condition(given, "success", _ANSWER)
            if "success" in given
            else outer.success
        ),
        lost=read_condition(given, "lost", _ANSWER) if "lost" in given else None,
        items=path_at(given, "items", "") if listed else None,
        number=path_at(given, "number", "") if listed else "",
        when=read_condition(given, "when", _ITEM) if listed else ALWAYS,
        next=path_at(given, "next", "") if listed else "",
        rate=number_at(given, "rate", RATE, 0.01),
    )
    if listed and not found.number and found.when.always:
        raise given.fault("items", _NO_RECORD)
    if listed and found.lost is not None:
        raise given.fault("lost", _LISTED)
    given.done(("success", "lost", "when"))
    return found


_NO_RECORD = Text(
    en="names a list: say where an item has the record's number ('number'), or which it is ('when').",
    zh="指明的是列表：请说明各项的记录编号所在（number），或判断条件（when）。",
)
_LISTED = Text(
    en="stands beside 'items': of a list, what is not in it is lost.",
    zh="不与 items 同用：列表中没有即为丢失。",
)
