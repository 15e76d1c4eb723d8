"""
Where things stand in a database that several bridges write: keys that keep order across their logs.

A database begins with one log, number 0, and then a *place* (`trail.leaf_index`, and with it that of
message, receipt and mailbox row) is the leaf's index in that log.  Once a second log has joined, every
drain takes a *turn* instead: a number of the database's own sequence, taken after the drain has locked
the tickets that it touches.  Its leaves, mailbox rows and refusals stand at ``turn × TURN_ROOM`` and
after.  So whatever is said of one ticket stands in the order in which it was decided, whichever bridge
decided it, and everything that was said before the second log joined stands before.

A log's own order is that of its leaf indexes, and only that is signed.  `drain` leads from one to the
other: its sizes are those of its log, numbered ``log × LOG_ROOM + size``, and its place is the first
leaf's.
"""

from __future__ import annotations

#: Leaves of one log at most; also below all places that turns give.
LOG_ROOM = 1 << 40
#: Leaves, and mailbox rows with refusals, of one drain at most.
TURN_ROOM = 1 << 22
#: The first turn: its places come after all that a lone log gave.
FIRST_TURN = LOG_ROOM // TURN_ROOM


def log_key(number: int, size: int) -> int:
    """Return what stands in `drain` for *size* leaves of the log with this *number*."""
    return number * LOG_ROOM + size


def first_place(turn: int) -> int:
    """Return the place of the first leaf of the drain that has this *turn*."""
    return turn * TURN_ROOM
