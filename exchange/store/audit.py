"""
Checking everything that is stored: one changed byte is found, and the row is named.

What is checked, in this order:

1. The drains follow one another from the first leaf to the log's head; each checkpoint is signed by
   the log's key, and its root and nodes follow from the leaves, which follow from the trail.
2. Every trail row fits its seal, and the message or receipt that belongs to it: ids, kind, author
   and digest are derived again from the bytes.  Everything signed carries its signer's signature,
   and the reader may ask of each signer whether its network vouched for it at that time.
3. Refusals fit their seals, certificates their key ids.
4. Tickets and hand-offs stand as their messages, told once more, leave them.  Mailboxes deliver
   only what is there, and every message waits for its recipient or was written.
5. SQLite's indexes have every row.

Of what was archived the rows are here and the contents are not: trail and log are checked as ever,
contents and standing where the archives are given (`exchange.store.archived`).  A log that goes on
from others is checked with each one's key, which its statements name.

Pages are read in short transactions, so that a bridge can go on working; what comes after the
beginning of the audit is left to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from exchange import tables
from exchange.errors import ExchangeError
from exchange.log import Checkpoint, TrustedLogs
from exchange.merkle import Frontier, Growth, leaf_hash
from exchange.note import NoteVerifier
from exchange.store.drivers import driver_of, select_form
from exchange.store.engines import SQLITE, Engines, reading
from exchange.store.records import Content
from exchange.store.renewal import Era, eras
from exchange.store.rows import (
    CERTIFICATE,
    REFUSAL,
    SUCCESSION,
    TRAIL,
    WRITTEN,
    Row,
    seal,
    unpack_chain,
)
from exchange.store.standing import Reader, check_standing
from exchange.store.tree import StoredTree, finding, leaf_of
from exchange.text import Text
from exchange.ticket import Message

_DRAINS_A_PAGE = 32
_ROWS_A_PAGE = 500

_SIZE = "SELECT origin, size, root FROM log"
_DRAINS = select_form(tables.drain) + " WHERE size_after > {} ORDER BY size_after LIMIT {}"
_LEAVES = (
    f"SELECT {', '.join(f't.{name}' for name in TRAIL)}, m.id, m.envelope, r.message_id,"  # noqa: S608
    " r.organisation, r.statement, r.signature, o.digest, a.archive, s.note FROM trail t"
    " LEFT JOIN message m ON m.leaf_index = t.leaf_index"
    " LEFT JOIN archived a ON a.leaf_index = t.leaf_index"
    " LEFT JOIN succession s ON s.leaf_index = t.leaf_index"
    " LEFT JOIN receipt r ON r.leaf_index = t.leaf_index"
    " LEFT JOIN message w ON w.id = r.message_id"
    " LEFT JOIN trail o ON o.leaf_index = w.leaf_index"
    " WHERE t.leaf_index >= {} AND t.leaf_index < {} ORDER BY t.leaf_index"
)
_STRAYS = {
    name: f"SELECT s.leaf_index FROM {name} s LEFT JOIN trail t ON t.leaf_index = s.leaf_index"  # noqa: S608
    " WHERE t.leaf_index IS NULL AND s.leaf_index < {} ORDER BY s.leaf_index LIMIT 100"
    for name in ("message", "receipt", "succession", "archived")
}
_REFUSALS = select_form(tables.refusal) + " WHERE number > {} ORDER BY number LIMIT {}"
_CERTIFICATES = select_form(tables.certificate) + " ORDER BY key_id"


def audit(engines: Engines, verifier: NoteVerifier, reader: Reader) -> Iterator[Text]:
    """
    Yield a finding for each row that does not fit; none if everything does.

    *verifier* is the log's public key.  Raises `StoreUnavailable` when the database fails.
    """
    yield from check_log(engines, verifier, reader)
    yield from _refusals(engines, reader)
    yield from check_standing(engines, reader)
    yield from _indexes(engines)


def _indexes(engines: Engines) -> Iterator[Text]:
    """
    Yield what SQLite finds of its own file: an index that lost a row hides it from whoever asks by it.

    PostgreSQL's pages have checksums, indexes' too: one that was damaged fails whoever reads it.
    """
    if engines.url.get_backend_name() != SQLITE:
        return
    with reading(engines) as connection:
        said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
    for one in said:
        if one != "ok":
            yield Text(en=f"file {engines.place}: {one}", zh=f"文件 {engines.place}：{one}")


def check_log(engines: Engines, verifier: NoteVerifier, reader: Reader) -> Iterator[Text]:
    """Yield what does not fit of the log, the trail, messages and written receipts."""
    with reading(engines) as connection:
        heads = driver_of(connection.dialect.name).fetch(connection, _SIZE)
    if len(heads) != 1 or heads[0][0] != verifier.name:
        yield finding("log", "origin", verifier.name, "no head of this log", "没有该日志的日志头")
        return
    _, size, root = heads[0]
    yield from _Leaves(engines, verifier, reader).check(size, bytes(root))


class _Leaves:
    """The walk along the log."""

    def __init__(self, engines: Engines, verifier: NoteVerifier, reader: Reader) -> None:
        self._engines = engines
        self._driver = driver_of(engines.reader.dialect.name)
        self._verifier = verifier
        self._reader = reader
        self._frontier = Frontier()
        #: Who signed for which leaves, oldest first.
        self._eras: list[Era] = []
        self._logs = TrustedLogs([verifier])

    def check(self, size: int, root: bytes) -> Iterator[Text]:
        with reading(self._engines) as connection:
            for one in eras(lambda *query: self._fetch(connection, *query), self._verifier):
                if isinstance(one, Era):
                    self._eras.insert(0, one)
                else:
                    yield one
        self._logs = TrustedLogs([era.verifier for era in self._eras])
        at = 0
        while at < size:
            with reading(self._engines) as connection:
                drains = self._fetch(connection, _DRAINS, at, _DRAINS_A_PAGE)
                end = min(drains[-1][0], size) if drains else size
                found = self._fetch(connection, _LEAVES, at, end)
                by_index = {row[0]: row for row in found}
                tree = StoredTree(lambda *q, c=connection: self._fetch(c, *q))
                for drain in drains:
                    if at < drain[0] <= size:
                        yield from self._drain(drain, at, by_index, tree)
                        at = drain[0]
            if at < size and (not drains or drains[-1][0] > size):
                yield finding(
                    "drain", "size_after", size, f"no drain leads from leaf {at} to here",
                    f"没有从第 {at} 条到此处的批次",
                )  # fmt: skip
                break
        if (self._frontier.size, self._frontier.root()) != (size, root):
            yield finding(
                "log", "origin", self._verifier.name, "size and root do not fit the leaves",
                "大小和根与日志条目不符",
            )  # fmt: skip
        with reading(self._engines) as connection:
            for table, statement in _STRAYS.items():
                for (index,) in self._fetch(connection, statement, size):
                    yield finding(
                        table,
                        "leaf_index",
                        index,
                        "no trail row belongs to it",
                        "没有对应的追溯记录",
                    )

    def _fetch(self, connection: Connection, *query: Any) -> list[Row]:
        return self._driver.fetch(connection, *query)

    def _drain(
        self, drain: Row, at: int, found: dict[int, Row], tree: StoredTree
    ) -> Iterator[Text]:
        after, before, nodes, note = drain
        if before != at:
            yield finding(
                "drain", "size_after", after, f"it begins at {before}, not at {at}",
                f"起点为 {before}，应为 {at}",
            )  # fmt: skip
            before = at
        leaves = []
        for index in range(before, after):
            row = found.get(index)
            if row is None:
                yield finding("trail", "leaf_index", index, "it is missing", "缺失")
                leaves.append(b"")
                continue
            yield from _check_row(row, self._reader)
            try:
                leaf = leaf_of(row[4], row[10], row[1])
            except ValueError:  # no time at all, or no digest
                leaf = b""
            leaves.append(leaf)
        growth = self._frontier.append([leaf_hash(leaf) for leaf in leaves])
        yield from self._check_drain(growth, after, bytes(nodes), bytes(note), tree)

    def _check_drain(
        self, growth: Growth, after: int, nodes: bytes, note: bytes, tree: StoredTree
    ) -> Iterator[Text]:
        before, self._frontier = self._frontier.size, growth.frontier
        if growth.nodes != nodes:
            yield finding(
                "drain", "size_after", after, "nodes: they do not follow from the leaves",
                "nodes：节点与日志条目不符",
            )  # fmt: skip
        try:
            checkpoint = self._logs.checkpoint(note)
        except ExchangeError as error:
            yield finding(
                "drain", "size_after", after, f"note: {error.text.en}", f"note：{error.text.zh}"
            )
            return
        origin = next(e.verifier.name for e in self._eras if e.end is None or after <= e.end)
        if _fits(checkpoint, growth.frontier, origin):
            return
        yield finding(
            "drain", "size_after", after,
            f"note: leaves {before} to {after - 1} do not give the checkpoint's root",
            f"note：第 {before} 至 {after - 1} 条日志条目与检查点的根不符",
        )  # fmt: skip
        # The signed root holds.  Where the stored nodes still lead to it, what follows is judged
        # from there, so that one changed row is not blamed on every later drain.
        try:
            stored = tree.frontier(after)
        except (ExchangeError, ValueError):
            return
        if _fits(checkpoint, stored, origin):
            self._frontier = stored


def _fits(checkpoint: Checkpoint, frontier: Frontier, origin: str) -> bool:
    said = (checkpoint.origin, checkpoint.size, checkpoint.root)
    return said == (origin, frontier.size, frontier.root())


def _check_row(row: Row, reader: Reader) -> Iterator[Text]:
    """Yield what does not fit of one trail row and the message or receipt that belongs to it."""
    index, kind, at = row[0], row[4], _moment(row[1])
    digest = bytes(row[10])
    message_id, envelope, receipt_for, organisation, statement, signature, of, archive, note = row[
        12:
    ]
    table = {WRITTEN: "receipt", SUCCESSION: "succession"}.get(kind, "message")
    contents: list[bytes] = []
    said: dict[str, object] = {}
    if archive is not None:
        parts = (statement, signature) if kind == WRITTEN else (envelope,)
        if any(part is None or bytes(part) for part in parts):
            yield finding(
                table, "leaf_index", index, "it stands in an archive, and is not empty here",
                "内容已归档，但此处不为空或缺失",
            )  # fmt: skip
        named = receipt_for if kind == WRITTEN else message_id
        said = {"message_id": named} | ({"author": organisation} if kind == WRITTEN else {})
    elif kind == SUCCESSION and note is not None:
        contents = [bytes(note)]
        said = {"digest": leaf_hash(contents[0])}
    elif kind == WRITTEN and statement is not None:
        contents = [bytes(statement), bytes(signature)]
        said = {"message_id": receipt_for, "author": organisation, "digest": leaf_hash(contents[0])}
        about = (receipt_for, organisation, bytes(of or b""))
        where = (table, "leaf_index", index)
        signed = (Content.WRITTEN, contents[0], contents[1], at)
        yield from _stated(reader, signed, about, where)
    elif kind not in (WRITTEN, SUCCESSION) and envelope is not None:
        contents = [bytes(envelope)]
        try:
            said = _said(reader.message(contents[0], at))
        except ExchangeError as error:
            yield finding(
                table, "leaf_index", index,
                f"envelope: {error.text.en}", f"envelope：{error.text.zh}",
            )  # fmt: skip
        if said and said["message_id"] != message_id:
            yield finding(table, "leaf_index", index, "id: not the message's", "id：与消息不符")
    else:
        yield finding(table, "leaf_index", index, "it is missing", "缺失")
    kept = dict(zip(TRAIL, row, strict=False)) | {"digest": digest}
    for name, value in said.items():
        if kept[name] != value:
            yield finding(
                "trail", "leaf_index", index,
                f"{name}: it does not follow from table {table}", f"{name}：与表 {table} 不符",
            )  # fmt: skip
    if seal(row[:10], digest, *contents) != bytes(row[11]):
        yield finding(
            "trail", "leaf_index", index,
            f"seal: this row or its row in table {table} was changed",
            f"seal：本行或表 {table} 的对应行被改动",
        )  # fmt: skip


def _moment(stored: str) -> datetime | None:
    """Return the time that is stored; None for none, which the row's seal finds."""
    try:
        moment = tables.moment_of(stored)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def _said(message: Message) -> dict[str, object]:
    return {
        "ticket_id": message.ticket_id,
        "handoff_id": message.handoff_id,
        "kind": message.kind.value,
        "message_id": message.id,
        "author": message.author,
        "recipient": message.recipient,
        "digest": message.digest,
    }


def _stated(
    reader: Reader,
    signed: tuple[Content, bytes, bytes, datetime | None],
    about: tuple[str, str, bytes],
    row: tuple[str, str, int],
) -> Iterator[Text]:
    """Yield what does not fit of a *signed* statement: its signature, and *about* whom and what it is."""
    try:
        said = reader.statement(*signed)
    except ExchangeError as error:
        yield finding(*row, f"statement: {error.text.en}", f"statement：{error.text.zh}")
        return
    if (said.message_id, said.organisation, said.message_digest) != about:
        yield finding(
            *row, "statement: by another, or about another message",
            "statement：声明者或所针对的消息不符",
        )  # fmt: skip


def _refusals(engines: Engines, reader: Reader) -> Iterator[Text]:
    driver = driver_of(engines.reader.dialect.name)
    last = 0
    while True:
        with reading(engines) as connection:
            page = driver.fetch(connection, _REFUSALS, last, _ROWS_A_PAGE)
        for row in page:
            kept: dict[str, Any] = dict(zip(REFUSAL, row, strict=True))
            plain = [kept[name] for name in ("number", "message_id", "refused_by", "time")]
            said = [bytes(kept[name]) for name in ("digest", "statement", "signature")]
            about = (kept["message_id"], kept["refused_by"], said[0])
            where = ("refusal", "number", kept["number"])
            signed = (Content.REFUSED, said[1], said[2], _moment(kept["time"]))
            yield from _stated(reader, signed, about, where)
            if seal(plain, *said) != bytes(kept["seal"]):
                yield finding(
                    "refusal", "number", kept["number"], "seal: this row was changed",
                    "seal：本行被改动",
                )  # fmt: skip
        if len(page) < _ROWS_A_PAGE:
            break
        last = page[-1][0]
    with reading(engines) as connection:
        for row in driver.fetch(connection, _CERTIFICATES):
            kept = dict(zip(CERTIFICATE, row, strict=True))
            chain = unpack_chain(bytes(kept["chain"]))
            if not chain or sha256(chain[0]).digest() != bytes(kept["key_id"]):
                yield finding(
                    "certificate", "key_id", bytes(kept["key_id"]).hex(),
                    "chain: its first certificate has another key id",
                    "chain：首张证书与 key_id 不符",
                )  # fmt: skip
