"""Two bridges in one process that share a database, each with a log of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from exchange.bridge import Drained, Ledger, Reconciled, SharedMailboxes, Since
from exchange.bridge.reconcile import Head
from exchange.note import LogKey
from exchange.store import Store, Waiting
from exchange.store.logs import join
from exchange.store.several import leasing
from exchange.submission import Delivered, Work
from exchange.wire.calls import pack_signature
from exchange.wire.receipts import refused_statement
from tests.bridge.world import LOG_KEY, World
from tests.several.nodes import at

#: The logs: the one that begins the database, and those that join.
KEYS = [LOG_KEY, *(LogKey.from_seed(f"bridge{n}.example/log", bytes([n] * 32)) for n in (2, 3))]
LEASE = 30.0


class SharingBridge(SharedMailboxes):
    """One of the bridges: a ledger that writes its log, and the mailboxes that all hand out."""

    def __init__(self, url: str, key: LogKey, ledger: Ledger, lease: float = LEASE) -> None:
        super().__init__(leasing(url, lease), checkpoint=ledger.store.checkpoint())
        self.key = key
        self.ledger = ledger
        self.store = ledger.store

    def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """Decide and record all of *work*; see `Ledger.drain`."""
        drained = self.ledger.drain(work, now)
        self.took(drained, work)
        return drained

    def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None = None
    ) -> Reconciled:
        """Compare a copy with the store's; see `Ledger.reconcile`."""
        return self.ledger.reconcile(organisation, heads, now, since)

    def close(self) -> None:
        """Close every connection."""
        super().close()
        self.store.close()


@dataclass
class Joined(World):
    """
    A world whose database two bridges share; its own bridge had it alone before.

    `at` says which of them is asked next.
    """

    bridges: list[SharingBridge] = field(default_factory=list)

    def begin(self, bridges: int = 2, lease: float = LEASE) -> None:
        """Stop the bridge that is alone, let others join, and open all of them."""
        alone = self.bridge
        alone.close()
        for key in KEYS[1:bridges]:
            join(self.url, key)
        self.bridges = [self.sharing(key, alone.ledger, lease) for key in KEYS[:bridges]]
        self.at(0)

    def sharing(self, key: LogKey, like: Ledger, lease: float = LEASE) -> SharingBridge:
        """Open the bridge of *key*'s log, with the policy of the bridge *like* it."""
        url = at(self.url, KEYS.index(key) if key in KEYS else len(KEYS) - 1)
        ledger = Ledger(
            store=Store.open(url, key, alone=True),
            policy=like.policy,
            key=key.signing_key,
            origin=key.name,
            encode_refusal=refused_statement,
            encode_signature=pack_signature,
        )
        return SharingBridge(url, key, ledger, lease)

    def at(self, number: int) -> World:
        """Let bridge *number* be asked from now on."""
        self.bridge = self.bridges[number]  # type: ignore[assignment]
        return self

    def close(self) -> None:
        """Close every bridge."""
        for one in self.bridges:
            one.close()


class InTurn:
    """Asks the bridges of a world one after the other, call by call."""

    def __init__(self, bridges: Sequence[SharingBridge]) -> None:
        self._bridges = bridges
        self._turn = count()
        self.store = bridges[0].store

    def _next(self) -> SharingBridge:
        return self._bridges[next(self._turn) % len(self._bridges)]

    def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """Ask the next one; see `Ledger.drain`."""
        return self._next().drain(work, now)

    def pull(
        self,
        organisation: str,
        limit: int,
        now: datetime,
        fitting: Callable[[Sequence[Waiting]], int] = len,
        *,
        least: int = 0,
    ) -> list[Delivered]:
        """Ask the next one; see `SharedMailboxes.pull`."""
        return self._next().pull(organisation, limit, now, fitting, least=least)

    def reconcile(self, *asked: Any) -> Reconciled:
        """Ask the next one; see `Ledger.reconcile`."""
        return self._next().reconcile(*asked)
