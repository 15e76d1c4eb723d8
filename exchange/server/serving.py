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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from exchange.bridge import Drained, Mailboxes, SharedMailboxes
from exchange.identity import Party
from exchange.query import Query
from exchange.query.acts import ActsRoom
from exchange.server import tls13_only
from exchange.server.announcer import Announcer
from exchange.server.attaching import AttachmentService
from exchange.server.bells import Bells
from exchange.server.credentials import listen, server_options
from exchange.server.exchange_service import ExchangeService
from exchange.server.guard import Guard
from exchange.server.handlers import (
    attachment_handlers,
    directory_handlers,
    exchange_handlers,
    ticket_handlers,
    witness_handlers,
)
from exchange.server.in_force import InForce
from exchange.server.journal import Journal
from exchange.server.keeper import Keeper
from exchange.server.keyring import Keyring
from exchange.server.known import Directory
from exchange.server.limits import Allowances
from exchange.server.lookout import Lookout
from exchange.server.neighbours import Neighbours
from exchange.server.observing import Observing
from exchange.server.reading import DirectoryService, TicketService
from exchange.server.sentinel import Sentinel
from exchange.server.trust_files import TrustFiles
from exchange.server.trust_state import StateFile
from exchange.server.witnessing import Witnesses, WitnessService
from exchange.server.writer import Writer
from exchange.settings import Limits
from exchange.store.attachments import Attachments
from exchange.store.cosignatures import Cosignatures
from exchange.submission import Work
from exchange.wire import coded

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
        mailboxes: Mailboxes | SharedMailboxes,
        query: Query,
        directory: Directory,
        trust: InForce,
        limits: Limits,
        journal: Journal,
        clock: Callable[[], datetime] = utc_now,
        executors: Executors | None = None,
        lookout: Lookout | None = None,
        observing: Observing | None = None,
        watched: tuple[TrustFiles, StateFile] | None = None,
        neighbours: Neighbours | None = None,
        relays: Mapping[str, Sequence[str]] | None = None,
        witnessing: tuple[Cosignatures, Witnesses] | None = None,
        acts: ActsRoom,
        journals: Mapping[str, Path] | None = None,
        attachments: Attachments | None = None,
    ) -> None:
        self._acts = acts
        self._neighbours = neighbours
        self._observing = observing or Observing()
        self._lookout = lookout
        if lookout is not None:
            lookout.alarmed = lambda: self._store_works(works=False)
        self._origin = origin
        self._holidays_until = directory.calendar.known_until
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
        registered: dict[Party, tuple[str, ...]] = {
            (o.network, o.code): (o.region, *o.also) for o in register
        }
        kept, witnesses = witnessing or (None, {})
        # Witnesses have no organisation; a network without their keys has none that may call.
        registered |= {(network, ""): () for network in witnesses}
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
        self._sentinel = None
        if watched is not None:
            files, state = watched
            self._sentinel = Sentinel(
                files,
                in_force=trust,
                guard=self._guard,
                clock=clock,
                journal=journal,
                measures=self._observing.measures,
                state=state,
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
        self._announcer = None
        if watched is not None:
            self._announcer = Announcer(
                journals or {},
                origin=origin,
                acts=acts,
                reader=self._executors.reader,
                shared=neighbours is not None,
                in_force=trust,
                keeper=keeper,
                alone=self._writer.alone,
                entered=self._log_grew,
                clock=clock,
                journal=journal,
                measures=self._observing.measures,
                state=watched[1],
            )
        self._observing.measures.watch(
            queued=self._writer.__len__,
            pulls=self._bells.__len__,
            leases=mailboxes.leased,
            keeper=keeper.process_id,
        )
        services: tuple[grpc.GenericRpcHandler[Any, Any], ...] = (
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
                    relays=relays,
                    read=coded.reader(directory.codes),
                )
            ),
            ticket_handlers(TicketService(query, register, self._executors.reader)),
            directory_handlers(DirectoryService(directory, self._executors.reader, acts)),
        )
        self._witnessing = None
        if kept is not None:
            self._witnessing = WitnessService(kept, witnesses, self._executors.reader, journal)
            services += (witness_handlers(self._witnessing),)
        self._attachments = attachments
        if attachments is not None:
            attaching = AttachmentService(
                attachments, self._executors.reader, allowances, journal, relays=relays or {}
            )
            services += (attachment_handlers(attaching),)
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
        if self._neighbours is not None:
            self._neighbours.start(self._bells)
        self._writer.start()
        await self._server.start()
        if self._sentinel is not None:
            self._sentinel.start()
        if self._announcer is not None:
            self._announcer.start()
        facts = {"tls13_only": tls13_only, "holidays_until": self._holidays_until}
        self._journal.info("serving", port=port, origin=self._origin, **facts)
        return port

    async def stop(self) -> None:
        """Answer what is inside, write what is queued, close the database."""
        self._journal.info("stopping")
        await self._health.enter_graceful_shutdown()
        self._guard.stop()
        self._bells.close()
        await self._server.stop(self._limits.stop_seconds)
        if self._announcer is not None:
            await self._announcer.close()
        await self._writer.close()
        if self._sentinel is not None:
            await self._sentinel.close()
        if self._neighbours is not None:
            await self._neighbours.close()
        await self._observing.close()
        await asyncio.get_running_loop().run_in_executor(None, self._executors.close)
        self._query.close()
        self._acts.close()
        if self._witnessing is not None:
            self._witnessing.close()
        if self._attachments is not None:
            self._attachments.close()
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

    def _log_grew(self, checkpoint: bytes) -> None:
        self._mailboxes.checkpoint = checkpoint

    async def _drain(self, work: Sequence[Work], now: datetime) -> Drained:
        try:
            drained = await self._keeper.drain(work, now)
        except BaseException:
            self._mailboxes.lost()
            raise
        self._mailboxes.took(drained, work)
        return drained

    def _store_works(self, works: bool) -> None:
        works = works and (self._lookout is None or self._lookout.behind is None)
        self._journal.warning("store-works" if works else "store-fails")
        task = asyncio.create_task(self._health.set("", _SERVING if works else _NOT_SERVING))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
