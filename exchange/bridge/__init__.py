"""
The bridge's own work: load, decide, record.

`Bridge.drain` takes whatever queued, in one transaction; `Bridge.pull` hands out what waits;
`Bridge.reconcile` compares two copies.  Everything is synchronous and knows no clock: *now* is an
argument.
"""

from exchange.bridge.bridge import Bridge, Drained
from exchange.bridge.policy import Policy
from exchange.bridge.reconcile import (
    PAGE_TICKETS,
    Agreement,
    Finding,
    Head,
    Reconciled,
    Since,
)

__all__ = [
    "PAGE_TICKETS",
    "Agreement",
    "Bridge",
    "Drained",
    "Finding",
    "Head",
    "Policy",
    "Reconciled",
    "Since",
]
