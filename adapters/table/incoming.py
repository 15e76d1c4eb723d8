"""
Messages become rows, each in one transaction with the marker that says it was written.

The receipt "written" is therefore true of the platform's own database; the same message again finds
its marker and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Document, HearRule, Sheet, Writing
from adapters.mapping.hearing import hear, rule_for, tree_of
from adapters.mapping.misfit import Misfit
from adapters.plain import message_object
from adapters.platform import Indigestible
from adapters.table.database import PlatformDatabase, Unwritable
from adapters.table.expecting import expect_files
from adapters.table.quarantine import Quarantine
from adapters.table.records import Records, Reference
from adapters.table.tables import FILE, MARKER
from exchange.client import IncomingMessage
from exchange.errors import RefusalCode
from exchange.text import Text

#: A receipt's number of the record may have this many characters.
_NUMBER = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a row is written of: a message, or a file of one, whose *id* is then the file's own."""

    id: str
    kind: str
    ticket_id: str
    handoff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something on its way into a row."""

    subject: Subject
    tree: Mapping[str, Any]
    rule: HearRule
    sheet: Sheet


def number_of(record: Reference) -> str:
    """Return what a receipt calls a record."""
    return "|".join(record.key.values())[:_NUMBER]


class Incoming:
    """What the platform hears."""

    def __init__(
        self, database: PlatformDatabase, quarantine: Quarantine, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._document: Document = database.document
        self._quarantine = quarantine
        self._clock = clock
        self._records = Records(database.document)

    def deliver(self, item: IncomingMessage) -> str:
        """
        Write a message's record and marker; return the record's number.

        Raises `Indigestible` where it can never be written; the original is kept in quarantine.
        Raises `StoreUnavailable` where the database is down: it comes again.
        """
        try:
            self._before(item)
            with self._database.transaction() as connection:
                known = select(MARKER.c.number).where(MARKER.c.message_id == item.message_id)
                number = connection.execute(known).scalar()
                if number is None:
                    number = self._write(connection, item)
                    expect_files(connection, self._document, item)
                    self._quarantine.lift(connection, "in", item.message_id)
                return str(number)
        except (Misfit, Unwritable) as unfit:
            text, code = unfit.text, RefusalCode.FIELD_INVALID
        except Indigestible as indigestible:
            text, code = indigestible.refusal.violations[0].text, indigestible.refusal.code
        self._aside(item, text)
        raise Indigestible(text, code)

    def _before(self, item: IncomingMessage) -> None:
        """Do what a platform beyond this database must have done before; raises what `deliver` does."""

    def _aside(self, item: IncomingMessage, reason: Text) -> None:
        with self._database.transaction() as connection:
            self._quarantine.put(
                connection,
                side="in",
                sheet="",
                record=item.message_id,
                row_key={},
                lane=item.message.handoff_id or item.message.ticket_id,
                digest=item.digest.hex(),
                reason=reason,
                original=message_object(item),
            )

    def _write(self, connection: Connection, item: IncomingMessage) -> str:
        heard = self._heard(item)
        if heard is None:
            number = "-"
            self._note(connection, item, Reference(sheet="", name="", key={}), number)
            return number
        record = self.put(connection, heard)
        number = number_of(record)
        self._note(connection, item, record, number)
        message = item.message
        self._records.link(connection, record, message.ticket_id, message.handoff_id)
        return number

    def link(self, connection: Connection, record: Reference, subject: Subject) -> None:
        """Note what a record is about."""
        self._records.link(connection, record, subject.ticket_id, subject.handoff_id)

    def put(self, connection: Connection, heard: Heard) -> Reference:
        """Write a row; what it is of has no marker yet.  Raises what `deliver` does."""
        writes = self._insert if heard.rule.writing is Writing.INSERT else self._update
        return writes(connection, heard)

    def prepare(self, heard: Heard) -> None:
        """Do what a platform beyond this database must have done before `put`; raises what it does."""

    def settled(self, subject_id: str) -> None:
        """Forget what `prepare` noted."""

    def _heard(self, item: IncomingMessage) -> Heard | None:
        """Return by which rule *item* is heard; None where the mapping chooses not to."""
        tree = tree_of(message_object(item))
        kind = item.message.kind
        rule = rule_for(self._document, tree)
        if rule is None:
            if kind not in self._document.unheard:
                raise Indigestible(_NO_RULE.fill(kind=kind.value, word=kind.text.zh))
            return None
        message = item.message
        subject = Subject(
            id=message.id,
            kind=kind.value,
            ticket_id=message.ticket_id,
            handoff_id=message.handoff_id,
        )
        return Heard(subject=subject, tree=tree, rule=rule, sheet=self._document.sheets[rule.sheet])

    def _columns(self, connection: Connection, heard: Heard) -> dict[str, Any]:
        """Return what the record's columns hold, as their types; raises `Misfit`."""
        name, found = heard.sheet.name, self._content(connection, heard)
        return {column: self._database.fitting(name, column, v) for column, v in found.items()}

    def _content(self, connection: Connection, heard: Heard) -> dict[str, Any]:
        """Return what the record holds, nested where the mapping's columns are paths; raises `Misfit`."""
        subject, zone = heard.subject, self._document.zone
        numbers = {
            "day": self._clock().astimezone(zone).strftime("%Y%m%d"),
            "serial": self._serial(connection, subject.id),
            "kind": subject.kind,
            "ticket_id": subject.ticket_id,
            "handoff_id": subject.handoff_id,
            "message_id": subject.id,
        }
        sheet = heard.sheet
        found = hear(heard.rule, heard.tree, numbers)
        if sheet.about is not None:
            whole = self._known(connection, heard, sheet.about.sheet)
            for column, text in zip(sheet.about.columns, whole.key.values(), strict=True):
                found[column] = text
        return found

    def _serial(self, connection: Connection, _subject_id: str) -> int:
        """Return a number for a record that no other has had."""
        newest = connection.execute(select(func.max(MARKER.c.seq))).scalar()
        files = select(func.count()).select_from(FILE).where(FILE.c.state == "written")
        return int(newest or 0) + int(connection.execute(files).scalar_one()) + 1

    def _known(self, connection: Connection, heard: Heard, sheet: str) -> Reference:
        subject = heard.subject
        found = self._records.record_of(connection, sheet, subject.ticket_id, subject.handoff_id)
        if found is None:
            text = _NO_RECORD.fill(sheet=sheet, ticket=subject.ticket_id)
            raise Indigestible(text, RefusalCode.NOT_A_PARTY)
        return found

    def _insert(self, connection: Connection, heard: Heard) -> Reference:
        sheet = heard.sheet
        columns = self._columns(connection, heard)
        status = sheet.status
        says = any(rule.sheet == sheet.name for rule in self._document.say)
        if status is not None and says and status.column not in columns:
            # What came is not new to say; the platform's people set it so when they answer.
            columns[status.column] = self._database.fitting(
                sheet.name, status.column, status.processed
            )
        table = self._database.table(sheet.name)
        values = {self._database.column(sheet.name, name): v for name, v in columns.items()}
        done = connection.execute(table.insert().values(values))
        key = {name: columns.get(name) for name in sheet.key}
        made = done.inserted_primary_key
        if None in key.values() and made is not None and len(made) == len(sheet.key):
            key = dict(zip(sheet.key, made, strict=True))
        texts = {name: str(value) for name, value in key.items()}
        name = f"{sheet.name}:" + "|".join(text.replace("|", "||") for text in texts.values())
        return Reference(sheet=sheet.name, name=name, key=texts)

    def _update(self, connection: Connection, heard: Heard) -> Reference:
        sheet = heard.sheet
        record = self._known(connection, heard, sheet.name)
        columns = {
            name: value
            for name, value in self._columns(connection, heard).items()
            if name not in sheet.key
        }
        at = self._database.at(sheet.name, record.key)
        table = self._database.table(sheet.name)
        if columns:
            values = {self._database.column(sheet.name, name): v for name, v in columns.items()}
            count = connection.execute(table.update().where(at).values(values)).rowcount
        else:
            query = select(func.count()).select_from(table).where(at)
            count = connection.execute(query).scalar_one()
        if not count:
            text = _GONE.fill(record=record.name)
            raise Indigestible(text, RefusalCode.NOT_A_PARTY)
        return record

    def _note(
        self, connection: Connection, item: IncomingMessage, record: Reference, number: str
    ) -> None:
        message = item.message
        connection.execute(
            MARKER.insert().values(
                message_id=message.id,
                kind=message.kind.value,
                ticket_id=message.ticket_id,
                handoff_id=message.handoff_id,
                author=message.author,
                digest=message.digest.hex(),
                sheet=record.sheet,
                record=record.name,
                number=number,
                written=self._clock().isoformat(),
            )
        )


_NO_RULE = Text(
    en="The platform's mapping has no rule that hears '{kind}' ({word}).",
    zh="平台映射文件没有接收“{kind}”（{word}）的规则。",
)
_NO_RECORD = Text(
    en="The platform has no record of '{sheet}' for the ticket {ticket}.",
    zh="平台的“{sheet}”中没有单 {ticket} 的记录。",
)
_GONE = Text(
    en="The platform's record {record} is there no more.", zh="平台记录 {record} 已不存在。"
)
