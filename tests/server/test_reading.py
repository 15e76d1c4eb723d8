"""The reading services over real TLS: the ticket as it stands, and what holds at the bridge."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import grpc
import pytest

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.config import load_settings
from exchange.divisions import COUNTRY, divisions
from exchange.errors import ConfigurationError
from exchange.server.known import open_directory
from exchange.server.reading import children
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import (
    SERVICES,
    Caller,
    Running,
    calling,
    failure,
    matter,
    write_settings,
)


def test_a_ticket_is_shown_with_who_answers(hotline: Caller, police: Caller) -> None:
    """State, sides, who answers and decides, and the content's exact envelopes, to both parties."""
    sealed = hotline.sealer.seal(matter())
    hotline.push(sealed)
    for caller in (hotline, police):
        request = ticket_pb.GetTicketRequest(ticket_id=sealed[0].ticket_id)
        answer = caller.tickets.GetTicket(request)
        (handoff,) = answer.ticket.handoffs
        assert answer.ticket.origin.code == CITY_12345.organisation
        assert answer.ticket.origin.name == "示例 1"
        assert answer.ticket.region.name == "山西省长治市"
        assert list(answer.ticket.answers) == [CITY_12345.organisation]
        assert (handoff.state, handoff.decides) == (
            ticket_pb.HANDOFF_STATE_OFFERED,
            CITY_110.organisation,
        )
        assert handoff.head_digest == sealed[1].digest
        assert list(answer.envelopes) == [sealed[0].envelope]


def test_tickets_are_listed_page_by_page(hotline: Caller) -> None:
    """Every ticket once, newest first; conditions narrow them."""
    pushed = [hotline.sealer.seal(matter()) for _ in range(3)]
    for sealed in pushed:
        hotline.push(sealed)
    seen: list[str] = []
    request = ticket_pb.ListTicketsRequest(page_size=2, answers=CITY_12345.organisation)
    while True:
        page = hotline.tickets.ListTickets(request)
        seen += [ticket.ticket_id for ticket in page.tickets]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen[:3] == [sealed[0].ticket_id for sealed in reversed(pushed)]
    assert len(seen) == len(set(seen))
    closed = ticket_pb.ListTicketsRequest(state=ticket_pb.HANDOFF_STATE_CLOSED)
    assert list(hotline.tickets.ListTickets(closed).tickets) == []


def test_a_state_that_is_none_is_told(hotline: Caller) -> None:
    """An enum's unknown number is an invalid argument, no defect."""
    with pytest.raises(grpc.RpcError) as raised:
        hotline.tickets.ListTickets(ticket_pb.ListTicketsRequest(state=99))  # type: ignore[arg-type]
    assert failure(raised)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_organisations_are_those_of_the_register(hotline: Caller) -> None:
    """By code, of one division and below, a page at a time."""
    ask = hotline.directory.ListOrganisations
    request = directory_pb.ListOrganisationsRequest(page_size=2, region="140000")
    first = ask(request)
    request.page_token = first.next_page_token
    second = ask(request)
    found = [*first.organisations, *second.organisations]
    assert [one.code for one in found] == sorted(desk.organisation for desk in SERVICES)
    assert {one.code: one.side for one in found}[CITY_110.organisation] == "110"
    assert (len(first.organisations), second.next_page_token) == (2, "")
    assert list(ask(directory_pb.ListOrganisationsRequest(region="310000")).organisations) == []


def test_the_directory_tells_whom_to_call_for_a_matter(pki: Pki, tmp_path: Path) -> None:
    """R09: who is responsible, the response procedure, the liaison and when somebody is on duty."""
    path = write_settings(pki, tmp_path)
    register = tmp_path / "register.toml"
    register.write_text(
        register.read_text(encoding="utf-8").replace(
            'service = "110"\n',
            'service = "110"\nmatters = ["NM.P.01", "NM.F.06.01"]\nprocedure = "YA-2026-01"\n'
            'liaison = "联络员甲"\ntelephone = "00000001"\nduty = "7x24"\n',
        ),
        encoding="utf-8",
    )
    bridge = Running(load_settings(path))
    bridge.start()
    try:
        with calling(pki, bridge.port, CITY_12345) as hotline:
            ask = hotline.directory.ListOrganisations
            own = [
                ask(directory_pb.ListOrganisationsRequest(matter=matter_id)).organisations
                for matter_id in ("NM.P.01.02", "NM.P.01", "NM.F.06.01")
            ]
            for other in ("NM.P.0", "NM.F.06.02", "NM.P.010"):
                assert not ask(directory_pb.ListOrganisationsRequest(matter=other)).organisations
    finally:
        bridge.stop()
    assert [[one.code for one in each] for each in own] == [[CITY_110.organisation]] * 3
    (found,) = own[0]
    assert (found.procedure, found.liaison, found.telephone, found.duty) == (
        "YA-2026-01", "联络员甲", "00000001", "7x24",
    )  # fmt: skip
    assert list(found.matters) == ["NM.P.01", "NM.F.06.01"]


def test_a_register_with_a_matter_that_is_none_is_refused(pki: Pki, tmp_path: Path) -> None:
    """The start ends with who and which, before anybody is served."""
    settings = load_settings(write_settings(pki, tmp_path))
    text = settings.register.read_text(encoding="utf-8")
    text = text.replace('service = "110"\n', 'service = "110"\nmatters = ["NM.X.99"]\n')
    settings.register.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"{CITY_110.organisation} is .* NM\.X\.99"):
        open_directory(settings, datetime.now(UTC))


@pytest.mark.parametrize(
    ("parent", "child", "name"),
    [
        ("", "140000", "山西省"),
        ("140000", "140400", "长治市"),
        ("140400", "140403", "潞州区"),
    ],
)
def test_regions_are_listed_level_by_level(
    hotline: Caller, parent: str, child: str, name: str
) -> None:
    """Provinces, prefectures, counties, each below its parent."""
    request = directory_pb.ListRegionsRequest(parent=parent, page_size=1000)
    found = {one.code: one.name for one in hotline.directory.ListRegions(request).regions}
    assert found[child] == name
    assert "140421" not in found  # abolished in 2018


def test_streets_stand_below_their_county() -> None:
    """Nine digits under six, and nothing under a village."""
    streets = list(children(divisions(), "140403", date(2026, 3, 1)))
    assert streets
    assert all(street.code.startswith("140403") and len(street.code) == 9 for street in streets)
    assert list(children(divisions(), streets[0].code + "001", date(2026, 3, 1))) == []
    assert len(list(children(divisions(), COUNTRY, date(2026, 3, 1)))) >= 31


def test_matters_are_listed_or_found(hotline: Caller) -> None:
    """All of them by id; or those that fit some words, the chosen one explained."""
    ask = hotline.directory.ListMatters
    everything = ask(directory_pb.ListMattersRequest(page_size=1000))
    assert len(everything.matters) == 275
    assert everything.catalogue_edition
    found = ask(directory_pb.ListMattersRequest(words="井盖缺失"))
    (chosen,) = (one for one in found.matters if one.explanation.zh)
    assert (chosen.category, chosen.source) == ("NM.H.01", "S4 附件 一")


@pytest.mark.parametrize("name", ["", "shanghai"])
def test_a_profile_is_shown_with_its_source(hotline: Caller, name: str) -> None:
    """Rules with their R-numbers for people, and the TOML for machines; the default without a name."""
    answer = hotline.directory.GetProfile(directory_pb.GetProfileRequest(name=name))
    assert answer.name == (name or "national")
    assert any("R" in rule.en for rule in answer.rules)
    assert tomllib.loads(answer.toml)
