"""From settings to a server: everything is opened and checked before anybody is listened to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from exchange.bridge import Mailboxes, SharedMailboxes
from exchange.config import Settings
from exchange.delivery import Leases
from exchange.query import Query
from exchange.query.acts import ActsRoom
from exchange.revocation import Remembered
from exchange.server.address import require_free
from exchange.server.attaching import bounds_of
from exchange.server.in_force import InForce, credentials
from exchange.server.journal import Journal, open_journal, take_over_logging
from exchange.server.keeper import ProcessKeeper, ThreadKeeper
from exchange.server.known import keep_what_is_loaded, open_directory, open_ledger
from exchange.server.lookout import Lookout
from exchange.server.neighbours import Neighbours
from exchange.server.observing import Observing
from exchange.server.serving import Executors, Server, utc_now
from exchange.server.trust_files import TrustFiles
from exchange.server.trust_state import StateFile
from exchange.server.witnessing import load_witnesses
from exchange.store import Outbox
from exchange.store.attachments import Attachments
from exchange.store.cosignatures import Cosignatures
from exchange.store.logs import is_shared
from exchange.store.several import leasing, waking
from exchange.wire.fields import validator


async def serve(settings: Settings, announce: Callable[[int], None] | None = None) -> None:
    """
    Serve until SIGTERM or SIGINT; once it listens, tell *announce* the port.

    Raises `ConfigurationError`, `DataError` and the store's failures before it listens.
    """
    require_free(settings.listen)  # before a database is opened that another bridge may be using
    journal = open_journal(sys.stderr, level=settings.journal)
    take_over_logging(journal)
    trust = initial_trust(settings, utc_now())
    server = await open_server(settings, trust=trust, journal=journal)
    validator()  # not while somebody waits for an answer
    keep_what_is_loaded()
    try:
        port = await server.start(settings.listen, credentials(trust))
        if announce is not None:
            announce(port)
    except BaseException:
        await server.stop()
        raise
    await server.run_until_signal()


async def open_server(
    settings: Settings,
    *,
    trust: InForce,
    journal: Journal,
    clock: Callable[[], datetime] = utc_now,
    watching: bool = True,
) -> Server:
    """
    Open database, register and profiles, and return a server that does not listen yet.

    Unless it is *watching*, *trust* stays as it is, whatever becomes of its files.
    """
    known = open_directory(settings, clock())
    witnesses = load_witnesses(settings.witnesses)
    executors = Executors.threads()
    keeper: ThreadKeeper | ProcessKeeper
    if settings.keeper == "thread":
        keeper = ThreadKeeper(open_ledger(settings, known), executors.writer)
    else:
        keeper = await ProcessKeeper.begin(settings)
    lookout = None
    try:
        lookout = Lookout.open(settings, journal)
        # From here on that cannot change: the keeper has claimed the database, or its own log.
        shared = is_shared(settings.database)
        return Server(
            origin=settings.origin,
            keeper=keeper,
            mailboxes=_mailboxes(settings, keeper.checkpoint, shared=shared),
            query=Query.open(settings.database, settings.at_rest.ring()),
            directory=known,
            trust=trust,
            limits=settings.limits,
            journal=journal,
            clock=clock,
            executors=executors,
            lookout=lookout,
            observing=Observing.open(settings, journal, clock),
            watched=(TrustFiles.of(settings), StateFile(settings.state, journal))
            if watching
            else None,
            neighbours=Neighbours(waking(settings.database, settings.origin), journal)
            if shared
            else None,
            relays=settings.relays,
            witnessing=(Cosignatures.open(settings.database), witnesses),
            acts=ActsRoom.open(settings.database),
            journals=settings.acts,
            attachments=Attachments.open(
                settings.database, bounds_of(settings.attachments), settings.at_rest.ring()
            ),
        )
    except BaseException:
        if lookout is not None:
            lookout.close()
        await keeper.close()
        raise


def initial_trust(settings: Settings, now: datetime) -> InForce:
    """
    Return what the files say of whom to trust, held to what was in force before.

    Raises `ConfigurationError` naming the file that is wrong, and the store's failures.
    """
    known = _remembered(settings.database)
    return InForce(replace(TrustFiles.of(settings), remembered=known).read(now))


def _remembered(database: str) -> list[Remembered]:
    """Return the newest lists of revoked certificates that any bridge of *database* had in force."""
    room = ActsRoom.open(database)
    try:
        newest: dict[tuple[str, str], Remembered] = {}
        for act in room.bridges():
            for one in act.facts.get("lists", ()):
                key = one["network"], one["authority"]
                if key not in newest or newest[key].number < one["number"]:
                    newest[key] = Remembered(
                        network=one["network"],
                        name=bytes.fromhex(one["authority"]),
                        number=one["number"],
                        digest=bytes.fromhex(one["digest"]),
                        of_root=one["root"],
                    )
    finally:
        room.close()
    return list(newest.values())


def _mailboxes(
    settings: Settings, checkpoint: bytes, *, shared: bool
) -> Mailboxes | SharedMailboxes:
    """Return the part that hands out: where other bridges do too, leases stand in the database."""
    length = settings.limits.lease_seconds
    if shared:
        return SharedMailboxes(
            leasing(settings.database, length, settings.at_rest.ring()),
            checkpoint=checkpoint,
        )
    return Mailboxes(
        Outbox.read(settings.database, settings.at_rest.ring()),
        checkpoint=checkpoint,
        leases=Leases(timedelta(seconds=length)),
    )
