"""Calls that are wrong as a whole, or hold something wrong: a clear answer, and nobody else hurt."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.client.messages import Sealer
from exchange.envelope import SigningKey
from exchange.errors import RefusalCode
from exchange.server.failures import Unexpected, status_of
from exchange.wire.receipts import refusal_of, written_statement
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller, Running, calling, failure, matter, running

PUSH = "/hotline.exchange.v1.ExchangeService/PushMessages"
PULL = "/hotline.exchange.v1.ExchangeService/PullMessages"


def raw_call(caller: Caller, method: str, request: bytes, **options: Any) -> bytes:
    """Send bytes."""
    ask = caller.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = ask(request, timeout=20, **options)
    return answer


def codes(outcomes: list[pb.PushOutcome]) -> list[str]:
    """Return each outcome's refusal code, or its kind."""
    return [
        refusal_of(outcome.refused).code.name
        if outcome.HasField("refused")
        else str(outcome.WhichOneof("outcome"))
        for outcome in outcomes
    ]


# -- the call as a whole


@pytest.mark.parametrize(
    ("method", "request_bytes", "rule"),
    [
        (PUSH, b"\xff\xff\xff", "malformed"),
        (PUSH, b"", "repeated.min_items"),
        (PUSH, pb.PushMessagesRequest(envelopes=[b"x"] * 513).SerializeToString(),
         "repeated.max_items"),
        (PULL, pb.PullMessagesRequest(max_deliveries=513).SerializeToString(), "uint32.lte"),
    ],
)  # fmt: skip
def test_a_malformed_call_is_an_invalid_argument(
    hotline: Caller, method: str, request_bytes: bytes, rule: str
) -> None:
    """H12: not INTERNAL; the rule broken stands beside the reason."""
    with pytest.raises(grpc.RpcError) as raised:
        raw_call(hotline, method, request_bytes)
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert facts["rule"] == rule


def test_every_field_at_fault_is_named(hotline: Caller) -> None:
    """The first in the facts, all of them in the sentence."""
    request = ticket_pb.ListTicketsRequest(page_size=501, region="x", matter="m" * 33)
    with pytest.raises(grpc.RpcError) as raised:
        hotline.tickets.ListTickets(request)
    _, _, facts = failure(raised)
    assert facts["field"] == "page_size"
    for field in ("page_size", "region", "matter"):
        assert field in str(raised.value.details())


def test_a_nul_character_is_refused_at_the_door(hotline: Caller) -> None:
    """U+0000 ends a string on many platforms and does not fit into PostgreSQL."""
    with pytest.raises(grpc.RpcError) as raised:
        hotline.directory.ListMatters(directory_pb.ListMattersRequest(words="井\0盖"))
    code, _, facts = failure(raised)
    assert (code, facts["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "words")


@pytest.mark.parametrize("size", [4500, 7000])
def test_too_much_metadata_is_told(hotline: Caller, size: int) -> None:
    """Ours is told with its reason, before the wall behind it."""
    with pytest.raises(grpc.RpcError) as raised:
        raw_call(hotline, PULL, b"", metadata=(("x", "y" * size),))
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (grpc.StatusCode.INVALID_ARGUMENT, "metadata-size")


def test_health_too_takes_only_so_much_metadata(hotline: Caller) -> None:
    """What anybody may call is bounded as well, and malformed bytes are told."""
    for request, metadata, rule in (
        (b"", (("x", "y" * 4500),), "metadata-size"),
        (b"\xff", (), "malformed"),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            raw_call(hotline, "/grpc.health.v1.Health/Check", request, metadata=metadata)
        code, _, facts = failure(raised)
        assert (code, facts["rule"]) == (grpc.StatusCode.INVALID_ARGUMENT, rule)


def test_metadata_beyond_the_wall_is_cut_off_by_grpc(hotline: Caller) -> None:
    """No code of ours runs."""
    with pytest.raises(grpc.RpcError) as raised:
        raw_call(hotline, PULL, b"", metadata=(("x", "y" * 20_000),))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_strange_page_token_is_told(hotline: Caller) -> None:
    """Every paged method."""
    asks = [
        (hotline.directory.ListRegions, directory_pb.ListRegionsRequest(page_token="x")),
        (hotline.directory.ListMatters, directory_pb.ListMattersRequest(page_token="-1")),
        (hotline.directory.ListOrganisations,
         directory_pb.ListOrganisationsRequest(page_token="٣")),
        (hotline.tickets.ListTickets, ticket_pb.ListTicketsRequest(page_token="x")),
    ]  # fmt: skip
    for ask, request in asks:
        with pytest.raises(grpc.RpcError) as raised:
            ask(request)
        assert failure(raised)[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["GetTicket", "GetTrail"])
def test_anothers_ticket_is_not_there(
    pki: Pki, bridge: Running, hotline: Caller, method: str
) -> None:
    """Who is no party gets the same answer as for a ticket that never was."""
    sealed = hotline.sealer.seal(matter())
    hotline.push(sealed)
    requests = {"GetTicket": ticket_pb.GetTicketRequest, "GetTrail": ticket_pb.GetTrailRequest}
    with calling(pki, bridge.port, COUNTY_12345) as county:
        answers = []
        for ticket_id in (sealed[0].ticket_id, "0" * 36):
            with pytest.raises(grpc.RpcError) as raised:
                getattr(county.tickets, method)(requests[method](ticket_id=ticket_id))
            code, reason, _ = failure(raised)
            answers.append((code, reason, str(raised.value.details()).replace(ticket_id, "…")))
    assert answers[0] == answers[1]
    assert answers[0][0] is grpc.StatusCode.NOT_FOUND


def test_an_unknown_profile_is_not_found(hotline: Caller) -> None:
    """The installed ones are named."""
    with pytest.raises(grpc.RpcError) as raised:
        hotline.directory.GetProfile(directory_pb.GetProfileRequest(name="atlantis"))
    assert failure(raised)[0] is grpc.StatusCode.NOT_FOUND
    assert "shanghai" in str(raised.value.details())


# -- one bad message never fails its neighbours


def changed(raw: bytes, **changes: Any) -> bytes:
    """Return an envelope with other parts."""
    made: Any = message_pb2.Envelope.FromString(raw)
    for name, value in changes.items():
        made.ClearField(name)
        if value is not None:
            setattr(made, name, value)
    raw = made.SerializeToString()
    return bytes(raw)


def test_a_bad_message_never_fails_its_neighbours(hotline: Caller, pki: Pki) -> None:
    """Each fault has its own refusal; the good ones before, between and after are stored."""
    first, second = hotline.sealer.seal(matter()), hotline.sealer.seal(matter())
    opening, offer = (sealed.envelope for sealed in first)
    lonely = hotline.sealer.seal(matter())[1].envelope
    signer = pki.signer(CITY_110)
    police = Sealer(CITY_12345.organisation, SigningKey.load(signer.key, signer.certificate))
    flipped = bytearray(message_pb2.Envelope.FromString(opening).header)
    flipped[-1] ^= 1
    outcomes = hotline.push(
        [
            opening,
            b"\xff no protobuf",
            b"",
            b"x" * 65_537,
            changed(opening, signature=None),
            changed(second[0].envelope, header=bytes(flipped)),
            police.seal(matter())[0].envelope,
            lonely,
            offer,
            opening,
        ]
    )
    assert codes(outcomes) == [
        "stored",
        "MALFORMED",
        "UNKNOWN_KIND",
        "TOO_LARGE",
        "UNSIGNED",
        codes(outcomes)[5],
        "SIGNER_NOT_TRUSTED",
        "retry",
        "stored",
        "stored",
    ]
    assert codes(outcomes)[5] not in ("stored", "retry")
    assert outcomes[7].retry.reason == "PREDECESSOR_UNKNOWN"
    assert outcomes[7].retry.delay.ToMilliseconds() > 0
    assert outcomes[0] == outcomes[9]  # a repeat gets the same receipt, byte for byte


@pytest.mark.parametrize(
    "defect",
    [
        "signer-expired",
        "signer-wrong-network",
        "signer-unknown-root",
        "signer-without-nonrepudiation",
        "signer-dials-too",
        "signer-gateway-usage",
        "signer-gateway-name",
        "signer-two-names",
    ],
)
def test_a_bad_signer_is_not_trusted(hotline: Caller, pki: Pki, defect: str) -> None:
    """The gateway is good, the signer's certificate is not: the message is refused, the call not."""
    credential = pki.defects[defect]
    key = SigningKey.load(credential.key, credential.certificate)
    bad = Caller(hotline.desk, hotline.channel, Sealer(CITY_12345.organisation, key))
    assert codes(bad.push(bad.sealer.seal(matter())[:1])) == ["SIGNER_NOT_TRUSTED"]


def test_a_signer_that_was_never_shown_is_not_trusted(hotline: Caller, police: Caller) -> None:
    """A key id alone proves nothing; once shown, the chain is remembered."""
    sealed = police.sealer.seal(matter())[:1]
    request = pb.PushMessagesRequest(envelopes=[sealed[0].envelope])
    (outcome,) = hotline.exchange.PushMessages(request).outcomes
    assert codes([outcome]) == ["SIGNER_NOT_TRUSTED"]

    hotline.push(hotline.sealer.seal(matter()))
    again = hotline.sealer.seal(matter())[:1]
    request = pb.PushMessagesRequest(envelopes=[again[0].envelope])
    assert codes(list(hotline.exchange.PushMessages(request).outcomes)) == ["stored"]


def test_an_organisation_speaks_only_for_itself(hotline: Caller, police: Caller) -> None:
    """What 12345 signed, 110's gateway may not bring: it is no registered relay."""
    carried = Caller(police.desk, police.channel, hotline.sealer)
    assert codes(carried.push(hotline.sealer.seal(matter())[:1])) == ["AUTHOR_MISMATCH"]


def test_malformed_acknowledgements_are_refused_one_by_one(police: Caller) -> None:
    """Nothing said, an unsigned statement, bytes that are none, a position that is not there."""
    code = police.desk.organisation
    said = written_statement(str(uuid.uuid4()), bytes(32), code, datetime.now(UTC), "")
    unsigned = receipt_pb2.WrittenReceipt(statement=said)
    outcomes = police.acknowledge(
        pb.Acknowledgement(),
        pb.Acknowledgement(written=unsigned),
        pb.Acknowledgement(written=receipt_pb2.WrittenReceipt(statement=b"\xff")),
        pb.Acknowledgement(refused=receipt_pb2.RefusedReceipt(statement=b"\xff")),
    )
    assert [refusal_of(outcome.refused).code for outcome in outcomes] == [
        RefusalCode.MALFORMED,
        RefusalCode.UNSIGNED,
        RefusalCode.MALFORMED,
        RefusalCode.MALFORMED,
    ]


# -- limits


@pytest.fixture
def tight(pki: Pki, tmp_path: Path) -> Iterator[Running]:
    """A bridge with small limits."""
    with running(pki, tmp_path, request_bytes=131_072, calls_per_second=1) as found:
        yield found


def test_a_large_request_is_told_and_a_huge_one_cut_off(pki: Pki, tight: Running) -> None:
    """Up to twice the limit the answer names it; beyond, grpc itself refuses."""
    with calling(pki, tight.port, CITY_12345) as caller:
        with pytest.raises(grpc.RpcError) as raised:
            raw_call(caller, PUSH, bytes(131_073))
        code, _, facts = failure(raised)
        assert (code, facts["rule"]) == (grpc.StatusCode.INVALID_ARGUMENT, "request-size")
        with pytest.raises(grpc.RpcError) as raised:
            raw_call(caller, PUSH, bytes(300_000))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caller.pull() == []


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_nothing_compressed_is_unpacked(pki: Pki, tight: Running, coding: grpc.Compression) -> None:
    """A bomb and a kilobyte alike: UNIMPLEMENTED names the coding, and the connection goes on."""
    with calling(pki, tight.port, CITY_12345) as caller:
        for size in (1000, 50_000_000):
            with pytest.raises(grpc.RpcError) as raised:
                raw_call(caller, PUSH, bytes(size), compression=coding)
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert coding.name.lower() in str(raised.value.details())
        assert caller.pull() == []


def test_who_calls_too_often_is_told_to_wait(pki: Pki, tight: Running) -> None:
    """RESOURCE_EXHAUSTED with how long; another organisation is served meanwhile."""
    with calling(pki, tight.port, CITY_12345) as mad, calling(pki, tight.port, CITY_110) as calm:

        def call_on_and_on() -> None:
            for _ in range(2000):
                raw_call(mad, PULL, b"")

        with pytest.raises(grpc.RpcError) as raised:
            call_on_and_on()
        code, reason, _ = failure(raised)
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        retry = error_details_pb2.RetryInfo()
        status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
        assert status is not None
        assert status.details[2].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() > 0
        assert calm.pull() == []


# -- what must not happen


def test_a_defect_shows_a_number_and_nothing_else(
    hotline: Caller, bridge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INTERNAL with a number; the journal has the number, the type and the place, not the words."""
    name = "张三 13800000000"

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError(name)

    monkeypatch.setattr("exchange.query.Query.tickets", broken)
    with pytest.raises(grpc.RpcError) as raised:
        hotline.tickets.ListTickets(ticket_pb.ListTicketsRequest())
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "KeyError" not in str(raised.value.details())
    (event,) = [e for e in bridge.events("unexpected") if e["number"] == facts["number"]]
    assert event["error"] == "builtins.KeyError"
    assert any("broken" in place for place in event["places"])
    assert name not in bridge.journal.getvalue()


def test_the_journal_holds_nothing_that_was_said(hotline: Caller, bridge: Running) -> None:
    """No word of a message's content, in whatever way it went wrong."""
    hotline.push(hotline.sealer.seal(matter()))
    written = bridge.journal.getvalue()
    assert bridge.events("call")
    for word in ("示例事项", "示例内容", "属公安职责", "W-1"):
        assert word not in written
        assert json.dumps(word)[1:-1] not in written or word.isascii()


def test_every_failure_is_complete() -> None:
    """Also the one that tells only a number."""
    status = status_of(Unexpected("0123"))
    assert [any_.TypeName() for any_ in status.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.LocalizedMessage",
    ]
