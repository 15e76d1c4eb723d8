"""
The site's rules at the bridge's hand: profiles, catalogue, register, calendar, relays.

It decides nothing itself: it gathers what `exchange.rules` and `exchange.deadlines` need to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exchange import deadlines, reckoning
from exchange.deadlines import Due, Limit
from exchange.facts import Site
from exchange.note import NoteVerifier
from exchange.organisations import Direction
from exchange.profile import Profile
from exchange.provisions import DeadlineKind
from exchange.store import Standing
from exchange.ticket import Handoff, Message, Ticket
from exchange.workdays import Calendar


@dataclass(slots=True)
class Dues:
    """When the next steps are due that count from one instant, a drain's; each found out once."""

    calendar: Calendar
    now: datetime
    _found: dict[tuple[str, str, DeadlineKind, Direction, int, int], Due | None] = field(
        default_factory=dict
    )

    def of(
        self, profile: Profile, kind: DeadlineKind, direction: Direction, urgency: int, level: int
    ) -> Due | None:
        """Return by when *kind* is due by *profile*'s limits; None without one."""
        key = (profile.name, profile.edition, kind, direction, urgency, level)
        if key not in self._found:
            self._found[key] = deadlines.due(
                profile,
                self.calendar,
                kind,
                direction=direction,
                urgency=urgency,
                start=self.now,
                level=level,
            )
        return self._found[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    What one site has decided.

    *relays* names, for each relay's organisation, the organisations behind it: it brings what they
    say and fetches what waits for them.  *origin* is this bridge's own log, *logs* are the keys of
    this log and of the further bridges' that relays reach.
    """

    site: Site
    calendar: Calendar
    relays: Mapping[str, frozenset[str]]
    origin: str = ""
    #: Those of other bridges on the same database.
    siblings: frozenset[str] = frozenset()
    logs: tuple[NoteVerifier, ...] = ()

    def may_speak(self, caller: str, author: str) -> bool:
        """Return whether *caller* may push what *author* says."""
        return caller == author or author in self.relays.get(caller, ())

    @property
    def origins(self) -> frozenset[str]:
        """The logs that what passed here may name as a hop."""
        return self.siblings | {self.origin}

    def may_repeat(self, caller: str, author: str) -> bool:
        """
        Return whether *caller* may have the stored receipt of what *author* said once more.

        A relay may of whatever it brings: an opening that leads a lane comes home with it.
        """
        return self.may_speak(caller, author) or caller in self.relays

    def is_carried(self, organisation: str) -> bool:
        """Return whether *organisation* is behind a relay."""
        return any(organisation in codes for codes in self.relays.values())

    def standing(
        self,
        handoff: Handoff,
        ticket: Ticket,
        message: Message,
        before: Standing | None,
        dues: Dues,
        *,
        visited: Callable[[], bool],
    ) -> Standing:
        """
        Return *handoff* with who answers, who decides, what is due and who assesses.

        *visited* tells whether the citizen was asked since the last result.
        """
        offer = handoff.offer
        direction = self.site.register.direction(handoff.sender, handoff.receiver)
        profile = self.site.profiles.get((offer.profile, offer.profile_edition))
        return reckoning.standing(
            handoff,
            message,
            before,
            terms=profile,
            direction=direction,
            limit=_limits(profile, direction, ticket, handoff, dues),
            now=dues.now,
            visited=visited,
        )


def _limits(
    profile: Profile | None, direction: Direction, ticket: Ticket, handoff: Handoff, dues: Dues
) -> Limit:
    """Return the limits of *profile* for a hand-off; none without a profile."""

    def limit(kind: DeadlineKind) -> Due | None:
        if profile is None:
            return None
        level = max(ticket.level, handoff.offer.level)
        return dues.of(profile, kind, direction, int(ticket.urgency), level)

    return limit
