"""
A bridge that serves: its parts put together, started, and stopped without losing anything.

Stopping: health says NOT_SERVING and new calls are turned away; waiting pulls end; the calls inside
get their answers; what is queued is written; then the database is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as exchange_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange.bridge import Drained, Mailboxes
from exchange.config import Limits
from exchange.identity import Party
from exchange.query import Query
from exchange.server import tls13_only
from exchange.server.bells import Bells
from exchange.server.credentials import listen, server_options
from exchange.server.exchange_service import ExchangeService
from exchange.server.guard import Guard
from exchange.server.journal import Journal
from exchange.server.keeper import Keeper
from exchange.server.keyring import Keyring
from exchange.server.known import Directory
from exchange.server.limits import Allowances
from exchange.server.lookout import Lookout
from exchange.server.observing import Observing
from exchange.server.reading import DirectoryService, TicketService
from exchange.server.writer import Writer
from exchange.submission import Work
from exchange.trust import TrustStore

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


#: Threads that read the database.
READERS = 4


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executors:
    """The threads beside the event loop; *writer* and *puller* must have one each."""

    writer: Executor
    puller: Executor
    reader: Executor

    @classmethod
    def threads(cls) -> Executors:
        """Return real threads."""
        return cls(
            writer=ThreadPoolExecutor(1, "writer"),
            puller=ThreadPoolExecutor(1, "puller"),
            reader=ThreadPoolExecutor(READERS, "reader"),
        )

    def close(self) -> None:
        """Wait for what runs, and end."""
        for executor in (self.writer, self.puller, self.reader):
            executor.shutdown(wait=True)


class Server:
    """One bridge behind one port; made, started and stopped on one event loop."""

    def __init__(
        self,
        *,
        origin: str,
        keeper: Keeper,
        mailboxes: Mailboxes,
        query: Query,
        directory: Directory,
        trust: TrustStore,
        limits: Limits,
        journal: Journal,
        clock: Callable[[], datetime] = utc_now,
        executors: Executors | None = None,
        lookout: Lookout | None = None,
        observing: Observing | None = None,
    ) -> None:
        self._observing = observing or Observing()
        self._lookout = lookout
        if lookout is not None:
            lookout.alarmed = lambda: self._store_works(works=False)
        self._origin = origin
        self._keeper = keeper
        self._mailboxes = mailboxes
        self._query = query
        self._limits = limits
        self._journal = journal
        self._executors = executors or Executors.threads()
        self._health = HealthServicer()
        self._bells = Bells()
        self._tasks: set[asyncio.Task[None]] = set()
        register = directory.register
        registered: frozenset[Party] = frozenset((o.network, o.code) for o in register)
        allowances = Allowances(limits, asyncio.get_running_loop().time)
        self._guard = Guard(
            trust=trust,
            registered=registered,
            limits=limits,
            allowances=allowances,
            clock=clock,
            journal=journal,
            lookout=lookout,
            measures=self._observing.measures,
            contacts=self._observing.contacts,
        )
        self._writer = Writer(
            self._drain,
            clock=clock,
            most_queued=limits.queued_messages,
            rang=self._bells.ring,
            working=self._store_works,
            journal=journal,
            measures=self._observing.measures,
        )
        self._observing.measures.watch(
            queued=self._writer.__len__,
            pulls=self._bells.__len__,
            leases=mailboxes.leased,
            keeper=keeper.process_id,
        )
        services = (
            exchange_handlers(
                ExchangeService(
                    keeper=keeper,
                    mailboxes=mailboxes,
                    writer=self._writer,
                    keyring=Keyring(trust, registered, query.certificates, clock),
                    bells=self._bells,
                    allowances=allowances,
                    puller=self._executors.puller,
                    reader=self._executors.reader,
                    clock=clock,
                )
            ),
            ticket_handlers(TicketService(query, register, self._executors.reader)),
            directory_handlers(DirectoryService(directory, self._executors.reader)),
        )
        self._server = grpc.aio.server(
            interceptors=[self._guard],
            options=server_options(limits),
            maximum_concurrent_rpcs=limits.calls_at_once,
        )
        self._server.add_generic_rpc_handlers(services)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self, address: str, credentials: grpc.ServerCredentials) -> int:
        """Listen on *address* and return the port; raises `ConfigurationError` if it is taken."""
        port = listen(self._server, address, credentials)
        self._observing.start()
        self._writer.start()
        await self._server.start()
        self._journal.info("serving", port=port, origin=self._origin, tls13_only=tls13_only)
        return port

    async def stop(self) -> None:
        """Answer what is inside, write what is queued, close the database."""
        self._journal.info("stopping")
        await self._health.enter_graceful_shutdown()
        self._guard.stop()
        self._bells.close()
        await self._server.stop(self._limits.stop_seconds)
        await self._writer.close()
        await self._observing.close()
        await asyncio.get_running_loop().run_in_executor(None, self._executors.close)
        self._query.close()
        if self._lookout is not None:
            self._lookout.close()
        self._mailboxes.close()
        await self._keeper.close()
        self._journal.info("stopped")

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop; a second one ends the process at once."""
        asked = asyncio.Event()

        def on_signal(number: int) -> None:
            if asked.is_set():
                self._journal.warning("killed", signal=number)
                os._exit(128 + number)
            asked.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number)
        try:
            await asked.wait()
            await self.stop()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                with contextlib.suppress(ValueError):
                    loop.remove_signal_handler(number)

    async def _drain(self, work: Sequence[Work], now: datetime) -> Drained:
        drained = await self._keeper.drain(work, now)
        self._mailboxes.took(drained)
        return drained

    def _store_works(self, works: bool) -> None:
        works = works and (self._lookout is None or self._lookout.behind is None)
        self._journal.warning("store-works" if works else "store-fails")
        task = asyncio.create_task(self._health.set("", _SERVING if works else _NOT_SERVING))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def exchange_handlers(service: ExchangeService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the exchange service."""
    return grpc.method_handlers_generic_handler(
        exchange_pb.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
        {
            "PushMessages": _unary(
                service.push, exchange_pb.PushMessagesRequest, exchange_pb.PushMessagesResponse
            ),
            "PullMessages": _unary(
                service.pull, exchange_pb.PullMessagesRequest, exchange_pb.PullMessagesResponse
            ),
            "AcknowledgeMessages": _unary(
                service.acknowledge,
                exchange_pb.AcknowledgeMessagesRequest,
                exchange_pb.AcknowledgeMessagesResponse,
            ),
            "ReconcileHandoffs": _unary(
                service.reconcile,
                exchange_pb.ReconcileHandoffsRequest,
                exchange_pb.ReconcileHandoffsResponse,
            ),
        },
    )


def ticket_handlers(service: TicketService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the ticket service."""
    return grpc.method_handlers_generic_handler(
        ticket_pb.DESCRIPTOR.services_by_name["TicketService"].full_name,
        {
            "GetTicket": _unary(
                service.get_ticket, ticket_pb.GetTicketRequest, ticket_pb.GetTicketResponse
            ),
            "ListTickets": _unary(
                service.list_tickets, ticket_pb.ListTicketsRequest, ticket_pb.ListTicketsResponse
            ),
            "GetTrail": _unary(
                service.get_trail, ticket_pb.GetTrailRequest, ticket_pb.GetTrailResponse
            ),
        },
    )


def directory_handlers(service: DirectoryService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the directory."""
    return grpc.method_handlers_generic_handler(
        directory_pb.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
        {
            "ListOrganisations": _unary(
                service.list_organisations,
                directory_pb.ListOrganisationsRequest,
                directory_pb.ListOrganisationsResponse,
            ),
            "ListRegions": _unary(
                service.list_regions,
                directory_pb.ListRegionsRequest,
                directory_pb.ListRegionsResponse,
            ),
            "ListMatters": _unary(
                service.list_matters,
                directory_pb.ListMattersRequest,
                directory_pb.ListMattersResponse,
            ),
            "GetProfile": _unary(
                service.get_profile, directory_pb.GetProfileRequest, directory_pb.GetProfileResponse
            ),
        },
    )


def _unary(answer: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
