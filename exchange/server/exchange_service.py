"""The exchange service: push, pull, acknowledge, reconcile, between bytes and the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2 as message_pb
from exchange.acts import Urgency
from exchange.bridge import LAST_POSITION, PAGE_TICKETS, Mailboxes, SharedMailboxes, Since
from exchange.errors import InvalidRequest, NotAuthorized, Refusal
from exchange.server.answers import findings_of, fitting
from exchange.server.bells import Bells, Listener
from exchange.server.exchange_forms import (
    acknowledge_outcome,
    delivery,
    head_of,
    push_outcome,
    read_acknowledgement,
    seen_of,
)
from exchange.server.guard import Call
from exchange.server.keeper import Keeper
from exchange.server.keyring import Chain, Keyring
from exchange.server.limits import Allowances
from exchange.server.writer import Writer, urgent_tickets
from exchange.submission import (
    Acknowledged,
    Author,
    Delivered,
    Passed,
    Pushed,
    Received,
    Statement,
)
from exchange.text import Text
from exchange.wire.headers import read_envelope, time_from_proto
from exchange.wire.sealing import handed_with

_NOT_BEHIND = Text(
    en="{relay} is no registered relay of {organisation}; ask the bridge's operator to enter it.",
    zh="{relay} 未登记为 {organisation} 的中继，请联系网桥运营方登记。",
)

_NOT_BOTH = Text(
    en="A pull names after_position or least_urgency, not both: leave one of them out.",
    zh="拉取请求的 after_position 与 least_urgency 不能同时填写，请去掉其一。",
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


class ExchangeService:
    """
    Answers the four calls of the contract's ``ExchangeService``.

    *puller* has one thread: it alone looks into *mailboxes*.  *reader* reads the store.  *relays* are
    those of the bridge's settings.  *read* takes an envelope apart.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        mailboxes: Mailboxes | SharedMailboxes,
        writer: Writer,
        keyring: Keyring,
        bells: Bells,
        allowances: Allowances,
        puller: Executor,
        reader: Executor,
        clock: Callable[[], datetime],
        relays: Mapping[str, Sequence[str]] | None = None,
        read: Callable[[bytes], Received] = read_envelope,
    ) -> None:
        self._keeper = keeper
        self._read = read
        self._mailboxes = mailboxes
        self._writer = writer
        self._keyring = keyring
        self._bells = bells
        self._allowances = allowances
        self._puller = puller
        self._reader = reader
        self._clock = clock
        self._relays = relays or {}
        self._carried: set[asyncio.Task[Any]] = set()
        #: Held by the one large call that is taken apart: were it several, each look at what else
        #: waits would cost a slice of every one.
        self._taking_apart = asyncio.Lock()

    # -- push

    async def push(self, request: pb.PushMessagesRequest, call: Call) -> pb.PushMessagesResponse:
        """Accept messages; once every outcome is durable, return them in request order."""
        self._allowances.spend_messages(call.organisation, len(request.envelopes))
        return await self._carry(self._push(request, call))

    async def _push(self, request: pb.PushMessagesRequest, call: Call) -> pb.PushMessagesResponse:
        with self._allowances.carrying(call.organisation, len(request.envelopes)):
            received: list[Received] = await self._apart(self._read, request.envelopes)
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
            await _in_slices(lambda outcome: push_outcome(add(), outcome), outcomes, ANSWERED)
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
            said = await self._apart(read_acknowledgement, request.acknowledgements)
            call.messages.extend(s.message_id for s in said if isinstance(s, Statement | Passed))
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
                    passed=s if isinstance(s, Passed) else None,
                    refusal=s if isinstance(s, Refusal) else None,
                )
                for s in said
            ]
            outcomes = await self._writer.submit(work)
            # Its lanes are free again: another of its pulls may be waiting for the next in one.
            self._bells.ring(self._boxes(organisation))
            response = pb.AcknowledgeMessagesResponse()
            add = response.outcomes.add
            await _in_slices(
                lambda outcome: acknowledge_outcome(add(), outcome), outcomes, ANSWERED
            )
            return response

    # -- pull

    async def pull(self, request: pb.PullMessagesRequest, call: Call) -> pb.PullMessagesResponse:
        """Lease what waits for the caller; wait for it as long as the request allows."""
        urgent, boxes = _least(request) > 0, self._boxes(call.organisation)
        with self._bells.listening(*boxes, urgent=urgent) as listener:
            with self._allowances.pulling(call.organisation):
                delivered = await self._wait(request, call, listener)
            call.messages.extend(one.message_id for one in delivered)
            seen = [seen_of(one) for one in delivered]
            chains = await self._known_chains(one.key_id for one in seen if one.key_id)
            openings = [one.sealed_opening for one in seen]
            if any(openings):
                delivered = await self._with_keys(delivered, openings)
            response = pb.PullMessagesResponse(
                certificates=[message_pb.CertificateChain(certificates=chain) for chain in chains],
                checkpoint=self._mailboxes.checkpoint.decode(),
            )
            add = response.deliveries.add
            await _in_slices(lambda one: delivery(add(), one), delivered, ANSWERED)
            return response

    async def _wait(
        self, request: pb.PullMessagesRequest, call: Call, listener: Listener
    ) -> list[Delivered]:
        loop = asyncio.get_running_loop()
        # A connection outlives its certificate, a wait does not.
        waits = min(request.wait.ToTimedelta(), max(call.caller.not_after - call.time, timedelta()))
        ends = loop.time() + waits.total_seconds()
        limit = request.max_deliveries or PULL_USUAL
        after, least = None, _least(request)
        if request.HasField("after_position") and least:
            raise InvalidRequest(_NOT_BOTH, rule="least-urgency")
        if request.HasField("after_position"):  # a mailbox counts to 2**63, the field to 2**64
            after = min(request.after_position, LAST_POSITION)
        organisation, looked = call.organisation, False
        while True:
            listener.ready()
            now = self._clock()
            # One that has looked once is told by the drains what is new; see `exchange.bridge.heard`.
            told = looked and after is None and organisation not in self._relays
            heard = (
                self._mailboxes.heard(organisation, limit, now, fitting, least) if told else None
            )
            if heard is None:
                delivered, lease_ends = await self._look(organisation, limit, now, after, least)
                looked = True
            else:
                delivered, lease_ends = heard, self._mailboxes.next_expiry(organisation)
            left = ends - loop.time()
            if delivered or left <= 0 or self._bells.closed:
                return delivered
            if lease_ends is not None:
                left = min(left, max((lease_ends + _AFTER_LEASE - now).total_seconds(), 0))
            await listener.wait(left)

    async def _look(
        self, organisation: str, limit: int, now: datetime, after: int | None, least: int
    ) -> tuple[list[Delivered], datetime | None]:
        """Return what was leased, and when the first lease of *organisation* ends."""
        boxes = self._boxes(organisation)

        def look() -> tuple[list[Delivered], datetime | None]:
            if after is not None:
                return self._mailboxes.read_on(boxes, limit, after, now, fitting), None
            behind = boxes[1:]
            delivered = self._mailboxes.pull(organisation, limit, now, fitting, behind, least=least)
            return delivered, self._mailboxes.next_expiry(organisation, behind)

        job = self._puller.submit(look)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # Nobody is there to take what it leased.
            if after is None:
                self._begin(self._give_back(organisation, job))
            raise

    async def _give_back(
        self, organisation: str, job: Future[tuple[list[Delivered], datetime | None]]
    ) -> None:
        """Give back what *job* leases for nobody, and tell the organisation's other pulls."""

        def give_back() -> None:
            if not job.cancelled() and job.exception() is None:
                positions = [delivery.position for delivery in job.result()[0]]
                behind = self._boxes(organisation)[1:]
                self._mailboxes.give_back(organisation, positions, behind)

        # The puller has one thread: *job* is over when this begins.
        await asyncio.get_running_loop().run_in_executor(self._puller, give_back)
        self._bells.ring(self._boxes(organisation))

    async def _with_keys(
        self, delivered: Sequence[Delivered], openings: Sequence[str]
    ) -> list[Delivered]:
        """Return *delivered*, *openings* of these tickets with the keys that offers handed on to who gets them."""

        def offers() -> dict[str, list[bytes]]:
            return {ticket: self._mailboxes.offers(ticket) for ticket in {*openings} - {""}}

        found = await asyncio.get_running_loop().run_in_executor(self._puller, offers)
        return [
            replace(one, envelope=handed_with(one.envelope, found[ticket], {one.recipient}))
            if ticket
            else one
            for one, ticket in zip(delivered, openings, strict=True)
        ]

    # -- reconcile

    async def reconcile(
        self, request: pb.ReconcileHandoffsRequest, call: Call
    ) -> pb.ReconcileHandoffsResponse:
        """Compare the caller's hand-offs with the bridge's; put back what the caller is missing."""
        replays = request.HasField("since")
        looked_at = len(request.heads) + (PAGE_TICKETS if replays else 0)
        self._allowances.spend_messages(call.organisation, looked_at)
        heads = [head_of(head, aside=request.include_set_aside) for head in request.heads]
        organisation = request.organisation or call.organisation
        if organisation not in self._boxes(call.organisation):
            text = _NOT_BEHIND.fill(relay=call.organisation, organisation=organisation)
            raise NotAuthorized(text, rule="relay-unregistered", organisation=organisation)
        if not heads and not replays and not request.organisation:
            return await self._reopen(call)
        since = None
        if replays:
            since = Since(time=time_from_proto(request.since), after=request.page_token)
        found = await self._writer.alone(
            lambda: self._keeper.reconcile(organisation, heads, self._clock(), since)
        )
        self._mailboxes.reconciled(organisation, found)
        self._bells.ring((organisation,))
        return pb.ReconcileHandoffsResponse(
            findings=findings_of(found.findings),
            redelivered=found.redelivered,
            next_page_token=found.next_after,
        )

    async def _reopen(self, call: Call) -> pb.ReconcileHandoffsResponse:
        """Deliver again what stands still for the caller and, of a relay, for those behind it."""
        redelivered = 0
        for organisation in self._boxes(call.organisation):
            ask = partial(self._keeper.reconcile, organisation, [], self._clock(), None)
            found = await self._writer.alone(ask)
            self._mailboxes.reconciled(organisation, found)
            redelivered += found.redelivered
        self._bells.ring(self._boxes(call.organisation))
        return pb.ReconcileHandoffsResponse(redelivered=redelivered)

    # -- shared

    def _boxes(self, organisation: str) -> tuple[str, ...]:
        """Return whose mailboxes *organisation* empties: its own and, of a relay, those behind it."""
        return organisation, *self._relays.get(organisation, ())

    async def _apart(self, read: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
        """Return what *read* makes of each item: of few at once, of many one call after the other."""
        if len(items) <= TAKEN_APART:
            return [read(item) for item in items]
        async with self._taking_apart:
            return await _in_slices(read, items, TAKEN_APART)

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


def _least(request: pb.PullMessagesRequest) -> int:
    """Return the least urgency that is wanted; 0 where everything is."""
    return request.least_urgency if request.least_urgency > Urgency.ROUTINE else 0


def _chains(offered: Iterable[message_pb.CertificateChain]) -> list[Chain]:
    return [tuple(chain.certificates) for chain in offered]
