"""One ticket's trail, for reading: who said what, in whose hands it was, and who had written it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from certs.screen import local
from exchange.acts import Kind
from exchange.demo.city import City
from exchange.demo.ground import Ground
from exchange.query import Query
from exchange.text import Text

_WORDS = "SELECT message_id, content FROM event WHERE ticket_id = ? AND author = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message of a trail; *words* are what its author wrote, *written* who has written it."""

    entry: int
    time: str
    kind: Text
    author: Text
    recipient: Text
    state: Text
    answers: Text
    words: str
    written: tuple[Text, ...]


def read_trail(ground: Ground, ticket: str) -> list[Line]:
    """Return the trail of *ticket* from the bridge's database, its words from the platforms'."""
    query = Query.open(f"sqlite:///{ground.bridge_database}")
    try:
        entries, _ = query.trail(ticket, None, limit=200)
    finally:
        query.close()
    words, city = _words(ground, ticket), ground.city
    written: dict[str, list[Text]] = {}
    for entry in entries:
        if entry.kind == "written":
            written.setdefault(entry.message_id, []).append(_name(city, entry.author))
    return [
        Line(
            entry=entry.leaf_index,
            time=local(entry.time).strftime("%H:%M:%S"),
            kind=Kind(entry.kind).text,
            author=_name(city, entry.author),
            recipient=_name(city, entry.recipient),
            state=entry.state.text if entry.state is not None else Text(en="", zh=""),
            answers=_name(city, entry.answers),
            words=words.get(entry.message_id, ""),
            written=tuple(written.get(entry.message_id, ())),
        )
        for entry in entries
        if entry.kind not in ("written", "set_aside")
    ]


def _words(ground: Ground, ticket: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for platform in ground.city.platforms.values():
        path = (ground.home(platform) / "desk.db").resolve()
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as own:
            for message, content in own.execute(_WORDS, (ticket, platform.code)):
                found[message] = _said(json.loads(content))
    return found


def _said(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sentence that a message's groups hold."""
    for group, key in (
        ("content", "content"), ("grounds", "text"), ("disposal", "content"), ("reply", "text"),
    ):  # fmt: skip
        if key in groups.get(group, {}):
            return str(groups[group][key])
    for call in groups.get("call", {}).get("calls", ()):
        return str(call.get("conclusion", ""))
    return ""


def _name(city: City, code: str) -> Text:
    platform = city.by_code(code)
    short = {"hotline": "12345", "police": "110", "county": "county 110"}
    if platform is None:
        return Text(en=code, zh=code)
    word = short[platform.role.value]
    return Text(en=word, zh=word.replace("county ", "下级"))
