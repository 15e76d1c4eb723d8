"""A platform whose records are staged: its arrivals enter before the sheets are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from adapters.platform import Outgoing as Wanted
from adapters.staging.doubting import Holds
from adapters.staging.handing import Hand, HandedIncoming
from adapters.staging.records import Records
from adapters.table.database import PlatformDatabase
from adapters.table.platform import TablePlatform
from exchange.client import IncomingMessage


def _utc_now() -> datetime:
    return datetime.now(UTC)


class StagedPlatform(TablePlatform):
    """
    One platform that gives *records*, and to which *hand* gives what comes; *holds* says what it holds.

    Everything else is as with a platform's own tables: `adapters.table.platform.TablePlatform`.
    """

    def __init__(
        self,
        records: Records,
        organisation: str,
        hand: Hand,
        *,
        holds: Holds,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        database = PlatformDatabase(records.document, f"sqlite:///{records.path}")
        super().__init__(database, organisation, remind=remind, clock=clock)
        self.records = records
        self._incoming = HandedIncoming(
            database, self.quarantine, clock, records, hand, holds=holds
        )
        if database.document.attachments is not None:
            self._link_files(records.path.with_name("attachments"))
        #: Where the platform is, for who starts the adapter.
        self.where = ""
        #: Called when records have come.
        self.wake: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the records."""
        self.database.close()
        self.records.close()

    def outgoing(self) -> Sequence[Wanted]:
        """Let in what has arrived; return what no spool is known to hold."""
        self.records.turn()
        return super().outgoing()

    def deliver(self, item: IncomingMessage) -> str:
        """Give a message's record to the platform and write it; return the platform's number."""
        number = super().deliver(item)
        self.records.settle(item.message_id)
        return number

    def standing(self) -> dict[str, int]:
        """Return how many messages, rows and records are in each state."""
        found = super().standing()
        found["rows_waiting"] += self.records.waiting()
        found["quarantine"] += len(self.records.unread())
        return found
