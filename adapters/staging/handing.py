"""
Messages are given to the platform, and only then written with their marker.

What is given is kept before it is given, and what the platform answers is kept before anything is made
of it: killed anywhere in between, the same is given again under the same id, or nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Writing
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get, put
from adapters.platform import Indigestible
from adapters.staging.records import Handing, Records
from adapters.table.database import PlatformDatabase
from adapters.table.incoming import Heard, Incoming
from adapters.table.quarantine import Quarantine
from adapters.table.tables import MARKER
from exchange.client import IncomingMessage
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
    ) -> None:
        super().__init__(database, quarantine, clock)
        self._kept = records
        self._hand = hand
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
            if connection.execute(known).first() is not None:
                return
            heard = self._heard(item)
        if heard is not None:
            self.prepare(heard)

    def prepare(self, heard: Heard) -> None:
        """Give the record to the platform; what it answers is kept."""
        with self._database.reading() as connection:
            content = self._whole(connection, heard)
        subject, sheet, writing = heard.subject.id, heard.sheet.name, heard.rule.writing
        given = self._kept.begin(subject, sheet, writing, content)
        if given.number is None:
            number = self._hand(given)
            self._kept.confirm(subject, number)
            given = replace(given, number=number)
        self._given[subject] = given

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

    def _columns(self, _connection: Connection, heard: Heard) -> dict[str, Any]:
        given = self._given[heard.subject.id]
        found = self._kept.flat(heard.sheet.name, given.content)
        if given.writing is Writing.INSERT:
            if given.number:
                found[heard.sheet.key[0]] = given.number
            for column in heard.sheet.key:
                if found.get(column) is None:
                    raise Misfit(column, _NO_NUMBER)
        return found

    def _note(
        self, connection: Connection, item: IncomingMessage, record: Any, number: str
    ) -> None:
        given = self._given.get(item.message_id)
        super()._note(connection, item, record, (given.number if given else "") or number)


_NO_NUMBER = Text(
    en="neither the platform's answer nor the mapping gives the new record its number: say where it stands "
    "in the answer ('number'), or fill the column with 'new'.",
    zh="平台应答与映射均未给出新记录的编号：请用 number 指明编号在应答中的位置，或以 new 生成该列。",
)
