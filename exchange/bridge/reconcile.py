"""
Reconciling: what one party's copy of its hand-offs misses, compared with the store's.

This is the seeds' 双方校核、查漏纠错 (R50b), and what a party does after it restored a backup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from exchange.acts import MOVING_KINDS, Kind
from exchange.store import Delivery, Known, Writer
from exchange.ticket import Handoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a party knows of a hand-off: its newest state-moving digest and, if given, messages."""

    handoff_id: str
    digest: bytes
    message_ids: frozenset[str] = frozenset()


class Agreement(IntEnum):
    """How two copies compare; the numbers are the contract's ``HandoffAgreement``."""

    SAME = 1
    CALLER_BEHIND = 2
    BRIDGE_BEHIND = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What comparing one hand-off found."""

    handoff_id: str
    agreement: Agreement
    digest: bytes = b""
    redelivered: tuple[str, ...] = ()


def reconcile(
    writer: Writer, organisation: str, heads: Sequence[Head], now: datetime
) -> list[Finding]:
    """Compare *organisation*'s *heads* with what is stored; put what it misses into its mailbox."""
    findings: list[Finding] = []
    again: list[Delivery] = []
    known = writer.handoffs({head.handoff_id for head in heads})
    tickets = {h.ticket_id for h in known.values() if h.side_of(organisation)}
    messages = writer.digests(tickets)
    for head in heads:
        handoff = known.get(head.handoff_id)
        if handoff is None or handoff.side_of(organisation) is None:
            findings.append(Finding(handoff_id=head.handoff_id, agreement=Agreement.UNKNOWN))
            continue
        finding = _compare(handoff, head, organisation, messages)
        findings.append(finding)
        again += [
            Delivery(recipient=organisation, lane=handoff.id, urgency=1, message_id=missing)
            for missing in finding.redelivered
        ]
    again = _not_waiting(writer, organisation, again)
    if again:
        writer.record(deliveries=again, now=now)
    return findings


def _compare(
    handoff: Handoff, head: Head, organisation: str, messages: Mapping[bytes, Known]
) -> Finding:
    """Compare one hand-off: what of the bridge's messages to or by *organisation* it misses."""
    chain = [
        known
        for known in messages.values()
        if known.handoff_id == handoff.id
        or (known.kind == Kind.OPEN_TICKET.value and known.author != organisation)
    ]
    theirs = messages.get(head.digest)
    if head.digest and (theirs is None or theirs.handoff_id != handoff.id):
        return Finding(
            handoff_id=handoff.id, agreement=Agreement.BRIDGE_BEHIND, digest=handoff.head
        )
    after = theirs.leaf_index if theirs is not None else -1
    moving = {kind.value for kind in MOVING_KINDS}
    missing = [
        known.id
        for known in sorted(chain, key=lambda known: known.leaf_index)
        if known.id not in head.message_ids
        and (bool(head.message_ids) or (known.leaf_index > after and head.digest != handoff.head))
        and (known.kind not in moving or known.leaf_index > after)
    ]
    agreement = Agreement.CALLER_BEHIND if missing else Agreement.SAME
    return Finding(
        handoff_id=handoff.id,
        agreement=agreement,
        digest=handoff.head,
        redelivered=tuple(missing),
    )


def _not_waiting(
    writer: Writer, organisation: str, deliveries: Sequence[Delivery]
) -> list[Delivery]:
    """Return those *deliveries* that do not wait in the mailbox already."""
    known = writer.messages({delivery.message_id for delivery in deliveries})
    rows = writer.mail(organisation, {one.leaf_index for one in known.values()})
    waiting = {row.source for row in rows}
    return [d for d in deliveries if known[d.message_id].leaf_index not in waiting]
