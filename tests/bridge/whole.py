"""The whole bridge in one place: a ledger that writes, and the mailboxes that hand out from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from exchange.bridge.acknowledge import EncodeSignature
from exchange.bridge.announcing import Declared
from exchange.bridge.ledger import Drained, Ledger
from exchange.bridge.mailboxes import Mailboxes
from exchange.bridge.outcomes import EncodeRefusal
from exchange.bridge.policy import Policy
from exchange.bridge.reconcile import Head, Reconciled, Since
from exchange.delivery import Leases
from exchange.envelope import SigningKey
from exchange.store import Store
from exchange.submission import Work


class Bridge(Mailboxes):
    """
    One bridge over one store, in one process.

    `drain` and `reconcile` write and must be called by one thread at a time; `pull` may be called
    by another, and by one thread at a time too.
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: Policy,
        key: SigningKey,
        origin: str,
        encode_refusal: EncodeRefusal,
        encode_signature: EncodeSignature,
        leases: Leases | None = None,
        rules: Declared | None = None,
    ) -> None:
        super().__init__(store, checkpoint=store.checkpoint(), leases=leases)
        self.store = store
        self.ledger = Ledger(
            store=store,
            policy=policy,
            key=key,
            origin=origin,
            encode_refusal=encode_refusal,
            encode_signature=encode_signature,
            rules=rules,
        )

    def drain(self, work: Sequence[Work], now: datetime) -> Drained:
        """
        Decide and record all of *work* in one transaction; one outcome each, in order.

        Raises as `Ledger.drain`.
        """
        drained = self.ledger.drain(work, now)
        self.took(drained, work)
        return drained

    def reconcile(
        self, organisation: str, heads: Sequence[Head], now: datetime, since: Since | None = None
    ) -> Reconciled:
        """Compare *organisation*'s copy with the store's, as `Ledger.reconcile`."""
        found = self.ledger.reconcile(organisation, heads, now, since)
        self.reconciled(organisation, found)
        return found
