"""
What a transaction does so that several bridges can write one database.

Tickets are decided by whoever has locked their rows; everything a message is judged by belongs to its
own ticket.  Rows are locked in the order of their ids, so that two drains cannot wait for each other
there; where they do all the same, elsewhere, the database ends one of them and it is tried again whole
(`exchange.bridge.ledger`).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from exchange.errors import LimitExceeded
from exchange.log import Drain
from exchange.store import mariadb_sharing
from exchange.store.drivers import Driver
from exchange.store.engines import MARIADB
from exchange.store.places import TURN_ROOM, first_place, log_key
from exchange.store.rows import Row
from exchange.text import Text

_TICKETS_OF = (
    "SELECT DISTINCT t.ticket_id FROM message m JOIN trail t ON t.leaf_index = m.leaf_index"
    " WHERE m.id {among}"
)
_LOCK = "SELECT id FROM ticket WHERE id {among} ORDER BY id FOR UPDATE"
_THERE = "SELECT id FROM ticket WHERE id {among}"
# After the locks: so turns follow one another, ticket by ticket, as decisions do.
_TURN = "SELECT nextval('turn')"

_TOO_MUCH = Text(
    en="One step would put {count} things into mailboxes, and {limit} is the limit; ask for less at once.",
    zh="一步将投递 {count} 项，上限为 {limit} 项，请分次请求。",
)


def hold_tickets(
    driver: Driver,
    connection: Connection,
    ticket_ids: Collection[str],
    message_ids: Collection[str],
    *,
    patient: bool,
) -> frozenset[str]:
    """Lock these tickets and those of these messages; return the ones that were not to be had."""
    wanted = set(ticket_ids)
    if message_ids:
        wanted.update(row[0] for row in driver.fetch(connection, _TICKETS_OF, sorted(message_ids)))
    if not wanted:
        return frozenset()
    if connection.dialect.name == MARIADB:
        return mariadb_sharing.hold(driver, connection, sorted(wanted), patient=patient)
    if patient:
        driver.fetch(connection, _LOCK, sorted(wanted))
        return frozenset()
    had = driver.fetch(connection, f"{_LOCK} SKIP LOCKED", sorted(wanted))
    there = driver.fetch(connection, _THERE, sorted(wanted))
    return frozenset(row[0] for row in there) - {row[0] for row in had}


def take_turn(driver: Driver, connection: Connection, tickets: Collection[str] = ()) -> int:
    """Return the place at which a drain begins that has locked its *tickets*."""
    if connection.dialect.name == MARIADB:
        return mariadb_sharing.take_turn(driver, connection, tickets)
    return first_place(driver.fetch(connection, _TURN)[0][0])


def reach_turns(driver: Driver, connection: Connection) -> None:
    """Let turns begin above all that is there; PostgreSQL's sequence is put back with its tables."""
    if connection.dialect.name == MARIADB:
        mariadb_sharing.reach_turns(driver, connection)


def require_room(count: int) -> None:
    """Raise `LimitExceeded` where one drain gives more than a turn has room for."""
    if count >= TURN_ROOM:
        raise LimitExceeded(_TOO_MUCH.fill(count=count, limit=TURN_ROOM - 1), limit="turn")


def drain_row(drain: Drain, number: int | None, place: int) -> Row:
    """Return the row of *drain*, whose first leaf stands at *place*, of the log with this *number*."""
    log = number or 0
    return (
        log_key(log, drain.frontier.size),
        log_key(log, drain.size_before),
        drain.nodes,
        drain.note,
        None if number is None else place,
    )
