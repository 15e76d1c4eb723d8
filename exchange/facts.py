"""What is known around one message, for the guards: the site, the ticket, what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from exchange.acts import (
    Group,
    Offer,
)
from exchange.catalog import Catalog
from exchange.divisions import Divisions
from exchange.matters import Item
from exchange.organisations import Direction, Register, Service
from exchange.profile import Profile
from exchange.ticket import Handoff, Message, Ticket


class Form(IntEnum):
    """The forms of a hand-off that guards look at: the contract's ``HandoffForm`` numbers."""

    TRANSFER = 1
    JOINT = 2
    ESCALATION = 3
    LEAD = 4
    NOTIFICATION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is installed here: profiles by name and edition, catalogues by edition, registers."""

    profiles: Mapping[tuple[str, str], Profile]
    catalogues: Mapping[str, Catalog]
    register: Register
    divisions: Divisions
    #: The profile that offers of tickets in its region pin; empty: any that holds there.
    profile: str = ""

    def profile_of(self, region: str) -> str:
        """Return the profile that offers of *region*'s tickets pin here; empty where any may be."""
        if not self.profile:
            return ""
        own = (p for p in self.profiles.values() if p.name == self.profile)
        return self.profile if any(p.applies_to(region) for p in own) else ""


# Not frozen: one is made for every message, and a frozen one takes three times as long to make.
@dataclass(slots=True, kw_only=True)
class Context:
    """
    What is known around one message.

    ``handoff`` is the one it speaks of (None for an offer and the ticket kinds), ``parent`` the
    one an offer hands on, ``children`` those that hand `handoff` on, ``handoffs`` all of the ticket
    (needed for an offer with an emergency level and to close the ticket).
    """

    site: Site
    now: datetime
    ticket: Ticket | None = None
    handoff: Handoff | None = None
    parent: Handoff | None = None
    children: Sequence[Handoff] = ()
    handoffs: Sequence[Handoff] = ()
    #: Whether the message that an offer cites as its prior disposal is one, of this ticket.
    disposal_cited: bool = False


@dataclass(slots=True)
class Facts:
    """One message and what follows from its context, found once for all guards."""

    message: Message
    context: Context
    #: The offer that this message makes or whose hand-off it speaks of; it pins the rules.
    offer: Offer | None = None
    profile: Profile | None = None
    item: Item | None = None
    direction: Direction = Direction.WITHIN
    #: The offer's own act, where the message is an offer.
    offering: Offer | None = field(default=None)

    @classmethod
    def of(cls, message: Message, context: Context) -> Facts:
        """Gather the facts of *message*."""
        act, handoff = message.act, context.handoff
        facts = cls(message, context)
        if isinstance(act, Offer):
            facts.offering = offer = act
            sender, receiver = message.author, message.recipient
        elif handoff is not None:
            offer = handoff.offer
            sender, receiver = handoff.sender, handoff.receiver
        else:
            return facts
        facts.offer = offer
        profile = context.site.profiles.get((offer.profile, offer.profile_edition))
        facts.profile = profile
        if profile is not None and offer.matter:
            facts.item = profile.catalogue.get(offer.matter)
        facts.direction = context.site.register.direction(sender, receiver)
        return facts

    @property
    def category(self) -> str:
        """The id of the matter's category; empty for an unlisted matter."""
        return self.item.category.id if self.item is not None else ""

    @property
    def level(self) -> int:
        """The emergency level that holds: the offer's or the ticket's, whichever is higher."""
        offered = self.offering.level if self.offering is not None else 0
        ticket = self.context.ticket
        return max(offered, ticket.level if ticket is not None else 0)

    @property
    def prior_disposal_stated(self) -> bool:
        """Whether a field group or a cited note says what 110 did first."""
        return self.context.disposal_cited or not self.lacks(Group.PRIOR_DISPOSAL)

    def lacks(self, group: Group) -> bool:
        """Whether the message's header binds no such field group."""
        return group not in self.message.groups


def service_of(code: str, register: Register) -> Service:
    """Return an organisation's service; where it is not registered, its code's form tells."""
    return register.service_of(code)
