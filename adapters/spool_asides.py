"""
What a person set aside: the lane goes on without it, its author is told, and the original is kept.

Rule 1: it is kept here before the bridge is told, and is said until the bridge has it.
Rule 2: the original stays for `ORIGINAL_KEPT`, and no longer than there is room for it: what was set
aside longest ago goes first.  What still stands in quarantine is never forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.spool_lanes import STOPPED, Lanes, StoppedLane
from adapters.spool_records import refusal_of
from exchange.client import Declined, Written

#: How long the original of what was set aside is kept: as long as somebody may still ask for it.
ORIGINAL_KEPT = timedelta(days=180)
#: Bytes of such originals at most: a thousand of the largest, a thirtieth of what a spool may take.
ORIGINALS_ROOM = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """One message that was set aside: *lane* as it stood still, why, who of this organisation, when."""

    lane: StoppedLane
    reason: str
    person: str
    time: datetime
    #: Whether the bridge has it in its log.
    told: bool


class Asides(Lanes):
    """What was set aside of one organisation's spool."""

    def set_aside(self, message_id: str, reason: str, person: str, now: datetime) -> Declined:
        """Set aside what stands in quarantine, for *reason*; return the statement to acknowledge with."""
        with self._transaction():
            row = self._db.execute(
                "SELECT digest, refusal FROM incoming WHERE message_id = ? AND refusal IS NOT NULL",
                (message_id,),
            ).fetchone()
            refusal = refusal_of(row[1]) if row is not None else None
            if refusal is None:
                raise KeyError(message_id)
            self._db.execute(
                "INSERT OR REPLACE INTO aside (message_id, reason, person, time, told) "
                "VALUES (?, ?, ?, ?, 0)",
                (message_id, reason, person, now.isoformat()),
            )
            self._db.execute(
                "DELETE FROM note WHERE substr(name, 1, 8) = ? AND substr(fact, -36) = ?",
                (STOPPED, message_id),
            )
        return Declined(
            message_id=message_id, digest=row[0], refusal=refusal, time=now, set_aside=reason
        )

    def asides(self) -> list[Aside]:
        """Return what was set aside and not written since, what was first declined first."""
        lanes = {one.message_id: one for one in self._stopped("IN")}
        rows = self._all("SELECT message_id, reason, person, time, told FROM aside")
        found = {
            message_id: Aside(
                lane=lanes[message_id],
                reason=reason,
                person=person,
                time=datetime.fromisoformat(time),
                told=bool(told),
            )
            for message_id, reason, person, time, told in rows
            if message_id in lanes
        }
        return [found[name] for name in lanes if name in found]

    def unacknowledged(self, limit: int = 128) -> list[Written | Declined]:
        """Return the statements that no bridge has recorded yet: what was set aside, then the oldest."""
        rows = self._all(
            "SELECT a.message_id, i.digest, i.refusal, a.time, a.reason FROM aside AS a "
            "JOIN incoming AS i ON i.message_id = a.message_id WHERE a.told = 0 "
            "ORDER BY a.time LIMIT ?",
            limit,
        )
        aside: list[Written | Declined] = []
        for message_id, digest, stored, time, reason in rows:
            refusal = refusal_of(stored)
            if refusal is not None:
                aside.append(
                    Declined(
                        message_id=message_id,
                        digest=digest,
                        refusal=refusal,
                        time=datetime.fromisoformat(time),
                        set_aside=reason,
                    )
                )
        said = {one.message_id for one in aside}
        others = super().unacknowledged(limit)
        return [*aside, *(one for one in others if one.message_id not in said)][:limit]

    def settled(self, statements: Sequence[Written | Declined]) -> None:
        """Note that the bridge has these, or has refused them for good."""
        aside = [
            (one.message_id, one.time.isoformat())
            for one in statements
            if isinstance(one, Declined) and one.set_aside
        ]
        if aside:
            with self._transaction():
                self._db.executemany(
                    "UPDATE aside SET told = 1 WHERE message_id = ? AND time = ?", aside
                )
        self.acknowledged([one.message_id for one in statements])

    def prune_originals(
        self, now: datetime, *, kept: timedelta = ORIGINAL_KEPT, room: int = ORIGINALS_ROOM
    ) -> int:
        """Empty the originals of what was set aside too long ago, or beyond the room; return how many."""
        rows = self._all(
            "SELECT q.message_id, length(q.original), a.time FROM aside AS a "
            "JOIN quarantine AS q ON q.message_id = a.message_id "
            "WHERE a.told = 1 AND length(q.original) > 0 ORDER BY a.time DESC"
        )
        before, taken, gone = (now - kept).isoformat(), 0, []
        for message_id, size, time in rows:
            taken += size
            if time < before or taken > room:
                gone.append((message_id,))
        if gone:
            with self._transaction():
                self._db.executemany(
                    "UPDATE quarantine SET original = x'' WHERE message_id = ?", gone
                )
        return len(gone)
