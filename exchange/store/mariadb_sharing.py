"""
What a transaction does on MariaDB so that several bridges can write one database (`exchange.store.sharing`).

Galera certifies what was written: of two transactions at two nodes that wrote one row, the later one is
undone (1213).  A lock is one node's and says nothing at the others.  So a drain does not lock its tickets
but writes into their rows, which also locks them at its own node.  New tickets need neither: their ids
are keys, and keys are certified.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from exchange.store.drivers import Driver
from exchange.store.places import TURN_ROOM, first_place

# By their keys, whatever the table's size: in the order of their ids, and none beside them.
_HOLD = "UPDATE ticket FORCE INDEX (PRIMARY) SET holds = holds + 1 WHERE id {among} ORDER BY id"
_FREE = "SELECT id FROM ticket FORCE INDEX (PRIMARY) WHERE id {among} ORDER BY id FOR UPDATE SKIP LOCKED"
_THERE = "SELECT id FROM ticket WHERE id {among}"
# A sequence cannot be had in a cluster.  Of a key that counts by itself each node gives numbers of its
# own, above all that it has heard of: so whoever has seen a drain comes after it.
_TURN = "INSERT INTO turn () VALUES () RETURNING number"
_THIS_TURN = "INSERT INTO turn (number) VALUES ({}) RETURNING number"
_TAKEN = "DELETE FROM turn WHERE number = {}"
_LAST = (
    "SELECT max((SELECT max(r.leaf_index) FROM trail r WHERE r.ticket_id = t.id))"
    " FROM ticket t WHERE t.id {among}"
)
_LAST_OF_ALL = (
    "SELECT greatest(coalesce((SELECT max(leaf_index) FROM trail), 0),"
    " coalesce((SELECT max(position) FROM mailbox), 0), coalesce((SELECT max(number) FROM refusal), 0))"
)


def hold(
    driver: Driver, connection: Connection, tickets: Sequence[str], *, patient: bool
) -> frozenset[str]:
    """Keep other bridges from *tickets*; return the ones that were not to be had."""
    if patient:
        driver.execute(connection, _HOLD, tickets)
        return frozenset()
    had = [row[0] for row in driver.fetch(connection, _FREE, tickets)]
    if had:
        driver.execute(connection, _HOLD, had)
    there = driver.fetch(connection, _THERE, tickets)
    return frozenset(row[0] for row in there).difference(had)


def take_turn(driver: Driver, connection: Connection, tickets: Collection[str]) -> int:
    """Return the place at which a drain begins that holds *tickets*: after all that was said of them."""
    number = _turn(driver, connection, _TURN)
    if tickets:
        ((last,),) = driver.fetch(connection, _LAST, sorted(tickets))
        if last is not None and last >= first_place(number):
            reach_turns(driver, connection)
            number = _turn(driver, connection, _TURN)
    return first_place(number)


def reach_turns(driver: Driver, connection: Connection) -> None:
    """Let turns begin above all that is there, also where the server forgot what it had counted."""
    ((last,),) = driver.fetch(connection, _LAST_OF_ALL)
    if last >= first_place(_turn(driver, connection, _TURN)):
        _turn(driver, connection, _THIS_TURN, last // TURN_ROOM + 1)


def _turn(driver: Driver, connection: Connection, statement: str, *wanted: int) -> int:
    ((number,),) = driver.fetch(connection, statement, *wanted)
    driver.execute(connection, _TAKEN, number)
    return int(number)
