"""The desks of a load test, a process each: one that offers whatever happens, one that receives."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2
from exchange.acts import Urgency
from exchange.client import (
    ExchangeClient,
    IncomingMessage,
    Patience,
    Written,
    read_certificates,
)
from exchange.client.channel import as_error, secure_channel
from exchange.envelope import read_file, read_private_file
from exchange.errors import ExchangeError
from tests.bench.parties import commands
from tests.bench.place import RECEIVER, Place
from tests.bench.tickets import MESSAGES, pairs

_PUSH = "/hotline.exchange.v1.ExchangeService/PushMessages"
#: Seconds that a call may take; a caller's usual patience.
DEADLINE = 20.0
#: What a whole call may be refused with, and a caller know what to do.
HONEST = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})


@dataclass(slots=True)
class Answered:
    """One call: when it was due and answered, and what became of its messages."""

    #: The urgent ticket in it; empty in a call of others.
    ticket_ids: tuple[str, ...]
    due: float
    answered: float = 0.0
    stored: int = 0
    #: Messages that are to come again, with and without advice when.
    advised: int = 0
    unadvised: int = 0
    #: Messages refused for ever: none is wrong, so there should be none.
    refused: int = 0
    #: The status of the whole call; OK where its messages were answered one by one.
    code: str = "OK"

    @property
    def latency(self) -> float:
        """Seconds from when it was due until it was answered: who waits to send waits as well."""
        return self.answered - self.due


@dataclass(frozen=True, slots=True)
class _Call:
    envelopes: tuple[bytes, ...]
    ids: tuple[str, ...]


@dataclass(slots=True)
class Offering:
    """An open loop: calls are made when they are due, whatever became of the others."""

    push: Any
    chain: Sequence[bytes]
    waiting: deque[_Call] = field(default_factory=deque)
    answered: list[Answered] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0
    #: Calls that could not be made: everything prepared was stored already.
    dry: int = 0

    def offer(self, rate: float, seconds: float, urgent: bool) -> None:
        """Begin *rate* calls a second for *seconds*; return when all are answered."""
        begun = time.monotonic()
        number = 0
        while (due := begun + number / rate) < begun + seconds:
            time.sleep(max(due - time.monotonic(), 0))
            number += 1
            try:
                call = self.waiting.popleft()
            except IndexError:
                self.dry += 1
                continue
            self._begin(call, due, urgent)
        while self.under_way:
            time.sleep(0.01)

    def _begin(self, call: _Call, due: float, urgent: bool) -> None:
        request = pb.PushMessagesRequest(
            envelopes=call.envelopes,
            certificates=[message_pb2.CertificateChain(certificates=self.chain)],
        )
        with self.lock:
            self.under_way += 1
        record = Answered(ticket_ids=call.ids if urgent else (), due=due)
        made = self.push.future(request.SerializeToString(), timeout=DEADLINE)
        made.add_done_callback(partial(self._end, call, record))

    def _end(self, call: _Call, record: Answered, made: Any) -> None:
        record.answered = time.monotonic()
        again: list[int] = []
        try:
            outcomes = pb.PushMessagesResponse.FromString(made.result()).outcomes
        except grpc.RpcError as failed:
            record.code = failed.code().name
            _, delay = as_error(failed, "bridge")
            again = list(range(len(call.ids)))
            advised = record.code in HONEST and delay > timedelta(0)
            record.advised += len(again) if advised else 0
            record.unadvised += 0 if advised else len(again)
        else:
            for place, outcome in enumerate(outcomes):
                match outcome.WhichOneof("outcome"):
                    case "stored":
                        record.stored += 1
                        self.stored.append(call.ids[place])
                    case "retry":
                        again.append(place)
                        advised = outcome.retry.delay.ToTimedelta() > timedelta(0)
                        record.advised += advised
                        record.unadvised += not advised
                    case _:
                        record.refused += 1
        with self.lock:
            self.answered.append(record)
            if again:
                self.waiting.append(
                    _Call(
                        tuple(call.envelopes[at] for at in again),
                        tuple(call.ids[at] for at in again),
                    )
                )
            self.under_way -= 1


def offerer(
    connection: Connection, place: Place, port: int, organisation: str, urgent: bool
) -> None:
    """
    Obey ``("prepare", tickets, a_call)`` and ``("offer", calls_per_second, seconds)``.

    An offer is answered when all its calls are, with ``(calls, stored ids, dry)``: everything since
    the one before.  What was not stored is offered again, after everything that was not yet.
    """
    files = place.files(organisation, port)
    sealer = place.sealer(organisation)
    channel = secure_channel(
        files.target,
        roots=read_file(files.bridge_roots),
        key=read_private_file(files.gateway_key),
        chain=read_file(files.gateway_chain),
    )
    with channel:
        push = channel.unary_unary(_PUSH, request_serializer=bytes, response_deserializer=bytes)
        offering = Offering(push=push, chain=read_certificates(files.signer_chain))
        seed = 0
        for name, *arguments in commands(connection):
            if name == "prepare":
                tickets, a_call = arguments
                seed += 1
                urgency = Urgency.URGENT if urgent else Urgency.ROUTINE
                now, to = datetime.now(UTC), RECEIVER.organisation
                made = pairs(tickets, to, now, urgency=urgency, seed=seed)
                drafts = [message for pair in made for message in pair]
                for at in range(0, len(drafts), a_call * MESSAGES):
                    signed = sealer.seal(drafts[at : at + a_call * MESSAGES])
                    offering.waiting.append(
                        _Call(
                            tuple(one.envelope for one in signed),
                            tuple(one.message_id for one in signed),
                        )
                    )
                connection.send(len(offering.waiting))
                continue
            rate, seconds = arguments
            offering.offer(rate, seconds, urgent)
            connection.send((offering.answered, offering.stored, offering.dry))
            offering.answered, offering.stored, offering.dry = [], [], 0


# -- the desk that receives


def taker(connection: Connection, place: Place, port: int, pullers: int) -> None:
    """
    Pull and acknowledge all the time, as adapters do urgent lanes by a pull of their own; obey ``("came",)``.

    The answer is ``(ids, when each urgent one came, deliveries that came before, faults)`` since the
    one before.
    """
    patience = Patience(attempts=8)
    came: set[str] = set()
    urgent: dict[str, float] = {}
    faults: list[str] = []
    again, lock, stop = 0, threading.Lock(), threading.Event()

    def take(client: ExchangeClient, least: Urgency | None) -> None:
        nonlocal again
        while not stop.is_set():
            try:
                items = client.pull(128, timedelta(seconds=0.5), least=least)
                now = time.monotonic()
                messages = [item for item in items if isinstance(item, IncomingMessage)]
                with lock:
                    again += sum(one.message_id in came for one in messages)
                    came.update(one.message_id for one in messages)
                    for one in messages:
                        if one.message.urgency >= Urgency.URGENT:
                            urgent.setdefault(one.message_id, now)
                    faults.extend(
                        type(item).__name__
                        for item in items
                        if not isinstance(item, IncomingMessage)
                    )
                if messages:
                    client.acknowledge([_written(one) for one in messages])
            except ExchangeError as error:
                if not stop.is_set():
                    with lock:
                        faults.append(f"{error.reason}: {error}")

    with ExchangeClient.dial(place.files(RECEIVER.organisation, port), patience=patience) as client:
        wanted = [*[None] * pullers, Urgency.URGENT]
        threads = [threading.Thread(target=take, args=(client, least)) for least in wanted]
        for thread in threads:
            thread.start()
        for _ in commands(connection):
            with lock:
                connection.send((set(came), dict(urgent), again, list(faults)))
                urgent.clear()
                faults.clear()
                again = 0
        stop.set()
        for thread in threads:
            thread.join()


def _written(item: IncomingMessage) -> Written:
    return Written(
        message_id=item.message_id,
        digest=item.digest,
        local_number=f"JJ{item.position:010}",
        time=datetime.now(UTC),
    )
