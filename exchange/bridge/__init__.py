"""
The bridge's own work: load, decide, record.

`Ledger.drain` takes whatever queued, in one transaction; `Mailboxes.pull` hands out what waits;
`Ledger.reconcile` compares two copies.  Everything is synchronous and knows no clock: *now* is an
argument.
"""

from exchange.bridge.acknowledge import LAST_POSITION
from exchange.bridge.announcing import Announced, Declared, Part
from exchange.bridge.ledger import Drained, Ledger
from exchange.bridge.mailboxes import Mailboxes
from exchange.bridge.policy import Policy
from exchange.bridge.reconcile import (
    PAGE_TICKETS,
    Agreement,
    Finding,
    Head,
    Reconciled,
    Since,
)
from exchange.bridge.shared import SharedMailboxes

__all__ = [
    "LAST_POSITION",
    "PAGE_TICKETS",
    "Agreement",
    "Announced",
    "Declared",
    "Drained",
    "Finding",
    "Head",
    "Ledger",
    "Mailboxes",
    "Part",
    "Policy",
    "Reconciled",
    "SharedMailboxes",
    "Since",
]
