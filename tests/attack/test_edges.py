"""Every limit at its edge, over real TLS: as much as it says is served, and one more is told so."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.wire.headers import MAX_ENVELOPE
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.holding import Gate, listening
from tests.server.running import Caller, Running, calling, failure, matter, running

EXCHANGE = "/hotline.exchange.v1.ExchangeService/"
TICKETS = "/hotline.exchange.v1.TicketService/"
DIRECTORY = "/hotline.exchange.v1.DirectoryService/"

CHAIN = message_pb2.CertificateChain(certificates=[b"x"])
ACKNOWLEDGED = pb.Acknowledgement(receipt_position=1)
HEAD = pb.HandoffHead(handoff_id="0" * 36)


def pushes(**fields: Any) -> pb.PushMessagesRequest:
    """Return a push of one envelope that is none, unless *fields* say otherwise."""
    return pb.PushMessagesRequest(**{"envelopes": [b"x"], **fields})


def waits(nanos: int) -> pb.PullMessagesRequest:
    """Return a pull that waits a minute and *nanos*."""
    return pb.PullMessagesRequest(wait=Duration(seconds=60, nanos=nanos))


#: Method, and by the number of what is asked for the request; then the limit and the rule it breaks.
LIMITS: dict[str, tuple[str, Callable[[int], Message], int, str]] = {
    "envelopes": (
        EXCHANGE + "PushMessages",
        lambda n: pushes(envelopes=[b"x"] * n),
        512,
        "repeated.max_items",
    ),
    "certificates": (
        EXCHANGE + "PushMessages",
        lambda n: pushes(certificates=[CHAIN] * n),
        16,
        "repeated.max_items",
    ),
    "a-chain": (
        EXCHANGE + "PushMessages",
        lambda n: pushes(certificates=[message_pb2.CertificateChain(certificates=[b"x"] * n)]),
        4,
        "repeated.max_items",
    ),
    "a-certificate": (
        EXCHANGE + "PushMessages",
        lambda n: pushes(certificates=[message_pb2.CertificateChain(certificates=[bytes(n)])]),
        4096,
        "bytes.max_len",
    ),
    "checkpoint": (
        EXCHANGE + "PushMessages",
        lambda n: pushes(checkpoint="x" * n),
        4096,
        "string.max_len",
    ),
    "deliveries": (
        EXCHANGE + "PullMessages",
        lambda n: pb.PullMessagesRequest(max_deliveries=n),
        512,
        "uint32.lte",
    ),
    "acknowledgements": (
        EXCHANGE + "AcknowledgeMessages",
        lambda n: pb.AcknowledgeMessagesRequest(acknowledgements=[ACKNOWLEDGED] * n),
        512,
        "repeated.max_items",
    ),
    "heads": (
        EXCHANGE + "ReconcileHandoffs",
        lambda n: pb.ReconcileHandoffsRequest(heads=[HEAD] * n),
        512,
        "repeated.max_items",
    ),
    "notes": (
        EXCHANGE + "ReconcileHandoffs",
        lambda n: pb.ReconcileHandoffsRequest(
            heads=[pb.HandoffHead(handoff_id="0" * 36, message_ids=["x"] * n)]
        ),
        512,
        "repeated.max_items",
    ),
    "tickets": (
        TICKETS + "ListTickets",
        lambda n: ticket_pb.ListTicketsRequest(page_size=n),
        500,
        "uint32.lte",
    ),
    "organisations": (
        DIRECTORY + "ListOrganisations",
        lambda n: directory_pb.ListOrganisationsRequest(page_size=n),
        1000,
        "uint32.lte",
    ),
}


def ask(caller: Caller, method: str, request: bytes, **more: Any) -> bytes:
    """Call *method* with these bytes; return the answer's."""
    call = caller.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = call(request, timeout=30, **more)
    return answer


def padded(request: Message, size: int) -> bytes:
    """Return *request* with a field of a later contract, *size* bytes in all."""
    raw = request.SerializeToString()
    rest = size - len(raw) - 6
    return (
        raw
        + b"\xfa\x3f"
        + bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14 & 127 | 128, rest >> 21])
        + bytes(rest)
    )


@contextmanager
def tight(pki: Pki, folder: Path, **limits: Any) -> Iterator[tuple[Running, Caller, Caller]]:
    """Serve with *limits*; yield the bridge, the hotline and the police."""
    with (
        running(pki, folder, **limits) as found,
        calling(pki, found.port, CITY_12345) as hotline,
        calling(pki, found.port, CITY_110) as police,
    ):
        yield found, hotline, police


@pytest.mark.parametrize("what", LIMITS)
def test_the_contracts_limits(pki: Pki, bridge: Running, hotline: Caller, what: str) -> None:
    """As many as the contract says pass; one more, and the call fails, naming the rule."""
    method, request, limit, rule = LIMITS[what]
    assert ask(hotline, method, request(limit).SerializeToString()) is not None
    with pytest.raises(grpc.RpcError) as raised:
        ask(hotline, method, request(limit + 1).SerializeToString())
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert facts["rule"] == rule


def test_a_minutes_wait_and_a_nanosecond(hotline: Caller, bridge: Running) -> None:
    """Sixty seconds may be waited, not a nanosecond more."""
    hotline.push(hotline.sealer.seal(matter()))
    call = hotline.exchange.PullMessages.future(waits(0), timeout=70)
    call.cancel()
    with pytest.raises(grpc.RpcError) as raised:
        hotline.exchange.PullMessages(waits(1), timeout=30)
    assert failure(raised)[2]["field"] == "wait"


def test_a_requests_bytes(pki: Pki, tmp_path: Path) -> None:
    """A request of just the limit is answered; one byte more names both sizes."""
    limit = 131_072
    with tight(pki, tmp_path, request_bytes=limit) as (_, hotline, _):
        good = hotline.sealer.seal(matter())
        request = pushes(envelopes=[s.envelope for s in good], certificates=hotline.certificates)
        answer = ask(hotline, EXCHANGE + "PushMessages", padded(request, limit))
        outcomes = pb.PushMessagesResponse.FromString(answer).outcomes
        assert [o.WhichOneof("outcome") for o in outcomes] == ["stored", "stored"]
        with pytest.raises(grpc.RpcError) as raised:
            ask(hotline, EXCHANGE + "PushMessages", padded(request, limit + 1))
        assert failure(raised)[2]["rule"] == "request-size"
        assert f"{limit + 1}" in str(raised.value.details())


def test_metadata_bytes(pki: Pki, tmp_path: Path) -> None:
    """Metadata of just the limit passes, one byte more does not."""
    with tight(pki, tmp_path, metadata_bytes=2048) as (_, hotline, _):
        pull = pb.PullMessagesRequest().SerializeToString()

        def call(size: int) -> None:
            ask(hotline, EXCHANGE + "PullMessages", pull, metadata=(("x", "y" * size),))

        with pytest.raises(grpc.RpcError) as raised:
            call(2048)
        (counted,) = re.findall(r"has (\d+) bytes", str(raised.value.details()))
        call(2048 - (int(counted) - 2048))
        with pytest.raises(grpc.RpcError) as raised:
            call(2048 - (int(counted) - 2048) + 1)
        assert failure(raised)[2]["rule"] == "metadata-size"
        assert "has 2049 bytes" in str(raised.value.details())


def test_messages_in_flight(pki: Pki, tmp_path: Path) -> None:
    """While 512 of one organisation are being stored no 513th is taken, but another's is."""
    with tight(pki, tmp_path, messages_in_flight=512) as (found, hotline, police):
        gate = Gate(found)
        full = pushes(envelopes=[b"x"] * 512)
        inside = hotline.exchange.PushMessages.future(full, timeout=60)
        assert gate.begun.wait(30)
        with pytest.raises(grpc.RpcError) as raised:
            hotline.exchange.PushMessages(pushes(), timeout=30)
        code, reason, facts = failure(raised)
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        assert float(facts["retry_after"]) > 0
        others = police.exchange.PushMessages.future(pushes(), timeout=60)
        gate.opened.set()
        assert len(inside.result().outcomes) == 512
        assert len(others.result().outcomes) == 1
        assert len(hotline.exchange.PushMessages(pushes(), timeout=30).outcomes) == 1


def test_messages_a_second(pki: Pki, tmp_path: Path) -> None:
    """Two calls of 512 may come at once; the next, whatever it brings, is told how long to wait, another's is not."""
    with tight(pki, tmp_path, messages_per_second=1) as (_, hotline, police):
        full = pushes(envelopes=[b"x"] * 512)
        for _ in range(2):
            assert len(hotline.exchange.PushMessages(full, timeout=30).outcomes) == 512
        acknowledged = pb.AcknowledgeMessagesRequest(acknowledgements=[ACKNOWLEDGED] * 512)
        for call, request in (
            (hotline.exchange.PushMessages, full),
            (hotline.exchange.AcknowledgeMessages, acknowledged),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                call(request, timeout=30)
            code, reason, facts = failure(raised)
            assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
            assert float(facts["retry_after"]) > 0
        assert len(police.exchange.PushMessages(full, timeout=30).outcomes) == 512


def test_queued_messages(pki: Pki, tmp_path: Path) -> None:
    """Of all together so many wait; the next is told, whoever it is, and nothing of it is taken."""
    with tight(pki, tmp_path, queued_messages=512) as (found, hotline, police):
        gate = Gate(found)
        first = hotline.exchange.PushMessages.future(pushes(), timeout=60)
        assert gate.begun.wait(30)
        queued = hotline.exchange.PushMessages.future(pushes(envelopes=[b"x"] * 512), timeout=60)
        # On the same connection: when it is answered, the push before it is queued.
        hotline.pull()
        with pytest.raises(grpc.RpcError) as raised:
            police.exchange.PushMessages(pushes(), timeout=30)
        assert failure(raised)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        gate.opened.set()
        assert (len(first.result().outcomes), len(queued.result().outcomes)) == (1, 512)
        assert len(police.exchange.PushMessages(pushes(), timeout=30).outcomes) == 1


def test_calls_at_once(pki: Pki, tmp_path: Path) -> None:
    """Eight calls are inside; the ninth is turned away, and served when one has ended."""
    with tight(pki, tmp_path, calls_at_once=8) as (found, hotline, police):
        inside = [police.exchange.PullMessages.future(waits(0), timeout=70) for _ in range(8)]
        listening(found, 8)
        with pytest.raises(grpc.RpcError) as raised:
            hotline.pull()
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        inside[0].cancel()
        listening(found, 7)
        assert hotline.pull() == []
        for call in inside:
            call.cancel()


def test_a_lease(pki: Pki, tmp_path: Path) -> None:
    """Until the lease's last moment nobody gets it; then it comes again."""
    start = datetime.now(UTC)
    ahead = [timedelta()]
    with (
        running(pki, tmp_path, clock=lambda: start + ahead[0], lease_seconds=7) as found,
        calling(pki, found.port, CITY_12345) as hotline,
        calling(pki, found.port, CITY_110) as police,
    ):
        hotline.push(hotline.sealer.seal(matter()))
        first = police.pull()
        assert {d.lease_expire_time.ToDatetime(UTC) for d in first} == {
            start + timedelta(seconds=7)
        }
        ahead[0] = timedelta(seconds=7) - timedelta(microseconds=1)
        assert police.pull() == []
        ahead[0] = timedelta(seconds=7)
        assert [d.position for d in police.pull()] == [d.position for d in first]


def test_connections(pki: Pki, tmp_path: Path) -> None:
    """TCP alone counts: beside two that say nothing a third is hung up on, until one of them goes."""
    with running(pki, tmp_path, connections=2) as found, ExitStack() as stack:
        place = ("127.0.0.1", found.port)
        silent = [stack.enter_context(socket.create_connection(place)) for _ in range(2)]
        with socket.create_connection(place, timeout=5) as third:
            assert third.recv(1) == b""  # before the ten seconds that a handshake may take
        for one in silent:
            one.close()
        with calling(pki, found.port, CITY_12345) as hotline:
            # The bridge sees a moment later that they have gone.
            grpc.channel_ready_future(hotline.channel).result(timeout=30)
            assert hotline.pull() == []
            with calling(pki, found.port, CITY_110) as police:
                grpc.channel_ready_future(police.channel).result(timeout=30)
                assert police.pull() == []
                with (
                    calling(pki, found.port, COUNTY_12345) as county,
                    pytest.raises(grpc.RpcError) as raised,
                ):
                    county.pull()
                assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
                # Who has a connection keeps it.
                assert hotline.push(hotline.sealer.seal(matter()))
                assert police.pull()


def test_the_largest_envelope_in_the_largest_batch(bridge: Running, hotline: Caller) -> None:
    """A request is full before a batch of the largest messages is: what fits is stored at once."""
    limit = bridge.settings.limits.request_bytes
    many = []
    for _ in range(limit // (MAX_ENVELOPE + 64)):
        opening = matter()[0]
        (sealed,) = hotline.sealer.seal([opening])
        rest = MAX_ENVELOPE - len(sealed.envelope) - 5
        size = bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14])
        many.append(sealed.envelope + b"\xfa\x3f" + size + bytes(rest))
    assert {len(envelope) for envelope in many} == {MAX_ENVELOPE}
    assert {o.WhichOneof("outcome") for o in hotline.push(many)} == {"stored"}
