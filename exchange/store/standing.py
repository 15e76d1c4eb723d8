"""Checking what stands against what happened: tickets, hand-offs and mailboxes by their messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol

from exchange import tables
from exchange.deadlines import may_run
from exchange.errors import ExchangeError
from exchange.provisions import DeadlineKind
from exchange.reckoning import Rules
from exchange.records import Content, Standing
from exchange.store.at_rest import AtRest
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import Engines, reading
from exchange.store.reckoned import Reckoned
from exchange.store.replay import FURTHER, Replay
from exchange.store.rows import HANDOFF, TICKET, Row, deadline_rows, handoff_row, ticket_row
from exchange.store.tree import Fetch, finding
from exchange.submission import Statement
from exchange.tables import moment_of
from exchange.text import Text
from exchange.ticket import Message


class Reader(Protocol):
    """
    Takes stored bytes apart and checks their signatures; raises `ExchangeError`.

    *at* is when they were recorded, None where that is unknown or was asked before: a signer's
    certificate is judged by that time.
    """

    def message(self, envelope: bytes, at: datetime | None) -> Message:
        """Return the message in an envelope, its group digests checked, too."""

    def statement(
        self, kind: Content, statement: bytes, signature: bytes, at: datetime | None
    ) -> Statement:
        """Return what a written or refused statement says."""


_TICKETS_A_PAGE = 50

_TICKETS = select_form(tables.ticket) + " WHERE id > {} ORDER BY id LIMIT {}"
_HANDOFFS = select_form(tables.handoff) + " WHERE ticket_id {among}"
_DEADLINES = select_form(tables.deadline) + " WHERE handoff_id {among}"
_LOOSE = (
    "SELECT d.handoff_id FROM deadline d LEFT JOIN handoff h ON h.id = d.handoff_id"
    " WHERE h.id IS NULL ORDER BY d.handoff_id LIMIT 100"
)
_TRAILS = (
    "SELECT t.ticket_id, t.leaf_index, t.time, t.state, t.answers, m.envelope, m.id FROM trail t"
    " JOIN message m ON m.leaf_index = t.leaf_index"
    " WHERE t.ticket_id {among} ORDER BY t.leaf_index"
)
_ARCHIVED = (
    "SELECT DISTINCT t.ticket_id FROM trail t JOIN archived a ON a.leaf_index = t.leaf_index"
    " WHERE t.ticket_id {among}"
)
#: What is said to one party; the opening, to whom its ticket is offered; the closing, to everyone.
_LOST = [
    f"SELECT DISTINCT t.leaf_index, {who} FROM trail t {joined} WHERE {said}"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM receipt r"
    f" WHERE r.message_id = t.message_id AND r.organisation = {who})"
    " AND NOT EXISTS (SELECT 1 FROM mailbox b"
    f" WHERE b.source = t.leaf_index AND b.recipient = {who} AND b.content = 'message')"
    " AND NOT EXISTS (SELECT 1 FROM passage p"
    f" WHERE p.leaf_index = t.leaf_index AND p.recipient = {who})"
    " AND NOT EXISTS (SELECT 1 FROM aside d"
    f" WHERE d.message_id = t.message_id AND d.organisation = {who})"
    " ORDER BY t.leaf_index LIMIT 100"
    for who, joined, said in (
        (
            "t.recipient", "",
            "t.kind NOT IN ('written', 'set_aside') AND t.recipient NOT IN ('', t.author)",
        ),
        (
            "h.receiver", "JOIN handoff h ON h.ticket_id = t.ticket_id AND h.receiver <> t.author",
            "t.kind IN ('open_ticket', 'close_ticket')",
        ),
        (
            "h.sender", "JOIN handoff h ON h.ticket_id = t.ticket_id AND h.sender <> t.author",
            "t.kind = 'close_ticket'",
        ),
    )
]  # fmt: skip
_UNDELIVERABLE = (
    "SELECT b.position FROM mailbox b"
    " LEFT JOIN message m ON b.content = 'message' AND m.leaf_index = b.source"
    " LEFT JOIN receipt r ON b.content = 'written' AND r.leaf_index = b.source"
    " LEFT JOIN refusal f ON b.content = 'refused' AND f.number = b.source"
    " WHERE m.leaf_index IS NULL AND r.leaf_index IS NULL AND f.number IS NULL"
    " ORDER BY b.position LIMIT 100"
)
_ASTRAY = (
    "SELECT b.position FROM mailbox b JOIN trail t ON t.leaf_index = b.source"
    " WHERE b.content = 'written' AND b.recipient <> t.recipient"
    " UNION SELECT b.position FROM mailbox b JOIN refusal f ON f.number = b.source"
    " JOIN message m ON m.id = f.message_id JOIN trail t ON t.leaf_index = m.leaf_index"
    " WHERE b.content = 'refused' AND b.recipient <> t.author LIMIT 100"
)
_EMPTY = (
    "SELECT b.position FROM mailbox b JOIN archived a ON a.leaf_index = b.source"
    " WHERE b.content <> 'refused' ORDER BY b.position LIMIT 100"
)
#: A lane is a hand-off's: of what is said there that one's, of what is said of a ticket any of its.
_LOST_WAY = (
    "SELECT b.position FROM mailbox b JOIN trail t ON t.leaf_index = b.source"
    " LEFT JOIN handoff h ON h.id = b.lane WHERE b.content <> 'refused' AND (h.id IS NULL"
    " OR h.ticket_id <> t.ticket_id OR (t.handoff_id <> '' AND t.handoff_id <> b.lane))"
    " UNION SELECT b.position FROM mailbox b JOIN refusal f ON f.number = b.source"
    " JOIN message m ON m.id = f.message_id JOIN trail t ON t.leaf_index = m.leaf_index"
    " LEFT JOIN handoff h ON h.id = b.lane WHERE b.content = 'refused' AND (h.id IS NULL"
    " OR h.ticket_id <> t.ticket_id OR (t.handoff_id <> '' AND t.handoff_id <> b.lane)) LIMIT 100"
)
_STOPPED = (
    "SELECT q.lane FROM quarantine q LEFT JOIN refusal f ON f.number = q.refusal AND f.time = q.time"
    " LEFT JOIN message m ON m.leaf_index = q.source AND m.id = f.message_id"
    " LEFT JOIN mailbox b ON b.recipient = q.recipient AND b.lane = q.lane AND b.source = q.source"
    " AND b.content = 'message'"
    " WHERE f.number IS NULL OR m.leaf_index IS NULL OR b.position IS NULL ORDER BY q.lane LIMIT 100"
)
_LAST = "SELECT max(n) FROM (SELECT max(position) AS n FROM mailbox UNION SELECT max(number) FROM refusal) x"
_NOW = "SELECT max(position) FROM log"


def check_standing(
    engines: Engines, reader: Reader, reckoned: Reckoned | None = None
) -> Iterator[Text]:
    """
    Yield a finding for each ticket, hand-off, deadline and mailbox row that does not fit the trail.

    *reckoned* counts the hand-offs of which something could not be reckoned again.
    """
    reckoned = Reckoned() if reckoned is None else reckoned
    driver = driver_of(engines.reader.dialect.name)
    last = ""
    while True:
        with reading(engines) as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            tickets = fetch(_TICKETS, last, _TICKETS_A_PAGE)
            if not tickets:
                break
            yield from _page(fetch, tickets, reader, engines.at_rest, reckoned)
            last = tickets[-1][0]
    with reading(engines) as connection:
        fetch = partial(driver.fetch, connection)
        for (handoff_id,) in fetch(_LOOSE):
            yield finding(
                "deadline", "handoff_id", handoff_id, "there is no such hand-off", "没有该移交"
            )
        for (position,) in fetch(_UNDELIVERABLE):
            yield finding(
                "mailbox",
                "position",
                position,
                "what it delivers is not there",
                "所投递的内容不存在",
            )
        for (position,) in fetch(_EMPTY):
            yield finding(
                "mailbox", "position", position, "what it delivers was archived",
                "所投递的内容已归档",
            )  # fmt: skip
        for (position,) in fetch(_ASTRAY):
            yield finding(
                "mailbox", "position", position, "recipient: not the message's author",
                "recipient：不是该消息的作者",
            )  # fmt: skip
        for (position,) in fetch(_LOST_WAY):
            yield finding(
                "mailbox",
                "position",
                position,
                "lane: not where it was said",
                "lane：不是所在的移交",
            )
        for statement in _LOST:
            for leaf_index, recipient in fetch(statement):
                yield finding(
                    "mailbox", "source", leaf_index,
                    f"it is missing: the message neither waits for {recipient} nor was written, passed on or "
                    "set aside",
                    f"缺失：该消息既未在等待 {recipient} 取走，也没有写入回执、转递或搁置记录",
                )  # fmt: skip
        for (lane,) in fetch(_STOPPED):
            yield finding(
                "quarantine", "lane", lane, "its message or refusal is not there, or does not wait there",
                "对应的消息或拒收回执不存在，或不在该通道等待",
            )  # fmt: skip
        if (fetch(_LAST)[0][0] or 0) > fetch(_NOW)[0][0]:
            yield finding(
                "log", "position", fetch(_NOW)[0][0], "greater numbers were given", "已有更大的编号"
            )


def _page(
    fetch: Fetch, tickets: list[Row], reader: Reader, at_rest: AtRest, reckoned: Reckoned
) -> Iterator[Text]:
    ids = [row[0] for row in tickets]
    elsewhere = {row[0] for row in fetch(_ARCHIVED, ids)}
    trails: dict[str, list[Row]] = defaultdict(list)
    said = fetch(_TRAILS, ids)
    envelopes = at_rest.tried(fetch, [(row[6], bytes(row[5])) for row in said])
    for row, one in zip(said, envelopes, strict=True):
        # Of one that cannot be decrypted the walk along the log has said so.
        trails[row[0]].append((*row[:5], one if isinstance(one, bytes) else b""))
    handoffs: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in fetch(_HANDOFFS, ids):
        handoffs[row[1]][row[0]] = row
    for ticket in tickets:
        if ticket[0] not in elsewhere:
            of_it = trails[ticket[0]], handoffs[ticket[0]]
            yield from check_ticket(fetch, ticket, *of_it, reader=reader, reckoned=reckoned)


def check_ticket(
    fetch: Fetch,
    ticket: Row,
    trail: list[Row],
    handoffs: dict[str, Row],
    *,
    reader: Reader,
    reckoned: Reckoned,
) -> Iterator[Text]:
    """
    Yield what does not fit of one ticket, its *handoffs* (by id; they are taken out) and what is due.

    Each row of *trail* is ticket id, leaf index, time, state, answers and envelope.
    """
    replay, known = Replay(), list(handoffs)
    rules = reckoned.at(fetch, [row[1] for row in trail])
    try:
        found = list(_told(replay, trail, reader, rules))
    except (ExchangeError, ValueError):
        return  # the walk along the log has named the row that cannot be read
    yield from found
    if replay.ticket is None:
        yield finding("ticket", "id", ticket[0], "no message opens it", "没有开单消息")
        return
    yield from _fits("ticket", TICKET, ticket, ticket_row(replay.ticket), frozenset())
    yield from _handoffs(replay, handoffs)
    dues: dict[str, list[Row]] = defaultdict(list)
    for row in fetch(_DEADLINES, known) if known else ():
        dues[row[0]].append(row)
    for standing, _ in replay.standings():
        unsaid = replay.unsaid[standing.handoff.id]
        stored = dues[standing.handoff.id]
        yield from _possible(standing, stored) if FURTHER in unsaid else _dues(standing, stored)
        reckoned.unbound += bool(unsaid)


def _dues(standing: Standing, stored: list[Row]) -> Iterator[Text]:
    """Yield each deadline beside a step that is not what the bridge reckoned, and each that is missing."""
    reckoned = {tuple(row[:3]): row for row in deadline_rows(standing)}
    for row in stored:
        expected = reckoned.pop(tuple(row[:3]), None)
        if expected is None:
            yield _due(row, "it cannot be due as the hand-off stands", "与移交的现状不符")
        elif tuple(row) != tuple(expected):
            yield _due(row, "due, remind: not what was reckoned", "due、remind：与推算不符")
    for row in reckoned.values():
        yield _due(row, "it is missing", "缺失")


def _possible(standing: Standing, stored: list[Row]) -> Iterator[Text]:
    """
    Yield each deadline beside a step that cannot be: of a hand-off that stands so, owed by a party to it.

    By when it is due was reckoned by rules that the log does not have.
    """
    handoff = standing.handoff
    for row in stored:
        _, kind, owes, due, remind = row
        try:
            fits = may_run(DeadlineKind(kind), handoff)
            fits = fits and owes in (handoff.sender, handoff.receiver)
            fits = fits and moment_of(remind) <= moment_of(due)
        except (ValueError, TypeError):  # no kind, no time at all, or one without zone
            fits = False
        if not fits:
            yield _due(row, "it cannot be due as the hand-off stands", "与移交的现状不符")


def _due(row: Row, en: str, zh: str) -> Text:
    return finding(
        "deadline", "handoff_id", row[0], f"{row[1]}, owed by {row[2]}: {en}",
        f"{row[1]}（应办 {row[2]}）：{zh}",
    )  # fmt: skip


def _told(
    replay: Replay, trail: list[Row], reader: Reader, rules: Mapping[int, Rules | None]
) -> Iterator[Text]:
    """Tell *replay* what happened; yield where a message does not follow, or left another state."""
    for _, leaf_index, time, state, answers, envelope in trail:
        message = reader.message(bytes(envelope), None)  # the walk along the log has asked
        why = replay.tell(message, moment_of(time), rules.get(leaf_index))
        if why is not None:
            yield finding(
                "message", "leaf_index", leaf_index, f"it does not follow: {why.en}",
                f"不符合办理顺序：{why.zh}",
            )  # fmt: skip
        elif (state, answers) != replay.after(message):
            yield finding(
                "trail", "leaf_index", leaf_index, "state, answers: not what the messages say",
                "state、answers：与消息不符",
            )  # fmt: skip


def _handoffs(replay: Replay, stored: dict[str, Row]) -> Iterator[Text]:
    for standing, moved in replay.standings():
        handoff_id = standing.handoff.id
        row = stored.pop(handoff_id, None)
        if row is None:
            yield finding("handoff", "id", handoff_id, "it is missing", "缺失")
            continue
        unsaid = replay.unsaid[handoff_id]
        yield from _fits("handoff", HANDOFF, row, handoff_row(standing, moved), unsaid)
    for handoff_id in stored:
        yield finding("handoff", "id", handoff_id, "no message opens it", "没有开启它的消息")


def _fits(
    table: str, names: tuple[str, ...], stored: Row, told: Row, unsaid: frozenset[str]
) -> Iterator[Text]:
    """Yield each column in which *stored* is not as *told*, but for those *unsaid*."""
    for name, kept, expected in zip(names, stored, told, strict=True):
        value = bytes(kept) if isinstance(expected, bytes) else kept
        if value != expected and name not in unsaid:
            yield finding(
                table, "id", stored[0], f"{name}: not what the messages say", f"{name}：与消息不符"
            )
