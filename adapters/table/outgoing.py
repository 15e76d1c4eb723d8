"""
Rows become messages.

A row that is ready is read under lock, mapped, and what it says is written beside it in the same
transaction that marks it as pushed: whoever is killed wherever, a row is either new or said.  What is
said stays here until the other side has written it, so that a lost spool says it again, under the
same id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Sheet
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.saying import Standing, holds
from adapters.table.database import PlatformDatabase, Unwritable, as_json, row_digest
from adapters.table.marks import Marks
from adapters.table.quarantine import Quarantine, apart, shortened
from adapters.table.records import UNSAID, Records, Reference, about, reference
from adapters.table.speaking import Row, Speaking, Spoken, Waits, body_of
from adapters.table.tables import SAID
from exchange.acts import Kind
from exchange.client import OutgoingMessage, read_message
from exchange.errors import StoreUnavailable
from exchange.text import Text

#: Rows that are read and marked in one transaction.
BATCH = 128
#: Messages that are handed to the spool at once.
HANDED = 512
#: Beside a message in the table of what is said: where the files that it waits for are to be had.
WANTED = "wanted"
#: What stands in a message there as long as the bridge may lack files of it.
OWED = '"owed": ["'
#: The states in which the bridge has a message, and may lack files of it.
_OWING = ("stored", "written")
#: Pages of rows that stay as they are, looked through for others in one turn.
_PAGES = 64


class Outgoing:
    """What the platform says."""

    def __init__(
        self,
        database: PlatformDatabase,
        organisation: str,
        quarantine: Quarantine,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._organisation = organisation
        self._quarantine = quarantine
        self._clock = clock
        self._records = Records(database.document)
        self._speaking = Speaking(database.document, organisation, self._records)
        self._marks = Marks(database)
        rules = database.document.say
        self._sheets = [
            sheet
            for sheet in database.document.sheets.values()
            if any(rule.sheet == sheet.name for rule in rules)
        ]
        #: Of rows that must stay the same for a while: their digest, and since when.
        self._settling: dict[str, tuple[str, datetime]] = {}
        #: Of records one of whose rows waits for an answer: that row, behind which the others wait.
        self._ahead: dict[str, str] = {}
        #: Messages that the bridge has while it lacks files of theirs: once a start they are said again.
        self._repeated: set[str] = set()
        #: Rows that wait: for what they are about, or behind a stopped lane.
        self.waiting: frozenset[str] = frozenset()
        #: Sheets whose table cannot be read, as it is gone or has changed, by their names; others go on.
        self.broken: dict[str, StoreUnavailable] = {}
        #: Told of every row that is put aside: its record, never what it holds.
        self.tell: Callable[[str], None] | None = None

    def poll(self) -> int:
        """
        Take what is new in every sheet; return how many rows were taken or put aside.

        Raises `StoreUnavailable` where the whole database is down.
        """
        self._quarantine.review()
        waiting: set[str] = set()
        self._ahead.clear()
        taken = 0
        for sheet in self._sheets:
            try:
                taken += self._poll(sheet, waiting)
            except StoreUnavailable as failure:
                self._database.require()
                self.broken[sheet.name] = failure
            else:
                self.broken.pop(sheet.name, None)
        self.waiting = frozenset(waiting)
        return taken

    def _poll(self, sheet: Sheet, waiting: set[str]) -> int:
        taken = offset = pages = 0
        left_behind = 0
        while pages < _PAGES or sheet.status is None:
            pages += 1
            rows, unread = self._look(sheet, offset)
            if not rows:
                break
            if not unread:
                offset += rows
                continue
            done, left = self._batch(sheet, offset, waiting)
            taken += done
            offset += left if sheet.status is not None else rows
            left_behind += left
        if sheet.status is None and not left_behind and self._marks.moved(sheet):
            with self._database.transaction() as connection:
                self._marks.move(connection, sheet)
        return taken

    def said(self) -> list[OutgoingMessage]:
        """Return what is to be put into the spool, in the order in which it was said."""
        again = SAID.c.message_id.in_(self._repeated) & SAID.c.state.in_(_OWING)
        due = or_(SAID.c.state == "waiting", again)
        # The thread of the files empties the body of what it has brought to its end meanwhile.
        query = select(SAID.c.body).where(due, SAID.c.body.is_not(None))
        query = query.order_by(SAID.c.seq).limit(HANDED)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        bodies = [json.loads(row.body) for row in rows]
        for body in bodies:
            body.pop("owed", None)  # of the files, not of the message
        return [read_message(body) for body in bodies]

    # -- reading

    def _query(self, connection: Connection, sheet: Sheet, offset: int) -> Select[Any]:
        column = self._database.column
        query = select(*self._database.read_with_a_row(sheet.name))
        if sheet.status is not None:
            new = self._database.fitting(sheet.name, sheet.status.column, sheet.status.new)
            query = query.where(column(sheet.name, sheet.status.column) == new)
        else:
            mark = self._marks.since(connection, sheet)
            if mark is not None:
                query = query.where(column(sheet.name, sheet.changed) >= mark)
        order = [*((sheet.changed,) if sheet.changed else ()), *sheet.order, *sheet.key]
        query = query.order_by(*(column(sheet.name, name) for name in dict.fromkeys(order)))
        return query.limit(BATCH).offset(offset)

    def _look(self, sheet: Sheet, offset: int) -> tuple[int, bool]:
        """Look without a lock, so that an idle platform is not disturbed; how many rows, any unread."""
        with self._database.reading() as connection:
            rows = connection.execute(self._query(connection, sheet, offset)).mappings().all()
            if sheet.status is not None:
                return len(rows), bool(rows)
            unread = [self._marks.unread(connection, sheet, dict(row)) for row in rows]
        return len(rows), any(unread)

    def _batch(self, sheet: Sheet, offset: int, waiting: set[str]) -> tuple[int, int]:
        """Take one batch; return how many rows were taken or put aside, and how many are left."""
        done = left = 0
        with self._database.transaction() as connection:
            stopped = self._quarantine.stopped(connection)
            # Rows that the platform itself is writing are locked by it, and left for the next turn.
            query = self._query(connection, sheet, offset).with_for_update(skip_locked=True)
            for found in connection.execute(query).mappings().all():
                values = self._database.row(sheet.name, dict(found))
                taken = self._take(connection, sheet, values, stopped, waiting)
                done += taken is True
                left += taken is False
        return done, left

    # -- one row

    def _take(
        self,
        connection: Connection,
        sheet: Sheet,
        values: Mapping[str, Any],
        stopped: dict[str, str],
        waiting: set[str],
    ) -> bool | None:
        """Take one row, or put it aside; False where it is left, None where it was read before."""
        digest = row_digest(values, apart(sheet))
        own = self._own(sheet, values, digest)
        if sheet.status is None and self._marks.read(connection, own, digest):
            return None
        if not self._settled(sheet, own.name, digest):
            return False
        row = Row(sheet=sheet, values=values, own=own, whole=own, digest=digest)
        try:
            whole = about(self._database.document, sheet, values)
            row = Row(sheet=sheet, values=values, own=own, whole=whole, digest=digest)
            if {**self._ahead, **stopped}.get(whole.name, own.name) != own.name:
                waiting.add(own.name)
                return False
            facts = Standing(record=own.name, ticket_id="").facts(values)
            if not holds(sheet.ready, facts, f"sheets.{sheet.name}.ready"):
                return False
            reference(sheet, values)  # a key that cannot be read stops the row
            messages = self._speaking.messages(connection, row)
        except Misfit as misfit:
            stopped[row.whole.name] = own.name
            return self._aside(connection, row, misfit.text)
        if isinstance(messages, Waits):
            waiting.add(own.name)
            if messages is Waits.AHEAD:
                self._ahead.setdefault(row.whole.name, own.name)
            return False
        try:
            # By itself, so that one row that the database does not take stops no other of the batch.
            with connection.begin_nested(), self._database.failures():
                for spoken in messages:
                    self._write(connection, row, spoken)
                self._quarantine.lift(connection, "out", own.name)
                self._mark(connection, row, "pushed")
        except Unwritable as unfit:
            stopped[row.whole.name] = own.name
            return self._aside(connection, row, unfit.text)
        return True

    def _own(self, sheet: Sheet, values: Mapping[str, Any], digest: str) -> Reference:
        """Return the row's own record; one whose key cannot be read is named by what it holds."""
        try:
            return reference(sheet, values)
        except Misfit:
            key = {name: str(get(values, name) or "") for name in sheet.key}
            if not all(text.isprintable() and text for text in key.values()):
                key = {}  # no statement could name it; its status stays as it is
            return Reference(sheet=sheet.name, name=f"{sheet.name}:?{digest[:32]}", key=key)

    def _settled(self, sheet: Sheet, record: str, digest: str) -> bool:
        """Return whether a row stayed the same for as long as the sheet asks: half of one does not."""
        if not sheet.settle:
            return True
        now = self._clock()
        known, since = self._settling.get(record, ("", now))
        if known != digest:
            self._settling[record] = (digest, now)
            return False
        if now - since < timedelta(seconds=sheet.settle):
            return False
        del self._settling[record]
        return True

    def _mark(self, connection: Connection, row: Row, word: str, why: Text | None = None) -> bool:
        if row.sheet.status is not None:
            return self._marks.mark(connection, row.sheet, row.own.key, ("new", word), detail=why)
        self._marks.note(connection, row.own, row.digest, self._clock())
        return True

    def _write(self, connection: Connection, row: Row, spoken: Spoken) -> None:
        message = spoken.message
        message_id = message.id_for(self._organisation)
        same = SAID.c.message_id == message_id
        connection.execute(SAID.delete().where(same, SAID.c.state.in_(UNSAID)))
        if connection.execute(select(SAID.c.seq).where(same)).first() is None:
            connection.execute(
                SAID.insert().values(
                    message_id=message_id,
                    kind=message.kind.value,
                    ticket_id=message.ticket_id,
                    handoff_id=message.handoff_id,
                    sheet=row.sheet.name,
                    record=row.own.name,
                    row_key=json.dumps(dict(row.own.key)),
                    content=spoken.content,
                    state="files" if spoken.files else "waiting",
                    body=as_json(
                        {**body_of(message), **({WANTED: spoken.files} if spoken.files else {})}
                    ),
                    noted=self._clock().isoformat(),
                )
            )
        if message.kind in (Kind.OPEN_TICKET, Kind.OFFER):
            for one in {row.own.name: row.own, row.whole.name: row.whole}.values():
                self._records.link(connection, one, message.ticket_id, message.handoff_id)

    def _aside(self, connection: Connection, row: Row, reason: Text) -> bool:
        """Put a row aside; False where its status cannot say so, because nothing names the row."""
        if not self._quarantine.holds(connection, row.own.name, row.digest):
            self._quarantine.put(
                connection,
                side="out",
                sheet=row.sheet.name,
                record=row.own.name,
                row_key=row.own.key,
                lane=row.whole.name,
                digest=row.digest,
                reason=reason,
                original=shortened(row.values),
            )
            if self.tell is not None:
                self.tell(row.own.name)
        try:
            with connection.begin_nested(), self._database.failures():
                return self._mark(connection, row, "refused", reason)
        except Unwritable:  # its reason stands in quarantine
            return False

    def again(self) -> None:
        """Say again what is in the spool but was not yet written: the spool may have been lost."""
        owed = SAID.c.state.in_(_OWING) & SAID.c.body.contains(OWED)
        with self._database.transaction() as connection:
            connection.execute(SAID.update().where(SAID.c.state == "kept").values(state="waiting"))
            rows = connection.execute(select(SAID.c.message_id).where(owed)).all()
        self._repeated = {row.message_id for row in rows}

    def kept(self, message_ids: Sequence[str]) -> None:
        """Note that messages are durable in the spool."""
        self._repeated.difference_update(message_ids)
        with self._database.transaction() as connection:
            connection.execute(
                SAID.update()
                .where(SAID.c.message_id.in_(message_ids), SAID.c.state == "waiting")
                .values(state="kept", detail="")
            )

    def unfit(self, message_id: str, why: Text) -> None:
        """Note why a message is not in the spool yet; it is offered again."""
        with self._database.transaction() as connection:
            connection.execute(
                SAID.update()
                .where(SAID.c.message_id == message_id)
                .values(detail=f"{why.en} {why.zh}")
            )
