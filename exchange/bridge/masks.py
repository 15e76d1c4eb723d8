"""
What a hand-off withholds from its receiver (知悉范围), remembered: a scope never changes once it is offered.

Nearly every hand-off withholds nothing, so what is remembered of most is that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from exchange.acts import Offer
from exchange.store import Outbox
from exchange.submission import Delivered, Outcome, Pushed, Stored, Work

#: Hand-offs remembered, some 100 bytes each; then all are forgotten and asked for again.
REMEMBERED = 65_536

_NOTHING: frozenset[int] = frozenset()


class Masks:
    """
    The scopes of the hand-offs whose lanes are handed out; safe to use from several threads.

    What is forgotten while another thread looks is only asked for once more.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known: dict[str, tuple[str, frozenset[int]]] = {}

    def learn(self, work: Sequence[Work], outcomes: Sequence[Outcome]) -> None:
        """Remember the scopes of the offers among *work* that are stored; another's id gives nobody a mask."""
        for pushed, outcome in zip(work, outcomes, strict=True):
            if not isinstance(pushed, Pushed) or not isinstance(outcome, Stored):
                continue
            message = pushed.received.message
            if message is not None and isinstance(message.act, Offer):
                self._keep(message.handoff_id, message.recipient, message.act.scope.withheld)

    def of(self, lanes: Iterable[str]) -> dict[str, tuple[str, frozenset[int]]]:
        """Return, for each of *lanes*, from whom it withholds which groups."""
        asked, remembered = set(lanes), self._known
        known = {lane: mask for lane in asked if (mask := remembered.get(lane)) is not None}
        missing = asked - known.keys()
        if missing:
            found = self._outbox.withholding(missing)
            for lane in missing:
                known[lane] = found.get(lane, ("", _NOTHING))
                self._keep(lane, *known[lane])
        return known

    def put_on(self, delivered: Sequence[Delivered]) -> list[Delivered]:
        """Return *delivered*, each with what its hand-off withholds from whose mailbox it stood in."""
        masks = self.of(one.lane for one in delivered if one.envelope)
        return [
            replace(one, withheld=mask[1])
            if (mask := masks.get(one.lane))
            and mask[1]
            and mask[0] == one.recipient
            and one.envelope
            else one
            for one in delivered
        ]

    def _keep(self, lane: str, receiver: str, withheld: frozenset[int]) -> None:
        if len(self._known) >= REMEMBERED:
            self._known = {}
        self._known[lane] = (receiver, withheld)
