"""What an entry is in the log, in the trail, and in the table that holds what was said."""

from __future__ import annotations

from sqlalchemy import Table

from exchange import tables
from exchange.acts import Kind
from exchange.log import LeafKind, leaf_bytes
from exchange.records import Accepted, Act, Entry, SetAside, Written
from exchange.store import rows
from exchange.store.rows import Row
from exchange.tables import stamp

_WORDS = {kind: kind.value for kind in Kind}
_KINDS = {
    Accepted: LeafKind.MESSAGE,
    Written: LeafKind.WRITTEN,
    SetAside: LeafKind.SET_ASIDE,
    Act: LeafKind.ADMINISTRATIVE,
}


def leaf(entry: Entry) -> bytes:
    """Return the leaf of *entry*."""
    digest = entry.message.digest if isinstance(entry, Accepted) else entry.digest
    return leaf_bytes(_KINDS[type(entry)], digest, entry.time)


def ticket_of(entry: Entry) -> str:
    """Return the ticket that *entry* is about; empty for an act."""
    if isinstance(entry, Act):
        return ""
    return entry.message.ticket_id if isinstance(entry, Accepted) else entry.of.ticket_id


def trail_row(index: int, entry: Entry) -> Row:
    """Return the trail's row of *entry*, whose place is *index*."""
    time = stamp(entry.time)
    row: Row
    contents: tuple[bytes, ...]
    if isinstance(entry, Accepted):
        message = entry.message
        digest, contents = message.digest, (message.envelope,)
        row = (
            index, time, message.ticket_id, message.handoff_id, _WORDS[message.kind],
            message.id, message.author, message.recipient, int(entry.state), entry.answers,
        )  # fmt: skip
    elif isinstance(entry, Act):
        digest, contents = entry.digest, act_contents(entry.line, entry.source, entry.number)
        row = (index, time, "", "", rows.ACT, "", "", "", 0, "")
    else:
        of, digest = entry.of, entry.digest
        if isinstance(entry, Written):
            kind, contents = rows.WRITTEN, (entry.statement, entry.signature)
        else:
            said = entry.refused
            kind = rows.SET_ASIDE
            contents = aside_contents(said.statement, said.signature, entry.lane)
        row = (
            index, time, of.ticket_id, of.handoff_id, kind, of.id,
            entry.organisation, of.author, int(entry.state), entry.answers,
        )  # fmt: skip
    return (*row, digest, rows.seal(row, digest, *contents))


def aside_contents(statement: bytes, signature: bytes, lane: str) -> tuple[bytes, ...]:
    """Return what the trail's seal covers of a message set aside."""
    return statement, signature, lane.encode()


def act_contents(line: bytes, source: str, number: int) -> tuple[bytes, ...]:
    """Return what the trail's seal covers of an act."""
    return line, source.encode(), str(number).encode()


def content_row(index: int, entry: Written | SetAside | Act, refusal: int = 0) -> tuple[Table, Row]:
    """Return the table and row of what *entry* says; *refusal* is the number of the one it comes with."""
    if isinstance(entry, Act):
        return tables.act, (index, entry.source, entry.number, entry.line)
    if isinstance(entry, Written):
        said = (entry.organisation, entry.statement, entry.signature)
        return tables.receipt, (index, entry.of.id, *said)
    return tables.aside, (index, entry.of.id, entry.organisation, entry.lane, refusal)
