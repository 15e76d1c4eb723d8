"""
A desk: it says things, follows what is said to it, and remembers both in its own database.

As a platform it meets the obligations of `adapters.platform.Adapter` the direct way: what it says is
signed and put into an outbox in the transaction that changes its own records, and what comes is
written with its message id in one transaction.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from adapters.sqlite_desk.course import Step, follow
from adapters.sqlite_desk.forms import Groups, act_for, groups_for
from adapters.sqlite_desk.records import Records
from exchange.acts import MOVING_KINDS, Classification, Kind, Marker, Urgency
from exchange.client import IncomingMessage, OutgoingMessage, Sealer
from exchange.ticket import derived_id

_TICKET_KINDS: dict[str, str] = {
    "12345": "TICKET_KIND_WORK_ORDER",
    "110": "TICKET_KIND_POLICE_TICKET",
}

#: Marks of danger that one progress names at most.
_MARKS = 16

#: An act's field that names an earlier message, and the hand-off's column that remembers it.
_NAMES = {
    Kind.RELEASE: ("take_over_digest", "taken_over"),
    Kind.GRANT_EXTENSION: ("request_digest", "extension"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Which desk it is, and the rules its offers pin."""

    service: Literal["12345", "110"]
    region: str
    profile: str = "national"
    profile_edition: str
    catalogue_edition: str
    #: What its local numbers begin with.
    prefix: str = "W"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing the desk has said; *duty* is the own duty it opened, if any."""

    message_id: str
    ticket_id: str
    handoff_id: str
    local_number: str
    duty: str = ""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Desk(Records):
    """One desk; its methods may be called from any thread."""

    def __init__(
        self,
        path: Path,
        sealer: Sealer,
        office: Office,
        *,
        remind: Callable[[IncomingMessage], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(path, sealer.organisation, office.prefix, remind=remind)
        self.office = office
        #: Called after something was said, so that it leaves at once.
        self.wake: Callable[[], None] | None = None
        self._sealer = sealer
        self._clock = clock

    # -- saying things

    def open_ticket(
        self,
        title: str,
        content: str,
        *,
        matter: str = "",
        region: str = "",
        urgency: Urgency = Urgency.ROUTINE,
        marker: Marker = Marker.ACTUAL,
        classification: Classification = Classification.ORDINARY,
        ticket_id: str = "",
        act: Mapping[str, Any] | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Said:
        """Enter a matter as a ticket of this desk's own."""
        number = self.next_number()
        ticket_id = ticket_id or derived_id(self.us, "ticket", number)
        whole = {
            "kind": _TICKET_KINDS[self.office.service],
            "region": region or self.office.region,
            "first_receiver": self.us,
        }
        if matter:
            whole |= {"matter": matter, "catalogue_edition": self.office.catalogue_edition}
        written: Groups = {
            "identity": {"record_number": number},
            "matter": {"title": title},
            "content": {"content": content},
        }
        message = OutgoingMessage(
            kind=Kind.OPEN_TICKET,
            ticket_id=ticket_id,
            created=self._clock(),
            urgency=urgency,
            marker=marker,
            classification=classification,
            act=whole | dict(act or {}),
            groups=written | {name: dict(group) for name, group in (groups or {}).items()},
            record=number,
        )
        return self._say(message, number, {})

    def offer(
        self,
        ticket_id: str,
        to: str,
        words: str,
        *,
        parallel: bool = False,
        handoff_id: str = "",
        **more: Any,
    ) -> Said:
        """
        Ask *to* to take (part of) a ticket.

        *parallel* says that the matter is of an immediate kind (R24), whose offer opens this desk's
        own duty.  *more* as in `say`.
        """
        ticket = self.ticket(ticket_id)
        act: dict[str, Any] = {
            "form": "HANDOFF_FORM_TRANSFER",
            "matter": ticket["matter"],
            "catalogue_edition": self.office.catalogue_edition,
            "profile": self.office.profile,
            "profile_edition": self.office.profile_edition,
        }
        act |= more.pop("act", None) or {}
        handoff_id = handoff_id or derived_id(self.us, "handoff", self.next_number())
        return self._compose(
            Kind.OFFER, ticket, handoff_id, to, words, act=act, parallel=parallel, **more
        )

    def close_ticket(self, ticket_id: str, words: str, **more: Any) -> Said:
        """Conclude a ticket of this desk's own (结案); *more* as in `say`."""
        return self._compose(Kind.CLOSE_TICKET, self.ticket(ticket_id), "", "", words, **more)

    def say(
        self, kind: Kind, handoff_id: str, words: str = "", *, disposes: bool = False, **more: Any
    ) -> Said:
        """
        Say *kind* on a hand-off: any kind but those that open a ticket or hand-off or close a ticket.

        *words* become the field groups that the kind needs; *more* may hold ``act`` and ``groups``
        (contract's JSON shapes), which replace what the desk would write, and ``urgency``.  A
        progress that *disposes* states the disposal of every danger marked there (R31); a clearing
        clears the newest.  Raises `NotFound` for a hand-off that the desk does not know.
        """
        handoff = self.handoff(handoff_id)
        to = handoff["receiver"] if handoff["sender"] == self.us else handoff["sender"]
        act = dict(act_for(kind, self._clock(), self.ticket(handoff["ticket_id"])["local_number"]))
        if kind in _NAMES:
            field, column = _NAMES[kind]
            act[field] = base64.b64encode(handoff[column] or b"").decode()
        if kind is Kind.CLEAR_DANGER or disposes:
            marks = [base64.b64encode(digest).decode() for digest in self.danger_marks(handoff_id)]
            if disposes:
                act["mark_digests"] = marks[-_MARKS:]
            else:
                act["mark_digest"] = marks[-1] if marks else ""
        act |= more.pop("act", None) or {}
        cites = act.get("outcome") in {"RULING_OUTCOME_HANDLER_KEEPS", "RULING_OUTCOME_JOINT"}
        if kind is Kind.RULE and cites and handoff["position"]:
            act.setdefault("position_digest", base64.b64encode(handoff["position"]).decode())
        ticket = self.ticket(handoff["ticket_id"])
        return self._compose(kind, ticket, handoff_id, to, words, act=act, **more)

    def _compose(
        self,
        kind: Kind,
        ticket: Mapping[str, Any],
        handoff_id: str,
        to: str,
        words: str,
        *,
        act: Mapping[str, Any] | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        urgency: Urgency | None = None,
        parallel: bool = False,
    ) -> Said:
        now, number = self._clock(), self.next_number()
        written = groups_for(kind, words, now, number) if words else {}
        known = self.db.row("SELECT * FROM handoff WHERE handoff_id = ?", handoff_id) or {}
        follows = kind in MOVING_KINDS and kind is not Kind.OFFER
        message = OutgoingMessage(
            kind=kind,
            ticket_id=ticket["ticket_id"],
            handoff_id=handoff_id,
            recipient=to,
            previous=known["head"] if follows else b"",
            created=now,
            urgency=urgency or Urgency(ticket["urgency"]),
            marker=Marker(ticket["marker"]),
            classification=Classification(ticket["classification"]),
            act=dict(act or {}),
            groups=written | {name: dict(group) for name, group in (groups or {}).items()},
            record=number,
        )
        return self._say(message, number, known, parallel=parallel)

    def _say(
        self,
        message: OutgoingMessage,
        number: str,
        before: Mapping[str, Any],
        *,
        parallel: bool = False,
    ) -> Said:
        """Sign *message*, change the desk's own records, and put it into the outbox: all or nothing."""
        (sealed,) = self._sealer.seal([message])
        with self.db.transaction():
            if message.kind is Kind.OPEN_TICKET:
                facts = {
                    "ticket_id": message.ticket_id,
                    "author": self.us,
                    "open_ticket": message.act,
                    "urgency": int(message.urgency),
                    "marker": int(message.marker),
                    "classification": int(message.classification),
                }
                self.write_ticket(facts, message.groups, number)
            step = Step(
                kind=message.kind,
                ticket_id=message.ticket_id,
                handoff_id=message.handoff_id,
                author=self.us,
                recipient=message.recipient,
                digest=sealed.digest,
                act=message.act,
                parallel=parallel,
            )
            duty = follow(self.db, self.us, step)
            self.write_event(
                sealed,
                author=self.us,
                created=message.created,
                act=message.act,
                groups=message.groups,
                number=number,
                answer="waiting",
                before=before,
            )
            self.db.run(
                "INSERT INTO outbox (message_id, kind, ticket_id, handoff_id, recipient, urgency, "
                "previous, digest, envelope) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                sealed.message_id,
                sealed.kind.value,
                sealed.ticket_id,
                sealed.handoff_id,
                sealed.recipient,
                int(sealed.urgency),
                sealed.previous,
                sealed.digest,
                sealed.envelope,
            )
        if self.wake is not None:
            self.wake()
        return Said(
            message_id=sealed.message_id,
            ticket_id=sealed.ticket_id,
            handoff_id=sealed.handoff_id,
            local_number=number,
            duty=duty,
        )
