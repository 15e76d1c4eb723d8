"""What a mapping cannot carry: one value of one record, named, with what to do about it."""

from __future__ import annotations

from exchange.text import Text


class Misfit(Exception):
    """
    A value that cannot be mapped: *place* is its column or path, *text* says why, never the value.

    The record is put aside and its lane stops; nothing of it is said or written.
    """

    def __init__(self, place: str, text: Text) -> None:
        super().__init__(f"{place}: {text.en}")
        self.place = place
        self.text = Text(en=f"{place}: {text.en}", zh=f"{place}：{text.zh}")
