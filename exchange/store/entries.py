"""Checking one row of the trail against the message, receipt or succession that belongs to it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import Any

from exchange import tables
from exchange.errors import ExchangeError, VerificationError
from exchange.merkle import leaf_hash
from exchange.records import Content
from exchange.store.at_rest import AtRest
from exchange.store.leaves import act_contents, aside_contents
from exchange.store.rows import (
    ACT,
    NO_MESSAGE,
    SET_ASIDE,
    SUCCESSION,
    TRAIL,
    WRITTEN,
    Row,
    seal,
)
from exchange.store.standing import Reader
from exchange.store.tree import Fetch, finding
from exchange.text import Text
from exchange.ticket import Message

#: Where, in a row of the audit's, the columns of each begin after the trail's own: id and envelope; whose
#: receipt, by whom, its statement, signature and the digest it is about; the archive; a succession's note;
#: the same five of what was set aside, and its lane; an act's line, source and number.
_MESSAGE, _RECEIPT, _ARCHIVE, _NOTE, _ASIDE, _ACT = 12, 14, 19, 20, 21, 27
#: Where what a trail's row is about is kept, if it is no message.
_TABLES = {WRITTEN: "receipt", SET_ASIDE: "aside", ACT: "act", SUCCESSION: "succession"}


def with_envelopes(at_rest: AtRest, fetch: Fetch, found: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows *found* with their envelopes in clear; in place of one that cannot be had, why."""
    where = _MESSAGE + 1
    stored = [(row[_MESSAGE] or "", bytes(row[where] or b"")) for row in found]
    for row, one in zip(found, at_rest.tried(fetch, stored), strict=True):
        yield (*row[:where], one, *row[where + 1 :]) if row[where] is not None else row


def check_row(row: Row, reader: Reader) -> Iterator[Text]:
    """Yield what does not fit of one trail row and of what belongs to it."""
    index, kind, digest = row[0], row[4], bytes(row[10])
    table = _TABLES.get(kind, "message")
    contents: Sequence[bytes] = ()
    said: dict[str, object] = {}
    broken = row[_MESSAGE + 1]
    if isinstance(broken, VerificationError):
        yield finding(table, "leaf_index", index, broken.text.en, broken.text.zh)
        return  # what depends on it would only say so again
    if row[_ARCHIVE] is not None:
        yield from _archived(row, table)
        named = row[_RECEIPT] if kind == WRITTEN else row[_MESSAGE]
        said = {"message_id": named} | ({"author": row[_RECEIPT + 1]} if kind == WRITTEN else {})
    else:
        found = yield from _content(row, table, reader)
        if found is None:
            yield finding(table, "leaf_index", index, "it is missing", "缺失")
        else:
            contents, said = found
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


def _archived(row: Row, table: str) -> Iterator[Text]:
    """Yield that something is still here of what was archived."""
    first, end = (_RECEIPT + 2, _RECEIPT + 4) if row[4] == WRITTEN else (_MESSAGE + 1, _MESSAGE + 2)
    if any(part is None or bytes(part) for part in row[first:end]):
        yield finding(
            table, "leaf_index", row[0],
            "it stands in an archive or was destroyed, and is not empty here",
            "内容已归档或销毁，但此处不为空或缺失",
        )  # fmt: skip


def _content(
    row: Row, table: str, reader: Reader
) -> Generator[Text, None, tuple[Sequence[bytes], dict[str, object]] | None]:
    """Yield what is wrong with what belongs to *row*; return it, and what follows from it."""
    kind = row[4]
    if kind == SUCCESSION:
        return _plain(row[_NOTE : _NOTE + 1])
    if kind == ACT:
        line, source, number = row[_ACT:]
        return None if line is None else _plain(act_contents(bytes(line), source, number))
    if kind in NO_MESSAGE:
        return (yield from _stated(row, table, reader))
    return (yield from _message(row, reader))


def _plain(contents: Sequence[Any]) -> tuple[Sequence[bytes], dict[str, object]] | None:
    if contents[0] is None:
        return None
    found = [bytes(one) for one in contents]
    return found, {"digest": leaf_hash(found[0])}


def _stated(
    row: Row, table: str, reader: Reader
) -> Generator[Text, None, tuple[Sequence[bytes], dict[str, object]] | None]:
    aside = row[4] == SET_ASIDE  # what it says stands with the refusals
    first = _ASIDE if aside else _RECEIPT
    message_id, organisation, statement, signature, of = row[first : first + 5]
    if statement is None or signature is None:
        return None
    contents: tuple[bytes, ...] = bytes(statement), bytes(signature)
    content = Content.REFUSED if aside else Content.WRITTEN
    signed = (content, contents[0], contents[1], moment_or_none(row[1]))
    about = (message_id, organisation, bytes(of or b""))
    yield from check_statement(reader, signed, about, (table, "leaf_index", row[0]))
    said = {"message_id": message_id, "author": organisation, "digest": leaf_hash(contents[0])}
    if aside:
        contents = aside_contents(contents[0], contents[1], row[first + 5])
    return contents, said


def _message(
    row: Row, reader: Reader
) -> Generator[Text, None, tuple[Sequence[bytes], dict[str, object]] | None]:
    index, message_id, envelope = row[0], row[_MESSAGE], row[_MESSAGE + 1]
    if envelope is None:
        return None
    contents, said = [bytes(envelope)], dict[str, object]()
    try:
        said = _said(reader.message(contents[0], moment_or_none(row[1])))
    except ExchangeError as error:
        yield finding(
            "message", "leaf_index", index,
            f"envelope: {error.text.en}", f"envelope：{error.text.zh}",
        )  # fmt: skip
    if said and said["message_id"] != message_id:
        yield finding("message", "leaf_index", index, "id: not the message's", "id：与消息不符")
    return contents, said


def moment_or_none(stored: str) -> datetime | None:
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


def check_statement(
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
