"""What an organisation owes by a deadline, for whoever reminds it (R45)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from exchange.acts import Urgency
from exchange.client.tickets import Tickets
from exchange.provisions import DEADLINE_TEXTS
from exchange.text import Text
from exchange.wire.tickets import DEADLINES

_KINDS = {number: kind for kind, number in DEADLINES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One thing that is due on a hand-off: *kind* and *what* it is, and when (UTC)."""

    ticket_id: str
    handoff_id: str
    urgency: Urgency
    kind: str
    what: Text
    due: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether its time has passed at *now*."""
        return self.due < now


def owed_by(tickets: Tickets, organisation: str, now: datetime) -> Iterator[Owed]:
    """Yield what *organisation* owes and is to be reminded of by *now*, overdue or not yet."""
    for ticket in tickets.list(owes=organisation, reminded=True):
        for handoff in ticket.handoffs:
            for one in handoff.deadlines:
                kind = _KINDS.get(one.kind)
                if kind is None or one.owes != organisation:
                    continue
                due = one.due_time.ToDatetime(UTC)
                remind = one.remind_time.ToDatetime(UTC) if one.HasField("remind_time") else due
                if remind <= now:
                    yield Owed(
                        ticket_id=ticket.ticket_id,
                        handoff_id=handoff.handoff_id,
                        urgency=Urgency(ticket.urgency),
                        kind=kind.value,
                        what=DEADLINE_TEXTS[kind],
                        due=due,
                    )
