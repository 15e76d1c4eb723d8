"""What the tests of the guards tell: one city, its offers, and what is said on their hand-offs."""

from __future__ import annotations

from dataclasses import replace

from exchange.acts import (
    PLAIN,
    Act,
    Group,
    Kind,
    Offer,
)
from exchange.catalog import catalog
from exchange.divisions import divisions
from exchange.errors import RefusalCode
from exchange.facts import Context, Form, Site
from exchange.lifecycle import Change, open_handoff
from exchange.organisations import Organisation, Register, Service
from exchange.profile import installed
from exchange.rules import judge
from exchange.text import Text
from exchange.ticket import Handoff, Message, State, Ticket
from tests.unit.stories import NOW, reply, say
from tests.unit.stories import ticket as a_ticket

CITY_110, COUNTY_110 = "140400000000", "140403000000"
CITY_12345, BUREAU, FIRE = "11140400MB1A00001X", "11140400MB1A00002X", "140400119000"
REGISTERED = {
    CITY_110: (Service.POLICE, ""),
    COUNTY_110: (Service.POLICE, CITY_110),
    CITY_12345: (Service.HOTLINE, ""),
    BUREAU: (Service.DEPARTMENT, CITY_12345),
    FIRE: (Service.FIRE, ""),
}
EDITION = catalog().edition

# Entries of the lists, one per way of handling.
HOTLINES = {"NM": "NM.H.01.10", "XC": "XC.H.01.01"}
POLICES = {"NM": "NM.P.01.01", "XC": "XC.P.01.01"}
IMMEDIATE, POLICE_FIRST, DISPUTE = "NM.I.01.01", "NM.F.06.01", "XC.H.07.01"

GIVEN = (Group.GROUNDS, Group.REVIEW)


def site(*, registered: bool = True) -> Site:
    """Return a site with every packaged profile and a register of one city."""
    organisations = [
        Organisation(
            code=code,
            name=Text(en=code, zh=code),
            region="140400",
            network="police" if service is Service.POLICE else "government",
            service=service,
            parent=parent,
        )
        for code, (service, parent) in REGISTERED.items()
    ]
    return Site(
        profiles={(p.name, p.edition): p for p in installed().values()},
        catalogues={EDITION: catalog()},
        register=Register(organisations if registered else ()),
        divisions=divisions(),
    )


SITE = site()


def list_of(profile: str) -> str:
    """Return the list that a profile's matters are taken from in these tests."""
    return "XC" if profile == "xiangcheng" else "NM"


def ticket_of(profile: str, origin: str, **changes: object) -> Ticket:
    """Return a ticket of *origin* in the profile's region."""
    region = installed()[profile].region
    region = "110000" if profile == "national" else region
    return replace(a_ticket(origin=origin), region=region, **changes)  # type: ignore[arg-type]


def an_offer(
    profile: str,
    sender: str,
    receiver: str,
    matter: str,
    *,
    groups: tuple[Group, ...] = GIVEN,
    **act: object,
) -> tuple[Message, Context]:
    """Return an offer under *profile* and its context: the sender is the ticket's origin."""
    pinned = installed()[profile]
    offer = Offer(
        matter=matter,
        catalogue_edition=EDITION,
        profile=profile,
        profile_edition=pinned.edition,
        form=Form.TRANSFER,
    )
    offer = replace(offer, **act)  # type: ignore[arg-type]
    message = say(Kind.OFFER, sender, receiver, act=offer, groups=groups)
    return message, Context(site=SITE, now=NOW, ticket=ticket_of(profile, sender))


def to_12345(profile: str, matter: str = "", **more: object) -> tuple[Message, Context]:
    """Return an offer from the city's 110 to its 12345."""
    matter = matter or HOTLINES[list_of(profile)]
    return an_offer(profile, CITY_110, CITY_12345, matter, **more)  # type: ignore[arg-type]


def to_110(profile: str, matter: str = "", **more: object) -> tuple[Message, Context]:
    """Return an offer from the city's 12345 to its 110."""
    matter = matter or POLICES[list_of(profile)]
    return an_offer(profile, CITY_12345, CITY_110, matter, **more)  # type: ignore[arg-type]


def on_handoff(
    offered: tuple[Message, Context],
    kind: Kind,
    author: str,
    *,
    act: Act = PLAIN,
    groups: tuple[Group, ...] = (),
    state: State = State.TAKEN,
    **changes: object,
) -> tuple[Message, Context]:
    """Return what *author* says on the hand-off that *offered* began, now in *state*."""
    handoff = replace(taken(offered), state=state, **changes)  # type: ignore[arg-type]
    message = replace(
        reply(kind, handoff, author, act=act), groups=dict.fromkeys(groups, b"\0" * 32)
    )
    return message, replace(offered[1], handoff=handoff)


def taken(offered: tuple[Message, Context]) -> Handoff:
    """Return the hand-off that an offer begins, just taken."""
    message, context = offered
    assert context.ticket is not None
    change = open_handoff(message, context.ticket, first=False)
    assert isinstance(change, Change)
    return replace(change.handoff, state=State.TAKEN)


def code_of(said: tuple[Message, Context]) -> RefusalCode | None:
    """Return the code of the refusal that the guards give, or None."""
    refusal = judge(*said)
    return refusal.code if refusal is not None else None


PROFILES = sorted(installed())
