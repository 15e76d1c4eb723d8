"""How often a runner looks, and how patient it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from exchange.attachments import MAX_CHUNK


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the runner looks, and how patient it is; *clock* gives aware UTC times."""

    #: The platform is asked for outgoing messages at least this often; `Runner.wake` is quicker.
    look: timedelta = timedelta(seconds=1)
    #: A pull waits this long at the bridge for something to come.
    wait: timedelta = timedelta(seconds=25)
    first_pause: timedelta = timedelta(milliseconds=250)
    longest_pause: timedelta = timedelta(seconds=30)
    #: What the platform has listened to is forgotten from the spool after this long.
    keep: timedelta = timedelta(days=30)
    #: Bytes of a chunk of an attachment at most; less where a gap takes small files only.
    chunk: int = MAX_CHUNK
    clock: Callable[[], datetime] = _utc_now
