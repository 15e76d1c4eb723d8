"""
How tickets are shown to people: who answers, who decides, what is next and until when.

Everything is worked out from the rows of `exchange.cli.tickets`, so that a bridge and a database
look the same.  Organisations appear by the register's name, their codes beside; matters by the
catalogue's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from exchange.cli.due_words import asked_late, besides, due_word, first_due, owed_word
from exchange.cli.grammar import language
from exchange.cli.screen import (
    clean,
    columns,
    cut,
    screen_width,
    show_paragraph,
    show_table,
    time_of,
    width,
    wrapped,
)
from exchange.text import Text

#: Of a ticket's id so much is shown where the terminal is narrow; `show` and `trail` take it.
SHORT = 8
#: From this width on a list has whole ids.
_WIDE = 150
#: Columns that a matter may take in a list; `show` has its whole name.
_MATTER_ROOM = 30

#: What people call the words that rows have for kinds, markers, classifications and urgencies.
WORDS: dict[str, Text] = {
    "work_order": Text(en="work order", zh="工单"),
    "police_ticket": Text(en="police ticket", zh="警单"),
    "actual": Text(en="actual", zh="实际"),
    "exercise": Text(en="exercise", zh="演练"),
    "test": Text(en="test", zh="测试"),
    "ordinary": Text(en="ordinary", zh="普通"),
    "confidential": Text(en="confidential", zh="限定知悉"),
    "secret": Text(en="secret", zh="涉密"),
    "legal_channel": Text(en="legal channel", zh="法定渠道"),
    "routine": Text(en="routine", zh="一般"),
    "urgent": Text(en="urgent", zh="紧急"),
    "immediate": Text(en="immediate", zh="特急"),
}

_TICKET = Text(en="Ticket {id}", zh="单 {id}")
_LABELS = {
    "matter": Text(en="matter", zh="事项"),
    "opened": Text(en="opened", zh="开单"),
    "region": Text(en="region", zh="地区"),
    "kind": Text(en="kind", zh="类型"),
    "now": Text(en="now", zh="现状"),
    "state": Text(en="state", zh="状态"),
    "answers": Text(en="answers", zh="负责"),
    "next": Text(en="next", zh="下一步"),
    "due": Text(en="due", zh="时限"),
    "besides": Text(en="besides", zh="另有"),
    "id": Text(en="id", zh="编号"),
    "note": Text(en="note", zh="备注"),
}
_OPENED = Text(en="{time} by {by}", zh="{time}，{by}")
_CLOSED = Text(en="It is closed: nobody has anything left to do.", zh="已结案，各方均无待办。")
_OPEN = Text(en="{who} answers for it now.", zh="当前由 {who} 负责。")
_TO_CLOSE = Text(
    en="Every hand-off is finished; {who} closes the ticket.",
    zh="各次移交均已办结，待 {who} 结案。",
)
_HANDOFF = Text(
    en="Hand-off {number}: {sender} → {receiver}", zh="第 {number} 次移交：{sender} → {receiver}"
)
_OWN_DUTY = Text(
    en="Own duty {number}: {receiver} for itself", zh="自办 {number}：{receiver}（本方办理）"
)
_NEXT = Text(en="{who}: {moves}", zh="{who}：{moves}")
_OR = Text(en=" or ", zh="，或")
_ERASED = Text(en="What was said about it was destroyed on {time}.", zh="其内容已于 {time} 销毁。")
_ERASED_SHORT = Text(en="{state}, erased", zh="{state}（内容已销毁）")
_NOBODY = Text(en="nobody: it is closed", zh="无（已办结）")
_BACK = Text(en="{sender}, by an own duty of its own below", zh="{sender}（见下方自办）")
_LATE = Text(en="overdue", zh="逾期")
#: What the English words of kinds say was done, as something to do; Chinese has one word for both.
_TO_DO = {
    "take": "take it",
    "release": "release it",
    "result": "give its result",
    "return": "ask to return it",
    "agree": "agree to the return",
    "refuse": "refuse the return",
    "rule": "rule",
    "reopen": "reopen it",
    "close": "close the hand-off",
}
_NOTES = {
    "danger": Text(
        en="danger is marked; what was done about it is stated",
        zh="已标记危险，处置情况已写明",
    ),
    "danger_unattended": Text(
        en="danger is marked: 110 states its disposal before it returns it (R31)",
        zh="已标记危险：110 写明处置情况前不得退回（R31）",
    ),
    "taken_over": Text(
        en="the sender took it back on itself; the receiver's next step is to release it",
        zh="移交方已收回自办，待受理方解除",
    ),
    "onward": Text(en="passes on hand-off {id}", zh="承接移交 {id}"),
    "late": Text(
        en="the return was asked for late: the time for it ended {time}",
        zh="退回申请已超过期限（{time}）",
    ),
}
_TICKET_CLOSED = Text(en="closed", zh="已结案")
_IDLE = Text(en="to be handed on or closed", zh="待移交或结案")
OWN = Text(en="{state} (own duty)", zh="{state}（自办）")


def word(value: str) -> str:
    """Return an enum's word of a row (``work_order``) as people call it."""
    known = WORDS.get(value)
    return known.say(language()) if known is not None else value


def state_word(row: Mapping[str, Any]) -> str:
    """Return the state of a row for people; as it stands where this version does not know it."""
    from exchange.ticket import State

    name: str = row["state"].upper()
    return State[name].text.say(language()) if name in State.__members__ else row["state"]


def kind_word(kind: str) -> str:
    """Return a message's kind for people."""
    from exchange.acts import Kind

    return next((one.text.say(language()) for one in Kind if one.value == kind), kind)


def names_in(*parties: Mapping[str, str]) -> dict[str, str]:
    """Return the names of organisations by code, from the references of rows."""
    return {party["code"]: party["name"] for party in parties if party["name"]}


def _names(row: Mapping[str, Any]) -> dict[str, str]:
    parties = [one[side] for one in row["handoffs"] for side in ("sender", "receiver")]
    return names_in(row["origin"], *parties)


def with_code(code: str, names: Mapping[str, str]) -> str:
    """Return an organisation by name with its code beside; its code alone where no name is known."""
    if code not in names:
        return code
    return f"{names[code]} [{code}]"


def matter_word(matter: str) -> str:
    """Return a matter's id with its name in the package's catalogue."""
    from exchange.catalog import catalog

    found = catalog()
    item = found.get(matter)
    known = item.name if item is not None else None
    if known is None and matter in found.categories:
        known = found.categories[matter].name
    if known is None:
        return matter or "–"
    return f"{matter} {known.say(language())}"


def next_moves(handoff: Mapping[str, Any]) -> list[str]:
    """Return the moves that whoever decides may make now, in the life-cycle table's order."""
    from exchange.states import OWN_DUTY_MOVES, STATES, TABLE
    from exchange.ticket import State

    name = handoff["state"].upper()
    if name not in State.__members__:
        return []
    state = State[name]
    moves = {
        kind: kind.text.zh if language() == "zh" else _TO_DO.get(kind.value, kind.value)
        for (at, kind, _), row in TABLE.items()
        if at is state
        and row.by is STATES[state].decides
        and (not row.after_take_over or handoff["taken_over"])
        and (not handoff["own_duty"] or kind in OWN_DUTY_MOVES)
    }
    return list(moves.values())


def show_ticket(row: Mapping[str, Any], now: datetime) -> None:
    """Print one ticket and each of its hand-offs."""
    lang, names = language(), _names(row)

    def who(code: str) -> str:
        return with_code(code, names)

    click.echo(_TICKET.fill(id=row["ticket_id"]).say(lang))
    kinds = [row["kind"], row["urgency"]]
    kinds += [row["marker"]] if row["marker"] != "actual" else []
    kinds += [row["classification"]] if row["classification"] != "ordinary" else []
    opened = _OPENED.fill(time=time_of(row["opened"], seconds=True), by=who(row["origin"]["code"]))
    facts = {
        "matter": matter_word(row["matter"]),
        "opened": opened.say(lang),
        "region": f"{row['region']['name']} [{row['region']['code']}]".strip(),
        "kind": " · ".join(word(kind) for kind in kinds if kind),
        "now": _standing(row, names),
    }
    _facts(facts)
    for number, one in enumerate(row["handoffs"], 1):
        sides = {
            side: names.get(code := one[side]["code"], code) for side in ("sender", "receiver")
        }
        title = _OWN_DUTY if one["own_duty"] else _HANDOFF
        click.echo()
        show_paragraph(title.fill(number=number, **sides).say(lang))
        _facts(_handoff_facts(one, names, now))


def _standing(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    lang = language()
    if row["closed"]:
        said = _CLOSED.say(lang)
        if row["erased"]:
            told = _ERASED.fill(time=time_of(row["erased"], seconds=True)).say(lang)
            said += (" " if lang == "en" else "") + told
        return said
    said = _OPEN.fill(who=", ".join(with_code(code, names) for code in row["answers"])).say(lang)
    if row["handoffs"] and not any(one["answers"] for one in row["handoffs"]):
        origin = with_code(row["origin"]["code"], names)
        said += (" " if lang == "en" else "") + _TO_CLOSE.fill(who=origin).say(lang)
    return said


def _handoff_facts(
    one: Mapping[str, Any], names: Mapping[str, str], now: datetime
) -> dict[str, str]:
    lang = language()
    facts = {"state": state_word(one)}
    if one["answers"]:
        facts["answers"] = with_code(one["answers"], names)
    elif one["state"] == "returned":
        sender = with_code(one["sender"]["code"], names)
        facts["answers"] = _BACK.fill(sender=sender).say(lang)
    else:
        facts["answers"] = _NOBODY.say(lang)
    if one["decides"]:
        moves = _OR.say(lang).join(next_moves(one)) or state_word(one)
        facts["next"] = _NEXT.fill(who=with_code(one["decides"], names), moves=moves).say(lang)
    if one["due"]:
        facts["due"] = due_word(one["due"], now)
    if said := [owed_word(due, names, now) for due in besides(one, now)]:
        facts["besides"] = ("; " if lang == "en" else "；").join(said)
    danger = "danger_unattended" if one["danger_unattended"] else "danger"
    notes = [_NOTES[danger].say(lang)] if one["danger"] else []
    notes += [_NOTES["taken_over"].say(lang)] if one["taken_over"] else []
    late = [due for due in one["deadlines"] if due["kind"] == "return" and asked_late(one, due)]
    notes += [_NOTES["late"].fill(time=time_of(due["due"])).say(lang) for due in late]
    if one["onward_of"]:
        notes.append(_NOTES["onward"].fill(id=one["onward_of"]).say(lang))
    if notes:
        facts["note"] = ("; " if lang == "en" else "；").join(notes)
    return {**facts, "id": one["handoff_id"]}


def _facts(facts: Mapping[str, str]) -> None:
    labels = {key: _LABELS[key].say(language()) for key in facts}
    left = max(map(width, labels.values())) + 4
    for key, said in facts.items():
        first, *rest = wrapped(clean(said), max(screen_width() - left, 20))
        click.echo(columns(f"  {labels[key]}", left) + first)
        for line in rest:
            click.echo(" " * left + line)


def show_list(rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Print tickets as a table, a line a hand-off, and under it whose codes the names are."""
    lang, offset = language(), _offset(now.isoformat())
    heads = Text(
        en="ticket|opened {offset}|matter|state|answers|decides next|due",
        zh="单编号|开单 {offset}|事项|状态|负责|下一步|时限",
    ).fill(offset=offset)
    lines = [line for row in rows for line in _list_lines(row, now, offset)]
    show_table(heads.say(lang).split("|"), lines)
    codes: dict[str, str] = {}
    for row in rows:
        known = _names(row)
        parties = [*row["answers"], *(one["decides"] for one in row["handoffs"])]
        codes |= {code: known[code] for code in parties if code in known}
    if codes:
        click.echo()
    for code, name in codes.items():
        click.echo(f"{name}  {code}")


def _offset(stamp: str) -> str:
    """Return the offset that a table's times have; it stands in their heading once."""
    return time_of(stamp)[-6:]


def _short_time(stamp: str, offset: str) -> str:
    """Return a time for a table; with its own offset only where that is another (summer time)."""
    return time_of(stamp).removesuffix(f" {offset}")


def _marked(row: Mapping[str, Any], state: str) -> str:
    """Return *state* with the mark of a ticket whose content was destroyed."""
    return _ERASED_SHORT.fill(state=state).say(language()) if row["erased"] else state


def _list_lines(row: Mapping[str, Any], now: datetime, offset: str) -> Iterator[tuple[str, ...]]:
    lang, names = language(), _names(row)
    shown_id = row["ticket_id"] if screen_width() >= _WIDE else row["ticket_id"][:SHORT]
    matter = cut(matter_word(row["matter"]), _MATTER_ROOM)
    head = shown_id, _short_time(row["opened"], offset), matter
    idle = not any(one["answers"] for one in row["handoffs"])
    if row["closed"] and not row["handoffs"]:
        yield (*head, _marked(row, _TICKET_CLOSED.say(lang)), "", "", "")
    elif idle and not row["closed"]:
        answers = ", ".join(names.get(code, code) for code in row["answers"])
        yield (*head, _IDLE.say(lang), answers, answers, "")
        head = "", "", ""
    for one in row["handoffs"]:
        state_said = state_word(one)
        if one["own_duty"]:
            state_said = OWN.fill(state=state_said).say(lang)
        first = first_due(one)
        due = _short_time(first, offset)
        if first and datetime.fromisoformat(first) < now:
            due += f" {_LATE.say(lang)}"
        yield (
            *head,
            _marked(row, state_said),
            names.get(one["answers"], one["answers"]),
            names.get(one["decides"], one["decides"]),
            due,
        )
        head = "", "", ""
