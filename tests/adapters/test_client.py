"""The client: what it believes, what it repeats, and what it says when a bridge cannot be reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters.settings import read_gateway
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange._proto.v1.exchange_service_pb2_grpc import (
    ExchangeServiceServicer,
    add_ExchangeServiceServicer_to_server,
)
from exchange.client import (
    ExchangeClient,
    IncomingFault,
    IncomingMessage,
    Patience,
    Sealer,
    Written,
    read_certificates,
)
from exchange.envelope import SigningKey
from exchange.errors import (
    BridgeUnavailable,
    ConfigurationError,
    ExchangeError,
    LimitExceeded,
    NotAuthorized,
    RefusalCode,
    VerificationError,
)
from exchange.note import LogKey
from exchange.server.failures import status_of
from exchange.text import Text
from exchange.trust import TrustStore
from tests.adapters.linked import ONCE, Link
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import matter

TEXT = Text(en="Wait.", zh="请稍候。")


def test_a_batch_has_one_signature_and_every_message_is_proved_stored(link: Link) -> None:
    """130 tickets go in calls of 128, signed per batch; each result proves its own message."""
    client = link.client(CITY_12345)
    sealed = client.sealer.seal([message for _ in range(65) for message in matter()])
    values = [
        message_pb2.Envelope.FromString(message.envelope).signature.value for message in sealed
    ]

    results = client.push_sealed(sealed)

    assert 2 == len(set(values))
    assert [m.digest for m in sealed] == [r.digest for r in results]
    assert all(result.stored and result.receipt for result in results), results
    # The messages, and before them the act that says by which rules the bridge reckons.
    assert client.checkpoint.startswith("bridge.example/log/1\n131\n")


def test_a_repeat_gives_the_same_receipt_and_a_refusal_names_its_fields(link: Link) -> None:
    """Pushing again is safe; a refusal is an answer with the fields at fault."""
    client = link.client(CITY_12345)
    sealed = client.sealer.seal(matter())
    opening, offer = matter()
    unknown = dataclasses.replace(offer, handoff_id=opening.message_id, recipient="000000000000")

    first, again = client.push_sealed(sealed), client.push_sealed(sealed)
    refused = client.push([opening, unknown])[1]

    assert [r.receipt for r in first] == [r.receipt for r in again]
    assert refused.refusal is not None
    assert RefusalCode.ORGANISATION_UNKNOWN is refused.refusal.code


def test_a_receipt_of_a_log_that_is_not_trusted_is_not_believed(link: Link, pki: Pki) -> None:
    """Without the log's own key the bridge's word that something is stored counts for nothing."""
    path = link.folder / "other.vkey"
    path.write_text(f"{LogKey.from_seed('bridge.example/log/1', bytes(32)).verifier}\n")
    files = dataclasses.replace(read_gateway(link.config(CITY_12345)), log_verifiers=[path])
    with ExchangeClient.dial(files, patience=ONCE) as client:
        results = client.push(matter())

    assert [None, None] == [result.stored for result in results]
    assert all(isinstance(result.failure, VerificationError) for result in results)


def test_a_receipt_of_another_message_is_not_believed(link: Link) -> None:
    """A true receipt given for the wrong message, or with a changed time, proves nothing."""
    client = link.client(CITY_12345)
    opened, offered = client.push(matter())
    receipt = receipt_pb2.Receipt.FromString(opened.receipt).stored
    client._check.stored(receipt, opened.digest)

    with pytest.raises(VerificationError):
        client._check.stored(receipt, offered.digest)
    receipt.accept_time.seconds -= 3600
    with pytest.raises(VerificationError):
        client._check.stored(receipt, opened.digest)


def test_a_network_without_roots_here_is_our_fault_not_the_authors(link: Link) -> None:
    """A receiver that lacks the other network's root refuses nothing: it says what is missing."""
    link.client(CITY_12345).push(matter())
    files = read_gateway(link.config(CITY_110))
    own = {network: path for network, path in files.trust.items() if "police" in network}
    with ExchangeClient.dial(dataclasses.replace(files, trust=own), patience=ONCE) as client:
        faults = client.pull()

    assert faults
    for fault in faults:
        assert isinstance(fault, IncomingFault)
        assert fault.refusal is None
        assert "network-unknown" == fault.failure.facts["rule"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: setattr(e.groups[0], "salt", bytes(16)),
         RefusalCode.GROUP_DIGEST_MISMATCH),
        (lambda e: setattr(e.signature, "value", bytes(64)), RefusalCode.SIGNATURE_INVALID),
        (lambda e: e.ClearField("signature"), RefusalCode.UNSIGNED),
    ],
)  # fmt: skip
def test_what_a_bridge_changed_is_a_fault(link: Link, change: Any, code: RefusalCode) -> None:
    """One group, signature or byte changed on the way is found by the receiver itself."""
    sender, receiver = link.client(CITY_12345), link.client(CITY_110)
    (_, offer) = sender.sealer.seal(matter())
    envelope = message_pb2.Envelope.FromString(offer.envelope)
    change(envelope)
    delivery = pb.Delivery(lane="l", position=1, envelope=envelope.SerializeToString())
    chains = {
        sender.sealer.signer.public.key_id: tuple(
            read_certificates(link.pki.signer(CITY_12345).certificate)
        )
    }

    (fault,) = receiver._check.deliveries([delivery], chains, receiver._patience.clock())

    assert isinstance(fault, IncomingFault)
    assert fault.refusal is not None
    assert code is fault.refusal.code


def test_an_acknowledgement_counts_once(link: Link) -> None:
    """Written is recorded with its leaf, the second time with the same one."""
    link.client(CITY_12345).push(matter())
    police = link.client(CITY_110)
    items = [item for item in police.pull() if isinstance(item, IncomingMessage)]
    now = police._patience.clock()
    said = [
        Written(message_id=i.message_id, digest=i.digest, local_number=f"J-{n}", time=now)
        for n, i in enumerate(items)
    ]

    first, again = police.acknowledge(said), police.acknowledge(said)

    assert first == again
    assert all(result.failure is None and result.refusal is None for result in first), first


def test_the_reading_side_answers(link: Link) -> None:
    """One ticket, a list over several pages, a trail, and the directory."""
    client = link.client(CITY_12345)
    opened = [matter() for _ in range(3)]
    client.push([message for pair in opened for message in pair])
    ticket = opened[0][0].ticket_id

    assert ticket == client.tickets.get(ticket).ticket.ticket_id
    listed = [t.ticket_id for t in client.tickets.list(open_only=True, page_size=2)]
    assert {pair[0].ticket_id for pair in opened} == set(listed)
    assert ["open_ticket", "offer"] == [e.kind for e in client.tickets.trail(ticket, page_size=1)]
    assert CITY_110.organisation in {o.code for o in client.directory.organisations()}
    assert "national" == client.directory.profile().name
    assert next(client.directory.matters("噪音")).id


class _Busy(ExchangeServiceServicer):
    """Fails as told, in order; then leaves everything undecided."""

    def __init__(self, failures: list[ExchangeError]) -> None:
        self.failures = failures
        self.calls = 0

    def PullMessages(  # noqa: N802 - the contract's name
        self, request: pb.PullMessagesRequest, context: Any
    ) -> pb.PullMessagesResponse:
        """Fail, or deliver nothing."""
        self.calls += 1
        if self.failures:
            status = status_of(self.failures.pop(0))
            context.abort_with_status(_Status(status))
        return pb.PullMessagesResponse()


class _Status(grpc.Status):
    """A failure as a synchronous server gives it."""

    def __init__(self, status: Any) -> None:
        self.code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        self.details = status.message
        self.trailing_metadata = (("grpc-status-details-bin", status.SerializeToString()),)


@contextmanager
def failing(
    pki: Pki, *failures: ExchangeError
) -> Iterator[tuple[ExchangeClient, _Busy, list[float]]]:
    """Serve *failures* on loopback; yield a client, the server and how long the client slept."""
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    busy = _Busy(list(failures))  # type: ignore[abstract]  # only pulling is asked of it
    slept: list[float] = []
    add_ExchangeServiceServicer_to_server(busy, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    signer = pki.signer(CITY_110)
    try:
        with ExchangeClient(
            grpc.insecure_channel(f"127.0.0.1:{port}"),
            sealer=Sealer(CITY_110.organisation, SigningKey.load(signer.key, signer.certificate)),
            certificates=read_certificates(signer.certificate),
            trust=TrustStore.load(pki.development.trust),
            logs=[],
            patience=Patience(sleep=slept.append),
        ) as client:
            yield client, busy, slept
    finally:
        server.stop(None).wait()


def test_a_busy_bridge_is_asked_again_when_it_said(pki: Pki) -> None:
    """The client waits as long as RetryInfo asks, a little more by chance, and then succeeds."""
    busy = [LimitExceeded(TEXT, retry_after="0.5"), LimitExceeded(TEXT, retry_after="0.5")]
    with failing(pki, *busy) as (client, server, slept):
        assert [] == client.pull()

    assert 3 == server.calls
    assert all(0.5 <= pause <= 0.625 for pause in slept), slept


def test_a_no_is_not_repeated_and_keeps_its_sentences(pki: Pki) -> None:
    """What a retry cannot help fails at once, as its own class, in both languages."""
    with (
        failing(pki, NotAuthorized(TEXT, method="m")) as (client, server, slept),
        pytest.raises(NotAuthorized) as raised,
    ):
        client.pull()

    assert (1, []) == (server.calls, slept)
    assert (TEXT, {"method": "m"}) == (raised.value.text, raised.value.facts)


def test_patience_ends(pki: Pki) -> None:
    """After the tries that could help the failure is the caller's to know."""
    with (
        failing(pki, *[LimitExceeded(TEXT) for _ in range(9)]) as (client, server, _),
        pytest.raises(LimitExceeded),
    ):
        client.pull()

    assert 4 == server.calls


def test_a_refused_handshake_tells_where_to_look(link: Link) -> None:
    """What grpc calls a closed socket becomes a sentence that names the doctor."""
    expired = link.pki.defects["expired"]
    files = dataclasses.replace(
        read_gateway(link.config(CITY_12345)),
        gateway_key=expired.key,
        gateway_chain=expired.certificate,
    )
    with (
        ExchangeClient.dial(files, patience=ONCE) as client,
        pytest.raises(BridgeUnavailable, match=r"refused the handshake.*exchange doctor --config"),
    ):
        client.pull()


def test_empty_roots_are_refused(link: Link, tmp_path: Path) -> None:
    """Grpc would take an empty file for every public web authority."""
    empty = tmp_path / "roots.pem"
    empty.touch()
    files = dataclasses.replace(read_gateway(link.config(CITY_12345)), bridge_roots=empty)

    with pytest.raises(ConfigurationError, match="public web authority"):
        ExchangeClient.dial(files)


def test_an_interrupted_client_waits_no_more(link: Link) -> None:
    """After `interrupt` a pull that would wait ends at once; a plain one still answers."""
    client = link.client(CITY_12345)
    client.interrupt()

    with pytest.raises(BridgeUnavailable, match="stops"):
        client.pull(wait=timedelta(seconds=55))
    assert [] == client.pull()
