"""
Who may know what of a ticket (知悉范围): the groups of others' messages that an organisation is shown.

A party is shown every group, but of a hand-off that it received none that the offer's scope withholds;
what one of several hand-offs shows it, it is shown.  Who is no party and is named by a scope (a
*knower*) is shown the groups that stand beside its name, of the opening and of that hand-off's
messages, and nothing of a ticket that is not ordinary.  What somebody said itself it always sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exchange.acts import Classification
from exchange.ticket import Handoff, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The groups that an organisation is shown: as a party all but *withheld*; as a knower *only* some."""

    party: bool
    withheld: frozenset[int] = frozenset()
    only: frozenset[int] = frozenset()

    def shows(self, group: int) -> bool:
        """Whether the group numbered *group* is shown."""
        return group in self.only or (self.party and group not in self.withheld)


def is_party(organisation: str, ticket: Ticket, handoffs: Iterable[Handoff]) -> bool:
    """Return whether *organisation* opened the ticket, or is a side of one of its hand-offs."""
    return organisation == ticket.origin or any(
        organisation in (h.sender, h.receiver) for h in handoffs
    )


def withheld_from(organisation: str, origin: str, handoffs: Iterable[Handoff]) -> frozenset[int]:
    """Return the groups that a party is not shown: those that every hand-off to it withholds."""
    if organisation == origin:
        return frozenset()
    of = [h for h in handoffs if organisation in (h.sender, h.receiver)]
    # One that only sent here was handed the matter at another bridge; it hands on no more than it saw.
    received = [h for h in of if h.receiver == organisation and not h.own_duty] or of
    scopes = [h.offer.scope.withheld for h in received]
    return frozenset.intersection(*scopes) if scopes else frozenset()


def known_by(organisation: str, handoffs: Iterable[Handoff]) -> dict[str, frozenset[int]]:
    """Return the hand-offs whose scope names *organisation*, each with the groups it is shown."""
    return {
        h.id: groups
        for h in handoffs
        for code, groups in h.offer.scope.knowers
        if code == organisation
    }


def shown(
    organisation: str,
    ticket: Ticket,
    handoffs: Sequence[Handoff],
    *,
    author: str,
    recipient: str = "",
    handoff_id: str = "",
) -> Shown:
    """
    Return which groups of one of the *ticket*'s messages *organisation* is shown.

    *author* said it to *recipient* in *handoff_id*; the last two are empty for the opening.
    """
    if author == organisation:
        return Shown(party=True)
    known = known_by(organisation, handoffs)
    if ticket.classification is not Classification.ORDINARY:
        only: frozenset[int] = frozenset()
    elif handoff_id:
        only = known.get(handoff_id, frozenset())
    else:
        only = frozenset().union(*known.values())
    return Shown(
        party=recipient in {"", organisation} and is_party(organisation, ticket, handoffs),
        withheld=withheld_from(organisation, ticket.origin, handoffs),
        only=only,
    )
