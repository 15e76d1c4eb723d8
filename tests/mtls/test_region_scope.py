"""A region sees its own: the scope is the certificate's, the exceptions are the register's, and no query goes round it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, literal, select

from certs.authority import open_authority
from certs.development import Credential, Desk, _enrol
from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange.acts import Kind
from exchange.config import load_settings
from exchange.divisions import COUNTRY, is_within
from exchange.errors import NotAuthorized
from exchange.identity import METHODS, CallerKind, scope
from exchange.query.scope import in_scope
from exchange.server.serving import utc_now
from tests.mtls.handshake import dial
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, calling, failure, matter, write_settings

#: Codes of every level that share beginnings: provinces, cities, counties, streets, villages.
CODES = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["14", "15"]),
    st.sampled_from(["00", "01", "04"]),
    st.sampled_from(["00", "02", "21"]),
    st.sampled_from(["", "000", "003"]),
).flatmap(lambda code: st.sampled_from([code, code + "000"]) if len(code) == 9 else st.just(code))


@settings(max_examples=150, deadline=None)
@given(ticket=CODES, regions=st.lists(CODES, min_size=1, max_size=3))
def test_the_database_says_what_the_digits_say(ticket: str, regions: list[str]) -> None:
    """A ticket is in scope where one of the two lies in the other, whatever the codes' lengths."""
    expected = any(is_within(ticket, own) or is_within(own, ticket) for own in regions)
    with create_engine("sqlite://").connect() as connection:
        found = connection.execute(select(in_scope(literal(ticket), regions))).scalar_one()

    assert bool(found) is expected


@settings(max_examples=150, deadline=None)
@given(own=CODES, granted=st.lists(CODES, min_size=1, max_size=3))
def test_a_certificate_narrows_and_never_widens(own: str, granted: list[str]) -> None:
    """Its region lies in what the register grants, or nobody is let in; exceptions stay exceptions."""
    if any(is_within(own, region) for region in granted):
        assert scope(own, CITY_110.organisation, granted) == (own, *granted[1:])
        return
    with pytest.raises(NotAuthorized) as raised:
        scope(own, CITY_110.organisation, granted)
    assert raised.value.facts["rule"] == "region-out-of-scope"


@contextmanager
def served(pki: Pki, folder: Path, also: str = "") -> Iterator[Running]:
    """Serve with a register where 110 answers for the whole province, and *also* for exceptions."""
    path = write_settings(pki, folder)
    register = folder / "register.toml"
    head, mark, tail = register.read_text("utf-8").partition(f'code = "{CITY_110.organisation}"')
    tail = tail.replace('region = "140400"', f'region = "140000"\n{also}', 1)
    register.write_text(head + mark + tail, "utf-8")
    found = Running(load_settings(path))
    found.start()
    try:
        yield found
    finally:
        found.stop()


def gateway(pki: Pki, folder: Path, region: str) -> Credential:
    """Issue 110 a gateway for *region*."""
    desk = Desk(network=CITY_110.network, region=region, organisation=CITY_110.organisation)
    authority = open_authority(pki.development.authorities[CITY_110.network])
    return _enrol(authority, "gateway-tls", desk.name("gw"), folder / f"gw-{region}", utc_now())


def seen(pki: Pki, bridge: Running, credential: Credential, ticket: str) -> list[bool]:
    """Return whether *ticket* is shown, listed, and has a trail."""
    with calling(pki, bridge.port, CITY_110, credential) as caller:
        listed = caller.tickets.ListTickets(pb.ListTicketsRequest(), timeout=20).tickets
        found = [ticket in [one.ticket_id for one in listed]]
        for ask, request in (
            (caller.tickets.GetTicket, pb.GetTicketRequest(ticket_id=ticket)),
            (caller.tickets.GetTrail, pb.GetTrailRequest(ticket_id=ticket)),
        ):
            try:
                ask(request, timeout=20)
            except grpc.RpcError as error:
                found.append(error.code() is not grpc.StatusCode.NOT_FOUND)
            else:
                found.append(True)
        return found


@pytest.mark.parametrize(
    ("region", "also", "sees"),
    [
        ("140400", "", True),
        ("140421", "", True),  # a county of the city: party to the city's matters
        ("140000", "", True),
        ("140500", "", False),  # another city of the same province
        ("140500", 'also = ["140400"]', True),  # unless the register says so
        ("140500", 'also = ["140600"]', False),
    ],
)
def test_a_party_sees_its_ticket_in_its_regions_alone(
    pki: Pki, tmp_path: Path, region: str, also: str, sees: bool
) -> None:
    """Shown, listed (and so exported), or traced: by each in the same way; else it is not there."""
    with served(pki, tmp_path, also) as bridge, calling(pki, bridge.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal(matter())
        assert all(one.HasField("stored") for one in hotline.push(sealed))
        ticket = sealed[0].ticket_id
        own = gateway(pki, tmp_path, region)

        assert seen(pki, bridge, own, ticket) == [sees] * 3


def test_a_narrow_certificate_reads_less_and_still_answers(pki: Pki, tmp_path: Path) -> None:
    """
    Region narrows what is looked at, not what is said and delivered.

    A hand-off that an organisation answers for can always be moved by it: a certificate that could not would
    leave the matter with nobody.
    """
    with served(pki, tmp_path) as bridge, calling(pki, bridge.port, CITY_12345) as hotline:
        sealed = hotline.sealer.seal(matter())
        assert all(one.HasField("stored") for one in hotline.push(sealed))
        own = gateway(pki, tmp_path, "140500")
        assert seen(pki, bridge, own, sealed[0].ticket_id) == [False] * 3

        with calling(pki, bridge.port, CITY_110, own) as police:
            came = police.pull()
            take = replace(
                matter()[0],
                kind=Kind.TAKE,
                ticket_id=sealed[0].ticket_id,
                handoff_id=sealed[1].handoff_id,
                recipient=CITY_12345.organisation,
                previous=sealed[1].digest,
                act={},
                groups={},
            )
            (outcome,) = police.push(police.sealer.seal([take]))

        assert len(came) == 2
        assert outcome.HasField("stored")


def test_a_certificate_for_another_region_is_let_in_nowhere(pki: Pki, tmp_path: Path) -> None:
    """Every method of the table, with the rule that refused; a neighbour's code is no way in."""
    with (
        served(pki, tmp_path) as bridge,
        dial(pki, bridge.port, gateway(pki, tmp_path, "150100")) as channel,
    ):
        for method, kind in METHODS.items():
            if kind is CallerKind.GATEWAY:
                with pytest.raises(grpc.RpcError) as raised:
                    channel.unary_unary(method, bytes, bytes)(b"", timeout=20)
                code, _, facts = failure(raised)
                assert (code, facts["rule"]) == (
                    grpc.StatusCode.PERMISSION_DENIED, "region-out-of-scope",
                )  # fmt: skip


def test_the_whole_country_is_one_region() -> None:
    """A province's and the country's own bridge look at everything below them."""
    with create_engine("sqlite://").connect() as connection:
        for ticket in ("110101", "140400", "650100000000"):
            assert connection.execute(select(in_scope(literal(ticket), [COUNTRY]))).scalar_one()
