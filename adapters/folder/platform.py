"""Drop folders as a platform: ``in`` is what it exports, ``out`` what it imports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from adapters.folder.document import Folder
from adapters.folder.giving import Giving
from adapters.folder.taking import Taking, all_names
from adapters.platform import Outgoing as Wanted
from adapters.spool_records import Decision
from adapters.staging.platform import StagedPlatform
from adapters.staging.records import Records
from adapters.table.tables import SAID
from exchange.client import IncomingMessage, IncomingReceipt
from exchange.errors import Refusal
from exchange.text import Text


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FolderPlatform(StagedPlatform):
    """The platform whose files stand in *place*, with its *records*."""

    def __init__(
        self,
        folder: Folder,
        place: Path,
        records: Records,
        organisation: str,
        *,
        say: Callable[[Text], None] | None = None,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._giving = Giving(folder, records.document, place / "out")
        super().__init__(
            records,
            organisation,
            self._giving.give,
            holds=self._giving.holds,
            remind=remind,
            clock=clock,
        )
        self._taking = Taking(folder, place / "in", records, say)
        self.where = f"{place / 'in'} ({all_names(folder.exports)}), {place / 'out'}"

    def outgoing(self) -> Sequence[Wanted]:
        """Take the files that are whole; return what no spool is known to hold."""
        self._taking.take()
        return super().outgoing()

    def decided(self, decision: Decision) -> None:
        """Note the bridge's answer; a refusal also becomes a file, with its reason."""
        if decision.refusal is not None:
            word = "dropped" if decision.dropped else "refused"
            self._answer(decision.message_id, word, refusal=decision.refusal)
        super().decided(decision)

    def answered(self, receipt: IncomingReceipt) -> None:
        """Note the other side's answer, and write it as a file."""
        word = "written" if receipt.refusal is None else "declined"
        self._answer(receipt.message_id, word, refusal=receipt.refusal, number=receipt.local_number)
        super().answered(receipt)

    def _answer(
        self, message_id: str, word: str, *, refusal: Refusal | None, number: str = ""
    ) -> None:
        with self.database.reading() as connection:
            query = select(SAID).where(SAID.c.message_id == message_id)
            said = connection.execute(query).first()
        if said is None:
            return  # of another spool
        self._giving.answer(
            message_id,
            word,
            {
                "exchange_id": message_id,
                "sheet": said.sheet,
                "record": said.record.partition(":")[2],
                "kind": said.kind,
                "answer": word,
                "number": number,
                "code": refusal.code.name if refusal else "",
                "why_zh": refusal.text.zh if refusal else "",
                "why_en": refusal.text.en if refusal else "",
            },
        )
