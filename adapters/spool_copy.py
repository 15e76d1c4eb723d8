"""A spool's whole copy of what crossed, for comparing it; and saying again what is missing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from adapters.spool_asides import Asides
from adapters.spool_records import KnownHandoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """One own message; *state* is ``waiting``, ``stored``, ``refused`` or ``dropped``."""

    kind: str
    ticket_id: str
    handoff_id: str
    recipient: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One message that came; *ticket_id* is empty where it was declined or could not be read."""

    ticket_id: str
    declined: bool
    acknowledged: bool
    #: Whether somebody here set it aside.
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCopy:
    """What a spool holds at one moment, each by its id; what was pruned is not in it."""

    own: Mapping[str, Spooled]
    came: Mapping[str, Arrived]
    handoffs: Mapping[str, KnownHandoff]


class Copies(Asides):
    """The copy of one organisation's spool."""

    def copy(self, since: datetime | None = None) -> SpoolCopy:
        """Return what the spool holds; of own messages and of what came only what is *since* then."""
        moment = since.isoformat() if since is not None else ""
        own = self._all(
            "SELECT message_id, kind, ticket_id, handoff_id, recipient, state FROM outgoing "
            "WHERE state = 'waiting' OR queued >= ?",
            moment,
        )
        came = self._all(
            "SELECT message_id, ticket_id, refusal IS NOT NULL, acknowledged, "
            "message_id IN (SELECT message_id FROM aside) FROM incoming "
            "WHERE refusal IS NOT NULL OR time >= ?",
            moment,
        )
        handoffs = self._all("SELECT handoff_id, ticket_id, peer, head FROM handoff")
        return SpoolCopy(
            own={
                row[0]: Spooled(
                    kind=row[1], ticket_id=row[2], handoff_id=row[3], recipient=row[4], state=row[5]
                )
                for row in own
            },
            came={
                row[0]: Arrived(
                    ticket_id=row[1],
                    declined=bool(row[2]),
                    acknowledged=bool(row[3]),
                    aside=bool(row[4]),
                )
                for row in came
            },
            handoffs={
                row[0]: KnownHandoff(handoff_id=row[0], ticket_id=row[1], peer=row[2], head=row[3])
                for row in handoffs
            },
        )

    def send_again(self, message_ids: Iterable[str], now: datetime) -> int:
        """Let these own messages, which were stored, wait once more; return how many do."""
        with self._transaction():
            done = 0
            for message_id in message_ids:
                changed = self._db.execute(
                    "UPDATE outgoing SET state = 'waiting', queued = ?, told = NULL "
                    "WHERE state = 'stored' AND message_id = ?",
                    (now.isoformat(), message_id),
                )
                done += changed.rowcount
            return done

    def acknowledge_again(self, message_ids: Iterable[str]) -> int:
        """Let it be said again that these were written; return of how many it is known here."""
        with self._transaction():
            done = 0
            for message_id in message_ids:
                changed = self._db.execute(
                    "UPDATE incoming SET acknowledged = 0 WHERE message_id = ? AND refusal IS NULL",
                    (message_id,),
                )
                done += changed.rowcount
            return done

    def learn(self, handoffs: Iterable[KnownHandoff]) -> None:
        """Take over where these hand-offs stand at the bridge: the spool was put back, or lost."""
        with self._transaction():
            for one in handoffs:
                self._learn(one.handoff_id, one.ticket_id, one.peer, one.head, None)
