"""How a program that runs servers ends when it is told to: through every context, so that none stays."""

from __future__ import annotations

import signal
from types import FrameType


def end_in_order() -> None:
    """Let SIGTERM end this program as Ctrl-C does: databases, brokers and bridges are stopped."""
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)
