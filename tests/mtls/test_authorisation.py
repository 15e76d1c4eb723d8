"""
Who may call what: every method of the contract, by every kind of caller, over real TLS.

The answers are those of the whole server, so a service that is added without the guard, or a method
without a row in `METHODS`, is found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from certs.authority import open_authority
from certs.development import GOVERNMENT, Credential, Desk, _enrol
from exchange._proto.v1 import (
    attachment_service_pb2,
    directory_service_pb2,
    exchange_service_pb2,
    ticket_service_pb2,
    witness_service_pb2,
)
from exchange.identity import METHODS, CallerKind
from tests.mtls.handshake import dial
from tests.mtls.test_identity import _LET_IN_BY_TLS, _REFUSED_BY_TLS
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Running, failure, running

#: A request that each method answers; every other one is well served by no bytes at all.
_REQUESTS: dict[str, bytes] = {
    "PushMessages": exchange_service_pb2.PushMessagesRequest(envelopes=[b"x"]).SerializeToString(),
    "AcknowledgeMessages": exchange_service_pb2.AcknowledgeMessagesRequest(
        acknowledgements=[exchange_service_pb2.Acknowledgement(receipt_position=1)]
    ).SerializeToString(),
    "ReconcileHandoffs": exchange_service_pb2.ReconcileHandoffsRequest(
        heads=[exchange_service_pb2.HandoffHead(handoff_id="0" * 36)]
    ).SerializeToString(),
    "GetCosignedProofs": witness_service_pb2.GetCosignedProofsRequest(
        origin="bridge.example/log/1"
    ).SerializeToString(),
    "ListSealingKeys": directory_service_pb2.ListSealingKeysRequest(
        organisations=["140400000000"]
    ).SerializeToString(),
    "PutChunks": attachment_service_pb2.PutChunksRequest(
        chunks=[attachment_service_pb2.Chunk(chunk_root=bytes(32), content=b"x")]
    ).SerializeToString(),
    "GetChunks": attachment_service_pb2.GetChunksRequest(
        chunk_root=bytes(32), numbers=[0]
    ).SerializeToString(),
    "GetTicket": ticket_service_pb2.GetTicketRequest(ticket_id="0" * 36).SerializeToString(),
    "GetTrail": ticket_service_pb2.GetTrailRequest(ticket_id="0" * 36).SerializeToString(),
}
#: What says that the door was passed.
_INSIDE = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}

GATEWAYS_ONLY = [name for name, kind in METHODS.items() if kind is CallerKind.GATEWAY]
NOBODYS = [
    "/hotline.exchange.v1.ExchangeService/DropEverything",
    "/hotline.exchange.v1.ExchangeService/pushmessages",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/List",
    "/",
]


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge where the county's desk is not registered."""
    folder = tmp_path_factory.mktemp("bridge")
    with running(pki, folder, unregistered=COUNTY_12345, calls_per_second=100_000) as found:
        yield found


def call(
    pki: Pki, bridge: Running, credential: Credential, method: str, raw: bytes | None = None
) -> grpc.StatusCode:
    """Call *method* as *credential*; return OK or raise."""
    request = _REQUESTS.get(method.rpartition("/")[2], b"") if raw is None else raw
    with dial(pki, bridge.port, credential) as channel:
        ask = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        ask(request, timeout=20)
    return grpc.StatusCode.OK


def test_the_table_is_the_contract() -> None:
    """Every method of the contract has a row, and every row is the contract's or health's."""
    contract = {
        f"/{service.full_name}/{method.name}"
        for file in (
            attachment_service_pb2,
            exchange_service_pb2,
            ticket_service_pb2,
            directory_service_pb2,
            witness_service_pb2,
        )
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    health = {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    assert contract | health == set(METHODS)


@pytest.mark.parametrize("desk", [CITY_12345, CITY_110])
@pytest.mark.parametrize("method", GATEWAYS_ONLY)
def test_a_registered_gateway_is_let_in(pki: Pki, bridge: Running, desk: Desk, method: str) -> None:
    """Each method of the table has a service behind it that answers a gateway."""
    try:
        code = call(pki, bridge, pki.gateway(desk), method)
    except grpc.RpcError as error:
        code = error.code()
    assert code in _INSIDE


@pytest.mark.parametrize(("defect", "rule"), _LET_IN_BY_TLS)
@pytest.mark.parametrize("method", [*GATEWAYS_ONLY, *NOBODYS])
def test_a_bad_certificate_is_let_in_nowhere(
    pki: Pki, bridge: Running, method: str, defect: str, rule: str
) -> None:
    """UNAUTHENTICATED with the rule that refused, whatever is called, and before it is parsed."""
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, pki.defects[defect], method, b"\xff no protobuf")
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "NOT_AUTHENTICATED")
    assert facts["rule"] == rule


@pytest.mark.parametrize("defect", _REFUSED_BY_TLS)
@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Check", GATEWAYS_ONLY[0]])
def test_what_tls_refuses_reaches_nothing(
    pki: Pki, bridge: Running, method: str, defect: str
) -> None:
    """Not even the health service."""
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, pki.defects[defect], method)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", GATEWAYS_ONLY)
def test_an_unregistered_organisation_is_let_in_nowhere(
    pki: Pki, bridge: Running, method: str
) -> None:
    """A good certificate of the network is not yet a place in the register."""
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, pki.gateway(COUNTY_12345), method, b"\xff no protobuf")
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED")
    assert facts["rule"] == "organisation-unregistered"


@pytest.mark.parametrize("method", GATEWAYS_ONLY)
def test_a_code_counts_only_in_its_own_network(
    pki: Pki, bridge: Running, tmp_path: Path, method: str
) -> None:
    """The government's authority issues 110's code under the government's name: not registered."""
    desk = Desk(network=GOVERNMENT, region=CITY_110.region, organisation=CITY_110.organisation)
    authority = open_authority(pki.development.authorities[GOVERNMENT])
    stolen = _enrol(authority, "gateway-tls", desk.name("gw"), tmp_path / "gw", pki.made_at)
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, stolen, method)
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "organisation-unregistered",
    )


@pytest.mark.parametrize("method", NOBODYS)
def test_what_is_not_in_the_table_nobody_may_call(pki: Pki, bridge: Running, method: str) -> None:
    """Unknown methods, and known services' other methods, are refused to a good gateway too."""
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, pki.gateway(CITY_12345), method)
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (grpc.StatusCode.PERMISSION_DENIED, "method-unknown")


@pytest.mark.parametrize("method", GATEWAYS_ONLY)
def test_a_method_that_loses_its_row_is_closed(
    pki: Pki, bridge: Running, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The table decides, not the existence of a service."""
    monkeypatch.delitem(METHODS, method)
    with pytest.raises(grpc.RpcError) as raised:
        call(pki, bridge, pki.gateway(CITY_12345), method)
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (grpc.StatusCode.PERMISSION_DENIED, "method-unknown")


def test_health_is_for_everybody_whom_tls_lets_in(pki: Pki, bridge: Running) -> None:
    """A monitoring probe needs no entry in the register."""
    for credential in (pki.gateway(COUNTY_12345), pki.defects["two-names"]):
        call(pki, bridge, credential, "/grpc.health.v1.Health/Check")


@pytest.mark.parametrize("method", GATEWAYS_ONLY)
def test_a_resumed_session_is_refused(pki: Pki, bridge: Running, method: str) -> None:
    """H2 and H3 closed at every door: the second connection resumes the first one's session."""
    cache = cygrpc.SSLSessionCacheLRU(4)

    options = {"ssl_session_cache": cache, "ssl_target_name_override": "localhost"}

    def ask(what: str) -> None:
        with dial(pki, bridge.port, pki.gateway(CITY_12345), **options) as channel:
            send = channel.unary_unary(what, request_serializer=bytes, response_deserializer=bytes)
            send(b"", timeout=20)

    ask("/hotline.exchange.v1.DirectoryService/ListMatters")
    with pytest.raises(grpc.RpcError) as raised:
        ask(method)
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (grpc.StatusCode.UNAUTHENTICATED, "session-resumed")


def test_what_a_caller_says_about_itself_counts_for_nothing(pki: Pki, bridge: Running) -> None:
    """Metadata that names another organisation changes nothing in who is written down."""
    with dial(pki, bridge.port, pki.gateway(CITY_12345)) as channel:
        ask = channel.unary_unary(
            GATEWAYS_ONLY[1], request_serializer=bytes, response_deserializer=bytes
        )
        ask(b"", timeout=20, metadata=(("organisation", CITY_110.organisation),))
    assert bridge.events("call")[-1]["organisation"] == CITY_12345.organisation
