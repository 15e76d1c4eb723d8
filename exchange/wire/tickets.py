"""Tickets, hand-offs and trails as the read side gives them, in the contract's form."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from exchange._proto.v1 import acts_pb2 as acts_pb
from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import receipt_pb2 as receipt_pb
from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange.acts import BOTH_SIDES, Scope
from exchange.deadlines import Deadline
from exchange.divisions import Divisions
from exchange.errors import InvalidRequest
from exchange.organisations import Register
from exchange.provisions import DeadlineKind
from exchange.text import Text
from exchange.ticket import State
from exchange.views import Filters, HandoffView, TicketView, TrailEntry
from exchange.wire.calls import envelope_key_id, unpack_signature
from exchange.wire.headers import time_from_proto, time_to_proto
from exchange.wire.receipts import refused_receipt, stored_receipt, written_receipt

_NO_STATE = Text(
    en="Field state: there is no state {state} of a hand-off.",
    zh="字段 state：移交没有状态 {state}。",
)


def filters_from_proto(request: pb.ListTicketsRequest, now: datetime) -> Filters:
    """
    Return the conditions of *request*; overdue means due before *now*.

    Raises `InvalidRequest` for a state that is none.
    """
    if request.state not in (0, *State):
        raise InvalidRequest(
            _NO_STATE.fill(state=int(request.state)), rule="enum.defined_only", field="state"
        )
    return Filters(
        state=State(request.state) if request.state else None,
        region=request.region,
        matter=request.matter,
        organisation=request.organisation,
        answers=request.answers,
        opened_from=(
            time_from_proto(request.open_time_from) if request.HasField("open_time_from") else None
        ),
        opened_until=(
            time_from_proto(request.open_time_until)
            if request.HasField("open_time_until")
            else None
        ),
        owes=request.owes,
        overdue_at=now if request.overdue else None,
        reminded_at=now if request.reminded else None,
        open_only=request.open_only,
    )


def organisation_ref(code: str, register: Register) -> common_pb.OrganisationRef:
    """Return *code* with the register's Chinese name, where it has one."""
    known = register.get(code)
    return common_pb.OrganisationRef(code=code, name=known.name.zh[:128] if known else "")


def region_ref(code: str, table: Divisions) -> common_pb.RegionRef:
    """Return the division *code* with its full name."""
    return common_pb.RegionRef(code=code, name=table.full_name(code)[:128])


#: The contract's number of each kind of deadline.
DEADLINES: dict[DeadlineKind, int] = {
    kind: pb.DeadlineKind.Value("DEADLINE_KIND_" + kind.value.upper().replace("-", "_"))
    for kind in DeadlineKind
}


def _deadline(one: Deadline) -> pb.Deadline:
    return pb.Deadline(
        kind=DEADLINES[one.kind],  # type: ignore[arg-type]  # the contract's numbers
        owes=one.owes,
        due_time=time_to_proto(one.due),
        remind_time=time_to_proto(one.remind) if one.remind is not None else None,
    )


def handoff_to_proto(view: HandoffView, register: Register) -> pb.Handoff:
    """Return one hand-off."""
    standing, handoff = view.standing, view.standing.handoff
    offer = handoff.offer
    return pb.Handoff(
        handoff_id=handoff.id,
        ticket_id=handoff.ticket_id,
        sender=organisation_ref(handoff.sender, register),
        receiver=organisation_ref(handoff.receiver, register),
        state=handoff.state.value,  # type: ignore[arg-type]  # the contract's numbers
        answers=standing.answers,
        decides=standing.decides,
        own_duty=handoff.own_duty,
        taken_over=handoff.taken_over,
        danger=handoff.danger,
        danger_unattended=bool(handoff.danger_unattended),
        scope=scope_to_proto(offer.scope),
        form=offer.form,  # type: ignore[arg-type]
        matter=offer.matter,
        profile=offer.profile,
        profile_edition=offer.profile_edition,
        catalogue_edition=offer.catalogue_edition,
        onward_of=offer.onward_of,
        offer_time=time_to_proto(handoff.offered),
        update_time=time_to_proto(view.updated),
        due_time=time_to_proto(standing.due) if standing.due is not None else None,
        assessed_by=standing.assessed_by,
        head_digest=handoff.head,
        deadlines=map(_deadline, standing.deadlines),
    )


def scope_to_proto(scope: Scope) -> acts_pb.Scope | None:
    """Return what a hand-off shows; None where its offer did not say."""
    if scope == BOTH_SIDES:
        return None
    return acts_pb.Scope(
        withheld_groups=sorted(scope.withheld),  # type: ignore[arg-type]  # the contract's numbers
        knowers=[
            acts_pb.Knower(organisation=code, groups=sorted(groups))  # type: ignore[arg-type]
            for code, groups in scope.knowers
        ],
    )


def ticket_to_proto(view: TicketView, register: Register) -> pb.TicketSummary:
    """Return one ticket with its hand-offs."""
    ticket = view.ticket
    return pb.TicketSummary(
        ticket_id=ticket.id,
        kind=ticket.kind.value,  # type: ignore[arg-type]  # the contract's numbers, here and below
        origin=organisation_ref(ticket.origin, register),
        first_receiver=ticket.first_receiver,
        region=region_ref(ticket.region, register.divisions),
        matter=ticket.matter,
        marker=ticket.marker.value,  # type: ignore[arg-type]
        classification=ticket.classification.value,  # type: ignore[arg-type]
        urgency=ticket.urgency.value,  # type: ignore[arg-type]
        closed=ticket.closed,
        open_time=time_to_proto(ticket.opened),
        update_time=time_to_proto(view.updated),
        answers=view.answers,
        handoffs=[handoff_to_proto(handoff, register) for handoff in view.handoffs],
        erase_time=time_to_proto(view.erased) if view.erased is not None else None,
    )


def trail_entry_to_proto(entry: TrailEntry, register: Register) -> pb.TrailEntry:
    """Return one entry of a trail, with its receipt and its leaf's proof."""
    proof = stored_receipt(entry.message_id, entry.proof)
    receipt: receipt_pb.Receipt | None
    if entry.receipt is None and entry.kind in ("written", "set_aside"):
        receipt, logged = None, proof  # archived: what was stated stands elsewhere
    elif entry.receipt is None:
        receipt, logged = receipt_pb.Receipt(stored=proof), None
    else:
        said = entry.receipt.statement, unpack_signature(entry.receipt.signature)
        if entry.kind == "set_aside":
            receipt = receipt_pb.Receipt(refused=refused_receipt(*said))
        else:
            receipt = receipt_pb.Receipt(written=written_receipt(*said))
        logged = proof
    return pb.TrailEntry(
        leaf_index=entry.leaf_index,
        time=time_to_proto(entry.time),
        handoff_id=entry.handoff_id,
        kind=entry.kind,
        message_id=entry.message_id,
        author=organisation_ref(entry.author, register),
        recipient=organisation_ref(entry.recipient, register) if entry.recipient else None,
        state=entry.state.value if entry.state is not None else 0,  # type: ignore[arg-type]
        answers=entry.answers,
        digest=entry.digest,
        receipt=receipt,
        logged=logged,
        onward=[receipt_pb.StoredReceipt.FromString(one) for one in entry.onward],
        erased=entry.erased,
    )


def trail_key_ids(entries: Iterable[TrailEntry]) -> list[bytes]:
    """Return the ids of the keys that signed these entries, each once."""
    return list(
        dict.fromkeys(
            envelope_key_id(entry.envelope)
            if entry.receipt is None
            else unpack_signature(entry.receipt.signature).key_id
            for entry in entries
        )
    )
