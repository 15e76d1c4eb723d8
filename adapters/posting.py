"""The third loop of a runner: its platform's files, beside the messages and never before them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from adapters.attaching import FilePost
from adapters.copies import FileAdapter, GatheringAdapter
from adapters.pace import Pace
from adapters.platform import Adapter
from adapters.spool import Spool
from exchange.client import ExchangeClient
from exchange.text import Text


class Posting:
    """Takes the turns of a `FilePost`, often while something moves, else less and less often."""

    def __init__(
        self,
        adapter: Adapter,
        spool: Spool,
        client: ExchangeClient,
        pace: Pace,
        *,
        note_error: Callable[[str, Text | None], None],
        wake: Callable[[], None],
    ) -> None:
        """
        Link *adapter*, if it has files; *note_error* is told why some must wait.

        *wake* is called when messages have the files that they waited for.
        """
        #: What sends and fetches; None where the platform has no files.
        self.post: FilePost | None = None
        if isinstance(adapter, FileAdapter):
            self.post = FilePost(adapter, spool, client, pace.clock)
        self._gatherer = adapter if isinstance(adapter, GatheringAdapter) else None
        self._wake_runner = wake
        self._pace = pace
        self._note_error = note_error
        self._woken = threading.Event()
        self._pause = pace.look

    def turn(self) -> int:
        """Send, fetch and tell what there is now; return how much moved."""
        if self.post is None:
            return 0
        moved, failure = 0, None
        try:
            moved = self._gathered()
        except Exception as error:  # noqa: BLE001 - raised below, after the post's turn
            failure = error
        moved += self.post.turn()
        if failure is not None:
            raise failure
        troubled = self._gatherer.troubled() if self._gatherer is not None else None
        self._note_error("attachments", self.post.trouble or troubled)
        return moved

    def step(self) -> None:
        """Take a turn; where nothing moved, wait until something comes, at most for the pause."""
        if self.turn():
            self._pause = self._pace.look
        elif self._waited():
            self._woken.clear()
            self._pause = self._pace.look
        else:
            self._pause = min(self._pause * 2, self._pace.longest_pause)

    def _gathered(self) -> int:
        """Get the files that messages wait for; return how many moved, of which the runner is told."""
        gathered = self._gatherer.gather() if self._gatherer is not None else 0
        if gathered:
            self._wake_runner()
        return gathered

    def _waited(self) -> bool:
        """Wait for the pause, getting files for messages meanwhile; return whether something came."""
        left = self._pause
        while left > timedelta(0):
            some = left if self._gatherer is None else min(left, self._pace.look)
            if self._woken.wait(some.total_seconds()) or self._gathered():
                return True
            left -= some
        return False

    def wake(self) -> None:
        """Look at once: a message was stored, or came."""
        self._woken.set()

    def stop(self) -> None:
        """Let a turn end after the call that is under way."""
        self._woken.set()
        if self.post is not None:
            self.post.stop()
