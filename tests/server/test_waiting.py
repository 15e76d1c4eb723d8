"""Pulling: who waits is woken, what is leased comes again, who gives up leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.duration_pb2 import Duration

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange.acts import Kind, Urgency
from exchange.bridge import Mailboxes
from exchange.client.messages import OutgoingMessage, SealedMessage
from exchange.delivery import LEASE
from exchange.server.exchange_service import ExchangeService
from exchange.submission import Delivered
from tests.pki import CITY_110, Pki
from tests.server.holding import listening
from tests.server.running import Caller, Running, calling, failure, matter, running

A_MINUTE = pb.PullMessagesRequest(wait=Duration(seconds=60))


class Clock:
    """The real time, and what the test adds to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    """The bridge's clock."""
    return Clock()


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path, clock: Clock) -> Iterator[Running]:
    """A bridge of the test's own, with few waiting pulls."""
    with running(pki, tmp_path, clock=clock, waiting_pulls=2) as found:
        yield found


def follow_up(ticket_id: str, handoff_id: str) -> OutgoingMessage:
    """Return the hotline's supplement to a hand-off."""
    return OutgoingMessage(
        kind=Kind.SUPPLEMENT,
        ticket_id=ticket_id,
        handoff_id=handoff_id,
        created=datetime.now(UTC),
        recipient=CITY_110.organisation,
        message_id=str(uuid.uuid4()),
        groups={"content": {"content": "补充。"}},
    )


def acknowledge_all(
    caller: Caller, deliveries: list[pb.Delivery], sealed: list[SealedMessage]
) -> None:
    """Say that every delivery, each one of *sealed*, is written."""
    names = {message.envelope: message.message_id for message in sealed}
    said = [caller.written(delivery, names[delivery.envelope]) for delivery in deliveries]
    assert all(outcome.HasField("recorded") for outcome in caller.acknowledge(*said))


def certificate_end(pki: Pki) -> datetime:
    """Return when the police gateway's chain ends."""
    path = pki.gateway(CITY_110).certificate
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    return min(certificate.not_valid_after_utc for certificate in chain)


def ids(deliveries: list[pb.Delivery]) -> list[bytes]:
    """Return what was delivered."""
    return [delivery.envelope for delivery in deliveries]


def test_a_waiting_pull_is_woken_by_a_push(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """It need not poll, and its wait costs no thread of the bridge."""
    sealed = hotline.sealer.seal(matter())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60)
        listening(bridge, 1)
        hotline.push(sealed)
        assert sealed[1].envelope in ids(waiting.result(30))
    listening(bridge, 0)


def test_a_pull_that_does_not_wait_answers_at_once(police: Caller) -> None:
    """Nothing there is an answer, with the newest checkpoint."""
    answer = police.exchange.PullMessages(pb.PullMessagesRequest(), timeout=20)
    assert list(answer.deliveries) == []
    assert answer.checkpoint.startswith("bridge.example/log/1\n")


def test_signers_come_with_what_they_signed(hotline: Caller, police: Caller) -> None:
    """A receiver can verify the author without asking anybody else."""
    hotline.push(hotline.sealer.seal(matter()))
    answer = police.exchange.PullMessages(pb.PullMessagesRequest(), timeout=20)
    assert list(answer.certificates) == hotline.certificates


def test_the_urgent_is_delivered_first(hotline: Caller, police: Caller) -> None:
    """Most urgent lanes first, then oldest."""
    routine, urgent = hotline.sealer.seal(matter()), hotline.sealer.seal(matter(Urgency.IMMEDIATE))
    hotline.push([*routine, *urgent])
    got = ids(police.pull(max_deliveries=512))
    assert got.index(urgent[1].envelope) < got.index(routine[1].envelope)


def test_who_waits_for_urgent_lanes_is_given_nothing_else(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """Routine matters come and stay for another pull; the urgent one is brought at once."""
    routine, urgent = hotline.sealer.seal(matter()), hotline.sealer.seal(matter(Urgency.URGENT))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60, least_urgency=common_pb.URGENCY_URGENT)
        listening(bridge, 1)
        hotline.push(routine)
        hotline.push(urgent)
        assert set(ids(waiting.result(30))) == {one.envelope for one in urgent}
    left = ids(police.pull(max_deliveries=512))
    assert routine[1].envelope in left
    assert urgent[1].envelope not in left


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"least_urgency": 2, "after_position": 0}, "after_position or least_urgency"),
        ({"least_urgency": 9}, "least_urgency"),
    ],
    ids=["with a place", "no urgency"],
)
def test_which_lanes_are_wanted_must_be_told_clearly(
    police: Caller, asked: dict[str, Any], named: str
) -> None:
    """The refusal names the field."""
    with pytest.raises(grpc.RpcError) as raised:
        police.exchange.PullMessages(pb.PullMessagesRequest(**asked), timeout=20)
    assert failure(raised)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert named in str(raised.value)


def test_what_an_acknowledgement_frees_reaches_who_waits_for_urgent_lanes(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """Its lane was out with something routine when it came."""
    opening, offer = matter()
    sealed = hotline.sealer.seal([opening, offer])
    hotline.push(sealed)
    first = police.pull()
    later = replace(follow_up(offer.ticket_id, offer.handoff_id), urgency=Urgency.URGENT)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60, least_urgency=common_pb.URGENCY_URGENT)
        listening(bridge, 1)
        (urgent,) = hotline.sealer.seal([later])
        hotline.push([urgent])
        acknowledge_all(police, first, sealed)
        assert ids(waiting.result(30)) == [urgent.envelope]


def test_the_least_urgency_of_all_is_everything(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """Who asks for routine and more is woken by what is routine."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60, least_urgency=common_pb.URGENCY_ROUTINE)
        listening(bridge, 1)
        hotline.push(hotline.sealer.seal(matter()))
        assert len(waiting.result(30)) == 2


def test_what_is_not_acknowledged_comes_again(
    hotline: Caller, police: Caller, clock: Clock
) -> None:
    """While it is leased nobody gets it; when the lease has ended it comes with the next attempt."""
    hotline.push(hotline.sealer.seal(matter()))
    first = police.pull()
    assert [d.attempt for d in first] == [1] * len(first)
    assert police.pull() == []
    clock.ahead += LEASE + timedelta(seconds=1)
    again = police.pull()
    assert ids(again) == ids(first)
    assert [d.attempt for d in again] == [2] * len(first)


def test_a_pull_waits_for_the_lease_of_another(
    pki: Pki, hotline: Caller, police: Caller, bridge: Running
) -> None:
    """A crashed adapter's deliveries reach the next one as soon as their lease ends, unasked."""
    assert bridge.server is not None
    assert isinstance(bridge.server._mailboxes, Mailboxes)
    bridge.server._mailboxes._leases.length = timedelta(milliseconds=300)
    hotline.push(hotline.sealer.seal(matter()))
    crashed = police.pull()
    assert crashed
    again = police.pull(wait=60)
    assert ids(again) == ids(crashed)


def test_an_acknowledgement_wakes_the_next_of_its_lane(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """The lane's second message waits behind the first one's lease, and comes with its end."""
    sealed = hotline.sealer.seal(matter())
    hotline.push(sealed)
    first = police.pull()
    behind = hotline.sealer.seal([follow_up(sealed[1].ticket_id, sealed[1].handoff_id)])
    hotline.push(behind)
    assert police.pull() == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(police.pull, 60)
        listening(bridge, 1)
        acknowledge_all(police, first, sealed)
        assert behind[0].envelope in ids(waiting.result(30))


def test_who_gives_up_leaves_nothing_behind(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """A cancelled wait listens no more, holds no place, and has leased nothing."""
    calls = [police.exchange.PullMessages.future(A_MINUTE) for _ in range(2)]
    listening(bridge, 2)
    for call in calls:
        call.cancel()
    listening(bridge, 0)
    hotline.push(hotline.sealer.seal(matter()))
    assert police.pull(wait=1)


def test_what_was_leased_for_nobody_is_given_back(
    hotline: Caller, police: Caller, bridge: Running
) -> None:
    """A call given up while it leases: the next one need not wait for the lease's end."""
    hotline.push(hotline.sealer.seal(matter()))
    assert bridge.server is not None
    service = bridge.server._mailboxes
    pull, leased, gone = service.pull, threading.Event(), threading.Event()

    def held(*asked: Any, **more: Any) -> list[Delivered]:
        delivered = pull(*asked, **more)
        leased.set()
        assert gone.wait(30)
        return delivered

    service.pull = held  # type: ignore[method-assign]
    call = police.exchange.PullMessages.future(A_MINUTE)
    assert leased.wait(30)
    call.cancel()
    listening(bridge, 0)
    service.pull = pull  # type: ignore[method-assign]
    gone.set()
    assert police.pull()


def test_what_is_given_back_wakes_another_of_the_desk(
    pki: Pki, hotline: Caller, police: Caller, bridge: Running
) -> None:
    """Its second gateway, which saw the lane out and waits, does not wait for the lease's end."""
    assert bridge.server is not None
    service = bridge.server._mailboxes
    pull, leased, gone = service.pull, threading.Event(), threading.Event()

    def held(*asked: Any, **more: Any) -> list[Delivered]:
        delivered = pull(*asked, **more)
        leased.set()
        assert gone.wait(30)
        return delivered

    service.pull = held  # type: ignore[method-assign]
    sealed = hotline.sealer.seal(matter())
    hotline.push(sealed)
    call = police.exchange.PullMessages.future(A_MINUTE)
    assert leased.wait(30)
    service.pull = pull  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool, calling(pki, bridge.port, CITY_110) as second:
        waiting = pool.submit(second.pull, 60)
        listening(bridge, 2)
        call.cancel()
        listening(bridge, 1)
        gone.set()
        assert sealed[1].envelope in ids(waiting.result(20))


def test_only_so_many_may_wait(police: Caller, bridge: Running) -> None:
    """The third is told, and how long to wait; when one ends there is a place again."""
    calls = [police.exchange.PullMessages.future(A_MINUTE) for _ in range(2)]
    listening(bridge, 2)
    with pytest.raises(grpc.RpcError) as raised:
        police.pull()
    code, reason, facts = failure(raised)
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert float(facts["retry_after"]) > 0
    for call in calls:
        call.cancel()
    listening(bridge, 0)
    assert police.pull() == []


def test_a_wait_does_not_outlive_its_certificate(
    pki: Pki, bridge: Running, police: Caller, clock: Clock
) -> None:
    """H4: the connection stays; the wait ends with the certificate, and the next call is refused."""
    assert police.pull() == []
    ends = certificate_end(pki)
    clock.ahead = ends - datetime.now(UTC) - timedelta(seconds=0.5)
    assert police.pull(wait=60) == []  # well before its minute: the test has no minute
    clock.ahead += timedelta(seconds=1)
    with pytest.raises(grpc.RpcError) as raised:
        police.pull()
    code, _, facts = failure(raised)
    assert (code, facts["rule"]) == (grpc.StatusCode.UNAUTHENTICATED, "validity")


def test_reconciling_answers_and_brings_back(hotline: Caller, police: Caller) -> None:
    """What a party lost after acknowledging it is in its mailbox again, and is announced."""
    sealed = hotline.sealer.seal(matter())
    hotline.push(sealed)
    acknowledge_all(police, police.pull(), sealed)
    assert police.pull() == []
    heads = [pb.HandoffHead(handoff_id=sealed[1].handoff_id), pb.HandoffHead(handoff_id="0" * 36)]
    findings = police.exchange.ReconcileHandoffs(pb.ReconcileHandoffsRequest(heads=heads)).findings
    assert [finding.agreement for finding in findings] == [
        pb.HANDOFF_AGREEMENT_CALLER_BEHIND,
        pb.HANDOFF_AGREEMENT_UNKNOWN,
    ]
    assert sealed[1].envelope in ids(police.pull())


def test_two_connections_of_one_desk_share_one_mailbox(
    pki: Pki, bridge: Running, hotline: Caller, police: Caller
) -> None:
    """What one gateway leased the other does not get."""
    hotline.push(hotline.sealer.seal(matter()))
    with calling(pki, bridge.port, CITY_110) as second:
        assert police.pull()
        assert second.pull() == []


def test_an_urgent_message_reaches_its_receiver_before_its_senders_receipt(
    hotline: Caller, police: Caller, bridge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the woken pull is under way the push is not answered; how long at most is bounded."""
    monkeypatch.setattr("exchange.server.exchange_service._RECEIVER_FIRST", 60.0)
    found, opened = threading.Event(), threading.Event()
    known_chains = ExchangeService._known_chains

    async def held(service: ExchangeService, key_ids: Sequence[bytes]) -> Any:
        if key_ids:
            found.set()
            assert await asyncio.get_running_loop().run_in_executor(None, opened.wait, 30)
        return await known_chains(service, key_ids)

    monkeypatch.setattr(ExchangeService, "_known_chains", held)
    waiting = police.exchange.PullMessages.future(A_MINUTE)
    listening(bridge, 1)
    pushing = hotline.exchange.PushMessages.future(
        pb.PushMessagesRequest(
            envelopes=[m.envelope for m in hotline.sealer.seal(matter(urgency=Urgency.URGENT))],
            certificates=hotline.certificates,
        ),
        timeout=60,
    )
    assert found.wait(30)  # the push is durable: the woken pull has it
    with pytest.raises(grpc.FutureTimeoutError):
        pushing.result(timeout=1)
    opened.set()
    assert len(waiting.result().deliveries) == 2
    assert len(pushing.result().outcomes) == 2
