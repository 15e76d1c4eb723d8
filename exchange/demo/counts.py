"""
Nothing lost, nothing doubled: what the bridge has against what every platform has, counted.

Each platform's own database and the bridge's are opened for reading, as an auditor would, and
compared message by message.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange.demo.desk import PATIENCE
from exchange.demo.ground import Ground

_SAID = "SELECT message_id FROM trail WHERE author = ? AND kind <> 'written'"
_OWN = "SELECT count(*) FROM trail WHERE author = ? AND recipient = author AND kind <> 'written'"
_GIVEN = "SELECT message_id FROM receipt WHERE organisation = ?"
_STATES = "SELECT id, state FROM handoff WHERE sender = ? OR receiver = ?"
_OWN_SAID = "SELECT message_id FROM event WHERE author = ? AND answer IN ('stored', 'written')"
_OWN_CAME = "SELECT message_id FROM event WHERE author <> ?"
_OWN_STATES = "SELECT handoff_id, state FROM handoff"
_WAITING_HERE = (
    "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM event WHERE answer = 'waiting')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """
    One platform against the bridge.

    *said* and *came* are messages in both databases; *own* those of *said* about an own duty, which
    go to nobody else; *lost* those in one alone, *doubled* those there twice; *differing* hand-offs
    whose state is not the same on both sides.
    """

    platform: str
    said: int
    own: int
    came: int
    handoffs: int
    lost: int
    doubled: int
    differing: int

    @property
    def holds(self) -> bool:
        """Whether nothing is lost, doubled or different."""
        return not (self.lost or self.doubled or self.differing)


def settle(ground: Ground, patience: int = PATIENCE) -> bool:
    """Wait until nothing is under way any more; return whether it came to that."""
    for _ in range(patience * 20):
        if not under_way(ground):
            return True
        time.sleep(0.05)
    return False


def await_under_way(ground: Ground, patience: int = 5) -> int:
    """Wait until something is under way; return how many messages and receipts are, 0 if none."""
    for _ in range(patience * 200):
        if waiting := under_way(ground):
            return waiting
        time.sleep(0.005)
    return 0


def under_way(ground: Ground) -> int:
    """Return how many messages and receipts wait anywhere: in an outbox, a spool or a mailbox."""
    with _reading(ground.bridge_database) as bridge:
        found: int = bridge.execute("SELECT count(*) FROM mailbox").fetchone()[0]
    for platform in ground.city.platforms.values():
        with _reading(ground.home(platform) / "desk.db") as own:
            found += own.execute(_WAITING_HERE).fetchone()[0]
    return found


def count(ground: Ground) -> list[Count]:
    """Return every platform's count."""
    with _reading(ground.bridge_database) as bridge:
        found = []
        for platform in ground.city.platforms.values():
            code = platform.code
            with _reading(ground.home(platform) / "desk.db") as own:
                said, own_said = _ids(bridge, _SAID, code), _ids(own, _OWN_SAID, code)
                given, own_came = _ids(bridge, _GIVEN, code), _ids(own, _OWN_CAME, code)
                states = dict(bridge.execute(_STATES, (code, code)).fetchall())
                own_states = dict(own.execute(_OWN_STATES).fetchall())
            found.append(
                Count(
                    platform=platform.role.value,
                    said=len(said & own_said),
                    own=bridge.execute(_OWN, (code,)).fetchone()[0],
                    came=len(given & own_came),
                    handoffs=len(own_states),
                    lost=len(said.keys() ^ own_said.keys()) + len(given.keys() ^ own_came.keys()),
                    doubled=sum(
                        n - 1 for c in (said, own_said, given, own_came) for n in c.values()
                    ),
                    differing=len(set(states.items()) ^ set(own_states.items())),
                )
            )
    return found


def _ids(database: sqlite3.Connection, query: str, organisation: str) -> Counter[str]:
    return Counter(row[0] for row in database.execute(query, (organisation,)))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)) as database:
        yield database
