"""Tickets as the flat rows of an export: the same columns from a bridge as from a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_HANDOFF = (
    "handoff_id", "sender", "receiver", "state", "state_zh", "answers", "decides", "own_duty",
    "taken_over", "danger", "profile", "onward_of", "offered", "state_changed", "due",
)  # fmt: skip


def flat_rows(ticket: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row a hand-off of a `exchange.cli.tickets.ticket_row`; one where it has none."""
    from exchange.ticket import State

    head = {
        "ticket_id": ticket["ticket_id"],
        "kind": ticket["kind"],
        "origin": ticket["origin"]["code"],
        "first_receiver": ticket["first_receiver"],
        "region": ticket["region"]["code"],
        "matter": ticket["matter"],
        "marker": ticket["marker"],
        "classification": ticket["classification"],
        "urgency": ticket["urgency"],
        "closed": ticket["closed"],
        "opened": ticket["opened"],
        "updated": ticket["updated"],
        "ticket_answers": " ".join(ticket["answers"]),
    }
    for one in ticket["handoffs"]:
        name = one["state"].upper()
        yield {
            **head,
            **{column: one.get(column, "") for column in _HANDOFF},
            "sender": one["sender"]["code"],
            "receiver": one["receiver"]["code"],
            "state_zh": State[name].text.zh if name in State.__members__ else "",
            "state_changed": one["updated"],
        }
    if not ticket["handoffs"]:
        yield {**head, **dict.fromkeys(_HANDOFF, "")}
