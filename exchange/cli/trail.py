"""A ticket's trail as people read it: who said what to whom, what it led to, who has written it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from exchange.cli.grammar import language
from exchange.cli.screen import clean, columns, screen_width, time_of, width, wrapped
from exchange.cli.standing import OWN, kind_word, names_in, state_word
from exchange.text import Text

_ANSWERS = Text(en="{who} answers for it", zh="{who}负责")
_WRITTEN = Text(en="✓ written by {who}", zh="✓ {who}已写入")
_SET_ASIDE = Text(en="✗ set aside by {who}", zh="✗ {who}已搁置")
_ONWARD = Text(en="carried on to {log}", zh="已转递至 {log}")
_ERASED = Text(en="content destroyed", zh="内容已销毁")
_LISTED = Text(en=", ", zh="、")
_PART = Text(en="; ", zh="；")


def show_trail(rows: Sequence[Mapping[str, Any]]) -> None:
    """
    Print a trail: under each message its day, and beside it what it led to and who has written it.

    Two lines an entry, so that names have room; the entries of "written" and "set_aside" stand in those lines.
    """
    names = names_in(*(row[side] for row in rows for side in ("author", "recipient")))
    handoffs = [*dict.fromkeys(row["handoff_id"] for row in rows if row["handoff_id"])]
    answers: dict[str, list[Text]] = {}
    for kind, word in (("written", _WRITTEN), ("set_aside", _SET_ASIDE)):
        given: dict[str, list[str]] = {}
        for row in rows:
            if row["kind"] == kind:
                given.setdefault(row["message_id"], []).append(_name(row["author"], names))
        for message_id, who in given.items():
            listed = _LISTED.say(language()).join(dict.fromkeys(who))
            answers.setdefault(message_id, []).append(word.fill(who=listed))
    said = [row for row in rows if row["kind"] not in ("written", "set_aside")]
    whats = [_what(row, handoffs) for row in said]
    entry_room = max((len(str(row["leaf_index"])) for row in said), default=0)
    what_room = max(map(width, whats), default=0)
    indent, day = entry_room + what_room + 14, ""
    for row, what in zip(said, whats, strict=True):
        shown = time_of(row["time"], seconds=True)
        if day != (day := f"{shown[:10]} {shown[20:]}"):
            click.echo(day)
        head = f"  {row['leaf_index']:<{entry_room}}  {shown[11:19]}  {columns(what, what_room)}  "
        lines = wrapped(clean(_parties(row, names)), max(screen_width() - indent - 2, 20))
        lines += wrapped(
            clean(_led_to(row, names, answers.get(row["message_id"], ()))),
            max(screen_width() - indent - 2, 20),
        )
        for number, line in enumerate(lines):
            click.echo((head if number == 0 else " " * width(head)) + line)


def _what(row: Mapping[str, Any], handoffs: Sequence[str]) -> str:
    """Return a message's kind, numbered by its hand-off where a ticket has several."""
    kind = kind_word(row["kind"])
    if len(handoffs) > 1 and row["handoff_id"]:
        kind += f" #{handoffs.index(row['handoff_id']) + 1}"
    return kind


def _parties(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    by, to = _name(row["author"], names), _name(row["recipient"], names)
    if not to:
        return by
    if to == by:
        return OWN.fill(state=by).say(language())
    return f"{by} → {to}"


def _led_to(row: Mapping[str, Any], names: Mapping[str, str], given: Sequence[Text]) -> str:
    """Return the state after a message, who answers then, and who has written it or set it aside."""
    lang = language()
    answers = names.get(row["answers"], row["answers"])
    if not answers and row["kind"] in ("open_ticket", "agree", "rule"):
        # A ticket is its opener's; what is returned is the sender's own duty from then on.
        answers = _name(row["author"], names)
    if not answers and row["kind"] == "release":
        answers = _name(row["recipient"], names)
    parts = [state_word(row)] if row["state"] else []
    parts += [_ANSWERS.fill(who=answers).say(lang)] if answers else []
    parts += [_ONWARD.fill(log=log).say(lang) for log in row.get("onward", ())]
    parts += [_ERASED.say(lang)] if row.get("erased") else []
    parts += [one.say(lang) for one in given]
    return _PART.say(lang).join(parts)


def _name(organisation: Mapping[str, str], names: Mapping[str, str]) -> str:
    return names.get(organisation["code"], organisation["code"])
