"""Reading tickets: one, a list, a trail, as far as the caller may see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import grpc

from exchange._proto.v1 import receipt_file_pb2 as file_pb
from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange._proto.v1 import witness_service_pb2 as witness_pb
from exchange._proto.v1.ticket_service_pb2_grpc import TicketServiceStub
from exchange._proto.v1.witness_service_pb2_grpc import WitnessServiceStub
from exchange.client.calls import Calls
from exchange.errors import NotAuthorized
from exchange.ticket import State


class Tickets:
    """
    The reading calls.

    Answers are the contract's own messages, typed by the generated stubs; state numbers equal
    those of `exchange.ticket.State`.
    """

    def __init__(self, channel: grpc.Channel, call: Calls) -> None:
        self._call = call
        self._stub = TicketServiceStub(channel)
        self._witnesses = WitnessServiceStub(channel)

    def get(self, ticket_id: str) -> pb.GetTicketResponse:
        """Return one ticket and the envelopes of its content, all pages; raises `NotFound`."""
        request = pb.GetTicketRequest(ticket_id=ticket_id)
        whole = self._call(self._stub.GetTicket, request)
        while whole.next_page_token:
            request.page_token = whole.next_page_token
            page = self._call(self._stub.GetTicket, request)
            whole.envelopes.extend(page.envelopes)
            whole.next_page_token = page.next_page_token
        return whole

    def list(
        self,
        *,
        state: State | None = None,
        region: str = "",
        matter: str = "",
        organisation: str = "",
        answers: str = "",
        opened_from: datetime | None = None,
        opened_until: datetime | None = None,
        overdue: bool = False,
        open_only: bool = False,
        owes: str = "",
        reminded: bool = False,
        page_size: int = 100,
    ) -> Iterator[pb.TicketSummary]:
        """Yield the tickets for which every condition given holds, newest first, page by page."""
        request = pb.ListTicketsRequest(
            page_size=page_size,
            state=pb.HandoffState.ValueType(state or 0),
            region=region,
            matter=matter,
            organisation=organisation,
            answers=answers,
            overdue=overdue,
            open_only=open_only,
            owes=owes,
            reminded=reminded,
        )
        if opened_from is not None:
            request.open_time_from.FromDatetime(opened_from)
        if opened_until is not None:
            request.open_time_until.FromDatetime(opened_until)
        while True:
            page = self._call(self._stub.ListTickets, request)
            yield from page.tickets
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def trail(self, ticket_id: str, *, page_size: int = 200) -> Iterator[pb.TrailEntry]:
        """Yield everything that ever happened to a ticket, oldest first; raises `NotFound`."""
        for page in self.trail_pages(ticket_id, page_size=page_size):
            yield from page.entries

    def cosigned(self, origin: str, leaf_index: int) -> Sequence[file_pb.CosignedProof]:
        """
        Return the co-signed checkpoints over one entry of a log.

        None, too, where the bridge is of a version that knows no witnesses.
        """
        request = witness_pb.GetCosignedProofsRequest(origin=origin, leaf_index=leaf_index)
        try:
            return self._call(self._witnesses.GetCosignedProofs, request).proofs
        except NotAuthorized as refused:
            if refused.facts.get("rule") == "method-unknown":
                return ()
            raise

    def trail_pages(self, ticket_id: str, *, page_size: int = 200) -> Iterator[pb.GetTrailResponse]:
        """Yield a trail's pages, each with the certificates of everyone who signed its entries."""
        request = pb.GetTrailRequest(ticket_id=ticket_id, page_size=page_size)
        while True:
            page = self._call(self._stub.GetTrail, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
