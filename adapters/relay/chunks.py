"""
Attachments over a relay: what the bridge beyond lacks of what was brought to it is fetched here.

Nothing is kept and nothing is checked: the bridge beyond says what it lacks, and every chunk proves
itself to it.  So a relay that is killed goes on from there, and two of them do no harm.
"""

from __future__ import annotations

from collections.abc import Callable

from adapters.attaching import batches
from exchange.attachments import AttachmentRefusal, AttachmentStanding
from exchange.client import Carrier
from exchange.text import Text


class ChunkWay:
    """One direction; `turn` is the whole of it."""

    def __init__(
        self, source: Carrier, target: Carrier, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._source = source.attachments
        self._target = target.attachments
        self._stopping = stopping
        #: Why a chunk must wait, by the newest turn; None where none must.
        self.trouble: Text | None = None

    def turn(self) -> int:
        """
        Bring up to 64 chunks of each file that lacks some; return how many were kept.

        Raises the `ExchangeError` of a bridge that cannot be reached; nothing is lost by it.
        """
        self.trouble = None
        kept, token = 0, ""
        while not self._stopping():
            lacking, token = self._target.lacking(token)
            kept += sum(self._bring(standing) for standing in lacking)
            if not token:
                break
        return kept

    def _bring(self, standing: AttachmentStanding) -> int:
        kept = 0
        for batch in batches(standing.file, standing.missing) if standing.file else ():
            if self._stopping():
                break
            chunks = self._source.get(standing.root, batch)
            if isinstance(chunks, AttachmentRefusal) or not chunks:
                break  # they have not come to this bridge yet, or never will
            outcomes = self._target.put(chunks)
            kept += outcomes.count(None)
            refusal = next((one for one in outcomes if one is not None), None)
            if refusal is not None:
                self.trouble = refusal.text
                break
        return kept
