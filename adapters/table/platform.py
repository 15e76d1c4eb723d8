"""Tables as a platform: both halves behind the eight methods that the runner calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from adapters.notes import Notice
from adapters.platform import Outgoing as Wanted
from adapters.spool_files import FileNews
from adapters.spool_records import Decision
from adapters.table.database import PlatformDatabase
from adapters.table.filing import Filing
from adapters.table.incoming import Incoming
from adapters.table.leaving import still_needed
from adapters.table.marks import Marks
from adapters.table.outgoing import Outgoing
from adapters.table.quarantine import Quarantine
from adapters.table.records import Records
from adapters.table.tables import SAID
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage, SealedMessage
from exchange.errors import Refusal
from exchange.text import Text


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TablePlatform:
    """
    The tables of one platform.

    It has the methods for files (`adapters.copies`) only where its mapping has ``[attachments]``.

    What is said is marked pushed with the message itself, processed when the other side has written
    it, and refused with the reason where the bridge or the other side refuses it.
    """

    filing: Filing
    gather: Callable[[], int]
    troubled: Callable[[], Text | None]
    file_came: Callable[[FileNews], None]
    file_left: Callable[[FileNews], None]

    def __init__(
        self,
        database: PlatformDatabase,
        organisation: str,
        *,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        files: Path | None = None,
    ) -> None:
        """Link *database*; in the folder *files* are copies of the files that leave."""
        self.database = database
        self.quarantine = Quarantine(database, clock)
        self._organisation = organisation
        self._clock = clock
        self._outgoing = Outgoing(database, organisation, self.quarantine, clock)
        self._incoming = Incoming(database, self.quarantine, clock)
        self._marks = Marks(database)
        self._records = Records(database.document)
        self._remind = remind
        self._started = False
        #: Told how the tables stand whenever that changes; `exchange adapter status` shows it.
        self.note: Callable[[dict[str, str]], None] | None = None
        self._noted: dict[str, str] = {}
        #: Told which kind of work fails (`adapters.notes.Notice`), such as ``sheet gd``; without it that is raised.
        self.notice: Notice | None = None
        self._told: set[str] = set()
        if database.document.attachments is not None and files is not None:
            self._link_files(files)

    def _link_files(self, files: Path) -> None:
        """Give and take files: only a platform whose mapping says where they are is asked for any."""
        filing = Filing(self.database, self._incoming, self.quarantine, files, self._clock)
        self.filing = filing
        self.troubled = filing.troubled
        self.gather, self.file_came, self.file_left = (
            filing.gather,
            filing.came,
            filing.leaving.left,
        )

    # -- out

    def outgoing(self) -> Sequence[Wanted]:
        """Take what is new in the tables; return what no spool is known to hold."""
        if not self._started:
            self._outgoing.again()
            self._started = True
        if self._outgoing.poll() or not self._noted:
            self._tell()
        self._tell_broken()
        return self._outgoing.said()

    def speak(self, say: Callable[[Text], None], name: str = "table") -> None:
        """Have *say* told of every row that is put aside by the adapter *name*: its record, not what it holds."""
        self._outgoing.tell = lambda record: say(_ASIDE.fill(record=record, name=name))

    def _tell_broken(self) -> None:
        broken = self._outgoing.broken
        if self.notice is None:
            for failure in broken.values():
                raise failure
            return
        for name in sorted(self._told | broken.keys()):
            self.notice(f"sheet {name}", broken[name].text if name in broken else None)
        self._told = {*broken}

    def _tell(self) -> None:
        if self.note is None:
            return
        standing = self.standing()
        facts = {
            name: str(standing.get(name, 0))
            for name in ("quarantine", "rows_waiting", "said_files")
        }
        if facts != self._noted:
            self.note(facts)
            self._noted = facts

    def kept(self, messages: Sequence[Wanted]) -> None:
        """Note that *messages* are durable in the spool."""
        self._outgoing.kept([self._id(message) for message in messages])

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Note why *message* is not in the spool yet: what it builds on is not known there."""
        self._outgoing.unfit(self._id(message), why)

    def _id(self, message: Wanted) -> str:
        if isinstance(message, SealedMessage):
            return message.message_id
        return message.id_for(self._organisation)

    def decided(self, decision: Decision) -> None:
        """Note the bridge's answer; a refusal goes to the row it came from, with its reason."""
        state = "stored" if decision.refusal is None else "refused"
        if decision.dropped:
            state = "dropped"
        self._answered(decision.message_id, state, decision.refusal, decision.digest.hex())

    def answered(self, receipt: IncomingReceipt) -> None:
        """
        Note that the other side has written a message, or has refused it.

        What it refused it may write after all, once its mapping was mended: the bridge holds it.
        """
        state = "written" if receipt.refusal is None else "declined"
        self._answered(receipt.message_id, state, receipt.refusal, receipt.digest.hex())

    def _answered(self, message_id: str, state: str, refusal: Refusal | None, digest: str) -> None:
        with self.database.transaction() as connection:
            query = select(SAID).where(SAID.c.message_id == message_id)
            said = connection.execute(query).first()
            if said is None or said.state == "written":
                return  # of another spool, or told again
            if state == "stored" and self._records.is_duty(
                connection, said.ticket_id, said.handoff_id
            ):
                state = "written"  # said to oneself: nobody else writes it
            detail = _detail(refusal) if refusal is not None else None
            values: dict[str, Any] = {"state": state, "digest": digest}
            values["detail"] = f"{detail.en} {detail.zh}" if detail is not None else ""
            values["body"] = still_needed(said.body, state)
            connection.execute(
                SAID.update().where(SAID.c.message_id == message_id).values(**values)
            )
            self._mark(connection, said.record, said.sheet, said.row_key, detail)

    def _mark(
        self, connection: Connection, record: str, name: str, row_key: str, detail: Text | None
    ) -> None:
        sheet = self.database.document.sheets.get(name)
        if sheet is None:
            return
        if detail is not None:
            self._marks.mark(
                connection, sheet, json.loads(row_key), ("pushed", "refused"), detail=detail
            )
            return
        open_ = select(func.count()).where(SAID.c.record == record, SAID.c.state != "written")
        if not connection.execute(open_).scalar_one():
            for before in ("pushed", "refused"):
                self._marks.mark(connection, sheet, json.loads(row_key), (before, "processed"))

    # -- in

    def deliver(self, item: IncomingMessage) -> str:
        """Write a message's record with its marker; return the record's number."""
        return self._incoming.deliver(item)

    def on_arrival(self, item: IncomingMessage) -> None:
        """Remind, if a reminder was given."""
        if self._remind is not None:
            self._remind(item)

    # -- how it stands

    def standing(self) -> dict[str, int]:
        """Return how many messages are in each state, and how many rows wait or are put aside."""
        with self.database.reading() as connection:
            query = select(SAID.c.state, func.count()).group_by(SAID.c.state)
            states = {f"said_{row[0]}": int(row[1]) for row in connection.execute(query)}
            return {
                **states,
                "quarantine": self.quarantine.count(connection),
                "rows_waiting": len(self._outgoing.waiting),
            }


_ASIDE = Text(
    en="PUT ASIDE: the row {record}; others go on. Why: python -m adapters.{name} quarantine …",
    zh="已隔离：记录 {record}，其余照常。原因：python -m adapters.{name} quarantine …",
)


def _detail(refusal: Refusal) -> Text:
    fields = ", ".join(violation.field for violation in refusal.violations)
    places = f" ({fields})" if fields else ""
    return Text(
        en=f"{refusal.code.name}: {refusal.text.en}{places}",
        zh=f"{refusal.code.name}：{refusal.text.zh}{places}",
    )
