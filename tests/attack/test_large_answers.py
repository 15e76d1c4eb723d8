"""However large what waits: an answer stays below what any gRPC client takes by default, 4 MiB."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.acts import Kind
from exchange.client.calls import Calls, Patience
from exchange.client.tickets import Tickets
from exchange.server.answers import ANSWER_BYTES, page_within
from exchange.wire.headers import MAX_ENVELOPE
from tests.attack.evidence import findings
from tests.pki import Pki
from tests.server.running import Caller, Running, matter

#: What a client takes that was not told otherwise; `tests.mtls.handshake.dial` tells it nothing.
USUAL_CLIENT = 4 * 1024 * 1024


def filled(envelope: bytes) -> bytes:
    """Return *envelope* with a field of a later contract that fills it to the largest size."""
    rest = MAX_ENVELOPE - len(envelope) - 5
    size = bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14])
    return envelope + b"\xfa\x3f" + size + bytes(rest)


def pulled(caller: Caller) -> Iterator[pb.PullMessagesResponse]:
    """Yield what pulls give, each written before the next, until nothing waits."""
    while True:
        response = caller.exchange.PullMessages(
            pb.PullMessagesRequest(max_deliveries=512), timeout=30
        )
        if not response.deliveries:
            return
        yield response
        caller.acknowledge(*(acknowledgement(caller, d) for d in response.deliveries))


def acknowledgement(caller: Caller, delivery: pb.Delivery) -> pb.Acknowledgement:
    """Return what a receiver says when it has written a delivery."""
    if delivery.WhichOneof("content") == "receipt":
        return pb.Acknowledgement(receipt_position=delivery.position)
    envelope = message_pb2.Envelope.FromString(delivery.envelope)
    header = message_pb2.Header.FromString(envelope.header)
    return caller.written(delivery, header.message_id)


def test_a_pull_of_the_largest_messages(
    bridge: Running, pki: Pki, hotline: Caller, police: Caller
) -> None:
    """A hundred messages of 64 KiB come in several answers, each once and in its lane's order."""
    for _ in pulled(police):
        pass  # what earlier tests left
    pairs = [hotline.sealer.seal(matter()) for _ in range(50)]
    large = [filled(message.envelope) for pair in pairs for message in pair]
    for half in (large[:50], large[50:]):
        assert {o.WhichOneof("outcome") for o in hotline.push(half)} == {"stored"}
    answers = list(pulled(police))
    deliveries = [delivery for answer in answers for delivery in answer.deliveries]
    assert sorted(large) == sorted(delivery.envelope for delivery in deliveries)
    for pair in pairs:
        lane = [d.envelope for d in deliveries if d.lane == pair[1].handoff_id]
        assert lane == [filled(message.envelope) for message in pair]
    assert {delivery.attempt for delivery in deliveries} == {1}
    assert len(answers) == 2
    assert all(len(a.deliveries) > 1 and a.ByteSize() < USUAL_CLIENT for a in answers)
    assert not findings(bridge.settings.database, pki)


def test_pages_end_where_an_answer_is_full(
    bridge: Running, hotline: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists and trails: a page ends early and the next goes on there, nothing twice or left out."""
    pushed = [hotline.sealer.seal(matter()) for _ in range(12)]
    for sealed in pushed:
        hotline.push(sealed)
    first, offer = matter()
    offers = [
        replace(offer, handoff_id=str(uuid.uuid4()), message_id=str(uuid.uuid4()))
        for _ in range(12)
    ]
    many = hotline.sealer.seal([first, *offers])
    hotline.push(many)
    room = 3000  # of four tickets or two entries, instead of millions of them
    monkeypatch.setattr("exchange.server.answers.ANSWER_BYTES", room)

    tickets: list[str] = []
    sizes: list[tuple[int, int]] = []
    listing = ticket_pb.ListTicketsRequest(page_size=500)
    while len(tickets) < 13:
        page = hotline.tickets.ListTickets(listing, timeout=30)
        tickets += [ticket.ticket_id for ticket in page.tickets]
        sizes.append((len(page.tickets), page.ByteSize()))
        listing.page_token = page.next_page_token
    assert tickets[:13] == [many[0].ticket_id, *(sealed[0].ticket_id for sealed in pushed[::-1])]
    assert all(items == 1 or size <= room for items, size in sizes)
    assert sizes[0][0] == 1  # alone it is too large, and given all the same
    assert sizes[0][1] > room
    assert sizes[1][0] > 1

    entries: list[str] = []
    sizes = []
    trail = ticket_pb.GetTrailRequest(ticket_id=many[0].ticket_id, page_size=500)
    while not entries or trail.page_token:
        answer = hotline.tickets.GetTrail(trail, timeout=30)
        entries += [entry.message_id for entry in answer.entries]
        sizes.append((len(answer.entries), answer.ByteSize()))
        trail.page_token = answer.next_page_token
    assert entries == [message.message_id for message in many]
    assert len(sizes) > 1
    assert all(items == 1 or size <= room for items, size in sizes)


def test_a_tickets_content_comes_in_pages(
    hotline: Caller, police: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a ticket was supplemented: pages that fit, all of it, and one answer for a client."""
    opening, offer = matter()
    added = [
        replace(
            offer, kind=Kind.SUPPLEMENT, act={}, message_id=str(uuid.uuid4()),
            groups={"content": {"content": "补充。" * 300}},
        )
        for _ in range(9)
    ]  # fmt: skip
    pushed = hotline.sealer.seal([opening, offer, *added])
    assert {o.WhichOneof("outcome") for o in hotline.push(pushed)} == {"stored"}
    content = [pushed[0].envelope, *(one.envelope for one in pushed[2:])]
    room = 9000
    monkeypatch.setattr("exchange.server.answers.ANSWER_BYTES", room)

    request = ticket_pb.GetTicketRequest(ticket_id=opening.ticket_id, page_size=500)
    pages: list[ticket_pb.GetTicketResponse] = []
    while not pages or request.page_token:
        pages.append(police.tickets.GetTicket(request, timeout=30))
        request.page_token = pages[-1].next_page_token
    assert [envelope for page in pages for envelope in page.envelopes] == content
    assert len(pages) > 2
    assert all(len(page.envelopes) == 1 or page.ByteSize() <= room for page in pages)
    assert {page.ticket.ticket_id for page in pages} == {opening.ticket_id}

    calls = Calls("the bridge", Patience(deadline=timedelta(seconds=30)))
    whole = Tickets(police.channel, calls).get(opening.ticket_id)
    assert (list(whole.envelopes), whole.next_page_token) == (content, "")


def test_a_reconcile_names_as_many_as_there_is_room_for(
    bridge: Running, hotline: Caller, police: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an answer has no room to name is put back all the same, and comes by the next pull."""
    for _ in pulled(police):
        pass  # what earlier tests left
    pairs = [hotline.sealer.seal(matter()) for _ in range(3)]
    hotline.push([message for pair in pairs for message in pair])
    for _ in pulled(police):
        pass
    monkeypatch.setattr("exchange.server.answers.NAMED", 3)
    heads = [
        pb.HandoffHead(handoff_id=pair[1].handoff_id, compare_notes=True, digest=b"")
        for pair in pairs
    ]
    answer = police.exchange.ReconcileHandoffs(pb.ReconcileHandoffsRequest(heads=heads), timeout=30)
    named = [list(finding.redelivered_message_ids) for finding in answer.findings]
    ids = [[message.message_id for message in pair] for pair in pairs]
    assert named == [ids[0], ids[1][:1], []]
    assert answer.redelivered == 6
    came = [delivery.envelope for got in pulled(police) for delivery in got.deliveries]
    assert sorted(came) == sorted(message.envelope for pair in pairs for message in pair)


@pytest.mark.parametrize(
    ("entry", "asked", "given"), [(1000, 500, 500), (100_000, 50, 33), (4_000_000, 2, 1)]
)
def test_a_page_holds_what_there_is_room_for(entry: int, asked: int, given: int) -> None:
    """Of small entries all that was asked for, of large ones fewer, of too large ones still one."""
    made = []

    def make(size: int) -> ticket_pb.GetTrailResponse:
        made.append(size)
        return ticket_pb.GetTrailResponse(
            entries=[ticket_pb.TrailEntry(digest=bytes(entry))] * size
        )

    page = page_within(make, asked)
    assert len(page.entries) == given
    assert page.ByteSize() <= ANSWER_BYTES or given == 1
    assert len(made) <= 3
