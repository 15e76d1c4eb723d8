"""From settings to a server: everything is opened and checked before anybody is listened to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta

from exchange.bridge import Mailboxes
from exchange.config import Settings
from exchange.delivery import Leases
from exchange.query import Query
from exchange.server.address import require_free
from exchange.server.credentials import server_credentials
from exchange.server.journal import Journal, open_journal, take_over_logging
from exchange.server.keeper import ProcessKeeper, ThreadKeeper
from exchange.server.known import keep_what_is_loaded, open_directory, open_ledger
from exchange.server.lookout import Lookout
from exchange.server.observing import Observing
from exchange.server.serving import Executors, Server, utc_now
from exchange.store import Outbox
from exchange.trust import TrustStore


async def serve(settings: Settings, announce: Callable[[int], None] | None = None) -> None:
    """
    Serve until SIGTERM or SIGINT; once it listens, tell *announce* the port.

    Raises `ConfigurationError`, `DataError` and the store's failures before it listens.
    """
    require_free(settings.listen)  # before a database is opened that another bridge may be using
    journal = open_journal(sys.stderr, level=settings.journal)
    take_over_logging(journal)
    trust = TrustStore.load(settings.networks)
    credentials = server_credentials(settings.tls, trust, utc_now())
    server = await open_server(settings, trust=trust, journal=journal)
    keep_what_is_loaded()
    try:
        port = await server.start(settings.listen, credentials)
        if announce is not None:
            announce(port)
    except BaseException:
        await server.stop()
        raise
    await server.run_until_signal()


async def open_server(
    settings: Settings,
    *,
    trust: TrustStore,
    journal: Journal,
    clock: Callable[[], datetime] = utc_now,
) -> Server:
    """Open database, register and profiles, and return a server that does not listen yet."""
    known = open_directory(settings, clock())
    executors = Executors.threads()
    keeper: ThreadKeeper | ProcessKeeper
    if settings.keeper == "thread":
        keeper = ThreadKeeper(open_ledger(settings, known), executors.writer)
    else:
        keeper = await ProcessKeeper.begin(settings)
    lookout = None
    try:
        lookout = Lookout.open(settings, journal)
        return Server(
            origin=settings.origin,
            keeper=keeper,
            mailboxes=Mailboxes(
                Outbox.read(settings.database),
                checkpoint=keeper.checkpoint,
                leases=Leases(timedelta(seconds=settings.limits.lease_seconds)),
            ),
            query=Query.open(settings.database),
            directory=known,
            trust=trust,
            limits=settings.limits,
            journal=journal,
            clock=clock,
            executors=executors,
            lookout=lookout,
            observing=Observing.open(settings, journal, clock),
        )
    except BaseException:
        if lookout is not None:
            lookout.close()
        await keeper.close()
        raise
