"""Reconciling a party's copy with a bridge's (R50b), and having a lost part of it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.client.calls import Calls, as_many
from exchange.wire.headers import time_to_proto

#: Hand-offs compared in one call; the contract's limit.
RECONCILE_HEADS = 512


class Agreement(IntEnum):
    """How two copies of a hand-off compare; the contract's ``HandoffAgreement`` numbers."""

    SAME = 1
    CALLER_BEHIND = 2
    BRIDGE_BEHIND = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What reconciling found of one hand-off; *redelivered* waits in the mailbox (again)."""

    handoff_id: str
    agreement: Agreement
    bridge_digest: bytes
    redelivered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What reconciling found, one finding for each head, and how many messages it put back."""

    findings: list[Finding]
    redelivered: int


def reconcile(
    call: Calls,
    stub: ExchangeServiceStub,
    heads: Mapping[str, bytes],
    since: datetime | None,
    *,
    aside: bool = False,
) -> Reconciled:
    """
    Compare *heads*, 512 a call, then have everything *since* put back, page by page.

    The contract's ``compare_notes`` is not asked for, on purpose.  A note is acknowledged only when
    the platform has written it, and waits in the mailbox until then: it comes by itself.  One can be
    missing only where the platform's own database was restored, and the spool, which was not, would
    then name it as held.  *since* is for that.  *aside*: what was set aside is put back, too.
    """
    findings: list[Finding] = []
    redelivered = 0
    known = list(heads.items())
    for start in range(0, len(known), RECONCILE_HEADS):
        batch = known[start : start + RECONCILE_HEADS]
        request = pb.ReconcileHandoffsRequest(
            heads=[pb.HandoffHead(handoff_id=name, digest=digest) for name, digest in batch],
            include_set_aside=aside,
        )
        response = call(stub.ReconcileHandoffs, request)
        redelivered += response.redelivered
        findings += map(_finding, as_many(response.findings, batch))
    page = None if since is None else pb.ReconcileHandoffsRequest(since=time_to_proto(since))
    while page is not None:
        response = call(stub.ReconcileHandoffs, page)
        redelivered += response.redelivered
        page.page_token = response.next_page_token
        page = page if response.next_page_token else None
    return Reconciled(findings=findings, redelivered=redelivered)


def _finding(finding: pb.HandoffFinding) -> Finding:
    return Finding(
        handoff_id=finding.handoff_id,
        agreement=Agreement(finding.agreement or Agreement.UNKNOWN),
        bridge_digest=finding.bridge_digest,
        redelivered=tuple(finding.redelivered_message_ids),
    )
