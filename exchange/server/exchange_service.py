"""The exchange service: push, pull, acknowledge, reconcile, between bytes and the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from typing import Any, TypeVar

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange.bridge import PAGE_TICKETS, Finding, Head, Mailboxes, Since
from exchange.errors import PredecessorUnknown, Refusal, RefusalCode, refuse
from exchange.server.answers import NAMED, fitting
from exchange.server.bells import Bells, Listener
from exchange.server.failures import retry_after
from exchange.server.guard import Call
from exchange.server.keeper import Keeper
from exchange.server.keyring import Chain, Keyring
from exchange.server.limits import Allowances
from exchange.server.writer import Writer, urgent_tickets
from exchange.submission import (
    Acknowledged,
    Author,
    Delivered,
    Outcome,
    Pushed,
    Received,
    Recorded,
    Refused,
    Retry,
    Statement,
    Stored,
)
from exchange.wire.calls import envelope_key_id, unpack_signature
from exchange.wire.headers import read_envelope, time_from_proto, time_to_proto
from exchange.wire.receipts import (
    fill_stored,
    read_refused,
    read_written,
    refused_receipt,
    retry_outcome,
    written_receipt,
)

_In = TypeVar("_In")
_Out = TypeVar("_Out")

#: Envelopes taken apart, and answers made, between two looks at what else waits: about 1.5 ms.
#: Each look also gives way to the writer; with slices of 8 they took a seventh of all CPU time.
TAKEN_APART = 32
ANSWERED = 128
#: Deliveries of one pull where the request says 0.
PULL_USUAL = 128
#: A lease's end is looked at a little later, so that it has surely ended.
_AFTER_LEASE = timedelta(milliseconds=20)
#: Seconds for which the answer to an urgent push stands back: it is durable, and the core that would
#: make its receipt first brings it to the waiting receiver.
_RECEIVER_FIRST = 0.02
#: Seconds after which a message whose predecessor is missing may be pushed again.
_PREDECESSOR_DELAY = 1.0


class ExchangeService:
    """
    Answers the four calls of the contract's ``ExchangeService``.

    *puller* has one thread: it alone looks into *mailboxes*.  *reader* reads the store.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        mailboxes: Mailboxes,
        writer: Writer,
        keyring: Keyring,
        bells: Bells,
        allowances: Allowances,
        puller: Executor,
        reader: Executor,
        clock: Callable[[], datetime],
    ) -> None:
        self._keeper = keeper
        self._mailboxes = mailboxes
        self._writer = writer
        self._keyring = keyring
        self._bells = bells
        self._allowances = allowances
        self._puller = puller
        self._reader = reader
        self._clock = clock
        self._carried: set[asyncio.Task[Any]] = set()

    # -- push

    async def push(self, request: pb.PushMessagesRequest, call: Call) -> pb.PushMessagesResponse:
        """Accept messages; once every outcome is durable, return them in request order."""
        self._allowances.spend_messages(call.organisation, len(request.envelopes))
        return await self._carry(self._push(request, call))

    async def _push(self, request: pb.PushMessagesRequest, call: Call) -> pb.PushMessagesResponse:
        with self._allowances.carrying(call.organisation, len(request.envelopes)):
            received: list[Received] = await _in_slices(
                read_envelope, request.envelopes, TAKEN_APART
            )
            call.messages.extend(r.message.id for r in received if r.message is not None)
            offered = _chains(request.certificates)
            authors = await self._authors(
                {r.signature.key_id for r in received if r.signature is not None}, offered
            )
            work = [
                Pushed(
                    received=r,
                    caller=call.organisation,
                    author=authors.get(r.signature.key_id) if r.signature else None,
                )
                for r in received
            ]
            outcomes = await self._writer.submit(work)
            if urgent_tickets(work):
                await self._bells.served(_RECEIVER_FIRST)
            response = pb.PushMessagesResponse()
            add = response.outcomes.add  # made where it stands: a copy costs as much again
            await _in_slices(lambda outcome: _push_outcome(add(), outcome), outcomes, ANSWERED)
            return response

    # -- acknowledge

    async def acknowledge(
        self, request: pb.AcknowledgeMessagesRequest, call: Call
    ) -> pb.AcknowledgeMessagesResponse:
        """Accept what receivers say of their deliveries; return the outcomes in request order."""
        self._allowances.spend_messages(call.organisation, len(request.acknowledgements))
        return await self._carry(self._acknowledge(request, call))

    async def _acknowledge(
        self, request: pb.AcknowledgeMessagesRequest, call: Call
    ) -> pb.AcknowledgeMessagesResponse:
        organisation = call.organisation
        with self._allowances.carrying(organisation, len(request.acknowledgements)):
            said = await _in_slices(_read_acknowledgement, request.acknowledgements, TAKEN_APART)
            call.messages.extend(s.message_id for s in said if isinstance(s, Statement))
            offered = _chains(request.certificates)
            authors = await self._authors(
                {s.signature.key_id for s in said if isinstance(s, Statement)}, offered
            )
            work = [
                Acknowledged(
                    caller=organisation,
                    statement=s if isinstance(s, Statement) else None,
                    author=authors.get(s.signature.key_id) if isinstance(s, Statement) else None,
                    receipt_position=s if isinstance(s, int) else None,
                    refusal=s if isinstance(s, Refusal) else None,
                )
                for s in said
            ]
            outcomes = await self._writer.submit(work)
            # Its lanes are free again: another of its pulls may be waiting for the next in one.
            self._bells.ring((organisation,))
            response = pb.AcknowledgeMessagesResponse()
            add = response.outcomes.add
            await _in_slices(
                lambda outcome: _acknowledge_outcome(add(), outcome), outcomes, ANSWERED
            )
            return response

    # -- pull

    async def pull(self, request: pb.PullMessagesRequest, call: Call) -> pb.PullMessagesResponse:
        """Lease what waits for the caller; wait for it as long as the request allows."""
        with self._bells.listening(call.organisation) as listener:
            with self._allowances.pulling(call.organisation):
                delivered = await self._wait(request, call, listener)
            call.messages.extend(one.message_id for one in delivered)
            key_ids = [key_id for key_id in map(_signer_of, delivered) if key_id]
            chains = await self._known_chains(key_ids)
            response = pb.PullMessagesResponse(
                certificates=[message_pb.CertificateChain(certificates=chain) for chain in chains],
                checkpoint=self._mailboxes.checkpoint.decode(),
            )
            add = response.deliveries.add
            await _in_slices(lambda one: _delivery(add(), one), delivered, ANSWERED)
            return response

    async def _wait(
        self, request: pb.PullMessagesRequest, call: Call, listener: Listener
    ) -> list[Delivered]:
        loop = asyncio.get_running_loop()
        # A connection outlives its certificate, a wait does not.
        waits = min(request.wait.ToTimedelta(), max(call.caller.not_after - call.time, timedelta()))
        ends = loop.time() + waits.total_seconds()
        limit = request.max_deliveries or PULL_USUAL
        while True:
            listener.ready()
            now = self._clock()
            delivered, lease_ends = await self._look(call.organisation, limit, now)
            left = ends - loop.time()
            if delivered or left <= 0 or self._bells.closed:
                return delivered
            if lease_ends is not None:
                left = min(left, max((lease_ends + _AFTER_LEASE - now).total_seconds(), 0))
            await listener.wait(left)

    async def _look(
        self, organisation: str, limit: int, now: datetime
    ) -> tuple[list[Delivered], datetime | None]:
        """Return what was leased, and when the first lease of *organisation* ends."""

        def look() -> tuple[list[Delivered], datetime | None]:
            delivered = self._mailboxes.pull(organisation, limit, now, fitting)
            return delivered, self._mailboxes.next_expiry(organisation)

        job = self._puller.submit(look)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # Nobody is there to take what it leased.
            self._begin(self._give_back(organisation, job))
            raise

    async def _give_back(
        self, organisation: str, job: Future[tuple[list[Delivered], datetime | None]]
    ) -> None:
        """Give back what *job* leases for nobody, and tell the organisation's other pulls."""

        def give_back() -> None:
            if not job.cancelled() and job.exception() is None:
                positions = [delivery.position for delivery in job.result()[0]]
                self._mailboxes.give_back(organisation, positions)

        # The puller has one thread: *job* is over when this begins.
        await asyncio.get_running_loop().run_in_executor(self._puller, give_back)
        self._bells.ring((organisation,))

    # -- reconcile

    async def reconcile(
        self, request: pb.ReconcileHandoffsRequest, call: Call
    ) -> pb.ReconcileHandoffsResponse:
        """Compare the caller's hand-offs with the bridge's; put back what the caller is missing."""
        replays = request.HasField("since")
        looked_at = len(request.heads) + (PAGE_TICKETS if replays else 0)
        self._allowances.spend_messages(call.organisation, looked_at)
        heads = [_head(head) for head in request.heads]
        since = None
        if replays:
            since = Since(time=time_from_proto(request.since), after=request.page_token)
        found = await self._writer.alone(
            lambda: self._keeper.reconcile(call.organisation, heads, self._clock(), since)
        )
        self._mailboxes.reconciled(call.organisation, found)
        self._bells.ring((call.organisation,))
        return pb.ReconcileHandoffsResponse(
            findings=_findings(found.findings),
            redelivered=found.redelivered,
            next_page_token=found.next_after,
        )

    # -- shared

    async def _authors(
        self, key_ids: set[bytes], offered: Sequence[Chain]
    ) -> Mapping[bytes, Author]:
        await self._fetch(self._keyring.unknown(key_ids, offered))
        return self._keyring.authors(key_ids, offered, self._clock())

    async def _known_chains(self, key_ids: Iterable[bytes]) -> list[Chain]:
        wanted = dict.fromkeys(key_ids)
        await self._fetch(self._keyring.unknown(wanted, ()))
        return self._keyring.chains(wanted)

    async def _fetch(self, key_ids: set[bytes]) -> None:
        if key_ids:
            loop = asyncio.get_running_loop()
            fetched = await loop.run_in_executor(self._reader, self._keyring.fetch, key_ids)
            self._keyring.keep(fetched)

    async def _carry(self, work: Coroutine[Any, Any, _Out]) -> _Out:
        """Do *work* to its end even if its call is given up: what is queued will be stored."""
        return await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, _Out]) -> asyncio.Task[_Out]:
        """Begin *work*, and keep its task until it is done."""
        task = asyncio.create_task(work)
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task


async def _in_slices(
    function: Callable[[_In], _Out], items: Iterable[_In], size: int
) -> list[_Out]:
    """Return *function* of each item, letting others of the event loop in between slices."""
    done: list[_Out] = []
    for place, item in enumerate(items, 1):
        done.append(function(item))
        if place % size == 0:
            await asyncio.sleep(0)
    return done


def _chains(offered: Iterable[message_pb.CertificateChain]) -> list[Chain]:
    return [tuple(chain.certificates) for chain in offered]


def _retry(retry: Retry) -> pb.Retry:
    error = retry.error
    delay = _PREDECESSOR_DELAY if isinstance(error, PredecessorUnknown) else retry_after(error)
    return retry_outcome(error, delay)


def _push_outcome(made: pb.PushOutcome, outcome: Outcome) -> None:
    match outcome:
        case Stored():
            fill_stored(made.stored, outcome.message_id, outcome.proof)
        case Refused():
            made.refused.CopyFrom(refused_receipt(outcome.statement, outcome.signature))
        case Retry():
            made.retry.CopyFrom(_retry(outcome))
        case Recorded():
            raise TypeError(outcome)


def _acknowledge_outcome(made: pb.AcknowledgeOutcome, outcome: Outcome) -> None:
    match outcome:
        case Recorded():
            made.recorded.SetInParent()
            if outcome.leaf_index is not None:
                made.recorded.leaf_index = outcome.leaf_index
        case Refused():
            made.refused.CopyFrom(refused_receipt(outcome.statement, outcome.signature))
        case Retry():
            made.retry.CopyFrom(_retry(outcome))
        case Stored():
            raise TypeError(outcome)


def _read_acknowledgement(said: pb.Acknowledgement) -> Statement | Refusal | int:
    match said.WhichOneof("acknowledgement"):
        case "written":
            return read_written(said.written)
        case "refused":
            return read_refused(said.refused)
        case "receipt_position":
            return said.receipt_position
        case _:
            return refuse(RefusalCode.MALFORMED, "statement", "required")


def _signer_of(delivered: Delivered) -> bytes:
    for receipt in (delivered.written, delivered.refused):
        if receipt is not None:
            return unpack_signature(receipt[1]).key_id
    return envelope_key_id(delivered.envelope)


def _delivery(made: pb.Delivery, delivered: Delivered) -> None:
    made.lane = delivered.lane
    made.position = delivered.position
    made.attempt = delivered.attempt
    made.lease_expire_time.CopyFrom(time_to_proto(delivered.lease_expires))
    if delivered.written is not None:
        statement, signature = delivered.written
        written = written_receipt(statement, unpack_signature(signature))
        made.receipt.written.CopyFrom(written)
    elif delivered.refused is not None:
        statement, signature = delivered.refused
        refused = refused_receipt(statement, unpack_signature(signature))
        made.receipt.refused.CopyFrom(refused)
    else:
        made.envelope = delivered.envelope


def _head(head: pb.HandoffHead) -> Head:
    return Head(
        handoff_id=head.handoff_id,
        digest=head.digest,
        notes=frozenset(head.message_ids) if head.compare_notes else None,
    )


def _findings(found: Iterable[Finding]) -> list[pb.HandoffFinding]:
    made, room = [], NAMED
    for finding in found:
        made.append(
            pb.HandoffFinding(
                handoff_id=finding.handoff_id,
                agreement=finding.agreement.value,  # type: ignore[arg-type]  # the contract's numbers
                bridge_digest=finding.digest,
                redelivered_message_ids=finding.redelivered[:room],
            )
        )
        room = max(0, room - len(finding.redelivered))
    return made
