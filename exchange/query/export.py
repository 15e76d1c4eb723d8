"""
Tickets as flat rows, one a hand-off, for tables and programs of others (可批量应用).

The rows hold codes, times and references, never personal data.  Pages are read one by one, each in
a transaction of its own: an export of any length holds neither memory nor the database.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from itertools import chain

from exchange.query import EVERYTHING, Filters, HandoffView, Query, TicketView
from exchange.tables import stamp
from exchange.text import Text

#: Excel takes a CSV file for UTF-8 only if it begins so.
BOM = "\ufeff"

_PAGE = 500

Value = str | int | bool | None


def _time(moment: datetime | None) -> str:
    return "" if moment is None else stamp(moment)


_TICKET_COLUMNS: dict[str, tuple[Text, Callable[[TicketView], Value]]] = {
    "ticket_id": (Text(en="ticket", zh="单编号"), lambda t: t.ticket.id),
    "kind": (Text(en="kind", zh="单类型"), lambda t: t.ticket.kind.name.lower()),
    "origin": (Text(en="origin", zh="开单机构"), lambda t: t.ticket.origin),
    "first_receiver": (Text(en="first receiver", zh="首接单位"), lambda t: t.ticket.first_receiver),
    "region": (Text(en="region", zh="行政区划"), lambda t: t.ticket.region),
    "matter": (Text(en="matter", zh="事项"), lambda t: t.ticket.matter),
    "marker": (Text(en="marker", zh="实际或演练"), lambda t: t.ticket.marker.name.lower()),
    "classification": (
        Text(en="classification", zh="知悉范围"),
        lambda t: t.ticket.classification.name.lower(),
    ),
    "urgency": (Text(en="urgency", zh="紧急程度"), lambda t: t.ticket.urgency.name.lower()),
    "closed": (Text(en="closed", zh="是否结案"), lambda t: t.ticket.closed),
    "opened": (Text(en="opened", zh="开单时间"), lambda t: _time(t.ticket.opened)),
    "updated": (Text(en="updated", zh="最近动态时间"), lambda t: _time(t.updated)),
    "ticket_answers": (Text(en="who answers", zh="当前负责机构"), lambda t: " ".join(t.answers)),
}
_HANDOFF_COLUMNS: dict[str, tuple[Text, Callable[[HandoffView], Value]]] = {
    "handoff_id": (Text(en="hand-off", zh="移交编号"), lambda h: h.standing.handoff.id),
    "sender": (Text(en="sender", zh="移交方"), lambda h: h.standing.handoff.sender),
    "receiver": (Text(en="receiver", zh="受理方"), lambda h: h.standing.handoff.receiver),
    "state": (Text(en="state", zh="状态"), lambda h: h.standing.handoff.state.name.lower()),
    "state_zh": (Text(en="state (zh)", zh="状态名称"), lambda h: h.standing.handoff.state.text.zh),
    "answers": (Text(en="answers", zh="移交负责机构"), lambda h: h.standing.answers),
    "decides": (Text(en="decides", zh="下一步机构"), lambda h: h.standing.decides),
    "own_duty": (Text(en="own duty", zh="自办"), lambda h: h.standing.handoff.own_duty),
    "taken_over": (Text(en="taken over", zh="已收回"), lambda h: h.standing.handoff.taken_over),
    "danger": (Text(en="danger", zh="危险"), lambda h: h.standing.handoff.danger),
    "profile": (Text(en="profile", zh="方案"), lambda h: h.standing.handoff.offer.profile),
    "onward_of": (Text(en="onward of", zh="上一移交"), lambda h: h.standing.handoff.onward_of),
    "offered": (Text(en="offered", zh="移交时间"), lambda h: _time(h.standing.handoff.offered)),
    "state_changed": (Text(en="state changed", zh="状态变更时间"), lambda h: _time(h.updated)),
    "due": (Text(en="due", zh="办理时限"), lambda h: _time(h.standing.due)),
}

#: The columns of an export in order, with their headings.
COLUMNS: dict[str, Text] = {
    name: text for name, (text, _) in chain(_TICKET_COLUMNS.items(), _HANDOFF_COLUMNS.items())
}


def export_rows(
    query: Query, caller: str | None, filters: Filters = EVERYTHING
) -> Iterator[dict[str, Value]]:
    """
    Yield one row a hand-off of the tickets that *caller* may see, newest ticket first.

    A ticket without hand-offs has one row, the hand-off's columns empty.
    """
    token = ""
    while True:
        page, token = query.tickets(caller, filters, limit=_PAGE, page_token=token)
        for view in page:
            ticket = {name: value(view) for name, (_, value) in _TICKET_COLUMNS.items()}
            for handoff in view.handoffs or (None,):
                yield ticket | {
                    name: "" if handoff is None else value(handoff)
                    for name, (_, value) in _HANDOFF_COLUMNS.items()
                }
        if not token:
            return


def csv_lines(rows: Iterator[dict[str, Value]]) -> Iterator[str]:
    """Yield *rows* as CSV, byte order mark and Chinese headings first, for spreadsheets."""
    yield BOM + _csv_line([text.zh for text in COLUMNS.values()])
    for row in rows:
        yield _csv_line([_cell(row[name]) for name in COLUMNS])


def json_lines(rows: Iterator[dict[str, Value]]) -> Iterator[str]:
    """Yield *rows* as JSON lines, for programs."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _csv_line(cells: list[str]) -> str:
    line = StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    text = "" if value is None else str(value)
    # A spreadsheet would run such a cell as a formula.
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
