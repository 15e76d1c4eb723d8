"""
Leases: what was handed out and not yet acknowledged.  No clock here; *now* is an argument.

Order and lease belong to the lane (hand-off and recipient): while one delivery of a lane is out,
nothing more of that lane is handed out, so that a receiver cannot overtake itself.  Leases are
kept in memory on purpose: losing one, as at a restart, costs a redelivery and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: How long a receiver has to acknowledge before its lane is handed out again.  Long enough for
#: a platform that writes slowly, short enough that a crashed adapter is not waited for.
LEASE = timedelta(seconds=30)

#: Attempts remembered per recipient; beyond that the bridge only forgets how often it tried.
MAX_ATTEMPTS_KEPT = 100_000


@dataclass(slots=True)
class _Lane:
    expires: datetime
    positions: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Mailbox:
    lanes: dict[str, _Lane] = field(default_factory=dict)
    #: The lane and the number of attempts of each delivery that was handed out.
    tried: dict[int, tuple[str, int]] = field(default_factory=dict)
    #: What was settled since somebody began to look into the mailbox; None while nobody does.
    settled: set[int] | None = None


class Leases:
    """The leases of one bridge process, by recipient and lane; its owner takes care of threads."""

    def __init__(self, length: timedelta = LEASE) -> None:
        self.length = length
        self._mailboxes: dict[str, _Mailbox] = {}

    def __len__(self) -> int:
        """Return how many lanes are out."""
        return sum(len(mailbox.lanes) for mailbox in list(self._mailboxes.values()))

    def begin(self, recipient: str, now: datetime) -> frozenset[str]:
        """
        Begin to look into *recipient*'s mailbox: return its lanes that are out.

        Leases that have ended are forgotten.  What is settled from here to `end` may be seen in
        the mailbox still, and must not be leased: nobody would acknowledge it any more.

        A lease that ends later than any given *now* could was given by a clock that has since been
        set back; it counts as ended, else its lane stood still for as long as the step was.
        """
        mailbox = self._mailbox(recipient)
        mailbox.settled = set()
        lanes = mailbox.lanes
        latest = now + self.length
        for lane in [n for n, lease in lanes.items() if not now < lease.expires <= latest]:
            del lanes[lane]
        return frozenset(lanes)

    def all_run(self, recipient: str, now: datetime) -> bool:
        """Return whether no lease of *recipient* has ended, as `begin` sees it."""
        lanes = self._mailbox(recipient).lanes.values()
        return all(now < lease.expires <= now + self.length for lease in lanes)

    def end(self, recipient: str) -> set[int]:
        """End looking into *recipient*'s mailbox; return what was settled meanwhile."""
        mailbox = self._mailbox(recipient)
        settled, mailbox.settled = mailbox.settled, None
        return settled or set()

    def take(self, recipient: str, lane: str, position: int, now: datetime) -> tuple[int, datetime]:
        """Lease one delivery; return how often it was tried, this time included, and the end."""
        mailbox = self._mailbox(recipient)
        lease = mailbox.lanes.setdefault(lane, _Lane(now + self.length))
        lease.positions.add(position)
        if len(mailbox.tried) >= MAX_ATTEMPTS_KEPT:
            mailbox.tried.clear()
        attempt = mailbox.tried.get(position, (lane, 0))[1] + 1
        mailbox.tried[position] = (lane, attempt)
        return attempt, lease.expires

    def settle(self, recipient: str, positions: Iterable[int]) -> None:
        """Forget deliveries that are no longer in *recipient*'s mailbox, and end their leases."""
        gone = set(positions)
        settled = self._mailbox(recipient).settled
        if settled is not None:
            settled.update(gone)
        self.release(recipient, gone)

    def stop(self, recipient: str, lane: str) -> None:
        """End the lease of a lane that stands still: it is free when its receiver reconciles it."""
        self._mailbox(recipient).lanes.pop(lane, None)

    def release(self, recipient: str, positions: Iterable[int]) -> None:
        """End the leases of deliveries; a lane with none left out may be handed out again."""
        mailbox = self._mailbox(recipient)
        for position in positions:
            lane, _ = mailbox.tried.pop(position, ("", 0))
            lease = mailbox.lanes.get(lane)
            if lease is None:
                continue
            lease.positions.discard(position)
            if not lease.positions:
                del mailbox.lanes[lane]

    def next_expiry(self, recipient: str) -> datetime | None:
        """Return when the first lease of *recipient* ends; None if nothing is out."""
        lanes = self._mailbox(recipient).lanes
        return min((lease.expires for lease in lanes.values()), default=None)

    def _mailbox(self, recipient: str) -> _Mailbox:
        return self._mailboxes.setdefault(recipient, _Mailbox())
