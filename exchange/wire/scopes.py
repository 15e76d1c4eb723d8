"""What a hand-off shows, from the contract's form."""

from __future__ import annotations

from exchange import acts
from exchange._proto.v1 import acts_pb2 as acts_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb


def scope_of(scope: acts_pb.Scope) -> acts.Scope:
    """Return what *scope* shows; an organisation that is named twice is shown what either says."""
    knowers: dict[str, frozenset[int]] = {}
    for one in scope.knowers:
        knowers[one.organisation] = knowers.get(one.organisation, frozenset()) | {*one.groups}
    return acts.Scope(
        withheld=frozenset(scope.withheld_groups), knowers=tuple(sorted(knowers.items()))
    )


def scopes_in(ticket: ticket_pb.TicketSummary) -> dict[str, acts.Scope]:
    """Return what each hand-off of a ticket that was read shows, by its id."""
    return {one.handoff_id: scope_of(one.scope) for one in ticket.handoffs}
