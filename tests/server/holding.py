"""Holding a running bridge at a moment that a test is about."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from exchange.bridge import Drained, Ledger
from exchange.server.keeper import ThreadKeeper
from exchange.server.writer import Writer
from exchange.submission import Work
from tests.server.running import Running


def writer_of(bridge: Running) -> Writer:
    """Return the running server's writer."""
    assert bridge.server is not None
    return bridge.server._writer


def ledger_of(bridge: Running) -> Ledger:
    """Return what the running server writes with, on its keeper's thread."""
    assert bridge.server is not None
    keeper = bridge.server._keeper
    assert isinstance(keeper, ThreadKeeper)
    return keeper.ledger


class Gate:
    """Holds every drain up until it is opened; says when one has begun."""

    def __init__(self, bridge: Running) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        ledger = ledger_of(bridge)
        drain = ledger.drain

        def held(work: Sequence[Work], now: datetime) -> Drained:
            self.begun.set()
            assert self.opened.wait(30)
            return drain(work, now)

        ledger.drain = held  # type: ignore[method-assign]


def listening(bridge: Running, count: int) -> None:
    """Wait until *count* pulls wait."""
    assert bridge.server is not None
    reached = threading.Event()

    def look() -> None:
        assert bridge.loop is not None
        assert bridge.server is not None
        if len(bridge.server._bells) == count:
            reached.set()
        else:
            bridge.loop.call_later(0.001, look)

    assert bridge.loop is not None
    bridge.loop.call_soon_threadsafe(look)
    assert reached.wait(30)
