"""
The two reading services: tickets by the caller's own scope, and the directory.

Every answer is made on a reading thread, never on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import date
from functools import partial
from itertools import islice
from typing import TypeVar

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange._proto.v1 import sealing_pb2 as sealing_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.divisions import COUNTRY, Division, Divisions, is_within, trim
from exchange.errors import InvalidRequest, NotFound
from exchange.matters import Item
from exchange.organisations import Register
from exchange.query import Content, Query
from exchange.query.acts import ActsRoom
from exchange.server.answers import page_within
from exchange.server.guard import Call
from exchange.server.known import Directory
from exchange.server.published import published
from exchange.text import Text
from exchange.wire import directory, tickets
from exchange.wire.sealing import handed_with, is_sealed, show_only

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Item = TypeVar("_Item")

TICKETS_USUAL = 50
CONTENT_USUAL = 50
TRAIL_USUAL = 100
DIRECTORY_USUAL = 200
ACTS_USUAL = 100

_STRANGE_TOKEN = Text(
    en="The page token is not one that this bridge gave; begin with an empty one.",
    zh="分页标记不是本网桥给出的，请从空标记开始。",
)
_NO_PROFILE = Text(
    en="The profile {name} is not installed here; installed are: {known}.",
    zh="本网桥未安装方案 {name}，已安装：{known}。",
)


class TicketService:
    """Answers the contract's ``TicketService``; an organisation sees its own tickets in its regions."""

    def __init__(self, query: Query, register: Register, reader: Executor) -> None:
        self._query = query
        self._register = register
        self._reader = reader

    async def get_ticket(
        self, request: ticket_pb.GetTicketRequest, call: Call
    ) -> ticket_pb.GetTicketResponse:
        """Return one ticket and a page of the envelopes of its content."""
        return await _on(self._reader, self._get, request, call)

    async def list_tickets(
        self, request: ticket_pb.ListTicketsRequest, call: Call
    ) -> ticket_pb.ListTicketsResponse:
        """Return a page of tickets."""
        return await _on(self._reader, self._list, request, call)

    async def get_trail(
        self, request: ticket_pb.GetTrailRequest, call: Call
    ) -> ticket_pb.GetTrailResponse:
        """Return a page of a ticket's trail."""
        return await _on(self._reader, self._trail, request, call)

    def _get(self, request: ticket_pb.GetTicketRequest, call: Call) -> ticket_pb.GetTicketResponse:
        who, regions = call.organisation, call.regions
        view = self._query.ticket(request.ticket_id, who, regions=regions)
        summary = tickets.ticket_to_proto(view, self._register)

        def page(size: int) -> ticket_pb.GetTicketResponse:
            found, token = self._query.envelopes(
                request.ticket_id, who, limit=size, page_token=request.page_token, regions=regions
            )
            return ticket_pb.GetTicketResponse(
                ticket=summary, envelopes=self._shown(request, found, who), next_page_token=token
            )

        return page_within(page, request.page_size or CONTENT_USUAL)

    def _shown(
        self, request: ticket_pb.GetTicketRequest, found: Sequence[Content], who: str
    ) -> list[bytes]:
        """Return what goes out of *found*, with the keys that *who* was handed to what is sealed."""
        offers: list[bytes] = []
        if any(is_sealed(one.envelope) for one in found):
            offers = self._query.offers(request.ticket_id)
        return [
            show_only(handed_with(one.envelope, offers, {who}), one.shown.shows) for one in found
        ]

    def _list(
        self, request: ticket_pb.ListTicketsRequest, call: Call
    ) -> ticket_pb.ListTicketsResponse:
        def page(size: int) -> ticket_pb.ListTicketsResponse:
            found, token = self._query.tickets(
                call.organisation,
                tickets.filters_from_proto(request, call.time),
                limit=size,
                page_token=request.page_token,
                regions=call.regions,
            )
            return ticket_pb.ListTicketsResponse(
                tickets=[tickets.ticket_to_proto(view, self._register) for view in found],
                next_page_token=token,
            )

        return page_within(page, request.page_size or TICKETS_USUAL)

    def _trail(self, request: ticket_pb.GetTrailRequest, call: Call) -> ticket_pb.GetTrailResponse:
        def page(size: int) -> ticket_pb.GetTrailResponse:
            found, token = self._query.trail(
                request.ticket_id,
                call.organisation,
                limit=size,
                page_token=request.page_token,
                regions=call.regions,
            )
            chains = self._query.certificates(tickets.trail_key_ids(found))
            return ticket_pb.GetTrailResponse(
                entries=[tickets.trail_entry_to_proto(entry, self._register) for entry in found],
                next_page_token=token,
                certificates=[message_pb.CertificateChain(certificates=chain) for chain in chains],
            )

        return page_within(page, request.page_size or TRAIL_USUAL)


class DirectoryService:
    """Answers the contract's ``DirectoryService``; everybody registered sees all of it."""

    def __init__(self, known: Directory, reader: Executor, acts: ActsRoom) -> None:
        self._known = known
        self._reader = reader
        self._acts = acts

    async def list_organisations(
        self, request: directory_pb.ListOrganisationsRequest, call: Call
    ) -> directory_pb.ListOrganisationsResponse:
        """Return a page of the site register, by code."""
        return await _on(self._reader, self._organisations, request, call)

    async def list_regions(
        self, request: directory_pb.ListRegionsRequest, call: Call
    ) -> directory_pb.ListRegionsResponse:
        """Return a page of the divisions directly below one."""
        return await _on(self._reader, self._regions, request, call)

    async def list_matters(
        self, request: directory_pb.ListMattersRequest, call: Call
    ) -> directory_pb.ListMattersResponse:
        """Return a page of the catalogue, or of what fits some words."""
        return await _on(self._reader, self._matters, request, call)

    async def get_profile(
        self, request: directory_pb.GetProfileRequest, call: Call
    ) -> directory_pb.GetProfileResponse:
        """Return one profile."""
        return await _on(self._reader, self._profile, request, call)

    async def list_acts(
        self, request: directory_pb.ListActsRequest, call: Call
    ) -> directory_pb.ListActsResponse:
        """Return a page of what authorities and bridges did."""
        return await _on(self._reader, self._list_acts, request, call)

    def _list_acts(
        self, request: directory_pb.ListActsRequest, _: Call
    ) -> directory_pb.ListActsResponse:
        found, token = self._acts.page(
            source=request.source,
            limit=request.page_size or ACTS_USUAL,
            page_token=request.page_token,
        )
        return directory_pb.ListActsResponse(
            acts=[directory.act_to_proto(one) for one in found], next_page_token=token
        )

    async def list_sealing_keys(
        self, request: directory_pb.ListSealingKeysRequest, call: Call
    ) -> directory_pb.ListSealingKeysResponse:
        """Return the sealing keys that some organisations published."""
        return await _on(self._reader, self._sealing_keys, request, call)

    def _sealing_keys(
        self, request: directory_pb.ListSealingKeysRequest, _: Call
    ) -> directory_pb.ListSealingKeysResponse:
        found = published(self._known.sealing_keys, frozenset(request.organisations))
        return directory_pb.ListSealingKeysResponse(
            keys=[sealing_pb.SealingKey.FromString(one) for one in found]
        )

    def _organisations(
        self, request: directory_pb.ListOrganisationsRequest, _: Call
    ) -> directory_pb.ListOrganisationsResponse:
        region = request.region or COUNTRY
        known = sorted(
            (
                found
                for found in self._known.register
                if is_within(found.region, trim(region))
                and (not request.matter or found.owns(request.matter))
            ),
            key=lambda found: found.code,
        )
        page, token = _page(known, request.page_token, request.page_size)
        return directory_pb.ListOrganisationsResponse(
            organisations=[directory.organisation_to_proto(found) for found in page],
            next_page_token=token,
        )

    def _regions(
        self, request: directory_pb.ListRegionsRequest, call: Call
    ) -> directory_pb.ListRegionsResponse:
        below = children(
            self._known.register.divisions, request.parent or COUNTRY, call.time.date()
        )
        page, token = _page(below, request.page_token, request.page_size)
        return directory_pb.ListRegionsResponse(
            regions=[directory.division_to_proto(found) for found in page], next_page_token=token
        )

    def _matters(
        self, request: directory_pb.ListMattersRequest, _: Call
    ) -> directory_pb.ListMattersResponse:
        catalog = self._known.catalog
        found: list[tuple[Item, Text | None]]
        if request.words:
            finding = catalog.find(request.words, limit=1000)
            found = [
                (match.item, finding.reason if match.item is finding.chosen else None)
                for match in finding.matches
            ]
        else:
            found = [(item, None) for _, item in sorted(catalog.items.items())]
        page, token = _page(found, request.page_token, request.page_size)
        return directory_pb.ListMattersResponse(
            matters=[directory.matter_to_proto(item, reason) for item, reason in page],
            next_page_token=token,
            catalogue_edition=catalog.edition,
        )

    def _profile(
        self, request: directory_pb.GetProfileRequest, _: Call
    ) -> directory_pb.GetProfileResponse:
        name = request.name or self._known.profile
        profile = self._known.profiles.get(name)
        if profile is None:
            known = ", ".join(sorted(self._known.profiles))
            raise NotFound(_NO_PROFILE.fill(name=name, known=known), profile=name)
        return directory.profile_to_proto(profile, self._known.sources.get(name, ""))


def children(table: Divisions, parent: str, on: date) -> Iterator[Division]:
    """Yield the divisions directly below *parent* that are in force *on* that day, by code."""
    code = trim(parent)
    if len(code) >= 12:
        return
    if len(code) == 9 or (len(code) == 6 and not code.endswith("00")):
        below: Iterable[str] = (f"{code}{number:03}" for number in range(1, 1000))
    elif code == COUNTRY:
        below = (f"{number:02}0000" for number in range(10, 100))
    elif code.endswith("0000"):
        below = (f"{code[:2]}{number:02}00" for number in range(1, 100))
    else:
        below = (f"{code[:4]}{number:02}" for number in range(1, 100))
    for candidate in below:
        found = table.find(candidate)
        if found is not None and found.listed and found.valid_on(on):
            yield found


def _page(items: Iterable[_Item], token: str, size: int) -> tuple[Sequence[_Item], str]:
    """Return the page that *token* (a place in the list) begins, and the next one's token."""
    if token and not (token.isascii() and token.isdecimal() and len(token) < 10):
        raise InvalidRequest(_STRANGE_TOKEN, rule="page-token")
    begin = int(token or "0")
    size = size or DIRECTORY_USUAL
    found = list(islice(items, begin, begin + size + 1))
    return found[:size], str(begin + size) if len(found) > size else ""


async def _on(
    reader: Executor,
    answer: Callable[[_Request, Call], _Response],
    request: _Request,
    call: Call,
) -> _Response:
    return await asyncio.get_running_loop().run_in_executor(reader, partial(answer, request, call))
