"""
Tickets as flat rows, one a hand-off, for tables and programs of others (可批量应用).

From a bridge or from a database the columns are the same.  They hold codes, times and references,
never personal data.  Times are RFC 3339 in UTC.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from exchange.cli.standing import WORDS
from exchange.text import Text

#: Excel takes a CSV file for UTF-8 only if it begins so.
BOM = "\ufeff"

_TICKET: dict[str, Text] = {
    "ticket_id": Text(en="ticket", zh="单编号"),
    "kind": Text(en="kind", zh="单类型"),
    "origin": Text(en="origin", zh="开单机构"),
    "first_receiver": Text(en="first receiver", zh="首接单位"),
    "region": Text(en="region", zh="行政区划"),
    "matter": Text(en="matter", zh="事项"),
    "marker": Text(en="marker", zh="实际或演练"),
    "classification": Text(en="classification", zh="知悉范围"),
    "urgency": Text(en="urgency", zh="紧急程度"),
    "closed": Text(en="closed", zh="是否结案"),
    "opened": Text(en="opened", zh="开单时间（UTC）"),
    "updated": Text(en="updated", zh="最近动态时间（UTC）"),
    "ticket_answers": Text(en="who answers", zh="当前负责机构"),
}
_HANDOFF: dict[str, Text] = {
    "handoff_id": Text(en="hand-off", zh="移交编号"),
    "sender": Text(en="sender", zh="移交方"),
    "receiver": Text(en="receiver", zh="受理方"),
    "state": Text(en="state", zh="状态代码"),
    "state_zh": Text(en="state (zh)", zh="状态"),
    "answers": Text(en="answers", zh="移交负责机构"),
    "decides": Text(en="decides", zh="下一步机构"),
    "own_duty": Text(en="own duty", zh="自办"),
    "taken_over": Text(en="taken over", zh="已收回"),
    "danger": Text(en="danger", zh="危险"),
    "profile": Text(en="profile", zh="方案"),
    "onward_of": Text(en="onward of", zh="上一移交"),
    "offered": Text(en="offered", zh="移交时间（UTC）"),
    "state_changed": Text(en="state changed", zh="状态变更时间（UTC）"),
    "due": Text(en="due", zh="办理时限（UTC）"),
    "deadlines": Text(en="everything due: kind, who, when", zh="全部时限（事项、机构、UTC 时间）"),
}

#: Columns whose words are shown in Chinese in a CSV file; JSON lines have the words themselves.
_WORDED = frozenset({"kind", "marker", "classification", "urgency"})

#: The columns of an export in order, with their headings.
COLUMNS: dict[str, Text] = {**_TICKET, **_HANDOFF}


def flat_rows(ticket: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Yield one row a hand-off of a `exchange.cli.tickets.ticket_row`.

    A ticket without hand-offs has one row, the hand-off's columns empty.
    """
    from exchange.ticket import State

    head = {
        **{column: ticket[column] for column in _TICKET if column != "ticket_answers"},
        "origin": ticket["origin"]["code"],
        "region": ticket["region"]["code"],
        "ticket_answers": " ".join(ticket["answers"]),
    }
    for one in ticket["handoffs"]:
        name = one["state"].upper()
        yield {
            **head,
            **{column: one[column] for column in _HANDOFF if column in one},
            "sender": one["sender"]["code"],
            "receiver": one["receiver"]["code"],
            "state_zh": State[name].text.zh if name in State.__members__ else "",
            "state_changed": one["updated"],
            "deadlines": "; ".join(
                f"{due['kind']} {due['owes']} {due['due']}" for due in one["deadlines"]
            ),
        }
    if not ticket["handoffs"]:
        yield {**head, **dict.fromkeys(_HANDOFF, "")}


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield *rows* as CSV, byte order mark and Chinese headings first, for spreadsheets."""
    yield BOM + _csv_line([text.zh for text in COLUMNS.values()])
    for row in rows:
        yield _csv_line([_cell(_in_words(name, row[name])) for name in COLUMNS])


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield *rows* as JSON lines, for programs."""
    for row in rows:
        yield json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False) + "\n"


def _in_words(column: str, value: str | bool) -> str | bool:
    """Return a cell of a column of words under its Chinese heading in Chinese; codes stay."""
    if column not in _WORDED or not isinstance(value, str) or value not in WORDS:
        return value
    return WORDS[value].zh


def _csv_line(cells: list[str]) -> str:
    line = StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: str | bool) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    # A spreadsheet would run such a cell as a formula.
    return "'" + value if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
