"""
Which ticket is meant, and why nothing was found: the three ways in which an id does not name one.

People copy the beginning of an id from a list, so it is enough where only one recent ticket begins
so.  The bridge does not say whether a ticket that is not ours exists; neither do these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import click

from exchange.cli.grammar import Misused
from exchange.cli.tickets import Source, Wanted
from exchange.errors import NotFound
from exchange.text import Text

#: The beginning of an id is sought among so many of the newest tickets.
RECENT = 1000

_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{3,34}")

_WRONG_FORM = Text(
    en="'{given}' is no ticket id: an id is 36 characters of 0-9, a-f and hyphens, or at least its first "
    "4. Copy it from: exchange ticket list",
    zh="“{given}”不是单编号：单编号共 36 位（0-9、a-f 与连字符），也可只写开头至少 4 位。"
    "请从 exchange ticket list 复制。",
)
_SEVERAL = Text(
    en="{count} tickets begin with '{given}': {ids}. Give more of the id.",
    zh="有 {count} 张单的编号以“{given}”开头：{ids}。请多写几位。",
)
_NONE_BEGINS = Text(
    en="None of the newest {count} tickets {whose} begins with '{given}'. Give the whole id, of 36 "
    "characters, to look further back.",
    zh="{whose}最近 {count} 张单中没有编号以“{given}”开头的。更早的单请给出完整的 36 位编号。",
)
_YOURS = Text(en="that you are a party to", zh="贵方参与的")
_KEPT = Text(en="in this database", zh="本数据库中")
_NOT_YOURS = Text(
    en="There is no ticket {given}, or your organisation is no party to it (the bridge does not say "
    "which). Check the id, or ask the other side for it.",
    zh="没有编号为 {given} 的单，或贵方未参与该单（网桥不区分这两种情况）。请核对编号，或向对方索取。",
)
_NOT_KEPT = Text(
    en="There is no ticket {given} in this database. Check the id, and that it is the right database.",
    zh="本数据库中没有编号为 {given} 的单。请核对编号及所用数据库。",
)


def find_id(source: Source, given: str) -> str:
    """
    Return the whole id of the ticket that *given* means.

    Raises `Misused` where it has not the form of an id or several tickets begin so, `NotFound` where
    none does.
    """
    text = given.strip().lower()
    context = click.get_current_context(silent=True)
    if _WHOLE.fullmatch(text):
        return text
    if not _BEGINNING.fullmatch(text):
        raise Misused(_WRONG_FORM.fill(given=given[:64]), context)
    recent = [row["ticket_id"] for row in islice(source.list(Wanted()), RECENT)]
    found = [ticket_id for ticket_id in recent if ticket_id.startswith(text)]
    if len(found) > 1:
        ids = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise Misused(_SEVERAL.fill(given=text, count=len(found), ids=ids), context)
    if not found:
        whose = _KEPT if source.sees_all else _YOURS
        facts: dict[str, Any] = {"count": len(recent), "given": text}
        raise NotFound(
            Text(
                en=_NONE_BEGINS.en.format(whose=whose.en, **facts),
                zh=_NONE_BEGINS.zh.format(whose=whose.zh, **facts),
            ),
            ticket_id=text,
        )
    return str(found[0])


@contextmanager
def one_ticket(source: Source, given: str) -> Iterator[str]:
    """Give the whole id that *given* means; that there is no such ticket is said for its reader."""
    ticket_id = find_id(source, given)
    try:
        yield ticket_id
    except NotFound as error:
        text = _NOT_KEPT if source.sees_all else _NOT_YOURS
        raise NotFound(text.fill(given=ticket_id), ticket_id=ticket_id) from error


_NOTHING = Text(en="No ticket matches: {filters}.", zh="没有符合条件的单：{filters}。")
_NOTHING_AT_ALL = Text(en="There is no ticket {whose} yet.", zh="{whose}单一张也没有。")
_NO_ORGANISATION = Text(
    en="No organisation of this bridge has the code {code}; ask its operator for the register, or copy "
    "a code from: exchange ticket list",
    zh="本网桥没有代码为 {code} 的机构；请向运营方核对机构名录，或从 exchange ticket list 复制代码。",
)
_NO_MATTER = Text(
    en="No matter or category has the id {code}; look it up: exchange catalog find WORDS",
    zh="没有编号为 {code} 的事项或类别；请查：exchange catalog find 文字",
)


def why_nothing(source: Source, wanted: Wanted) -> Iterator[Text]:
    """Yield why a list is empty: the filters it had, and every code among them that is none."""
    used = list(_used(wanted))
    if used:
        yield _NOTHING.fill(filters=" ".join(used))
    else:
        whose = _KEPT if source.sees_all else _YOURS
        en, zh = _NOTHING_AT_ALL.en, _NOTHING_AT_ALL.zh
        yield Text(en=en.format(whose=whose.en), zh=zh.format(whose=whose.zh))
    today = datetime.now(UTC).date()
    for code in filter(None, dict.fromkeys((wanted.answers, wanted.organisation, wanted.owes))):
        yield from _organisation_problem(source, code, today)
    if wanted.region:
        from exchange.divisions import divisions

        problem = divisions().problem(wanted.region, today)
        if problem is not None:
            yield problem
    if wanted.matter:
        from exchange.catalog import catalog

        if catalog().get(wanted.matter) is None and wanted.matter not in catalog().categories:
            yield _NO_MATTER.fill(code=wanted.matter)


def _organisation_problem(source: Source, code: str, today: date) -> Iterator[Text]:
    from exchange.organisations import code_problem

    problem = code_problem(code, today)
    known = source.organisations() if problem is None else {}
    if problem is None and known and code not in known:
        problem = _NO_ORGANISATION.fill(code=code)
    if problem is not None:
        yield problem


def _used(wanted: Wanted) -> Iterator[str]:
    """Yield the conditions as they are written on the command line."""
    if wanted.answers:
        yield f"--answers {wanted.answers}"
    if wanted.state is not None:
        yield f"--state {wanted.state.name.lower()}"
    for name in ("region", "matter", "organisation"):
        if value := getattr(wanted, name):
            yield f"--{name} {value}"
    for name, moment in (("from", wanted.opened_from), ("until", wanted.opened_until)):
        if moment is not None:
            yield f"--{name} {moment.isoformat(timespec='minutes')}"
    if wanted.owes:
        yield f"--owes {wanted.owes}"
    if wanted.overdue:
        yield "--overdue"
    if wanted.reminded:
        yield "--due-soon"
    if wanted.open_only:
        yield "--open"
