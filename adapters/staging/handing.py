"""
Messages are given to the platform, and only then written with their marker.

What is given is kept before it is given, and what the platform answers is kept before anything is made
of it: killed anywhere in between, the same is given again under the same id, or nothing is.  What the
platform may have lost (`adapters.staging.doubting`) is given anew when it comes again, if the platform,
asked at that moment, does not hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Writing
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.platform import Indigestible
from adapters.staging.doubting import (
    Doubt,
    Holds,
    doubted,
    forget,
    given_away,
    leave_to,
    record_doubted,
    settle,
    trust,
)
from adapters.staging.records import Handing, Records
from adapters.table.database import PlatformDatabase
from adapters.table.incoming import Heard, Incoming
from adapters.table.quarantine import Quarantine
from adapters.table.records import reference
from adapters.table.tables import FILE, LINK, MARKER
from exchange.client import IncomingMessage
from exchange.errors import StoreUnavailable
from exchange.text import Text

#: Gives one record to the platform; returns the platform's own number of it, empty where it names none.
Hand = Callable[[Handing], str]


class HandedIncoming(Incoming):
    """What the platform hears, by way of *hand*."""

    def __init__(
        self,
        database: PlatformDatabase,
        quarantine: Quarantine,
        clock: Callable[[], datetime],
        records: Records,
        hand: Hand,
        *,
        holds: Holds,
    ) -> None:
        super().__init__(database, quarantine, clock)
        self._kept = records
        self._hand = hand
        self._holds = holds
        #: Of the message under way: what was given, and the platform's number.
        self._given: dict[str, Handing] = {}

    def deliver(self, item: IncomingMessage) -> str:
        """
        Give a message's record to the platform, then write it with its marker; return its number.

        Raises what *hand* raises where the platform cannot be told now: it comes again.
        """
        try:
            return super().deliver(item)
        finally:
            self._given.pop(item.message_id, None)

    def _before(self, item: IncomingMessage) -> None:
        try:
            self._give(item)
        except (Indigestible, Misfit):
            self._kept.settle(item.message_id)
            raise

    def _give(self, item: IncomingMessage) -> None:
        with self._database.reading() as connection:
            known = select(MARKER.c.seq).where(MARKER.c.message_id == item.message_id)
            written = connection.execute(known).first() is not None
            doubt = doubted(connection, item.message_id) if written else None
        if written and (doubt is None or not self._lost(doubt)):
            return
        with self._database.reading() as connection:
            heard = self._heard(item)
        if heard is not None:
            self.prepare(heard)

    def _lost(self, doubt: Doubt) -> bool:
        """Ask the platform whether it holds what is doubted, and act on it; raises where it does not say."""
        given = doubt.given
        with self._database.reading() as connection:
            elsewhere = given.inserts and given_away(connection, given)
            known = select(LINK.c.row_key).where(LINK.c.record == given.record)
            key = json.loads(connection.execute(known).scalar() or "{}")
            if doubt.follows and record_doubted(connection, given.record):
                raise StoreUnavailable(_FOLLOWS.fill(record=given.record))
        lost = doubt.follows or elsewhere or self._holds(doubt) is False
        with self._database.transaction() as connection:
            if not lost:
                trust(connection, doubt)
            else:
                if forget(connection, given) and key:
                    self._drop(connection, given.sheet, key)
                self._files_again(connection, given.message_id, given.ticket_id)
        return lost

    def _drop(self, connection: Connection, sheet: str, key: Mapping[str, Any]) -> None:
        table = self._database.table(sheet)
        connection.execute(table.delete().where(self._database.at(sheet, key)))

    def _files_again(self, connection: Connection, message_id: str, ticket_id: str) -> None:
        """Let the files of a message that was lost be written once more, after it."""
        files = connection.execute(select(FILE).where(FILE.c.ticket_id == ticket_id)).all()
        for file in files:
            if json.loads(file.body)["header"]["message_id"] == message_id:
                again = FILE.update().where(
                    FILE.c.file_id == file.file_id, FILE.c.state == "written"
                )
                connection.execute(again.values(state="coming"))

    def prepare(self, heard: Heard) -> None:
        """Give the record to the platform; what it answers is kept."""
        with self._database.reading() as connection:
            content = self._whole(connection, heard)
            anew = doubted(connection, heard.subject.id) is not None
        subject, sheet, writing = heard.subject.id, heard.sheet.name, heard.rule.writing
        given = self._kept.begin(subject, sheet, writing, content)
        if given.number is None and self._moved(given, content, heard):
            given = self._kept.begin_anew(given, content)
        if anew:  # a platform that is asked before a second time, or knows our id, is asked now
            given = replace(given, begun_before=True)
        if given.number is None:
            number = self._hand(given)
            self._kept.confirm(subject, number)
            given = replace(given, number=number)
        self._given[subject] = given

    def _moved(self, given: Handing, content: Mapping[str, Any], heard: Heard) -> bool:
        """Whether the record that is changed has another number since this was begun."""
        if given.writing is Writing.INSERT:
            return False
        return any(get(given.content, one) != get(content, one) for one in heard.sheet.key)

    def settled(self, subject_id: str) -> None:
        """Forget what was given: it is written, or will never be."""
        self._given.pop(subject_id, None)
        self._kept.settle(subject_id)

    def _serial(self, _connection: Connection, subject_id: str) -> int:
        return self._kept.serial(subject_id)

    def _whole(self, connection: Connection, heard: Heard) -> dict[str, Any]:
        """Return what is given to the platform: the record, and the key of the one that it changes."""
        content = self._content(connection, heard)
        if heard.rule.writing is Writing.UPDATE:
            for column, text in self._known(connection, heard, heard.sheet.name).key.items():
                if get(content, column) is None:
                    put(content, column, text)
        return content

    def _columns(self, connection: Connection, heard: Heard) -> dict[str, Any]:
        given = self._given[heard.subject.id]
        found = self._kept.flat(heard.sheet.name, given.content)
        if given.writing is Writing.INSERT:
            if given.number:
                found[heard.sheet.key[0]] = given.number
            for column in heard.sheet.key:
                if found.get(column) is None:
                    raise Misfit(column, _NO_NUMBER)
            self._make_room(connection, heard, found)
        return found

    def _make_room(self, connection: Connection, heard: Heard, found: Mapping[str, Any]) -> None:
        """See to it that no other record has the number; raises `Misfit` where one has."""
        name, record = heard.sheet.name, reference(heard.sheet, found)
        there = select(func.count()).select_from(self._database.table(name))
        there = there.where(self._database.at(name, record.key))
        if not connection.execute(there).scalar_one():
            return
        if not record_doubted(connection, record.name):
            raise Misfit(heard.sheet.key[0], _TWICE.fill(record=record.name))
        self._drop(connection, name, record.key)
        leave_to(connection, record.name, heard.subject.ticket_id)

    def _note(
        self, connection: Connection, item: IncomingMessage, record: Any, number: str
    ) -> None:
        given = self._given.get(item.message_id)
        super()._note(connection, item, record, (given.number if given else "") or number)
        settle(connection, item.message_id)


_FOLLOWS = Text(
    en="The platform may have lost the record {record}: what changed it waits until that is given again.",
    zh="平台可能丢失了记录 {record}：对其的修改等待该记录重新送达。",
)
_TWICE = Text(
    en="the platform gave the number of {record} a second time. Was it put back from a backup? Compare: exchange "
    "adapter reconcile --send, then: exchange lane retry. Else the mapping's 'number' names no number.",
    zh="平台再次给出 {record} 的编号。若平台曾从备份恢复：执行 exchange adapter reconcile --send，再 exchange lane retry；"
    "否则请检查映射中的 number。",
)
_NO_NUMBER = Text(
    en="neither the platform's answer nor the mapping gives the new record its number: say where it stands "
    "in the answer ('number'), or fill the column with 'new'.",
    zh="平台应答与映射均未给出新记录的编号：请用 number 指明编号在应答中的位置，或以 new 生成该列。",
)
