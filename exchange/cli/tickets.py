"""
Where the tickets come from: a bridge, with the caller's eyes, or the database, with the operator's.

Both give the contract's messages; here they become plain rows with the contract's names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exchange.cli.gateway import dial, is_gateway

if TYPE_CHECKING:
    from exchange.client import ExchangeClient
    from exchange.keyring import RingFile
    from exchange.organisations import Register
    from exchange.query import Filters, Query
    from exchange.ticket import State
    from exchange.wire.receipt_files import ReceiptFile

#: Rows of the database's pages.
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tickets; the fields of the contract's ``ListTicketsRequest``."""

    state: State | None = None
    region: str = ""
    matter: str = ""
    organisation: str = ""
    answers: str = ""
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    owes: str = ""
    overdue: bool = False
    reminded: bool = False
    open_only: bool = False


class Source(Protocol):
    """
    What both sources can do; raises as the client and the query do.

    *sees_all* says whose eyes these are: the operator's, who sees every ticket, or a party's.
    """

    sees_all: bool

    def organisations(self) -> Mapping[str, str]:
        """Return the names of the organisations of the register by code; empty without one."""

    def get(self, ticket_id: str) -> dict[str, Any]:
        """Return one ticket."""

    def list(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        """Yield tickets, newest first."""

    def trail(self, ticket_id: str) -> Iterator[dict[str, Any]]:
        """Yield what happened to a ticket, oldest first."""

    def receipts(self, ticket_id: str) -> Sequence[ReceiptFile]:
        """Return what proves each message of a ticket, oldest first."""


@contextmanager
def open_source(database: str | None, config: Path) -> Iterator[Source]:
    """Open the database where one is named or *config* is a bridge's; else dial the bridge."""
    from exchange.organisations import Register

    if database is None and is_gateway(config):
        with dial(config) as client:
            yield _Bridge(client)
        return
    from exchange.query import Query

    register = Register(())
    if database is None:
        from exchange.config import load_settings
        from exchange.divisions import load_divisions
        from exchange.organisations import load_register

        settings = load_settings(config, os.environ)
        table = load_divisions(settings.tables.divisions)
        register = load_register(settings.register, on=datetime.now(UTC).date(), table=table)
    url = database_of(database, config)
    ring = ring_of(database, config)
    query = Query.open(url, ring)
    try:
        yield _Database(query, register, url, ring)
    finally:
        query.close()


def database_of(database: str | None, config: Path) -> str:
    """Return the database's URL: the one given, else the bridge's configured one."""
    if database is not None:
        return database
    from exchange.config import load_settings

    return load_settings(config, os.environ).database


def ring_of(database: str | None, config: Path) -> RingFile | None:
    """
    Return the key ring that *config* names for what is encrypted in the database; None for none.

    Beside a *database* that is given, *config* need not be there: what is encrypted is then refused by name.
    """
    from exchange.config import load_settings
    from exchange.errors import ConfigurationError

    try:
        return load_settings(config, os.environ).at_rest.ring()
    except ConfigurationError:
        if database is None:
            raise
        return None


class _Bridge:
    sees_all = False

    def __init__(self, client: ExchangeClient) -> None:
        self._tickets = client.tickets
        self._directory = client.directory

    def organisations(self) -> Mapping[str, str]:
        return {one.code: one.name.zh for one in self._directory.organisations()}

    def get(self, ticket_id: str) -> dict[str, Any]:
        return ticket_row(self._tickets.get(ticket_id).ticket)

    def list(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        found = self._tickets.list(
            state=wanted.state,
            region=wanted.region,
            matter=wanted.matter,
            organisation=wanted.organisation,
            answers=wanted.answers,
            opened_from=wanted.opened_from,
            opened_until=wanted.opened_until,
            owes=wanted.owes,
            overdue=wanted.overdue,
            reminded=wanted.reminded,
            open_only=wanted.open_only,
        )
        return map(ticket_row, found)

    def trail(self, ticket_id: str) -> Iterator[dict[str, Any]]:
        return map(trail_row, self._tickets.trail(ticket_id))

    def receipts(self, ticket_id: str) -> Sequence[ReceiptFile]:
        from exchange.cli.receipts_out import from_answers
        from exchange.client import with_cosigned
        from exchange.wire.receipt_files import envelope_parts

        envelopes = {
            envelope_parts(envelope)["message_id"]: envelope
            for envelope in self._tickets.get(ticket_id).envelopes
        }
        chains: dict[tuple[bytes, ...], None] = {}
        receipts: dict[str, list[bytes]] = {}
        logged: dict[str, list[bytes]] = {}
        onward: dict[str, list[bytes]] = {}
        for page in self._tickets.trail_pages(ticket_id):
            chains |= dict.fromkeys(tuple(chain.certificates) for chain in page.certificates)
            for entry in page.entries:
                if not entry.HasField("receipt"):
                    continue
                for further in entry.onward:
                    passed = onward.setdefault(entry.message_id, [])
                    passed.append(further.SerializeToString(deterministic=True))
                kept = receipts.setdefault(entry.message_id, [])
                kept.append(entry.receipt.SerializeToString(deterministic=True))
                if entry.HasField("logged"):
                    proofs = logged.setdefault(entry.message_id, [])
                    proofs.append(entry.logged.SerializeToString(deterministic=True))
        return [
            with_cosigned(
                from_answers(
                    message_id,
                    kept,
                    logged=logged.get(message_id, ()),
                    envelope=envelopes.get(message_id, b""),
                    onward=onward.get(message_id, ()),
                    chains=list(chains),
                ),
                self._tickets.cosigned,
            )
            for message_id, kept in receipts.items()
        ]


class _Database:
    sees_all = True

    def __init__(self, query: Query, register: Register, url: str, ring: RingFile | None) -> None:
        self._query = query
        self._register = register
        self._url = url
        self._ring = ring

    def organisations(self) -> Mapping[str, str]:
        return {one.code: one.name.zh for one in self._register}

    def get(self, ticket_id: str) -> dict[str, Any]:
        from exchange.wire.tickets import ticket_to_proto

        return ticket_row(ticket_to_proto(self._query.ticket(ticket_id, None), self._register))

    def list(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        from exchange.wire.tickets import ticket_to_proto

        conditions = filters(wanted)

        def page(token: str) -> tuple[list[Any], str]:
            return self._query.tickets(None, conditions, limit=_PAGE, page_token=token)

        return (ticket_row(ticket_to_proto(view, self._register)) for view in _pages(page))

    def trail(self, ticket_id: str) -> Iterator[dict[str, Any]]:
        from exchange.wire.tickets import trail_entry_to_proto

        def page(token: str) -> tuple[list[Any], str]:
            return self._query.trail(ticket_id, None, limit=_PAGE, page_token=token)

        return (trail_row(trail_entry_to_proto(one, self._register)) for one in _pages(page))

    def receipts(self, ticket_id: str) -> Sequence[ReceiptFile]:
        from exchange.cli.receipts_out import from_evidence
        from exchange.query.evidence import EvidenceRoom

        room = EvidenceRoom.open(self._url, self._ring)
        try:
            return [from_evidence(one, room) for one in room.of_ticket(ticket_id)]
        finally:
            room.close()


def filters(wanted: Wanted) -> Filters:
    """Return the database's conditions; overdue, or to be reminded of, means now."""
    from exchange.query import Filters

    now = datetime.now(UTC)
    return Filters(
        state=wanted.state,
        region=wanted.region,
        matter=wanted.matter,
        organisation=wanted.organisation,
        answers=wanted.answers,
        opened_from=wanted.opened_from,
        opened_until=wanted.opened_until,
        owes=wanted.owes,
        overdue_at=now if wanted.overdue else None,
        reminded_at=now if wanted.reminded else None,
        open_only=wanted.open_only,
    )


def _pages(page: Callable[[str], tuple[list[Any], str]]) -> Iterator[Any]:
    token = ""
    while True:
        found, token = page(token)
        yield from found
        if not token:
            return


def ticket_row(summary: Any) -> dict[str, Any]:
    """Return a ``TicketSummary`` as plain data."""
    from exchange.acts import Classification, Marker, TicketKind, Urgency

    return {
        "ticket_id": summary.ticket_id,
        "kind": _word(TicketKind, summary.kind),
        "origin": _organisation(summary.origin),
        "first_receiver": summary.first_receiver,
        "region": {"code": summary.region.code, "name": summary.region.name},
        "matter": summary.matter,
        "marker": _word(Marker, summary.marker),
        "classification": _word(Classification, summary.classification),
        "urgency": _word(Urgency, summary.urgency),
        "closed": summary.closed,
        "opened": _time(summary.open_time),
        "updated": _time(summary.update_time),
        "answers": list(summary.answers),
        "erased": _time(summary.erase_time) if summary.HasField("erase_time") else "",
        "handoffs": [_handoff_row(handoff) for handoff in summary.handoffs],
    }


def _handoff_row(handoff: Any) -> dict[str, Any]:
    from exchange.ticket import State

    return {
        "handoff_id": handoff.handoff_id,
        "sender": _organisation(handoff.sender),
        "receiver": _organisation(handoff.receiver),
        "state": _word(State, handoff.state),
        "answers": handoff.answers,
        "decides": handoff.decides,
        "own_duty": handoff.own_duty,
        "taken_over": handoff.taken_over,
        "danger": handoff.danger,
        "danger_unattended": handoff.danger_unattended,
        "matter": handoff.matter,
        "profile": handoff.profile,
        "onward_of": handoff.onward_of,
        "offered": _time(handoff.offer_time),
        "updated": _time(handoff.update_time),
        "due": _time(handoff.due_time) if handoff.HasField("due_time") else "",
        "deadlines": [_deadline_row(one) for one in handoff.deadlines],
        "assessed_by": handoff.assessed_by,
        "head": handoff.head_digest.hex(),
    }


def _deadline_row(deadline: Any) -> dict[str, str]:
    from exchange.wire.tickets import DEADLINES

    known = {number: kind.value for kind, number in DEADLINES.items()}
    return {
        "kind": known.get(deadline.kind, str(deadline.kind)),
        "owes": deadline.owes,
        "due": _time(deadline.due_time),
        "remind": _time(deadline.remind_time) if deadline.HasField("remind_time") else "",
    }


def trail_row(entry: Any) -> dict[str, Any]:
    """Return a ``TrailEntry`` as plain data, without its receipt."""
    from exchange.ticket import State
    from exchange.tracing import trace_of

    return {
        "leaf_index": entry.leaf_index,
        "time": _time(entry.time),
        "handoff_id": entry.handoff_id,
        "kind": entry.kind,
        "message_id": entry.message_id,
        "trace_id": trace_of(entry.message_id),
        "author": _organisation(entry.author),
        "recipient": _organisation(entry.recipient),
        "state": _word(State, entry.state),
        "answers": entry.answers,
        "digest": entry.digest.hex(),
        "erased": entry.erased,
        # The logs of further bridges to which a relay carried it.
        "onward": [one.checkpoint.partition("\n")[0] for one in entry.onward],
    }


def _organisation(reference: Any) -> dict[str, str]:
    return {"code": reference.code, "name": reference.name}


def _word(kind: Any, number: int) -> str:
    """Return the word of an enum's number; the number of one that this version does not know."""
    if number == 0:
        return ""
    try:
        word: str = kind(number).name.lower()
    except ValueError:
        word = str(number)
    return word


def _time(stamp: Any) -> str:
    moment: datetime = stamp.ToDatetime(UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
