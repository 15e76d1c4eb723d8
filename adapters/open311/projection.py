"""
What is public of a ticket: one literal list of fields, and which tickets are there at all.

Rule 1: nothing is read but what `Ticket`, `Handoff` and `Matter` name here; none of it holds a word
that a citizen said.  Rule 2: nothing leaves but what `PUBLIC` lists.  Rule 3: a ticket is public only
if every condition of `is_public` holds, so that what is new in the contract stays inside.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from typing import Protocol

from exchange.acts import Classification, Marker
from exchange.divisions import COUNTRY, Divisions, is_within, parent_of, trim
from exchange.text import Language, Text

#: Hand-offs that are a matter between two desks (``HandoffForm``): the whole of it, a part, a notice
#: that somebody coordinates.  Not: an escalation (R23), a lead on a person (R22).
PUBLIC_FORMS = frozenset({0, 1, 2, 5})
#: How a matter is handled where it is nobody's but the hotline's; not what the police do first (R12).
PUBLIC_MODE = "accept-12345"
HOTLINE = "12345"

#: Digits of the division that a place is told by.
PLACES: Mapping[str, int] = {"city": 4, "county": 6, "street": 9}
TIMES = ("day", "hour")


class Moment(Protocol):
    """A time as the contract has it."""

    def ToDatetime(self) -> datetime:  # noqa: N802 - protobuf's name
        """Return it in UTC, without a zone."""


class Code(Protocol):
    """A division."""

    @property
    def code(self) -> str:
        """Its code."""


class Words(Protocol):
    """A name in both languages."""

    @property
    def zh(self) -> str:
        """In Chinese."""

    @property
    def en(self) -> str:
        """In English."""


class Handoff(Protocol):
    """What is looked at of a hand-off, to judge whether its ticket is public."""

    @property
    def matter(self) -> str:
        """The matter it was handed over as; may be empty."""

    @property
    def form(self) -> int:
        """What kind of hand-off it is."""


class Ticket(Protocol):
    """What is looked at of a ticket's head."""

    @property
    def ticket_id(self) -> str:
        """Told as a keyed digest only."""

    @property
    def region(self) -> Code:
        """Told as far as the site allows, the street at most."""

    @property
    def matter(self) -> str:
        """The matter of the catalogue."""

    @property
    def marker(self) -> int:
        """Actual, exercise or test."""

    @property
    def classification(self) -> int:
        """Ordinary, confidential, …"""

    @property
    def closed(self) -> bool:
        """Whether its origin has closed it."""

    @property
    def open_time(self) -> Moment:
        """Told to the day or the hour."""

    @property
    def update_time(self) -> Moment:
        """Likewise."""

    @property
    def handoffs(self) -> Iterable[Handoff]:
        """Its hand-offs."""


class Matter(Protocol):
    """What is looked at of a matter of the catalogue."""

    @property
    def id(self) -> str:
        """Its item id."""

    @property
    def name(self) -> Words:
        """Its name."""

    @property
    def owner_side(self) -> str:
        """Whose it is."""

    @property
    def handling_mode(self) -> str:
        """How it is handled."""

    @property
    def category(self) -> str:
        """The category it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a site decides: its region, how exactly time and place are told, what is withheld."""

    jurisdiction: str
    zone: tzinfo
    times: str = "day"
    place: str = "county"
    #: Item or category ids that are not public here though the catalogue would allow it.
    withhold: frozenset[str] = frozenset()
    language: Language = "zh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A public matter: a GeoReport service type."""

    code: str
    name: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A public ticket: a GeoReport service request; *closed* is the only state the public is told."""

    id: str
    closed: bool
    service: Service
    requested: datetime
    updated: datetime
    place: str
    place_code: str


#: Every field that ever leaves, in the spec's order, and where it comes from.
PUBLIC: tuple[tuple[str, Callable[[Report], str], Text], ...] = (
    ("service_request_id", lambda one: one.id,
     Text(en="a keyed digest of the ticket's id", zh="单号的带密钥摘要")),
    ("status", lambda one: "closed" if one.closed else "open",
     Text(en="open or closed, nothing between", zh="仅分未结与已结")),
    ("service_name", lambda one: one.service.name,
     Text(en="the matter's name in the catalogue", zh="事项清单中的名称")),
    ("service_code", lambda one: one.service.code,
     Text(en="the matter's id in the catalogue", zh="事项清单中的编号")),
    ("requested_datetime", lambda one: one.requested.isoformat(),
     Text(en="when it was opened, to the day or hour", zh="开单时间，精确到日或小时")),
    ("updated_datetime", lambda one: one.updated.isoformat(),
     Text(en="when it last changed, to the day or hour", zh="最近变更时间，精确到日或小时")),
    ("address", lambda one: one.place,
     Text(en="the division's name, the street (乡镇街道) at most", zh="区划名称，至多到乡镇街道")),
    ("address_id", lambda one: one.place_code,
     Text(en="the division's code, likewise", zh="区划代码，同上")),
)  # fmt: skip


def services(matters: Iterable[Matter], choices: Choices) -> dict[str, Service]:
    """Return the public matters by their ids, in the catalogue's order."""
    return {
        one.id: Service(code=one.id, name=getattr(one.name, choices.language), group=one.category)
        for one in matters
        if one.owner_side == HOTLINE
        and one.handling_mode == PUBLIC_MODE
        and not {one.id, one.category} & choices.withhold
    }


def is_public(ticket: Ticket, known: Mapping[str, Service], choices: Choices) -> bool:
    """Return whether the public may know of *ticket* at all."""
    return (
        ticket.marker == Marker.ACTUAL
        and ticket.classification == Classification.ORDINARY
        and ticket.matter in known
        and is_within(ticket.region.code, choices.jurisdiction)
        and all(one.matter in known for one in ticket.handoffs if one.matter)
        and all(one.form in PUBLIC_FORMS for one in ticket.handoffs)
    )


def report(
    ticket: Ticket, known: Mapping[str, Service], choices: Choices, key: bytes, table: Divisions
) -> Report:
    """Return what the public is told of *ticket*, which is public; *key* makes its number."""
    code = _place(ticket.region.code, choices, table)
    return Report(
        id=public_id(ticket.ticket_id, key),
        closed=bool(ticket.closed),
        service=known[ticket.matter],
        requested=_rounded(ticket.open_time, choices),
        updated=_rounded(ticket.update_time, choices),
        place=table.full_name(code),
        place_code=code,
    )


def public_id(ticket_id: str, key: bytes) -> str:
    """Return the number that the public knows a ticket by: 20 hex digits; without *key* it leads nowhere."""
    return hmac.digest(key, ticket_id.encode(), sha256).hex()[:20]


def _rounded(moment: Moment, choices: Choices) -> datetime:
    local = moment.ToDatetime().replace(tzinfo=UTC).astimezone(choices.zone)
    hour = local.hour if choices.times == "hour" else 0
    return local.replace(hour=hour, minute=0, second=0, microsecond=0)


def _place(code: str, choices: Choices, table: Divisions) -> str:
    """Return the division that is told: no finer than the site allows, and one that has a name here."""
    digits = PLACES[choices.place]
    told = trim(code)
    if len(told) > digits:
        told = told[:digits].ljust(6, "0") if digits < 6 else told[:digits]
    while told != COUNTRY and table.find(told) is None:
        told = parent_of(told)
    return told
