"""What is known of a record beside its row: its ids, its lane, and what was said and heard of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from adapters.mapping.document import DUTY_KINDS, Document, Sheet
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.saying import Standing
from adapters.mapping.values import text_of
from adapters.table.tables import LINK, MARKER, SAID
from exchange.acts import Kind
from exchange.errors import ConfigurationError
from exchange.text import Text
from exchange.ticket import own_duty_id

#: What was said and does not count as said: it may be said again.
UNSAID = ("refused", "dropped")

#: Heard of a record, these are as good as said: nobody begins it a second time.
_BEGUN = (Kind.OPEN_TICKET.value, Kind.OFFER.value)

#: A record's name must fit its column, and a message's record field.
_LONGEST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One record: its *name* (``sheet:key``) and the columns of its key."""

    sheet: str
    name: str
    key: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The ticket that a record is about and its newest hand-off; empty where there is none yet."""

    ticket_id: str = ""
    handoff_id: str = ""


def reference(sheet: Sheet, row: Mapping[str, Any], columns: tuple[str, ...] = ()) -> Reference:
    """Return the record of *sheet* whose key stands in *columns* of *row*; raises `Misfit`."""
    key = {}
    for name, column in zip(sheet.key, columns or sheet.key, strict=True):
        text = text_of(get(row, column), column).strip()
        if not text:
            raise Misfit(column, _NO_KEY.fill(sheet=sheet.name))
        key[name] = text
    name = f"{sheet.name}:" + "|".join(part.replace("|", "||") for part in key.values())
    if len(name) > _LONGEST:
        raise Misfit(sheet.key[0], _LONG_KEY.fill(limit=_LONGEST))
    return Reference(sheet=sheet.name, name=name, key=key)


def about(document: Document, sheet: Sheet, row: Mapping[str, Any]) -> Reference:
    """Return the record that *row* is about: another sheet's, or its own."""
    if sheet.about is None:
        return reference(sheet, row)
    return reference(document.sheets[sheet.about.sheet], row, sheet.about.columns)


class Records:
    """Looks up records in the platform's database, inside a transaction of the caller's."""

    def __init__(self, document: Document) -> None:
        self._folder = Path(document.file).parent

    def linked(self, connection: Connection, record: str) -> Linked:
        """Return what *record* is linked to."""
        query = (
            select(LINK.c.ticket_id, LINK.c.handoff_id)
            .where(LINK.c.record == record)
            .order_by(LINK.c.seq.desc())
        )
        rows = connection.execute(query).all()
        if not rows:
            return Linked()
        handoff = next((row.handoff_id for row in rows if row.handoff_id), "")
        return Linked(ticket_id=rows[0].ticket_id, handoff_id=handoff)

    def link(self, connection: Connection, to: Reference, ticket_id: str, handoff_id: str) -> None:
        """Note that a record is about a ticket and a hand-off; noting it again changes nothing."""
        known = select(LINK.c.seq).where(
            LINK.c.record == to.name, LINK.c.ticket_id == ticket_id, LINK.c.handoff_id == handoff_id
        )
        if connection.execute(known).first() is None:
            connection.execute(
                LINK.insert().values(
                    sheet=to.sheet,
                    record=to.name,
                    row_key=json.dumps(dict(to.key)),
                    ticket_id=ticket_id,
                    handoff_id=handoff_id,
                )
            )

    def record_of(
        self, connection: Connection, sheet: str, ticket_id: str, handoff_id: str
    ) -> Reference | None:
        """Return the record of *sheet* that a hand-off, else its ticket, is about."""
        for condition in (
            LINK.c.handoff_id == handoff_id if handoff_id else None,
            LINK.c.ticket_id == ticket_id,
        ):
            if condition is None:
                continue
            query = (
                select(LINK.c.record, LINK.c.row_key)
                .where(LINK.c.sheet == sheet, condition)
                .order_by(LINK.c.seq.desc())
            )
            row = connection.execute(query).first()
            if row is not None:
                return Reference(sheet=sheet, name=row.record, key=json.loads(row.row_key))
        return None

    def said(self, connection: Connection, record: str) -> frozenset[Kind]:
        """Return the kinds that were said of *record*, and with which it came."""
        ours = select(SAID.c.kind).where(SAID.c.record == record, SAID.c.state.not_in(UNSAID))
        came = select(MARKER.c.kind).where(MARKER.c.record == record, MARKER.c.kind.in_(_BEGUN))
        return frozenset(
            Kind(row.kind) for query in (ours, came) for row in connection.execute(query)
        )

    def standing(
        self, connection: Connection, record: str, linked: Linked, said: frozenset[Kind]
    ) -> Standing:
        """Return all that a row's rules may look at."""
        return Standing(
            record=record,
            ticket_id=linked.ticket_id,
            handoff_id=linked.handoff_id,
            said=said,
            newest=lambda kinds: self._newest(connection, linked.handoff_id, kinds),
            secret=self._secret,
        )

    def _newest(
        self, connection: Connection, handoff_id: str, kinds: tuple[Kind, ...]
    ) -> bytes | None:
        words = [kind.value for kind in kinds]
        for table in (MARKER, SAID):
            query = (
                select(table.c.digest)
                .where(
                    table.c.handoff_id == handoff_id, table.c.kind.in_(words), table.c.digest != ""
                )
                .order_by(table.c.seq.desc())
            )
            row = connection.execute(query).first()
            if row is not None:
                return bytes.fromhex(row.digest)
        return None

    def duty(self, connection: Connection, ticket_id: str, kinds: Collection[Kind]) -> str | None:
        """
        Return the own duty that the newest message of *kinds* opened.

        Empty until the bridge has stored that message, None where none was said.
        """
        row = connection.execute(
            select(SAID.c.handoff_id, SAID.c.digest)
            .where(
                SAID.c.ticket_id == ticket_id,
                SAID.c.kind.in_([kind.value for kind in kinds]),
                SAID.c.state.not_in(UNSAID),
            )
            .order_by(SAID.c.seq.desc())
        ).first()
        if row is None:
            return None
        if not row.digest:
            return ""
        return own_duty_id(row.handoff_id, bytes.fromhex(row.digest))

    def is_duty(self, connection: Connection, ticket_id: str, handoff_id: str) -> bool:
        """Return whether a hand-off is an own duty that was opened here."""
        query = select(SAID.c.handoff_id, SAID.c.digest).where(
            SAID.c.ticket_id == ticket_id,
            SAID.c.kind.in_([kind.value for kind in DUTY_KINDS]),
            SAID.c.digest != "",
        )
        return any(
            own_duty_id(row.handoff_id, bytes.fromhex(row.digest)) == handoff_id
            for row in connection.execute(query)
        )

    def _secret(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes().strip()
        except OSError as error:
            raise ConfigurationError(_NO_SECRET.fill(file=name)) from error


_NO_KEY = Text(
    en="is empty, and the record of '{sheet}' cannot be named without it.",
    zh="为空，无法标识“{sheet}”的记录。",
)
_LONG_KEY = Text(
    en="the record's key is longer than {limit} characters.", zh="记录主键超过 {limit} 字。"
)
_NO_SECRET = Text(
    en="The key file {file} of a digest is not there: put it beside the mapping.",
    zh="摘要密钥文件 {file} 不存在：请放在映射文件旁。",
)
