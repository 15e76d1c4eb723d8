"""What one drain delivers: the numbers it gives and the mailbox rows it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange.records import (
    Accepted,
    Content,
    Delivery,
    Entry,
    Known,
    Refused,
    SetAside,
    Written,
)
from exchange.store.rows import Row, seal
from exchange.tables import stamp

_MESSAGE, _WRITTEN, _REFUSED = (
    one.value for one in (Content.MESSAGE, Content.WRITTEN, Content.REFUSED)
)


class Mail:
    """The numbers and mailbox rows of one drain."""

    def __init__(self, position: int, size: int) -> None:
        self.position = position
        self.refusals: list[Row] = []
        #: By leaf: what sets a message aside.
        self.asides: dict[int, Row] = {}
        self.rows: list[Row] = []
        self._next_leaf = size
        self._leaves: dict[str, int] = {}
        #: What is to be delivered, the kind of content, and what it is where that is no message.
        self._pending: list[tuple[Delivery, str, int | None]] = []

    def collect(
        self,
        entries: Sequence[Entry],
        refusals: Sequence[Refused],
        deliveries: Sequence[Delivery],
    ) -> None:
        """Take in what is to be delivered, in order."""
        for index, entry in enumerate(entries, self._next_leaf):
            if isinstance(entry, Accepted):
                self._leaves[entry.message.id] = index
                self._pending += [(d, _MESSAGE, None) for d in entry.deliveries]
            elif isinstance(entry, SetAside):
                self.asides[index] = self._refused(entry.refused)
            elif isinstance(entry, Written) and entry.deliver is not None:
                self._pending.append((entry.deliver, _WRITTEN, index))
        self.refusals += map(self._refused, refusals)
        self._pending += [(d, _MESSAGE, None) for d in deliveries]

    def _refused(self, refused: Refused) -> Row:
        self.position += 1
        if refused.deliver is not None:
            self._pending.append((refused.deliver, _REFUSED, self.position))
        return _refusal_row(self.position, refused)

    def unresolved(self) -> set[str]:
        """Return the ids of messages to deliver that came in earlier drains."""
        return {
            delivery.message_id
            for delivery, _, source in self._pending
            if source is None and delivery.message_id not in self._leaves
        }

    def resolve(self, known: Mapping[str, Known]) -> None:
        """Make the rows; raises `KeyError` for a message that was never accepted."""
        leaves = self._leaves | {known_id: one.leaf_index for known_id, one in known.items()}
        for delivery, content, source in self._pending:
            self.position += 1
            where = leaves[delivery.message_id] if source is None else source
            urgency = int(delivery.urgency)
            self.rows.append(
                (self.position, delivery.recipient, delivery.lane, urgency, content, where)
            )


def _refusal_row(number: int, refused: Refused) -> Row:
    time = stamp(refused.time)
    said = (refused.digest, refused.statement, refused.signature)
    sealed = seal((number, refused.message_id, refused.refused_by, time), *said)
    digest, statement, signature = said
    return (
        number, refused.message_id, digest, refused.refused_by, statement, signature, time, sealed,
    )  # fmt: skip
