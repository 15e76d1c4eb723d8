"""
What an organisation has to decide and its region decides by itself once the time is over (R30).

S0, S3 and S4: a dispute that the desks do not settle goes to the first receiver.  S1: without negotiation, a
return to the first receiver can only be agreed.  Where the profile that the hand-off pins says so, this is the
message; who pushes it, and when its platform has written what it answers, is `adapters.timers`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange.acts import Classification, Kind, Marker, Urgency
from exchange.client.directory import Directory
from exchange.client.messages import OutgoingMessage
from exchange.client.tickets import Tickets

_NATIONAL = "national"
_FIRST_RECEIVER = "first-receiver"
#: Who decided, as a ruling says it: nobody did in time.
_DEADLINE = {"system": "decided-by", "code": "deadline", "display": "时限届满"}


@dataclass(slots=True)
class _Profiles:
    """The rules of profiles, as the bridge shows them; each asked for once."""

    directory: Directory
    _known: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    def rule(self, handoff: pb.Handoff, name: str) -> object:
        """Return the rule *name* of the hand-off's profile; None where another edition is pinned."""
        edition, rules = self._of(handoff.profile)
        if edition != handoff.profile_edition:
            return None
        if name not in rules:  # taken from the country's default
            rules = self._of(_NATIONAL)[1]
        return rules.get(name, {}).get("value")

    def _of(self, profile: str) -> tuple[str, Mapping[str, Any]]:
        if profile not in self._known:
            shown = self.directory.profile(profile)
            self._known[profile] = shown.edition, tomllib.loads(shown.toml).get("rules", {})
        return self._known[profile]


def due_decisions(
    tickets: Tickets, directory: Directory, organisation: str, now: datetime
) -> Iterator[OutgoingMessage]:
    """
    Yield what *organisation*'s region decides for it, where its time is over by the bridge's clock and *now*.

    Each message names what it answers (``previous``), and its id follows from that: a timer that fires twice
    says the same.  Nothing while danger waits for 110's statement (R31).
    """
    profiles = _Profiles(directory)
    for ticket in tickets.list(owes=organisation, overdue=True):
        for handoff in ticket.handoffs:
            over = {
                one.kind
                for one in handoff.deadlines
                if one.owes == organisation and one.due_time.ToDatetime(UTC) <= now
            }
            if handoff.decides != organisation or handoff.danger_unattended:
                continue
            kind, act = _decided(profiles, ticket, handoff, over, organisation)
            if kind is not None:
                yield OutgoingMessage(
                    kind=kind,
                    ticket_id=ticket.ticket_id,
                    handoff_id=handoff.handoff_id,
                    recipient=handoff.receiver.code,
                    previous=handoff.head_digest,
                    created=now,
                    urgency=Urgency(ticket.urgency),
                    marker=Marker(ticket.marker),
                    classification=Classification(ticket.classification),
                    act=act,
                    record=f"deadline/{handoff.handoff_id}",
                    revision=handoff.head_digest.hex(),
                )


def _decided(
    profiles: _Profiles,
    ticket: pb.TicketSummary,
    handoff: pb.Handoff,
    over: set[pb.DeadlineKind.ValueType],
    organisation: str,
) -> tuple[Kind | None, Mapping[str, Any]]:
    """Return the kind of message, and its act; None where a person has to decide, however late."""
    if (
        pb.DEADLINE_KIND_RULING in over
        and profiles.rule(handoff, "dispute_default") == _FIRST_RECEIVER
    ):
        return Kind.RULE, {"outcome": "RULING_OUTCOME_FIRST_RECEIVER", "decided_by": _DEADLINE}
    first = (ticket.first_receiver or ticket.origin.code) == organisation
    if (
        pb.DEADLINE_KIND_ANSWER_RETURN in over
        and first
        and profiles.rule(handoff, "negotiation") is False
    ):
        return Kind.AGREE, {}
    return None, {}
