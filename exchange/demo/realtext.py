"""
Real text: a file of citizens' messages crosses instead of the invented matters.

Each line is a JSON object with ``number``, ``title``, ``time`` and ``text``.  The catalogue proposes the
matter; the message is taken to have reached the *other* desk, so that it has to cross.  What the
hotline does not take (R02) is explained and stays; what is on no list is agreed or sent on (R33).
Of a message only its number is ever told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from exchange.catalog import Finding
from exchange.demo.city import City, Role
from exchange.demo.daily import agree_unlisted
from exchange.demo.director import Scene
from exchange.demo.routes import Crossing, cross
from exchange.demo.words import filled
from exchange.errors import DataError
from exchange.text import Text

#: What the contract's groups take.
_TITLE_MOST, _TEXT_MOST, _NUMBER_MOST = 256, 10_000, 64
#: Bad lines that are named one by one.
_NAMED = 20

_BAD = Text(
    en="{file} cannot be used; nothing was started.\n{lines}\nEvery line must be a JSON object with "
    "number, title, time (RFC 3339 with a time zone) and text.",
    zh="{file} 无法使用，未启动任何进程。\n{lines}\n每行须为含 number、title、time"
    "（带时区的 RFC 3339 时间）、text 的 JSON 对象。",
)
_LINE = Text(en="  line {number}: {why}", zh="  第 {number} 行：{why}")
_MORE = Text(en="  … and {count} more lines", zh="  …… 另有 {count} 行")
_EMPTY = Text(en="  it holds no message", zh="  其中没有消息")
_NO_JSON = Text(en="no JSON object", zh="不是 JSON 对象")
_NO_TEXT = Text(en="not UTF-8", zh="不是 UTF-8 编码")
_MISSING = Text(en="'{key}' is missing or no text", zh="缺少“{key}”或其不是文本")
_LONG = Text(en="'{key}' is longer than {most} characters", zh="“{key}”超过 {most} 个字符")
_NO_TIME = Text(en="'time' is no time with a time zone", zh="“time”不是带时区的时间")
_NUL = Text(en="'{key}' holds a NUL character", zh="“{key}”含有空字符")


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """One citizen's message; *time* is aware."""

    number: str
    title: str
    time: datetime
    text: str


class _Bad(Exception):
    def __init__(self, text: Text) -> None:
        super().__init__(str(text))
        self.text = text


def read_real(path: Path) -> list[Real]:
    """
    Return the messages of the file *path*, in its order.

    Raises `DataError` naming every line at fault (the first twenty), and `OSError`.
    """
    found: list[Real] = []
    faults: list[Text] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_read(line))
        except _Bad as bad:
            faults.append(filled(_LINE, number=number, why=bad.text))
    if not found and not faults:
        faults.append(_EMPTY)
    if faults:
        shown = faults[:_NAMED]
        if len(faults) > _NAMED:
            shown.append(_MORE.fill(count=len(faults) - _NAMED))
        lines = Text(en="\n".join(t.en for t in shown), zh="\n".join(t.zh for t in shown))
        raise DataError(filled(_BAD, file=path, lines=lines), file=str(path))
    return found


def _read(line: bytes) -> Real:
    try:
        value: Any = json.loads(line)
    except UnicodeDecodeError as error:
        raise _Bad(_NO_TEXT) from error
    except ValueError as error:
        raise _Bad(_NO_JSON) from error
    if not isinstance(value, dict):
        raise _Bad(_NO_JSON)
    for key, most in (("number", _NUMBER_MOST), ("title", _TITLE_MOST), ("text", _TEXT_MOST)):
        word = value.get(key)
        if not isinstance(word, str) or not word.strip():
            raise _Bad(_MISSING.fill(key=key))
        if len(word) > most:
            raise _Bad(_LONG.fill(key=key, most=most))
        if "\0" in word:
            raise _Bad(_NUL.fill(key=key))
    try:
        time = datetime.fromisoformat(value["time"])
    except (KeyError, TypeError, ValueError) as error:
        raise _Bad(_NO_TIME) from error
    if time.tzinfo is None:
        raise _Bad(_NO_TIME)
    return Real(number=value["number"], title=value["title"], time=time, text=value["text"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What is to be done with real messages: *crossing* ones, and the numbers that *stay* (R02)."""

    crossing: tuple[Scene, ...]
    stay: tuple[str, ...]
    unlisted: int


def sort_real(city: City, messages: list[Real]) -> Sorted:
    """Return what the catalogue proposes for *messages* in *city*."""
    scenes: list[Scene] = []
    stay: list[str] = []
    unlisted = 0
    for count, (one, finding) in enumerate(_proposed(city, messages), 1):
        if finding.exclusion is not None:
            stay.append(one.number)
            continue
        name, opening = f"message {count}", _opening(one)
        item = finding.chosen
        if item is None:
            unlisted += 1
            title = Text(en=f"{one.number}: on no list", zh=f"{one.number}：清单外")
            rounds = agree_unlisted(city, Role.POLICE, one.title, one.text, opening)
            scenes.append(Scene(name=name, title=title, rules="R33", rounds=rounds))
            continue
        crossing = Crossing(
            matter=item.id, title=one.title, content=one.text, opening=opening,
            result="已核实处理，并答复诉求人。", disposal="已派警到场先期处置，不构成案件。",
        )  # fmt: skip
        title = Text(en=f"{one.number}: {item.id}", zh=f"{one.number}：{item.id}{item.name.zh}")
        rounds = cross(city, item, crossing)
        scenes.append(Scene(name=name, title=title, rules="R20", rounds=rounds))
    return Sorted(crossing=tuple(scenes), stay=tuple(stay), unlisted=unlisted)


def _proposed(city: City, messages: list[Real]) -> Iterator[tuple[Real, Finding]]:
    for one in messages:
        yield one, city.profile.catalogue.find(f"{one.title}。{one.text}")


def _opening(one: Real) -> dict[str, Any]:
    received = {"receive_time": one.time.isoformat()}
    return {"groups": {"identity": {"record_number": one.number}, "intake": received}}
