"""
Reconciling: what one party's copy of its hand-offs misses, compared with the store's.

This is the seeds' 双方校核、查漏纠错 (R50b), and what a party does after it restored a backup, or
after it mended what could not digest a message.

Rule 1: a lane is put in order as a whole: what waits in it and what is put back stand by leaf.
Rule 2: what an organisation authored is never put into its own mailbox; it stands in the trail.
Rule 3: a lane that is reconciled is in quarantine no longer.
Rule 4: what an organisation set aside stays aside, unless it asks for that.

A relay asks in the place of those behind it; it holds no copy and need not know which lanes stand
still (`reopen`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from exchange.acts import MOVING_KINDS, Kind, Urgency
from exchange.store import Delivery, Known, MailRow, Reopened, Writer
from exchange.ticket import Handoff, own_duty_id

#: Tickets that one call looks at for what came since a moment; bounds its memory and its time.
PAGE_TICKETS = 512

_MOVING = frozenset(kind.value for kind in MOVING_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    What a party knows of a hand-off: the digest of its newest state-moving message.

    *notes* are the ids of the other messages that it holds; None if those are not to be compared.
    *aside*: it wants back, too, what it has set aside.
    """

    handoff_id: str
    digest: bytes
    notes: frozenset[str] | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """From when on everything is put back; *after* is where an earlier answer ended."""

    time: datetime
    after: str = ""


class Agreement(IntEnum):
    """How two copies compare; the numbers are the contract's ``HandoffAgreement``."""

    SAME = 1
    CALLER_BEHIND = 2
    BRIDGE_BEHIND = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What comparing one hand-off found; *redelivered* waits for the caller, now or still."""

    handoff_id: str
    agreement: Agreement
    digest: bytes = b""
    redelivered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What reconciling found and put back."""

    findings: list[Finding]
    #: How many messages were put back.
    redelivered: int
    #: The mailbox positions that were given up for new ones.
    withdrawn: tuple[int, ...]
    #: Where to go on with `Since`; empty at the end.
    next_after: str = ""


def reconcile(
    writer: Writer,
    organisation: str,
    heads: Sequence[Head],
    now: datetime,
    since: Since | None = None,
) -> Reconciled:
    """Compare *organisation*'s *heads* with what is stored; put what it misses into its mailbox."""
    asked = {head.handoff_id for head in heads}
    known = writer.handoffs(asked)
    page = writer.party_to(organisation, since.after, PAGE_TICKETS) if since else []
    if writer.shared:
        writer.hold({h.ticket_id for h in known.values()} | {*page})
        known = writer.handoffs(asked)  # as they stand now that nobody else can change them
    mine = {h.id: h for h in known.values() if h.side_of(organisation) is not None}
    copy = _load(writer, organisation, {h.ticket_id for h in mine.values()} | {*page})

    wanted: dict[str, list[Known]] = defaultdict(list)
    findings = []
    for head in heads:
        handoff = mine.get(head.handoff_id)
        if handoff is None:
            findings.append(Finding(handoff_id=head.handoff_id, agreement=Agreement.UNKNOWN))
            continue
        finding, missing = _compare(handoff, head, copy)
        findings.append(finding)
        wanted[handoff.id] += missing
    if since is not None:
        looked_at = set(page)
        for lane, messages in copy.lanes.items():
            came = [
                m
                for m in messages
                if m.time >= since.time
                and m.ticket_id in looked_at
                and m.leaf_index not in copy.aside
            ]
            if came:
                wanted[lane] += came
    redelivered, withdrawn = _put_back(writer, copy, wanted, now)
    return Reconciled(
        findings=findings,
        redelivered=redelivered,
        withdrawn=withdrawn,
        next_after=page[-1] if len(page) == PAGE_TICKETS else "",
    )


def reopen(writer: Writer, organisation: str, now: datetime) -> Reconciled:
    """
    Take every lane of *organisation*'s out of quarantine, and put what waits in it in line anew.

    Its new places are what a ferry, which reads on from the last one, finds.
    """
    lanes = writer.standing_still(organisation)
    if not lanes:
        return Reconciled(findings=[], redelivered=0, withdrawn=())
    rows = sorted(writer.lanes(organisation, lanes), key=lambda row: row.position)
    ids = writer.ids({row.source for row in rows})
    positions = tuple(row.position for row in rows)
    writer.record(
        reopened=Reopened(recipient=organisation, positions=positions, released=frozenset(lanes)),
        deliveries=[
            Delivery(
                recipient=organisation,
                lane=row.lane,
                urgency=row.urgency,
                message_id=ids[row.source],
            )
            for row in rows
        ],
        now=now,
    )
    return Reconciled(findings=[], redelivered=len(rows), withdrawn=positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """What the store has of some tickets for one organisation."""

    organisation: str
    by_digest: Mapping[bytes, Known]
    #: The leaves of what it set aside, and has not written since.
    aside: Collection[int] = frozenset()
    #: What is addressed to the organisation and not its own, by lane and in leaf order.
    lanes: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))


def _load(writer: Writer, organisation: str, ticket_ids: Collection[str]) -> _Copy:
    messages = writer.digests(ticket_ids)
    gone = writer.archived(ticket_ids)
    aside = writer.left_aside(organisation, ticket_ids)
    copy = _Copy(organisation=organisation, by_digest=messages, aside=aside)
    newest = {
        ticket_id: [h.id for h in handoffs if h.side_of(organisation)][-1:]
        for ticket_id, handoffs in writer.handoffs_of_tickets(ticket_ids).items()
    }
    ordered = sorted(messages.values(), key=lambda known: known.leaf_index)
    openings = {
        known.ticket_id: known
        for known in ordered
        if known.kind == Kind.OPEN_TICKET.value and known.leaf_index not in gone
    }
    for known in ordered:
        if known.author == organisation or known.kind == Kind.OPEN_TICKET.value:
            continue
        if known.leaf_index in gone:
            continue
        if known.kind == Kind.CLOSE_TICKET.value:
            # It goes into the lane of the newest hand-off.
            for lane in newest.get(known.ticket_id, ()):
                copy.lanes[lane].append(known)
        elif known.recipient == organisation:
            # The first lane of a ticket's, which begins with an offer, has the opening before it.
            opening = openings.pop(known.ticket_id, None)
            if opening is not None and opening.author != organisation:
                copy.lanes[known.handoff_id].append(opening)
            copy.lanes[known.handoff_id].append(known)
    return copy


def _compare(handoff: Handoff, head: Head, copy: _Copy) -> tuple[Finding, list[Known]]:
    """Compare one hand-off; return what was found, and what the caller misses."""
    theirs = copy.by_digest.get(head.digest)
    if head.digest and (theirs is None or not _is_about(theirs, handoff)):
        behind = Finding(
            handoff_id=handoff.id, agreement=Agreement.BRIDGE_BEHIND, digest=handoff.head
        )
        return behind, []
    after = theirs.leaf_index if theirs is not None else -1
    missing = [
        known
        for known in copy.lanes.get(handoff.id, ())
        if (
            head.aside
            if known.leaf_index in copy.aside
            else _is_missing(known, head, after, newest=handoff.head)
        )
    ]
    same = not missing and head.digest == handoff.head
    found = Finding(
        handoff_id=handoff.id,
        agreement=Agreement.SAME if same else Agreement.CALLER_BEHIND,
        digest=handoff.head,
        redelivered=tuple(known.id for known in missing),
    )
    return found, missing


def _is_about(known: Known, handoff: Handoff) -> bool:
    """Return whether *known* can be what moved *handoff*; an own duty begins with another's act."""
    if known.handoff_id == handoff.id:
        return True
    return handoff.own_duty and own_duty_id(known.handoff_id, known.digest) == handoff.id


def _is_missing(known: Known, head: Head, after: int, *, newest: bytes) -> bool:
    """Return whether the party with *head*, which is leaf *after*, has to be sent *known*."""
    if known.kind in _MOVING:
        return known.leaf_index > after
    if head.notes is not None:
        return known.id not in head.notes
    # Not asked; but whoever misses an act misses what was said after it, too.
    return known.leaf_index > after and head.digest != newest


def _put_back(
    writer: Writer, copy: _Copy, wanted: Mapping[str, list[Known]], now: datetime
) -> tuple[int, tuple[int, ...]]:
    """Put *wanted* into its lanes; return how many were put back, and the positions given up."""
    if not wanted:
        return 0, ()
    waiting: dict[str, list[MailRow]] = defaultdict(list)
    for row in writer.lanes(copy.organisation, wanted.keys()):
        waiting[row.lane].append(row)
    by_leaf = {known.leaf_index: known.id for known in copy.by_digest.values()}
    deliveries: list[Delivery] = []
    withdrawn: list[int] = []
    redelivered = 0
    for lane, missing in wanted.items():
        rows = waiting[lane]
        there = {row.source for row in rows}
        lost = {known.leaf_index for known in missing} - there
        if not lost:
            continue
        redelivered += len(lost)
        withdrawn += [row.position for row in rows]
        urgency = max((row.urgency for row in rows), default=int(Urgency.ROUTINE))
        deliveries += [
            Delivery(
                recipient=copy.organisation,
                lane=lane,
                urgency=urgency,
                message_id=by_leaf[leaf],
            )
            for leaf in sorted(lost | there)
        ]
    reopened = Reopened(
        recipient=copy.organisation,
        positions=tuple(withdrawn),
        released=frozenset(wanted),
    )
    writer.record(reopened=reopened, deliveries=deliveries, now=now)
    return redelivered, tuple(withdrawn)
