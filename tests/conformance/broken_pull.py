"""Bridges that are deliberately broken where they hand out, and where they are told."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.conformance.edge import Call
from exchange.conformance.party import id_of
from tests.conformance.breaking import Breaking, Broken, Mutation, kind_of


def stamps(b: Breaking) -> None:
    """It writes its own name into what it carries."""

    def change(call: Call) -> None:
        for delivery in call.answer.deliveries:
            if delivery.WhichOneof("content") == "envelope" and delivery.attempt == 1:
                envelope = message_pb2.Envelope.FromString(delivery.envelope)
                envelope.hops.add(by="bridge.example")
                delivery.envelope = envelope.SerializeToString(deterministic=True)

    b.answered("PullMessages", change)


def reorders(b: Breaking) -> None:
    """A lane's later messages overtake the earlier ones."""

    def change(call: Call) -> None:
        if len(call.answer.deliveries) > 4:
            found = list(call.answer.deliveries)
            found[2:] = found[2:][::-1]
            del call.answer.deliveries[:]
            call.answer.deliveries.extend(found)

    b.answered("PullMessages", change)


def calm(b: Breaking) -> None:
    """The oldest lane comes first, whatever is urgent."""

    def change(call: Call) -> None:
        found = sorted(call.answer.deliveries, key=lambda d: d.position)
        del call.answer.deliveries[:]
        call.answer.deliveries.extend(found)

    b.answered("PullMessages", change)


def gives_everything(b: Breaking) -> None:
    """Who asks for urgent lanes alone gets whatever waits."""
    b.asked("PullMessages", lambda call: call.request.ClearField("least_urgency"))


def never_says_again(b: Breaking) -> None:
    """A redelivery looks like a first one."""

    def change(call: Call) -> None:
        for delivery in call.answer.deliveries:
            delivery.attempt = 1

    b.answered("PullMessages", change)


def leases_to_nobody(b: Breaking) -> None:
    """A pull goes on when its caller is gone, and leases what comes to it."""
    idle = threading.Event()
    idle.set()

    def go_on(call: Call) -> None:
        if call.request.wait.ToSeconds() > 10:
            idle.clear()
            try:
                b.ask(call)
            finally:
                idle.set()

    b.asked("PullMessages", go_on)
    # Whoever is told that a message is stored comes too late for it.
    b.answered("PushMessages", lambda _: bool(idle.wait(60)))


def gives_something_at_last(b: Breaking) -> None:
    """Rather than nothing, a pull that has waited gets a delivery of nothing."""

    def change(call: Call) -> None:
        if not call.answer.deliveries and call.request.wait.ToMilliseconds():
            call.answer.deliveries.add(lane="empty")

    b.answered("PullMessages", change)


# -- acknowledge


def _written(one: pb.Acknowledgement) -> str:
    if one.WhichOneof("acknowledgement") != "written":
        return ""
    return receipt_pb2.WrittenStatement.FromString(one.written.statement).message_id


def one_leaf(b: Breaking) -> None:
    """The receipts of one call are logged as one leaf."""

    def change(call: Call) -> None:
        recorded = [o.recorded for o in call.answer.outcomes if o.HasField("recorded")]
        leaves = [one.leaf_index for one in recorded if one.HasField("leaf_index")]
        for one in recorded:
            if one.HasField("leaf_index"):
                one.leaf_index = leaves[0]

    b.answered("AcknowledgeMessages", change)


def last_one_wins(b: Breaking) -> None:
    """Another acknowledgement of the same message is a new one."""
    said: dict[str, bytes] = {}

    def change(call: Call) -> None:
        for one, outcome in zip(call.request.acknowledgements, call.answer.outcomes, strict=True):
            about = _written(one)
            if about and outcome.HasField("recorded"):
                first = said.setdefault(about, one.written.statement)
                outcome.recorded.leaf_index += 1000 * (first != one.written.statement)

    b.answered("AcknowledgeMessages", change)


def records_the_last_anew(b: Breaking) -> None:
    """The last acknowledgement of a call is recorded once more each time that it is said."""
    said: Counter[bytes] = Counter()

    def change(call: Call) -> None:
        *_, one = call.request.acknowledgements
        outcome = call.answer.outcomes[-1]
        if len(call.answer.outcomes) > 1 and _written(one) and outcome.HasField("recorded"):
            outcome.recorded.leaf_index += 1000 * said[one.written.statement]
            said[one.written.statement] += 1

    b.answered("AcknowledgeMessages", change)


def records_anew_in_the_dark(b: Breaking) -> None:
    """After a power cut, what was recorded before gets another leaf."""
    said: dict[bytes, int] = {}

    def change(call: Call) -> None:
        for one, outcome in zip(call.request.acknowledgements, call.answer.outcomes, strict=True):
            if _written(one) and outcome.HasField("recorded"):
                begun = said.setdefault(one.written.statement, b.standing.restarts)
                outcome.recorded.leaf_index += 1000 * (begun < b.standing.restarts)

    b.answered("AcknowledgeMessages", change)


def too_late(b: Breaking) -> None:
    """When a lease is over, so is the right to acknowledge."""
    until: dict[str, datetime] = {}

    def hear(call: Call) -> None:
        for delivery in call.answer.deliveries:
            if delivery.WhichOneof("content") == "envelope":
                expires = delivery.lease_expire_time.ToDatetime(tzinfo=UTC)
                until[id_of(delivery.envelope)] = expires

    def change(call: Call) -> None:
        now = datetime.now(UTC) + timedelta(seconds=b.standing.ahead)
        for one, outcome in zip(call.request.acknowledgements, call.answer.outcomes, strict=True):
            if until.get(_written(one), now) < now:
                outcome.retry.reason = "LEASE_EXPIRED"

    b.answered("PullMessages", hear)
    b.answered("AcknowledgeMessages", change)


def anybody_acknowledges(b: Breaking) -> None:
    """Whoever says 'written' is believed."""

    def change(call: Call) -> None:
        for outcome in call.answer.outcomes:
            if outcome.WhichOneof("outcome") == "refused":
                outcome.recorded.leaf_index = 0

    b.answered("AcknowledgeMessages", change)


def stops_everything(b: Breaking) -> None:
    """A quarantine stops the whole mailbox."""
    stopped: set[str] = set()

    def hear(call: Call) -> None:
        for one in call.request.acknowledgements:
            if one.WhichOneof("acknowledgement") == "refused":
                stopped.add(call.who)

    def forget(call: Call) -> None:
        answered = zip(call.request.envelopes, call.answer.outcomes, strict=True)
        if any(o.HasField("stored") and kind_of(e) == "open_ticket" for e, o in answered):
            stopped.clear()  # the next case begins

    def drop(call: Call) -> None:
        if call.who in stopped:
            kept = [d for d in call.answer.deliveries if d.WhichOneof("content") == "receipt"]
            del call.answer.deliveries[:]
            call.answer.deliveries.extend(kept)

    b.answered("PushMessages", forget)
    b.answered("AcknowledgeMessages", hear)
    b.answered("PullMessages", drop)


def all_is_well(b: Breaking) -> None:
    """Every comparison finds both sides the same."""

    def change(call: Call) -> None:
        for finding in call.answer.findings:
            finding.agreement = pb.HANDOFF_AGREEMENT_SAME

    b.answered("ReconcileHandoffs", change)


def shrinks(b: Breaking) -> None:
    """The log shows an old head."""
    first: list[str] = []

    def change(call: Call) -> None:
        first.append(call.answer.checkpoint)
        call.answer.checkpoint = first[0]

    b.answered("PullMessages", change)


def _one(mutation: Mutation, name: str) -> Broken:
    return Broken(mutation, [f"bridge.{name}"])


PULL: dict[str, Broken] = {
    "stamps": _one(stamps, "pull.exact-bytes"),
    "reorders": _one(reorders, "pull.lane-order"),
    "is calm": _one(calm, "pull.urgent-first"),
    "gives everything": _one(gives_everything, "pull.urgent-alone"),
    "never says again": _one(never_says_again, "pull.lease"),
    "leases to nobody": _one(leases_to_nobody, "pull.given-up"),
    "gives something at last": _one(gives_something_at_last, "pull.waiting"),
    "one leaf": _one(one_leaf, "acknowledge.forwarded"),
    "the last one wins": _one(last_one_wins, "acknowledge.again"),
    "too late": _one(too_late, "acknowledge.late"),
    "anybody acknowledges": _one(anybody_acknowledges, "acknowledge.forged"),
    "stops everything": _one(stops_everything, "acknowledge.quarantine"),
    "records the last anew": _one(records_the_last_anew, "acknowledge.cut"),
    "records anew in the dark": _one(records_anew_in_the_dark, "acknowledge.restart"),
    "all is well": _one(all_is_well, "reconcile.behind"),
    "shrinks": _one(shrinks, "log.grows"),
}
