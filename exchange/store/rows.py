"""Tickets, hand-offs and trail rows as tuples in the tables' column order, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Any

from sqlalchemy import Table

from exchange import tables
from exchange.acts import (
    Classification,
    Marker,
    Offer,
    Scope,
    TicketKind,
    Urgency,
)
from exchange.deadlines import Deadline
from exchange.making import maker
from exchange.provisions import DeadlineKind
from exchange.records import Accepted, Entry, Passage, Standing
from exchange.tables import moment_of, stamp
from exchange.ticket import Handoff, State, Ticket

Row = Sequence[Any]

_new_handoff, _new_offer = maker(Handoff), maker(Offer)
_STATES = {int(state): state for state in State}
#: What `_rest` tells of an offer beside its scope, and of a hand-off.
_OFFERED = attrgetter(
    "danger", "case_opened", "level", "take_due", "result_due", "prior_disposal_message_id"
)
_NOTED = attrgetter(
    "take_overs", "danger_marks", "danger_cleared", "danger_disposed", "return_grounds", "positions"
)

_encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes one a call

#: The `trail.kind` of a written receipt; every kind that is not in `NO_MESSAGE` is a message's.
WRITTEN = "written"
#: The `trail.kind` of what a receiver set aside.
SET_ASIDE = "set_aside"
#: The `trail.kind` of an act of an authority's, or of the bridge's own.
ACT = "act"
#: The `trail.kind` of the leaf with which a log goes on from another (`exchange.succession`).
SUCCESSION = "succession"
NO_MESSAGE = frozenset({WRITTEN, SET_ASIDE, ACT, SUCCESSION})


def names(table: Table) -> tuple[str, ...]:
    """Return the table's column names, in order."""
    return tuple(column.name for column in table.columns)


TICKET = names(tables.ticket)
HANDOFF = names(tables.handoff)
DEADLINE = names(tables.deadline)
MESSAGE = names(tables.message)
TRAIL = names(tables.trail)
RECEIPT = names(tables.receipt)
REFUSAL = names(tables.refusal)
MAILBOX = names(tables.mailbox)
PASSAGE = names(tables.passage)
DRAIN = names(tables.drain)
CERTIFICATE = names(tables.certificate)

#: What a later message can change of a hand-off.
HANDOFF_CHANGES = (
    "state", "answers", "decides", "head", "taken_over", "danger", "due", "remind",
    "rest",
)  # fmt: skip
TICKET_CHANGES = ("closed", "urgency", "level", "classification", "matter", "region")


def ticket_row(ticket: Ticket) -> Row:
    """Return the row of *ticket*."""
    return (
        ticket.id,
        int(ticket.kind),
        ticket.origin,
        ticket.first_receiver,
        ticket.region,
        ticket.matter,
        int(ticket.marker),
        int(ticket.classification),
        int(ticket.urgency),
        ticket.level,
        stamp(ticket.opened),
        ticket.closed,
        ticket.cites_ticket_id,
    )


def ticket_of(row: Row) -> Ticket:
    """Return the ticket in *row*."""
    return Ticket(
        id=row[0],
        kind=TicketKind(row[1]),
        origin=row[2],
        first_receiver=row[3],
        region=row[4],
        matter=row[5],
        marker=Marker(row[6]),
        classification=Classification(row[7]),
        urgency=Urgency(row[8]),
        level=row[9],
        opened=moment_of(row[10]),
        closed=bool(row[11]),
        cites_ticket_id=row[12],
    )


def handoff_row(standing: Standing, time: datetime) -> Row:
    """Return the row of a hand-off whose newest message was accepted at *time*."""
    handoff = standing.handoff
    offer = handoff.offer
    return (
        handoff.id,
        handoff.ticket_id,
        handoff.sender,
        handoff.receiver,
        int(handoff.state),
        standing.answers,
        standing.decides,
        handoff.head,
        handoff.own_duty,
        handoff.taken_over,
        handoff.danger,
        offer.form,
        offer.matter,
        offer.profile,
        offer.profile_edition,
        offer.catalogue_edition,
        offer.onward_of,
        offer.cites_handoff_id,
        standing.assessed_by,
        handoff.first_receiver,
        stamp(handoff.offered),
        stamp(time),
        None if standing.due is None else stamp(standing.due),
        None if standing.remind is None else stamp(standing.remind),
        _rest(handoff),
    )


def handoff_of(row: Row) -> Handoff:
    """Return the hand-off in *row*."""
    offer, rest = _read_rest(row[24]) if row[24] else ({}, {})
    return _new_handoff(
        id=row[0],
        ticket_id=row[1],
        sender=row[2],
        receiver=row[3],
        state=_STATES[row[4]],
        head=bytes(row[7]),
        offer=_new_offer(
            form=row[11],
            matter=row[12],
            profile=row[13],
            profile_edition=row[14],
            catalogue_edition=row[15],
            onward_of=row[16],
            cites_handoff_id=row[17],
            **offer,
        ),
        offered=moment_of(row[20]),
        own_duty=bool(row[8]),
        first_receiver=row[19],
        **rest,
    )


def deadline_rows(standing: Standing) -> list[Row]:
    """Return the rows of what is due beside the next step."""
    return [
        (standing.handoff.id, str(one.kind), one.owes, stamp(one.due), stamp(one.remind or one.due))
        for one in standing.further
    ]


def further_of(found: Iterable[Row]) -> dict[str, tuple[Deadline, ...]]:
    """Return what is due by hand-off, the earliest first."""
    by_handoff: dict[str, tuple[Deadline, ...]] = {}
    for handoff_id, kind, owes, due, remind in sorted(found, key=lambda row: (row[3], row[1])):
        one = Deadline(
            kind=DeadlineKind(kind), owes=owes, due=moment_of(due), remind=moment_of(remind)
        )
        by_handoff[handoff_id] = (*by_handoff.get(handoff_id, ()), one)
    return by_handoff


def standing_of(row: Row, further: tuple[Deadline, ...] = ()) -> Standing:
    """Return the hand-off in *row* with what stands beside it and what is due *further*."""
    return Standing(
        handoff=handoff_of(row),
        answers=row[5],
        decides=row[6],
        due=None if row[22] is None else moment_of(row[22]),
        remind=None if row[23] is None else moment_of(row[23]),
        further=further,
        assessed_by=row[18],
    )


def passage_rows(passage: Passage) -> list[Row]:
    """Return the rows of *passage*, one for each organisation of whom it is not recorded yet."""
    made: list[Row] = []
    for recipient, lane in sorted(passage.lanes.items()):
        if recipient not in passage.recorded:
            row = (passage.of.leaf_index, recipient, lane, passage.origin)
            time = stamp(passage.time)
            sealed = seal((*row, time), passage.receipt)  # the receipt apart, as bytes
            made.append((*row, passage.receipt, time, sealed))
    return made


def seal(row: Row, *contents: bytes) -> bytes:
    """
    Return SHA-256 over a row's values and the *contents* that belong to it.

    Texts and numbers are joined by U+001F, which no code, id or time has; every content is
    preceded by its length (8 bytes, big-endian).
    """
    digest = sha256("\x1f".join(map(str, row)).encode())
    for content in contents:
        digest.update(len(content).to_bytes(8) + content)
    return digest.digest()


def pack_chain(chain: Sequence[bytes]) -> bytes:
    """Return certificates as one blob, each preceded by its length."""
    return b"".join(len(der).to_bytes(4) + der for der in chain)


def unpack_chain(packed: bytes) -> tuple[bytes, ...]:
    """Return the certificates that `pack_chain` packed."""
    chain, at = [], 0
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4])
        chain.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
    return tuple(chain)


def _rest(handoff: Handoff) -> str:
    """Return the fields without a column as JSON; sorted, so that equal hand-offs have equal rows."""
    offer = handoff.offer
    scope = offer.scope
    told_of = *_OFFERED(offer), scope.withheld, scope.knowers, *_NOTED(handoff)
    if not any(told_of):
        return ""  # as of nearly every one
    offered = {
        "danger": offer.danger,
        "case_opened": offer.case_opened,
        "level": offer.level,
        "take_due": offer.take_due and stamp(offer.take_due),
        "result_due": offer.result_due and stamp(offer.result_due),
        "prior_disposal_message_id": offer.prior_disposal_message_id,
    }
    shown = {
        "withheld": sorted(scope.withheld),
        # By code: who looks for what an organisation may know looks for its code in quotes.
        "knowers": {code: sorted(groups) for code, groups in sorted(scope.knowers)},
    }
    rest = {
        "offer": {name: value for name, value in offered.items() if value},
        "scope": {name: value for name, value in shown.items() if value},
        "take_overs": sorted(digest.hex() for digest in handoff.take_overs),
        "danger_marks": sorted(digest.hex() for digest in handoff.danger_marks),
        "danger_cleared": sorted(digest.hex() for digest in handoff.danger_cleared),
        "danger_disposed": sorted(digest.hex() for digest in handoff.danger_disposed),
        "return_grounds": sorted(handoff.return_grounds),
        "positions": sorted([digest.hex(), outcome] for digest, outcome in handoff.positions),
    }
    told = {name: value for name, value in rest.items() if value}
    return _encode(told) if told else ""


def withheld_in(rest: str) -> frozenset[int]:
    """Return the groups that the hand-off with this ``rest`` withholds from its receiver."""
    return _scope_of(json.loads(rest).get("scope", {})).withheld


def _scope_of(rest: dict[str, Any]) -> Scope:
    return Scope(
        withheld=frozenset(rest.get("withheld", ())),
        knowers=tuple(
            (code, frozenset(groups)) for code, groups in rest.get("knowers", {}).items()
        ),
    )


def _read_rest(packed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of the offer, and those of the hand-off, that `_rest` packed."""
    told = json.loads(packed)
    offer = told.pop("offer", {})
    if "scope" in told:
        offer["scope"] = _scope_of(told.pop("scope"))
    for name in ("take_due", "result_due"):
        if name in offer:
            offer[name] = moment_of(offer[name])
    rest = {name: frozenset(map(read, told.get(name, ()))) for name, read in _NOTES.items()}
    return offer, rest


def _position(packed: Sequence[Any]) -> tuple[bytes, int]:
    digest, outcome = packed
    return bytes.fromhex(digest), outcome


#: How one of what a hand-off has of each kind is read.
_NOTES: dict[str, Callable[[Any], Any]] = {
    "take_overs": bytes.fromhex,
    "danger_marks": bytes.fromhex,
    "danger_cleared": bytes.fromhex,
    "danger_disposed": bytes.fromhex,
    "return_grounds": int,
    "positions": _position,
}


def attachment_rows(entries: Sequence[Entry], first: int) -> list[Row]:
    """Return the rows of the files that the messages among *entries* cite; their places begin at *first*."""
    return [
        (
            place, file.root, file.sha256, file.size, file.chunk_count, file.media_type,
            entry.message.ticket_id, entry.message.author, entry.message.recipient, stamp(entry.time),
        )
        for place, entry in enumerate(entries, first)
        if isinstance(entry, Accepted)
        for file in entry.message.files
    ]  # fmt: skip
