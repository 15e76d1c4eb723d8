"""
The desk's records, and how the adapter's obligations are met with them.

What comes is written with its message id in one transaction; what is said here stands in ``outbox``
in the transaction that changed the desk's own records.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.platform import Indigestible, Outgoing
from adapters.spool_records import Decision, sealed
from adapters.sqlite_desk.course import Step, follow, undo
from adapters.sqlite_desk.tables import DeskDatabase
from exchange.acts import TICKET_KINDS, Kind
from exchange.client import IncomingMessage, IncomingReceipt, OutgoingMessage, SealedMessage
from exchange.errors import NotFound, RefusalCode
from exchange.text import Text

_OUTBOX = "message_id, kind, ticket_id, handoff_id, recipient, urgency, previous, digest, envelope"


class Records:
    """What one desk knows; its methods may be called from any thread."""

    def __init__(
        self,
        path: Path,
        organisation: str,
        prefix: str,
        *,
        remind: Callable[[IncomingMessage], None] | None = None,
    ) -> None:
        self.db = DeskDatabase(path)
        self.us = organisation
        self._prefix = prefix
        self._remind = remind
        self._numbers = threading.Lock()
        known = self.db.rows("SELECT local_number FROM event")
        self._last = max((int(row["local_number"][len(prefix) :]) for row in known), default=0)

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def next_number(self) -> str:
        """Return a number of this desk's own that was never given before."""
        with self._numbers:
            self._last += 1
            return f"{self._prefix}{self._last:08d}"

    # -- looking

    def ticket(self, ticket_id: str) -> dict[str, Any]:
        """Return a ticket's row; raises `NotFound`."""
        found = self.db.row("SELECT * FROM ticket WHERE ticket_id = ?", ticket_id)
        if found is None:
            raise NotFound(_NO_TICKET.fill(ticket=ticket_id))
        return found

    def handoff(self, handoff_id: str) -> dict[str, Any]:
        """Return a hand-off's row; raises `NotFound`."""
        found = self.db.row("SELECT * FROM handoff WHERE handoff_id = ?", handoff_id)
        if found is None:
            raise NotFound(_NO_HANDOFF.fill(handoff=handoff_id))
        return found

    def events(self, ticket_id: str) -> list[dict[str, Any]]:
        """Return everything said about a ticket as this desk learned it, oldest first."""
        return self.db.rows("SELECT * FROM event WHERE ticket_id = ? ORDER BY seq", ticket_id)

    def danger_marks(self, handoff_id: str) -> list[bytes]:
        """Return the digests of what marked danger on a hand-off and nobody cleared, oldest first."""
        query = (
            "SELECT kind, digest, act FROM event WHERE handoff_id = ? "
            "AND kind IN ('offer', 'mark_danger', 'clear_danger') "
            "AND answer NOT IN ('refused', 'dropped') ORDER BY seq"
        )
        marks, cleared = [], set()
        for row in self.db.rows(query, handoff_id):
            kind, act = Kind(row["kind"]), json.loads(row["act"])
            if kind is Kind.CLEAR_DANGER:
                cleared.add(base64.b64decode(act["mark_digest"]))
            elif kind is Kind.MARK_DANGER or act.get("danger"):
                marks.append(row["digest"])
        return [digest for digest in marks if digest not in cleared]

    def wait_until(self, holds: Callable[[], bool], timeout: timedelta) -> bool:
        """Wait until *holds*, asked after every change of the records; False where time ran out."""
        with self.db.changed:
            return self.db.changed.wait_for(holds, timeout.total_seconds())

    # -- what was said here (the outgoing half of an adapter)

    def outgoing(self) -> Sequence[Outgoing]:
        """Return the outbox."""
        query = f"SELECT {_OUTBOX} FROM outbox ORDER BY seq LIMIT 512"  # noqa: S608 - our names
        return [sealed(list(row.values())) for row in self.db.rows(query)]

    def kept(self, messages: Sequence[Outgoing]) -> None:
        """Empty the outbox of what the spool holds."""
        with self.db.transaction():
            for message in messages:
                self.db.run("DELETE FROM outbox WHERE message_id = ?", message.message_id)

    def unfit(self, message: OutgoingMessage, why: Text) -> None:
        """Fail loudly: a desk signs what it says itself, so nothing unfit leaves it."""
        raise RuntimeError(f"{message.kind.value}: {why.en}")

    def decided(self, decision: Decision) -> None:
        """Note the bridge's answer; take back what a refused message did to the records."""
        answer = "stored" if decision.refusal is None else "refused"
        if decision.dropped:
            answer = "dropped"
        detail = _detail(decision.refusal.code, decision.refusal.text) if decision.refusal else ""
        query = "SELECT * FROM event WHERE message_id = ?"
        with self.db.transaction():
            event = self.db.row(query, decision.message_id)
            if event is None or event["answer"] != "waiting":
                return
            self.db.run(
                "UPDATE event SET answer = ?, detail = ?, receipt = ? WHERE message_id = ?",
                answer,
                detail,
                decision.receipt,
                decision.message_id,
            )
            if answer != "stored":
                undo(self.db, event, _before(event["before"]))

    def answered(self, receipt: IncomingReceipt) -> None:
        """Note that the other side has written a message, under which number, or declined it."""
        answer, detail = "written", receipt.local_number
        if receipt.refusal is not None:
            answer, detail = "declined", _detail(receipt.refusal.code, receipt.refusal.text)
        with self.db.transaction():
            self.db.run(
                "UPDATE event SET answer = ?, detail = ? WHERE message_id = ?",
                answer,
                detail,
                receipt.message_id,
            )

    # -- what came (the incoming half)

    def deliver(self, item: IncomingMessage) -> str:
        """
        Write a message and its id in one transaction; return the number of the record.

        Raises `Indigestible` for what is about a hand-off that this desk was never offered.
        """
        message = item.message
        query = "SELECT local_number FROM event WHERE message_id = ?"
        known = self.db.row(query, message.id)
        if known is not None:
            return str(known["local_number"])
        number = self.next_number()
        received = SealedMessage(
            message_id=message.id,
            kind=message.kind,
            ticket_id=message.ticket_id,
            handoff_id=message.handoff_id,
            recipient=message.recipient,
            urgency=message.urgency,
            previous=message.previous,
            digest=message.digest,
            envelope=message.envelope,
        )
        with self.db.transaction():
            if message.kind is Kind.OPEN_TICKET:
                self.write_ticket(item.header, item.groups, number)
            elif message.kind is not Kind.OFFER and message.kind not in TICKET_KINDS:
                query = "SELECT 1 FROM handoff WHERE handoff_id = ?"
                if self.db.row(query, message.handoff_id) is None:
                    text = _NO_HANDOFF.fill(handoff=message.handoff_id)
                    raise Indigestible(text, RefusalCode.NOT_A_PARTY)
            step = Step(
                kind=message.kind,
                ticket_id=message.ticket_id,
                handoff_id=message.handoff_id,
                author=message.author,
                recipient=message.recipient,
                digest=message.digest,
                act=item.act,
            )
            follow(self.db, self.us, step)
            self.write_event(
                received,
                author=message.author,
                created=message.created,
                act=item.act,
                groups=item.groups,
                number=number,
                answer="came",
            )
        return number

    def on_arrival(self, item: IncomingMessage) -> None:
        """Ring, if a bell was given."""
        if self._remind is not None:
            self._remind(item)

    # -- writing, inside a transaction

    def write_ticket(
        self, header: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]], number: str
    ) -> None:
        """Write a ticket from its opening's header and groups in the contract's JSON shapes."""
        act = header["open_ticket"]
        self.db.run(
            "INSERT INTO ticket (ticket_id, local_number, origin, first_receiver, kind, region, "
            "matter, title, urgency, marker, classification) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            header["ticket_id"],
            number,
            header["author"],
            act.get("first_receiver") or header["author"],
            act["kind"],
            act["region"],
            act.get("matter", ""),
            groups.get("matter", {}).get("title", ""),
            *(_number(header[name], name) for name in ("urgency", "marker", "classification")),
        )

    def write_event(
        self,
        message: SealedMessage,
        *,
        author: str,
        created: datetime,
        act: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]],
        number: str,
        answer: str,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one thing that was said, here (*before*: the hand-off as it was) or elsewhere."""
        self.db.run(
            "INSERT INTO event (message_id, ticket_id, handoff_id, kind, author, created, digest, "
            "previous, act, content, local_number, answer, before) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            message.message_id,
            message.ticket_id,
            message.handoff_id,
            message.kind.value,
            author,
            created.isoformat(),
            message.digest,
            message.previous,
            json.dumps(act, ensure_ascii=False),
            json.dumps(groups, ensure_ascii=False),
            number,
            answer,
            json.dumps(before, default=bytes.hex) if before else None,
        )


_WORDS = {
    "urgency": {"URGENCY_ROUTINE": 1, "URGENCY_URGENT": 2, "URGENCY_IMMEDIATE": 3},
    "marker": {"MARKER_ACTUAL": 1, "MARKER_EXERCISE": 2, "MARKER_TEST": 3},
    "classification": {
        "CLASSIFICATION_ORDINARY": 1,
        "CLASSIFICATION_CONFIDENTIAL": 2,
        "CLASSIFICATION_SECRET": 3,
        "CLASSIFICATION_LEGAL_CHANNEL": 4,
    },
}


def _number(value: object, name: str) -> int:
    return value if isinstance(value, int) else _WORDS[name][str(value)]


def _detail(code: RefusalCode, text: Text) -> str:
    return f"{code.name}: {text.en} {text.zh}"


def _before(text: str | None) -> dict[str, Any] | None:
    """Return a hand-off's row as `Records.write_event` kept it."""
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    for name in ("head", "taken_over", "extension", "position"):
        if found[name] is not None:
            found[name] = bytes.fromhex(found[name])
    return found


_NO_TICKET = Text(en="This desk knows no ticket {ticket}.", zh="本平台没有编号为 {ticket} 的单。")
_NO_HANDOFF = Text(
    en="This desk knows no hand-off {handoff}.", zh="本平台没有编号为 {handoff} 的移交。"
)
