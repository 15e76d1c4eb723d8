"""
Destroying what was said about a ticket, for good: its data keys go, and its envelopes with them.

Ids, digests, receipts' statements, trail and log stay: the log verifies, a repeated message gets the
receipt it got, lists and figures are as before.  What was encrypted under the data keys is unreadable
from then on wherever it still is: in the file's free pages, in archives, with replicas.  A copy of the
database from before holds the wrapped data keys as well: that is unreadable only once the ring's key that
wraps them there is gone, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from exchange import tables
from exchange.chain import BRIDGE_ACT, Act, read_act
from exchange.erasure import (
    DESTROY,
    Erasure,
    erasure_act,
    hash_of,
    open_erasure,
    require_words,
    sign_erasure,
)
from exchange.errors import ExchangeError, InvalidRequest, NotFound
from exchange.keyring import is_encrypted
from exchange.merkle import leaf_hash
from exchange.note import LogKey, NoteVerifier
from exchange.store.chunks import ChunkRows
from exchange.store.drivers import Driver, Run, driver_of
from exchange.store.engines import POSTGRESQL, SQLITE, Engines, reading, translated
from exchange.store.reckoned import Reckoned
from exchange.store.renewal import verifiers as of_log
from exchange.store.rows import TRAIL, Row, seal
from exchange.store.tree import Fetch, finding
from exchange.tables import stamp
from exchange.text import Text

_KEYS = "SELECT id FROM data_key WHERE ticket_id = {}"
_HEADS = "SELECT origin FROM log ORDER BY number FOR UPDATE"
_TICKET = "SELECT closed FROM ticket WHERE id = {}"
_SAID = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)}, m.envelope, a.archive FROM trail t"  # noqa: S608
    " JOIN message m ON m.leaf_index = t.leaf_index"
    " LEFT JOIN archived a ON a.leaf_index = t.leaf_index"
    " WHERE t.ticket_id = {} ORDER BY t.leaf_index"
)
_LAST = "SELECT max(time) FROM trail WHERE ticket_id = {}"
_ANSWERED = "SELECT answers FROM handoff WHERE ticket_id = {} AND answers <> '' ORDER BY id LIMIT 1"
_WAITS = (
    "SELECT b.recipient FROM trail t JOIN mailbox b ON b.source = t.leaf_index AND b.content <> 'refused'"
    " WHERE t.ticket_id = {} UNION SELECT b.recipient FROM handoff h JOIN mailbox b ON b.lane = h.id"
    " WHERE h.ticket_id = {} UNION SELECT b.recipient FROM trail t"
    " JOIN refusal f ON f.message_id = t.message_id"
    " JOIN mailbox b ON b.source = f.number AND b.content = 'refused' WHERE t.ticket_id = {}"
    " UNION SELECT q.recipient FROM handoff h JOIN quarantine q ON q.lane = h.id WHERE h.ticket_id = {}"
    " LIMIT 1"
)
_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM erasure"
_FILES = "SELECT file FROM archive WHERE number {among} ORDER BY number"
_MOVED = "UPDATE archived SET archive = {} WHERE leaf_index {among}"
_EMPTY = "UPDATE message SET envelope = {} WHERE leaf_index {among}"
_SEAL = "UPDATE trail SET seal = {} WHERE leaf_index = {}"
_DESTROY = "DELETE FROM data_key WHERE ticket_id = {}"
# Of attachments: the files that this ticket alone cites, and then what cites them.
_ITS_FILES = (
    " WHERE root IN (SELECT root FROM attachment WHERE ticket_id = {})"
    " AND root NOT IN (SELECT root FROM attachment WHERE ticket_id <> {})"
)
_CHUNKS = "DELETE FROM attachment_chunk" + _ITS_FILES  # noqa: S608 - our own words
_WHOLE = "DELETE FROM attachment_file" + _ITS_FILES  # noqa: S608 - likewise
_UNDER = "DELETE FROM attachment_chunk WHERE data_key {among}"
_CITED = "DELETE FROM attachment WHERE ticket_id = {}"
_ERASURES = "SELECT number, ticket_id, time, note FROM erasure ORDER BY number"
_GONE = (
    "SELECT t.ticket_id, t.digest FROM archived a JOIN trail t ON t.leaf_index = a.leaf_index"
    " WHERE a.archive = {} ORDER BY t.leaf_index"
)
# These columns, in this order, for ever: statements that are out bind them, and cannot be signed again.  What a
# later version adds to a table no statement of this form binds.
_WHOLE_TICKET = (
    "SELECT id, kind, origin, first_receiver, region, matter, marker, classification, urgency, level,"
    " opened, closed, cites_ticket_id FROM ticket WHERE id = {}"
)
_HANDOFFS = (
    "SELECT id, ticket_id, sender, receiver, state, answers, decides, head, own_duty, taken_over,"
    " danger, form, matter, profile, profile_edition, catalogue_edition, onward_of, cites_handoff_id,"
    " assessed_by, first_receiver, offered, updated, due, remind, rest"
    " FROM handoff WHERE ticket_id = {} ORDER BY id"
)
_DUES = (
    "SELECT handoff_id, kind, owes, due, remind FROM deadline"
    " WHERE handoff_id {among} ORDER BY handoff_id, kind, owes"
)
_SINCE = (
    "SELECT count(*) FROM trail t LEFT JOIN archived a ON a.leaf_index = t.leaf_index"
    " WHERE t.ticket_id = {} AND t.kind NOT IN ('written', 'set_aside')"
    " AND (a.archive IS NULL OR a.archive > 0)"
)
_ACTS = "SELECT leaf_index, line FROM act ORDER BY leaf_index"
_UNSIGNED = (
    "SELECT a.leaf_index FROM archived a LEFT JOIN erasure e ON e.number = -a.archive"
    " WHERE a.archive < 0 AND e.number IS NULL ORDER BY a.leaf_index LIMIT 100"
)
#: What is deleted is overwritten with zeros (sqlite.org/pragma.html#pragma_secure_delete).
OVERWRITE = "PRAGMA secure_delete = ON"

_NO_TICKET = Text(en="There is no ticket {ticket} here.", zh="此处没有单 {ticket}。")
_OPEN = Text(
    en="The ticket {ticket} is open: what was said about it is needed. Nothing was destroyed.",
    zh="单 {ticket} 尚未结案，其内容仍需使用，未销毁任何内容。",
)
_ANSWERS = Text(
    en="{who} still answers for a hand-off of ticket {ticket}. Nothing was destroyed.",
    zh="{who} 仍对单 {ticket} 的移交负责，未销毁任何内容。",
)
_WAITING = Text(
    en="Something of ticket {ticket} still waits for {who}, or stands still there. Let it be delivered first "
    "(exchange lane list). Nothing was destroyed.",
    zh="单 {ticket} 仍有内容待 {who} 收取，或在其通道中停滞。请先完成投递（exchange lane list）。未销毁任何内容。",
)
_YOUNG = Text(
    en="The last word about ticket {ticket} is of {last}; at_rest.keep_days keeps what was said until "
    "{days} days after. Nothing was destroyed.",
    zh="单 {ticket} 的最后一条记录为 {last}，按 at_rest.keep_days 其内容须保留 {days} 天。未销毁任何内容。",
)
_CLEAR = Text(
    en="{count} messages and {chunks} pieces of attachments of ticket {ticket} stand in clear: there is no "
    "key to destroy, and copies would stay readable. Encrypt first: exchange keys encrypt",
    zh="单 {ticket} 有 {count} 条消息、{chunks} 个附件分片未加密：没有可销毁的密钥，副本仍可读取。"
    "请先执行：exchange keys encrypt",
)
_ARCHIVED_CLEAR = Text(
    en="What was said about ticket {ticket} was archived in clear, in {files}: there is no key to destroy. "
    "Destroy the files once their time has come.",
    zh="单 {ticket} 的内容已以明文归档于 {files}：没有可销毁的密钥。请于保管期满后销毁归档文件。",
)
_NOTHING = Text(
    en="Nothing is left to destroy of ticket {ticket}.", zh="单 {ticket} 已没有可销毁的内容。"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """What was destroyed, or would be: messages, data keys, and the archives with what nobody can read."""

    ticket_id: str
    messages: int
    keys: int
    archives: tuple[str, ...]
    #: The signed statement; empty if nothing was destroyed yet.
    note: bytes = b""
    #: Whether SQLite's write-ahead log was emptied of it, too.
    emptied: bool = True


def destroy(
    engines: Engines,
    key: LogKey,
    ticket_id: str,
    *,
    now: datetime,
    before: datetime,
    keep_days: int,
    by: str,
    ground: str,
    confirmed: bool,
) -> Destroyed:
    """
    Destroy what was said about *ticket_id*, by the decision of *by* and on this *ground*.

    A bridge may go on serving.  Unless *confirmed* nothing is changed.  Raises `NotFound`, and
    `InvalidRequest` that says why where the ticket is open, something of it waits, the last word is
    not older than *before* (*keep_days* ago), or there is no key to destroy; and the store's failures.
    """
    require_words(by=by, ground=ground)
    act = _Act(engines, ticket_id, before=before, keep_days=keep_days)
    with translated(engines), engines.writer.connect() as connection:
        if engines.url.get_backend_name() == SQLITE:
            act.driver.fetch(connection, OVERWRITE)
        with connection.begin():
            found = act.look(connection)
            if not confirmed:
                return found
            note = act.destroy(connection, key, now, by, ground)
        emptied = empty_log(engines, act.driver, connection)
    return Destroyed(
        ticket_id=ticket_id, messages=found.messages, keys=found.keys, archives=found.archives,
        note=note, emptied=emptied,
    )  # fmt: skip


def empty_log(engines: Engines, driver: Driver, connection: Connection) -> bool:
    """Empty SQLite's write-ahead log, in which former pages stand; return whether nobody was in the way."""
    if engines.url.get_backend_name() != SQLITE:
        return True
    return bool(driver.fetch(connection, "PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)


class _Act:
    """One ticket's destruction."""

    def __init__(
        self, engines: Engines, ticket_id: str, *, before: datetime, keep_days: int
    ) -> None:
        self._engines = engines
        self.driver = driver_of(engines.writer.dialect.name)
        self._ticket_id = ticket_id
        self._before = stamp(before)
        self._keep_days = keep_days
        self._rows: ChunkRows
        self._keys: list[str] = []
        self._here: list[Row] = []
        self._away: list[Row] = []

    def look(self, connection: Connection) -> Destroyed:
        """Lock what is to go and return it; raises as `destroy` says."""
        fetch = partial(self.driver.fetch, connection)
        ticket = self._ticket_id
        if connection.dialect.name == POSTGRESQL:
            # In the order of a drain's own locks: a drain that records something for this ticket
            # holds its key until the commit, and comes before this or finds no key.
            keys = fetch(f"{_KEYS} FOR UPDATE", ticket)
            fetch(_HEADS)
        else:
            keys = fetch(_KEYS, ticket)
        self._require_done(fetch)
        said = fetch(_SAID, ticket)
        self._here = [row for row in said if row[-1] is None]
        self._away = [row for row in said if row[-1] is not None and row[-1] > 0]
        files = self._files(connection)
        self._keys = [key for (key,) in keys]
        self._rows = ChunkRows(self._engines, connection)
        clear = sum(not is_encrypted(bytes(row[-2])) for row in self._here)
        chunks = self._rows.clear_of(ticket)
        if clear or (chunks and keys):
            raise InvalidRequest(_CLEAR.fill(ticket=ticket, count=clear, chunks=chunks))
        if self._away and not keys:
            raise InvalidRequest(_ARCHIVED_CLEAR.fill(ticket=ticket, files=", ".join(files)))
        if not self._here and not self._away:
            raise InvalidRequest(_NOTHING.fill(ticket=ticket))
        return Destroyed(
            ticket_id=ticket,
            messages=len(self._here) + len(self._away),
            keys=len(keys),
            archives=tuple(files),
        )

    def destroy(
        self, connection: Connection, key: LogKey, now: datetime, by: str, ground: str
    ) -> bytes:
        """Destroy what was looked at; return the signed statement."""
        going = sorted((*self._here, *self._away), key=lambda row: int(row[0]))
        digests = [bytes(row[10]) for row in going]
        erasure = Erasure(
            origin=key.name, ticket_id=self._ticket_id, time=now, by=by, ground=ground,
            count=len(digests), hash=hash_of(digests),
            stands=leaf_hash(_standing(partial(self.driver.fetch, connection), self._ticket_id)[0]),
        )  # fmt: skip
        note = sign_erasure(erasure, key)
        driver = self.driver
        number = driver.fetch(connection, _NUMBER)[0][0]
        here, away = ([row[0] for row in rows] for rows in (self._here, self._away))
        driver.insert(connection, tables.erasure, [(number, self._ticket_id, stamp(now), note)])
        if away:
            driver.execute(connection, _MOVED, -number, away)
        if here:
            driver.insert(connection, tables.archived, [(leaf, -number) for leaf in here])
            driver.execute(connection, _EMPTY, b"", here)
        seals = ((seal(row[:10], bytes(row[10])), row[0]) for row in self._here)
        driver.write(connection, [Run(_SEAL, one) for one in seals])
        self._rows.hand_over(self._ticket_id, self._keys, now)
        driver.execute(connection, _DESTROY, self._ticket_id)
        for statement in (_CHUNKS, _WHOLE):
            driver.execute(connection, statement, self._ticket_id, self._ticket_id)
        if self._keys:
            driver.execute(connection, _UNDER, self._keys)
        driver.execute(connection, _CITED, self._ticket_id)
        return note

    def _require_done(self, fetch: partial[list[Row]]) -> None:
        ticket = self._ticket_id
        closed = fetch(_TICKET, ticket)
        if not closed:
            raise NotFound(_NO_TICKET.fill(ticket=ticket))
        if not closed[0][0]:
            raise InvalidRequest(_OPEN.fill(ticket=ticket))
        for (who,) in fetch(_ANSWERED, ticket):
            raise InvalidRequest(_ANSWERS.fill(ticket=ticket, who=who))
        for (who,) in fetch(_WAITS, ticket, ticket, ticket, ticket):
            raise InvalidRequest(_WAITING.fill(ticket=ticket, who=who))
        last = fetch(_LAST, ticket)[0][0]
        if last >= self._before:
            raise InvalidRequest(_YOUNG.fill(ticket=ticket, last=last, days=self._keep_days))

    def _files(self, connection: Connection) -> list[str]:
        numbers = sorted({int(row[-1]) for row in self._away})
        if not numbers:
            return []
        return [row[0] for row in self.driver.fetch(connection, _FILES, numbers)]


def statements(engines: Engines) -> list[bytes]:
    """Return the signed statement of every destruction, oldest first."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        return [bytes(row[3]) for row in driver.fetch(connection, _ERASURES)]


def _standing(fetch: Fetch, ticket_id: str) -> tuple[bytes, int]:
    """Return what stands of a ticket beside what is said of it, as one text; and how many hand-offs."""
    handoffs = fetch(_HANDOFFS, ticket_id)
    ids = [row[0] for row in handoffs]
    dues = fetch(_DUES, ids) if ids else []
    plain = [
        [bytes(one).hex() if isinstance(one, bytes | memoryview) else _number(one) for one in row]
        for row in (*fetch(_WHOLE_TICKET, ticket_id), *handoffs, *dues)
    ]
    return json.dumps(plain, separators=(",", ":")).encode(), len(handoffs)


def _number(value: Any) -> Any:
    """Return *value*; a truth value as a number, which it is in some databases."""
    return int(value) if isinstance(value, bool) else value


def check_erasures(
    engines: Engines, current: Sequence[NoteVerifier], reckoned: Reckoned | None = None
) -> Iterator[Text]:
    """
    Yield what was emptied without a signed statement, or is not what the statement is about.

    *reckoned* counts the hand-offs of which no statement says how they stand.
    """
    keys = [key for one in current for key in of_log(engines, one)]
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        for (leaf_index,) in driver.fetch(connection, _UNSIGNED):
            yield finding(
                "archived", "leaf_index", leaf_index, "destroyed, and no statement says so",
                "内容已销毁，但没有相应的声明",
            )  # fmt: skip
        found_notes = driver.fetch(connection, _ERASURES)
        newest = {row[1]: row[0] for row in found_notes}
        kept = {erasure_act(bytes(row[3]))["statement"] for row in found_notes}
        for leaf_index, line in driver.fetch(connection, _ACTS):
            act = _act_of(bytes(line))
            if act is not None and act.facts.get("statement") not in kept:
                yield finding(
                    "act", "leaf_index", leaf_index, "what it says was destroyed has no statement here",
                    "所记销毁在此没有相应的声明",
                )  # fmt: skip
        for number, ticket_id, time, note in found_notes:
            where = ("erasure", "number", number)
            try:
                said = open_erasure(bytes(note), keys)
            except ExchangeError as error:
                yield finding(*where, f"note: {error.text.en}", f"note：{error.text.zh}")
                continue
            gone = driver.fetch(connection, _GONE, -number)
            found = (
                {row[0] for row in gone} | {ticket_id}, stamp(said.time),
                len(gone), hash_of([bytes(row[1]) for row in gone]),
            )  # fmt: skip
            if found != ({said.ticket_id}, time, said.count, said.hash):
                yield finding(
                    *where, "note: it is about other messages, or of another time",
                    "note：与所销毁的消息或时间不符",
                )  # fmt: skip
            elif newest[ticket_id] == number:
                stands, handoffs = _standing(partial(driver.fetch, connection), ticket_id)
                # Whoever spoke since may have changed it, and a later statement says so anew.
                if not said.stands or driver.fetch(connection, _SINCE, ticket_id)[0][0]:
                    if reckoned is not None:
                        reckoned.unbound += handoffs
                elif leaf_hash(stands) != said.stands:
                    yield finding(
                        "ticket", "id", ticket_id,
                        "it, its hand-offs or deadlines: not as they stood when its content was destroyed",
                        "该单、其移交或时限：与内容销毁时不符",
                    )  # fmt: skip


def _act_of(line: bytes) -> Act | None:
    """Return a bridge's act about a destruction; None for any other line, which others judge."""
    try:
        act = read_act(line)
    except ExchangeError:
        return None
    return act if act.type == BRIDGE_ACT and act.act == DESTROY else None
