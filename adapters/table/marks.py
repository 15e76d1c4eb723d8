"""How far a row is: the platform's own status column, or, where there is none, what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Sheet
from adapters.mapping.misfit import Misfit
from adapters.table.database import PlatformDatabase, row_digest
from adapters.table.records import Reference, reference
from adapters.table.tables import QUARANTINE, SEEN
from exchange.errors import StoreMismatch
from exchange.text import Text

#: Begins the name of the entry that says how far a sheet was read; no record's name begins so.
_MARK = "?mark "


class Marks:
    """Reads and writes how far rows are, inside a transaction of the caller's."""

    def __init__(self, database: PlatformDatabase) -> None:
        self._database = database
        #: Of each sheet the newest value met, and the one that is read on from.
        self._met: dict[str, Any] = {}
        self._read: dict[str, Any] = {}

    def mark(
        self,
        connection: Connection,
        sheet: Sheet,
        key: Mapping[str, Any],
        move: tuple[str, str],
        *,
        detail: Text | None = None,
    ) -> bool:
        """
        Move a row's status, *move* names from and to; False where the platform moved it meanwhile.

        The words are those of `Status`: new, pushed, processed, refused.
        """
        before, after = move
        status = sheet.status
        if status is None or not key:
            return False
        database, name = self._database, sheet.name
        column = database.column(name, status.column)
        values: dict[Any, Any] = {
            column: database.fitting(name, status.column, getattr(status, after))
        }
        if status.detail:
            values[database.column(name, status.detail)] = self._said(sheet, detail)
        was = database.fitting(name, status.column, getattr(status, before))
        done = connection.execute(
            database.table(name)
            .update()
            .where(database.at(name, key), column == was)
            .values(values)
        )
        return done.rowcount > 0

    def _said(self, sheet: Sheet, detail: Text | None) -> str | None:
        """Return a reason that has room in the column for it."""
        if detail is None or sheet.status is None:
            return None
        text = f"{detail.zh} {detail.en}"
        length = getattr(
            self._database.column(sheet.name, sheet.status.detail).type, "length", None
        )
        return text if length is None or len(text) <= length else text[: length - 1] + "…"

    # -- sheets without a status

    def since(self, connection: Connection, sheet: Sheet) -> Any:
        """Return from where a sheet is read: what was newest, less what clocks may differ."""
        if sheet.name not in self._read:
            query = select(SEEN.c.noted).where(SEEN.c.record == _MARK + sheet.name)
            text = connection.execute(query).scalar()
            self._read[sheet.name] = _value(text) if text else None
        mark = self._read[sheet.name]
        if mark is None:
            return None
        return mark - (
            timedelta(seconds=sheet.overlap) if isinstance(mark, datetime) else sheet.overlap
        )

    def unread(self, connection: Connection, sheet: Sheet, found: Mapping[str, Any]) -> bool:
        """Return whether a row is new or was changed since it was read."""
        row = self._database.row(sheet.name, found)
        self._meet(sheet, row)
        try:
            own = reference(sheet, row)
        except Misfit:
            return True
        return not self.read(connection, own, row_digest(row, set()))

    def read(self, connection: Connection, own: Reference, digest: str) -> bool:
        """Return whether a row was read as it is."""
        query = select(SEEN.c.row_digest).where(SEEN.c.record == own.name)
        return bool(connection.execute(query).scalar() == digest)

    def note(self, connection: Connection, own: Reference, digest: str, now: datetime) -> None:
        """Note that a row was read as it is."""
        connection.execute(SEEN.delete().where(SEEN.c.record == own.name))
        connection.execute(
            SEEN.insert().values(
                record=own.name, sheet=own.sheet, row_digest=digest, noted=now.isoformat()
            )
        )

    def moved(self, sheet: Sheet) -> bool:
        """Return whether a newer row was met than is read on from."""
        newest = self._met.get(sheet.name)
        return newest is not None and newest != self._read.get(sheet.name)

    def move(self, connection: Connection, sheet: Sheet) -> None:
        """
        Read on from the newest row met; nothing may have been left behind in this turn.

        A row in quarantine holds the mark back: it is met again every turn.
        """
        held = select(QUARANTINE.c.seq).where(
            QUARANTINE.c.side == "out", QUARANTINE.c.sheet == sheet.name
        )
        newest = self._met[sheet.name]
        if connection.execute(held).first() is not None:
            return
        self._read[sheet.name] = newest
        record = _MARK + sheet.name
        connection.execute(SEEN.delete().where(SEEN.c.record == record))
        text = newest.isoformat() if isinstance(newest, datetime) else repr(newest)
        connection.execute(
            SEEN.insert().values(record=record, sheet=sheet.name, row_digest="", noted=text[:40])
        )

    def _meet(self, sheet: Sheet, row: Mapping[str, Any]) -> None:
        value = row.get(sheet.changed)
        if value is None:
            return
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as the column has it
        if isinstance(value, Decimal):
            value = float(value)
        if not isinstance(value, datetime | int | float) or isinstance(value, bool):
            raise StoreMismatch(_NO_ORDER.fill(column=sheet.changed, sheet=sheet.name))
        met = self._met.get(sheet.name)
        self._met[sheet.name] = value if met is None else max(met, value)


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text)


_NO_ORDER = Text(
    en="The column {column} of '{sheet}' holds text: 'changed' needs a column of times or numbers.",
    zh="“{sheet}”的列 {column} 为文本：changed 须为时间或数字列。",
)
