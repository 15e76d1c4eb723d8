"""Checking what stands against what happened: tickets, hand-offs and mailboxes by their trails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from exchange import tables
from exchange.acts import Kind
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.rows import HANDOFF, TICKET, Row
from exchange.store.tree import Fetch, finding
from exchange.text import Text
from exchange.ticket import State

_TICKETS_A_PAGE = 200

_TICKETS = select_form(tables.ticket) + " WHERE id > {} ORDER BY id LIMIT {}"
_HANDOFFS = select_form(tables.handoff) + " WHERE ticket_id {among}"
_TRAILS = (
    "SELECT ticket_id, handoff_id, kind, author, state, answers, digest FROM trail"
    " WHERE ticket_id {among} ORDER BY leaf_index"
)
_UNDELIVERABLE = (
    "SELECT b.position FROM mailbox b"
    " LEFT JOIN message m ON b.content = 'message' AND m.leaf_index = b.source"
    " LEFT JOIN receipt r ON b.content = 'written' AND r.leaf_index = b.source"
    " LEFT JOIN refusal f ON b.content = 'refused' AND f.number = b.source"
    " WHERE m.leaf_index IS NULL AND r.leaf_index IS NULL AND f.number IS NULL"
    " ORDER BY b.position LIMIT 100"
)
_STOPPED = (
    "SELECT q.lane FROM quarantine q LEFT JOIN refusal f ON f.number = q.refusal"
    " LEFT JOIN message m ON m.leaf_index = q.source"
    " WHERE f.number IS NULL OR m.leaf_index IS NULL ORDER BY q.lane LIMIT 100"
)
_LAST = "SELECT max(n) FROM (SELECT max(position) AS n FROM mailbox UNION SELECT max(number) FROM refusal) x"
_NOW = "SELECT position FROM log"


def check_standing(engines: Engines) -> Iterator[Text]:
    """Yield a finding for each ticket, hand-off and mailbox row that does not fit the trail."""
    driver = driver_of(engines.reader.dialect.name)
    last = ""
    while True:
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            tickets = fetch(_TICKETS, last, _TICKETS_A_PAGE)
            if not tickets:
                break
            yield from _page(fetch, tickets)
            last = tickets[-1][0]
    with reading(engines) as connection:
        fetch = partial(driver.fetch, connection)
        for (position,) in fetch(_UNDELIVERABLE):
            yield finding(
                "mailbox",
                "position",
                position,
                "what it delivers is not there",
                "所投递的内容不存在",
            )
        for (lane,) in fetch(_STOPPED):
            yield finding(
                "quarantine", "lane", lane, "its message or refusal is not there",
                "对应的消息或拒收回执不存在",
            )  # fmt: skip
        if (fetch(_LAST)[0][0] or 0) > fetch(_NOW)[0][0]:
            yield finding(
                "log", "position", fetch(_NOW)[0][0], "greater numbers were given", "已有更大的编号"
            )


def _page(fetch: Fetch, tickets: list[Row]) -> Iterator[Text]:
    ids = [row[0] for row in tickets]
    trails: dict[str, list[Row]] = defaultdict(list)
    for row in fetch(_TRAILS, ids):
        trails[row[0]].append(row)
    for ticket in tickets:
        yield from _ticket(dict(zip(TICKET, ticket, strict=True)), trails[ticket[0]])
    for handoff in fetch(_HANDOFFS, ids):
        yield from _handoff(dict(zip(HANDOFF, handoff, strict=True)), trails[handoff[1]])


def _ticket(ticket: dict[str, object], trail: list[Row]) -> Iterator[Text]:
    openers = [author for _, _, kind, author, *_ in trail if kind == Kind.OPEN_TICKET.value]
    closed = any(kind == Kind.CLOSE_TICKET.value for _, _, kind, *_ in trail)
    for name, expected in (("origin", openers[0] if openers else ""), ("closed", closed)):
        if ticket[name] != expected:
            yield finding(
                "ticket", "id", ticket["id"], f"{name}: not what the trail says",
                f"{name}：与追溯链不符",
            )  # fmt: skip


def _handoff(handoff: dict[str, Any], trail: list[Row]) -> Iterator[Text]:
    said = [row for row in trail if row[1] == handoff["id"]]
    expected: dict[str, object]
    if said:
        expected = {"state": said[-1][4], "answers": said[-1][5]}
    else:  # an own duty, opened by a message of another hand-off, of which nothing was said yet
        expected = {"state": int(State.TAKEN), "answers": handoff["receiver"]}
    for name, value in expected.items():
        if handoff[name] != value:
            yield finding(
                "handoff", "id", handoff["id"], f"{name}: not what the trail says",
                f"{name}：与追溯链不符",
            )  # fmt: skip
    if bytes(handoff["head"]) not in {bytes(row[6]) for row in trail}:
        yield finding(
            "handoff", "id", handoff["id"], "head: no such message in the trail",
            "head：追溯链中没有该消息",
        )  # fmt: skip
