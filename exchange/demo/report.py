"""What the demo tells in the end: one trail for reading, a table, and the same as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from certs.screen import columns, width
from exchange.cli.rule_words import seed_word
from exchange.demo.director import Played
from exchange.demo.disputes import TELLING
from exchange.demo.performance import Performance
from exchange.demo.trail import Line, read_trail
from exchange.demo.words import NOTHING, filled
from exchange.text import Language, Text

_TRAIL = Text(
    en="One trail for reading, from {city}: '{title}'", zh="读一条追溯链（{city}）：“{title}”"
)
_ANSWERS = Text(en="{who} answers for it", zh="{who} 负责")
_WRITTEN = Text(en="✓ written by {who}", zh="✓ {who} 已写入")
_TABLE = Text(en="What happened, by profile", zh="各方案演示结果")
_TABLE_HEADS = Text(
    en="profile|seed|crossed|12345→110|110→12345|own duties|scenes kept|refused as promised|"
    "messages|lost|doubled|receipts|log|s|as promised",
    zh="方案|原文|事项办结|12345→110|110→12345|自办|情景|如约拒收|消息|丢失|重复|回执|日志|秒|结果",
)


def telling(performance: Performance) -> Played | None:
    """Return the scene whose trail is worth reading: a dispute, where one was played."""
    for name in TELLING:
        for played in performance.scenes:
            if played.scene.name == name and played.told is not None:
                return played
    return None


def trail_of(performance: Performance) -> list[Line]:
    """Return the trail worth reading; empty where there is none."""
    played = telling(performance)
    if played is None or played.told is None:
        return []
    return read_trail(performance.stage.ground, played.told.tickets[0])


def trail_lines(lines: Sequence[Line], language: Language) -> Iterator[str]:
    """Yield a trail, of each message: what it is and between whom, what it led to, its words."""
    room = max((width(one.kind.say(language)) for one in lines), default=0)
    for one in lines:
        kind, to = columns(one.kind.say(language), room), one.recipient.say(language)
        sides = one.author.say(language) + (f" → {to}" if to else "")
        head = f"  {one.entry:>5}  {one.time}  {kind}  "
        yield head + sides
        led = [one.state.say(language)] if one.state.en else []
        if one.answers.en:
            led.append(_ANSWERS.fill(who=one.answers.say(language)).say(language))
        if one.written:
            who = ("、" if language == "zh" else ", ").join(w.say(language) for w in one.written)
            led.append(_WRITTEN.fill(who=who).say(language))
        for said in (("；" if language == "zh" else "; ").join(led), one.words):
            if said:
                yield " " * width(head) + said


def trail_title(performance: Performance) -> Text:
    """Return the sentence over the trail."""
    played, city = telling(performance), performance.stage.city.profile.title
    title = played.scene.title if played is not None else NOTHING
    return filled(_TRAIL, city=city, title=title)


def table_title() -> Text:
    """Return the sentence over the table."""
    return _TABLE


def table_rows(performances: Sequence[Performance], language: Language) -> Iterator[list[str]]:
    """Yield the heads and the rows of the table."""
    yield (_TABLE_HEADS.zh if language == "zh" else _TABLE_HEADS.en).split("|")
    for one in performances:
        data = as_data(one, [])
        counts, crossed = data["counts"], data["crossings"]
        yield [
            data["profile"], seed_word(data["seed"]).say(language), f"{crossed['closed']}/{crossed['of']}",
            str(crossed["12345-110"]), str(crossed["110-12345"]), str(crossed["own_duties"]),
            f"{sum(s['kept'] for s in data['scenes'])}/{len(data['scenes'])}",
            str(sum(len(s["facts"].get("refused", ())) for s in data["scenes"])),
            str(counts["said"]), str(counts["lost"]), str(counts["doubled"]),
            str(data["receipts"]["verified"]), str(data["log"]["entries"]),
            f"{one.seconds:.0f}", "✓" if one.holds else "✗",
        ]  # fmt: skip


def as_data(performance: Performance, trail: Sequence[Line]) -> dict[str, Any]:
    """Return everything that happened in one city as plain data."""
    rules, verified = performance.stage.city.profile, performance.verified
    rows = [_crossing(one) for one in performance.crossed]
    closed = [row for row in rows if row["closed"]]
    sums = ("said", "own", "came", "lost", "doubled", "differing")
    counts: dict[str, Any] = {
        name: sum(getattr(one, name) for one in performance.counts) for name in sums
    }
    counts |= {
        "under_way": performance.waiting,
        "platforms": [asdict(one) for one in performance.counts],
    }
    return {
        "profile": rules.name,
        "seed": rules.seed,
        "region": performance.stage.city.region,
        "holds": performance.holds,
        "seconds": round(performance.seconds, 1),
        "crossings": {
            "of": len(rows),
            "closed": len(closed),
            "12345-110": sum(row["direction"] == "12345-110" for row in closed),
            "110-12345": sum(row["direction"] == "110-12345" for row in closed),
            "own_duties": sum(bool(row["own_duty"]) for row in closed),
            "rows": rows,
        },
        "stayed": list(performance.stayed),
        "kill": {
            "under_way": performance.killed[0],
            "seconds_down": round(performance.killed[1], 2),
        },
        "scenes": [_scene(one) for one in performance.scenes],
        "counts": counts,
        "receipts": {
            "verified": verified.stored + verified.written + verified.refused if verified else 0,
            "stored": verified.stored if verified else 0,
            "written": verified.written if verified else 0,
            "refused": verified.refused if verified else 0,
        },
        "log": {
            "entries": verified.entries if verified else 0,
            "holds": verified is not None and verified.holds,
            "findings": [asdict(text) for text in (verified.findings if verified else ())],
        },
        "trail": [asdict(line) for line in trail],
    }


def _crossing(played: Played) -> dict[str, Any]:
    facts = played.told.facts if played.told is not None else {}
    failure = played.failure
    return {
        "name": played.scene.name,
        "closed": played.kept,
        "category": facts.get("category", ""),
        "matter": facts.get("matter", ""),
        "mode": facts.get("mode", ""),
        "direction": facts.get("direction", ""),
        "own_duty": facts.get("own_duty", ""),
        "ticket": played.told.tickets[0] if played.told is not None else "",
        "failure": asdict(failure) if failure is not None else None,
    }


def _scene(played: Played) -> dict[str, Any]:
    told, failure = played.told, played.failure
    return {
        "name": played.scene.name,
        "title": asdict(played.scene.title),
        "rules": played.scene.rules.split(),
        "kept": played.kept,
        "text": asdict(told.text) if told is not None else None,
        "tickets": list(told.tickets) if told is not None else [],
        "facts": dict(told.facts) if told is not None else {},
        "messages": played.messages,
        "failure": asdict(failure) if failure is not None else None,
    }
