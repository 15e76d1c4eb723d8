"""The figures of ``exchange status``, as people read them: few lines, then tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from exchange.cli.due_words import span
from exchange.cli.grammar import language, say
from exchange.cli.screen import (
    columns,
    screen_width,
    show_paragraph,
    show_table,
    shown_time,
    width,
    wrapped,
)
from exchange.cli.standing import kind_word, state_word
from exchange.doctor.standing import called
from exchange.text import Text

_MARKS = {"warn": "!", "fail": "✗"}

_HEADS = Text(
    en="organisation|urgent|waiting|stopped|lag|pull, push, acknowledge",
    zh="机构|紧急|待领取|停滞通道|延迟|领取、推送、确认",
)
_CERTIFICATES = Text(en="certificate|days|ends", zh="证书|剩余天数|到期")
_STOPPED = Text(en="stopped lane|of|since|refusal", zh="停滞通道|机构|自|拒收原因")
_ANSWERS = Text(en="answers|state|count|overdue|oldest", zh="负责机构|状态|件数|逾期|最早")
_OWES = Text(en="owes|overdue|due soon", zh="应办机构|逾期|即将到期")
_NAMES = {
    "serving": Text(en="bridge", zh="网桥"),
    "trust": Text(en="trust", zh="信任"),
    "log": Text(en="log", zh="日志"),
    "space": Text(en="disk", zh="磁盘"),
    "unacknowledged": Text(en="oldest unacknowledged", zh="最久未确认"),
}
_RUNS = Text(en="runs {who}", zh="运行中 {who}")
_STILL = Text(en="does not run", zh="未运行")
_LOG = Text(en="{size} entries, newest checkpoint {time}", zh="{size} 条，最新检查点 {time}")
_EMPTY = Text(en="empty", zh="空")
_FREE = Text(en="{free} MiB free in {folder}", zh="{folder} 剩余 {free} MiB")
_UNSEEN = Text(
    en="not to be seen from here: ask the database's own operator",
    zh="本机无法得知，请询问数据库运营方",
)
_OLDEST = Text(
    en="{kind} {id}, {author} → {recipient}, since {time}",
    zh="{kind} {id}，{author} → {recipient}，自 {time}",
)
_NOTHING = Text(en="nothing", zh="无")
_ANSWERED = Text(en="answers our calls", zh="应答正常")
_NO_HANDOFF = Text(en="to be handed on or closed", zh="待移交或结案")
_GENERATION = Text(en="generation {number} ({digest})", zh="第 {number} 代（{digest}）")
_LIST = Text(en="list of {network} until {time}", zh="{network} 吊销列表至 {time}")
_DENIED = Text(en="{count} denied", zh="禁止 {count} 项")
_WELL = Text(en="All is well.", zh="一切正常。")


def show(row: Mapping[str, Any], now: datetime) -> None:
    """Print what `exchange.cli.status` found, as of *now*."""
    lang = language()
    lines = list(_lines(row))
    room = max(width(name.say(lang)) for name, _ in lines) + 2
    for name, said in lines:
        first, *rest = wrapped(said, screen_width() - room)
        click.echo(columns(name.say(lang), room) + first)
        for line in rest:
            click.echo(" " * room + line)
    if "waiting" in row:
        click.echo()
        show_table(_HEADS.say(lang).split("|"), _mailbox_cells(row["waiting"], now))
    if row.get("stopped"):
        click.echo()
        cells = [
            (one["lane"], one["organisation"], _when(one["since"]), one["reason"] or one["code"])
            for one in row["stopped"]
        ]
        show_table(_STOPPED.say(lang).split("|"), cells)
    if row.get("answers"):
        click.echo()
        show_table(_ANSWERS.say(lang).split("|"), _answer_cells(row["answers"], now))
    if row.get("owes"):
        click.echo()
        show_table(_OWES.say(lang).split("|"), _owes_cells(row["owes"]))
    click.echo()
    show_table(
        _CERTIFICATES.say(lang).split("|"),
        [
            (
                called(one["name"]).say(lang),
                "–" if one["days"] is None else str(one["days"]),
                _when(one["ends"]),
            )
            for one in row["certificate"]
        ],
    )
    click.echo()
    for finding in row["findings"]:
        show_paragraph(f"{_MARKS[finding['status']]} {finding['what']}")
        show_paragraph(finding["fix"], indent=4)
    if not row["findings"]:
        say(_WELL)


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[Text, str]]:
    """Yield what there is one of."""
    lang = language()
    serving = row["serving"]
    if "target" in row:
        said = _STILL if serving is None else _ANSWERED
        yield _NAMES["serving"], f"{row['target']} {said.say(lang)}"
        return
    runs = _STILL if serving is None else _RUNS.fill(who=serving)
    yield _NAMES["serving"], runs.say(lang).rstrip()
    if row["trust"] is not None:
        yield _NAMES["trust"], _trusted(row["trust"])
    log = row["log"]
    newest = _LOG.fill(size=log["size"], time=_when(log["checkpoint"])) if log["size"] else _EMPTY
    yield _NAMES["log"], f"{log['origin']} {newest.say(lang)}".strip()
    free = row["space"]["free_bytes"]
    where = row["space"]["folder"]
    space = _UNSEEN if free is None else _FREE.fill(free=free // 1024**2, folder=where)
    yield _NAMES["space"], space.say(lang)
    oldest = row["unacknowledged"]
    if oldest is None:
        yield _NAMES["unacknowledged"], _NOTHING.say(lang)
        return
    said = _OLDEST.fill(
        kind=kind_word(oldest["kind"]), id=oldest["message_id"], author=oldest["author"],
        recipient=oldest["recipient"], time=_when(oldest["accepted"]),
    )  # fmt: skip
    yield _NAMES["unacknowledged"], said.say(lang)


def _trusted(trust: Mapping[str, Any]) -> str:
    """Say which trust is in force: its generation, each network's list, and how many are denied."""
    lang = language()
    said = [_GENERATION.fill(number=trust["generation"], digest=trust["digest"][:16])]
    for network, ends in trust["lists"].items():
        said.append(_LIST.fill(network=network, time=_when(ends)))
    if trust["denied"]:
        said.append(_DENIED.fill(count=trust["denied"]))
    return ("; " if lang == "en" else "；").join(one.say(lang) for one in said)


def _mailbox_cells(rows: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[tuple[str, ...]]:
    for row in rows:
        contact = [
            _short(now - datetime.fromisoformat(row["contact"][call]))
            if call in row["contact"]
            else "–"
            for call in ("pull", "push", "acknowledge")
        ]
        lag = row["lag_seconds"]
        yield (
            row["name"] + " " + row["organisation"] if row["name"] else row["organisation"],
            _counted(row["urgent"], row["urgent_oldest_seconds"]),
            _counted(row["waiting"], row["waiting_oldest_seconds"]),
            str(row["stopped"] or "–"),
            "–" if lag is None else _short(timedelta(seconds=lag)),
            ", ".join(contact) if set(contact) != {"–"} else "–",
        )


def _answer_cells(rows: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[tuple[str, ...]]:
    for row in rows:
        state = state_word(row) if row["state"] else _NO_HANDOFF.say(language())
        yield (
            row["name"] + " " + row["organisation"] if row["name"] else row["organisation"],
            state,
            str(row["count"]),
            str(row["overdue"] or "–"),
            span(now - datetime.fromisoformat(row["oldest"])),
        )


def _owes_cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        who = f"{row['name']} {row['organisation']}".strip()
        yield who, str(row["overdue"] or "–"), str(row["soon"] or "–")


def _counted(count: int, oldest: float | None) -> str:
    if not count or oldest is None:
        return "–"
    return f"{count} · {_short(timedelta(seconds=oldest))}"


def _short(length: timedelta) -> str:
    """Return a length of time in its greatest unit, below a minute in seconds."""
    if length < timedelta(minutes=1):
        return f"{max(length.total_seconds(), 0):.0f} {'s' if language() == 'en' else '秒'}"
    words = span(length).split()
    return " ".join(words[:2])


def _when(stamp: str) -> str:
    return shown_time(datetime.fromisoformat(stamp)) if stamp else "–"
