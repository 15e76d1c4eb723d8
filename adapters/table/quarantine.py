"""
What could not be mapped: kept whole, named, and let go as soon as it was mended.

A row in quarantine has the platform's own mark for it (status ``refused``, the reason in ``detail``).
Its lane, all that is about the same record, waits behind it; other lanes go on.  It is tried again
when the row changes, when the mapping changes, and when somebody asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Sheet
from adapters.table.database import PlatformDatabase, as_json, row_digest
from adapters.table.tables import QUARANTINE, SEEN
from exchange.text import Text

#: Characters of a row's JSON that are kept whole: every engine's TEXT takes them.
_ROOM = 60_000
#: Characters of a long value of a longer row: the rest stands in the row itself.
_BEGINNING = 200
#: Rows in quarantine that are looked at again in one turn.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One entry: what was put aside, why, since when; *original* as it was found."""

    seq: int
    side: str
    sheet: str
    record: str
    lane: str
    reason: Text
    original: Any
    found: datetime


class Quarantine:
    """The entries of one platform."""

    def __init__(self, database: PlatformDatabase, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._from = 0
        self._reviewed = False

    def put(
        self,
        connection: Connection,
        *,
        side: str,
        sheet: str,
        record: str,
        row_key: Mapping[str, Any],
        lane: str,
        digest: str,
        reason: Text,
        original: Any,
    ) -> None:
        """Put something aside; what was there under the same name is replaced."""
        self.lift(connection, side, record)
        connection.execute(
            QUARANTINE.insert().values(
                side=side,
                sheet=sheet,
                record=record,
                row_key=json.dumps(dict(row_key)),
                lane=lane,
                row_digest=digest,
                mapping=self._database.document.digest,
                reason_en=reason.en,
                reason_zh=reason.zh,
                original=as_json(original),
                found=self._clock().isoformat(),
            )
        )

    def holds(self, connection: Connection, record: str, digest: str) -> bool:
        """Return whether a row is put aside as it is, by this mapping."""
        query = select(QUARANTINE.c.seq).where(
            QUARANTINE.c.side == "out",
            QUARANTINE.c.record == record,
            QUARANTINE.c.row_digest == digest,
            QUARANTINE.c.mapping == self._database.document.digest,
        )
        return connection.execute(query).first() is not None

    def lift(self, connection: Connection, side: str, record: str) -> None:
        """Forget an entry: what it held was taken, or goes to be tried again."""
        connection.execute(
            delete(QUARANTINE).where(QUARANTINE.c.side == side, QUARANTINE.c.record == record)
        )

    def stopped(self, connection: Connection) -> dict[str, str]:
        """Return the lanes of rows that stand still, each with the record that stops it."""
        query = select(QUARANTINE.c.lane, QUARANTINE.c.record).where(QUARANTINE.c.side == "out")
        return {row.lane: row.record for row in connection.execute(query)}

    def entries(self) -> list[Held]:
        """Return everything that is put aside, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(QUARANTINE).order_by(QUARANTINE.c.seq)).all()
        return [
            Held(
                seq=row.seq,
                side=row.side,
                sheet=row.sheet,
                record=row.record,
                lane=row.lane,
                reason=Text(en=row.reason_en, zh=row.reason_zh),
                original=json.loads(row.original),
                found=datetime.fromisoformat(row.found),
            )
            for row in rows
        ]

    def count(self, connection: Connection) -> int:
        """Return how many entries there are."""
        return int(connection.execute(select(func.count()).select_from(QUARANTINE)).scalar_one())

    def review(self, *, everything: bool = False) -> int:
        """Let rows that were mended, or all of them, be read again; return how many."""
        query = (
            select(QUARANTINE)
            .where(QUARANTINE.c.side == "out", QUARANTINE.c.seq > (0 if everything else self._from))
            .order_by(QUARANTINE.c.seq)
        )
        if everything:
            self._forget_files()
        else:
            query = query.limit(_AT_ONCE)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        self._from = rows[-1].seq if len(rows) == _AT_ONCE else 0
        done = sum(self._again(row, everything=everything) for row in rows)
        self._reviewed = True
        return done

    def _forget_files(self) -> None:
        """Let the running adapter write again what came and was put aside."""
        with self._database.transaction() as connection:
            connection.execute(delete(QUARANTINE).where(QUARANTINE.c.side == "file"))

    def _again(self, entry: Any, *, everything: bool) -> bool:
        sheet = self._database.document.sheets.get(entry.sheet)
        key = json.loads(entry.row_key)
        with self._database.transaction() as connection:
            if sheet is None or not key:
                # Nothing names its row, which is read in every turn: if it is as bad, it comes back.
                if everything or not self._reviewed:
                    self.lift(connection, "out", entry.record)
                return False
            table = self._database.table(sheet.name)
            at = self._database.at(sheet.name, key)
            columns = self._database.read_with_a_row(sheet.name)
            found = connection.execute(select(*columns).where(at)).mappings().all()
            if not found:  # the row is gone, and nobody waits for it any more
                self.lift(connection, "out", entry.record)
                return True
            rows = [self._database.row(sheet.name, dict(one)) for one in found]
            unchanged = entry.row_digest in {row_digest(row, apart(sheet)) for row in rows}
            if unchanged and entry.mapping == self._database.document.digest and not everything:
                return False
            self.lift(connection, "out", entry.record)
            connection.execute(SEEN.delete().where(SEEN.c.record == entry.record))
            if sheet.status is not None:
                status = sheet.status
                column = self._database.column(sheet.name, status.column)
                fitting = self._database.fitting
                connection.execute(
                    table.update()
                    .where(at, column == fitting(sheet.name, status.column, status.refused))
                    .values({column: fitting(sheet.name, status.column, status.new)})
                )
            return True


def apart(sheet: Sheet) -> set[str]:
    """Return the columns that say how far a row is, not what it holds."""
    return {sheet.status.column, sheet.status.detail} if sheet.status is not None else set()


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return *row* as it is put aside: of one that holds whole files, the beginnings of long values."""
    told = dict(row)
    if len(as_json(told)) <= _ROOM:
        return told
    return {name: _beginning(value) for name, value in told.items()}


def _beginning(value: Any) -> Any:
    text = value if isinstance(value, str) else as_json(value)
    return value if len(text) <= _BEGINNING else f"{text[:_BEGINNING]}… ({len(text)})"
